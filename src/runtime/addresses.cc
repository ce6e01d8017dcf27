#include "runtime/addresses.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace millrace::runtime {
namespace {

Result<std::vector<SocketAddress>> look_up(const env::Address& address, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* found = nullptr;
  const char* host = address.host.empty() ? nullptr : address.host.c_str();
  const int failed = ::getaddrinfo(host, std::to_string(address.port).c_str(), &hints, &found);
  if (failed != 0)
    return fail(Errc::kNotFound,
                fmt::format("resolve {}: {}", address.host,
                            failed == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(failed)));
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
  std::vector<SocketAddress> addresses;
  for (; found != nullptr; found = found->ai_next) {
    SocketAddress each;
    each.size = found->ai_addrlen;
    std::memcpy(&each.storage, found->ai_addr, found->ai_addrlen);
    const bool known = std::ranges::any_of(addresses, [&](const SocketAddress& other) {
      return std::memcmp(&other.storage, &each.storage, sizeof each.storage) == 0;
    });
    if (!known) addresses.push_back(each);
  }
  return addresses;
}

}  // namespace

// The port stands at the same place in both families.
uint16_t SocketAddress::port() const {
  return ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port);
}
void SocketAddress::set_port(uint16_t port) {
  reinterpret_cast<sockaddr_in&>(storage).sin_port = htons(port);
}

Result<std::vector<SocketAddress>> resolve(const env::Address& address) {
  return look_up(address, 0);
}

Result<std::vector<SocketAddress>> resolve_to_listen(const env::Address& address) {
  return look_up(address, AI_PASSIVE);
}

SocketAddress local_address(int socket) {
  SocketAddress address;
  address.size = sizeof address.storage;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address.storage), &address.size);
  return address;
}

}  // namespace millrace::runtime
