// Names and literals to socket addresses.
// Blocking: a name may ask a server.
#pragma once

#include <sys/socket.h>

#include <vector>

#include "base/error.h"
#include "env/net.h"

namespace millrace::runtime {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  int family() const { return storage.ss_family; }
  uint16_t port() const;
  void set_port(uint16_t port);
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// Every address that the name stands for, each once. kNotFound: it stands for none.
Result<std::vector<SocketAddress>> resolve(const env::Address& address);
// All interfaces when the host is empty, else as resolve().
Result<std::vector<SocketAddress>> resolve_to_listen(const env::Address& address);
// The address that a socket is bound to.
SocketAddress local_address(int socket);

}  // namespace millrace::runtime
