#include "runtime/listener.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/ip/v6_only.hpp>

#include "base/log.h"
#include "runtime/connection.h"

namespace millrace::runtime {

using boost::asio::ip::tcp;
using boost::system::error_code;

struct Listener::Acceptors : std::enable_shared_from_this<Acceptors> {
  std::vector<tcp::acceptor> sockets;
  std::vector<Shard*> shards;
  env::AcceptFunction accept;
  size_t next_shard = 0;
  int reserve = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  bool closed = false;

  ~Acceptors() {
    if (reserve >= 0) ::close(reserve);
  }

  void wait(tcp::acceptor& socket) {
    socket.async_accept([self = shared_from_this(), &socket](error_code failed, tcp::socket peer) {
      if (self->closed) return;
      if (!failed)
        self->deal_out(std::move(peer));
      else if (failed.value() == EMFILE || failed.value() == ENFILE)
        self->turn_away(socket);
      self->wait(socket);
    });
  }

  void deal_out(tcp::socket peer) {
    Shard& shard = *shards[next_shard++ % shards.size()];
    if (&shard == shards[0])
      return accept(shard, std::make_unique<Connection>(shard, std::move(peer)));
    error_code failed;
    const auto protocol = peer.local_endpoint(failed).protocol();
    const int fd = peer.release(failed);
    if (failed) return;
    shard.post([self = shared_from_this(), &shard, protocol, fd] {
      self->accept(shard,
                   std::make_unique<Connection>(shard, tcp::socket(shard.context(), protocol, fd)));
    });
  }

  void turn_away(tcp::acceptor& socket) {
    LOG_ERROR("out of file descriptors (ulimit -n): a connection is turned away");
    ::close(reserve);
    const int fd = ::accept(socket.native_handle(), nullptr, nullptr);
    if (fd >= 0) ::close(fd);
    reserve = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  }
};

namespace {

Result<tcp::acceptor> listen_on(Shard& shard, tcp::endpoint endpoint, const env::Address& named) {
  error_code failed;
  tcp::acceptor socket(shard.context());
  socket.open(endpoint.protocol(), failed);
  if (!failed) socket.set_option(tcp::acceptor::reuse_address(true), failed);
  if (!failed && endpoint.protocol() == tcp::v6())
    socket.set_option(boost::asio::ip::v6_only(true), failed);
  if (!failed) socket.bind(endpoint, failed);
  if (!failed) socket.listen(1024, failed);
  if (failed)
    return fail(failed == boost::asio::error::address_in_use ? Errc::kExists : Errc::kIo,
                fmt::format("listen on {}: {}", named.to_string(), failed.message()));
  return socket;
}

Result<std::vector<tcp::endpoint>> endpoints_of(Shard& shard, const env::Address& address) {
  if (address.host.empty())
    return std::vector{tcp::endpoint(tcp::v4(), address.port),
                       tcp::endpoint(tcp::v6(), address.port)};
  error_code failed;
  tcp::resolver resolver(shard.context());
  auto found = resolver.resolve(address.host, std::to_string(address.port), failed);
  if (failed)
    return fail(Errc::kNotFound, fmt::format("resolve {}: {}", address.host, failed.message()));
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : found)
    if (std::ranges::find(endpoints, entry.endpoint()) == endpoints.end())
      endpoints.push_back(entry.endpoint());
  return endpoints;
}

}  // namespace

Result<std::unique_ptr<env::Listener>> Listener::open(
    const std::vector<std::unique_ptr<Shard>>& shards, const env::Address& address,
    env::AcceptFunction accept) {
  auto acceptors = std::make_shared<Acceptors>();
  acceptors->accept = std::move(accept);
  for (const auto& shard : shards) acceptors->shards.push_back(shard.get());
  ASSIGN_OR_RETURN(auto endpoints, endpoints_of(*shards[0], address));
  for (tcp::endpoint endpoint : endpoints) {
    if (!acceptors->sockets.empty())  // one port for all, also when it was chosen by the system
      endpoint.port(acceptors->sockets[0].local_endpoint().port());
    auto socket = listen_on(*shards[0], endpoint, address);
    if (!socket && socket.error().code != Errc::kExists && !acceptors->sockets.empty())
      continue;  // a machine without IPv6
    if (!socket) return std::unexpected(std::move(socket).error());
    acceptors->sockets.push_back(std::move(*socket));
  }
  for (auto& socket : acceptors->sockets) acceptors->wait(socket);
  return std::unique_ptr<env::Listener>(new Listener(std::move(acceptors)));
}

Listener::~Listener() {
  acceptors_->closed = true;
  error_code ignored;
  for (auto& socket : acceptors_->sockets) socket.close(ignored);
}

uint16_t Listener::port() const { return acceptors_->sockets[0].local_endpoint().port(); }

}  // namespace millrace::runtime
