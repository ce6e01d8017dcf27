#include "runtime/listener.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "runtime/addresses.h"
#include "runtime/connection.h"

namespace millrace::runtime {
namespace {

constexpr int kBacklog = 1024;
constexpr int kMaxAcceptedATurn = 64;

Result<Descriptor> listen_on(const SocketAddress& address, const env::Address& named) {
  Descriptor socket(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.family() == AF_INET6)
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(socket.get(), address.get(), address.size) == 0 &&
      ::listen(socket.get(), kBacklog) == 0)
    return socket;
  return fail(errno == EADDRINUSE ? Errc::kExists : Errc::kIo,
              fmt::format("listen on {}: {}", named.to_string(), std::strerror(errno)));
}

}  // namespace

// Gives connections to the shards in turn.
struct Listener::Dealer {
  std::vector<Shard*> shards;
  env::AcceptFunction accept;
  size_t next = 0;
  Descriptor reserve{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
};

struct Listener::Acceptor final : Watcher {
  Acceptor(std::shared_ptr<Dealer> d, Descriptor s) : dealer(std::move(d)), socket(std::move(s)) {}

  void on_events(uint32_t) override {
    for (int i = 0; i < kMaxAcceptedATurn && socket.is_open(); ++i) {
      Descriptor peer(::accept4(socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (peer.is_open()) {
        deal_out(std::move(peer));
      } else {
        if (errno == EMFILE || errno == ENFILE) turn_away();
        return;
      }
    }
  }

  void deal_out(Descriptor peer) {
    Shard& shard = *dealer->shards[dealer->next++ % dealer->shards.size()];
    if (&shard == dealer->shards[0])
      return dealer->accept(shard, std::make_unique<Connection>(shard, std::move(peer)));
    shard.post([dealer = dealer, &shard, peer = std::move(peer)]() mutable {
      dealer->accept(shard, std::make_unique<Connection>(shard, std::move(peer)));
    });
  }

  void turn_away() {
    LOG_ERROR("out of file descriptors (ulimit -n): a connection is turned away");
    dealer->reserve.reset();
    Descriptor(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC)).reset();
    dealer->reserve = Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  }

  std::shared_ptr<Dealer> dealer;
  Descriptor socket;
};

Result<std::unique_ptr<env::Listener>> Listener::open(
    const std::vector<std::unique_ptr<Shard>>& shards, const env::Address& address,
    env::AcceptFunction accept) {
  ASSIGN_OR_RETURN(auto addresses, resolve_to_listen(address));
  auto dealer = std::make_shared<Dealer>();
  dealer->accept = std::move(accept);
  for (const auto& shard : shards) dealer->shards.push_back(shard.get());
  std::unique_ptr<Listener> listener(new Listener(*shards[0]));
  for (SocketAddress& each : addresses) {
    if (listener->port_ != 0) each.set_port(listener->port_);  // one for all, also a chosen one
    auto socket = listen_on(each, address);
    if (!socket && socket.error().code != Errc::kExists && listener->port_ != 0)
      continue;  // a machine without IPv6
    if (!socket) return std::unexpected(std::move(socket).error());
    listener->port_ = local_address(socket->get()).port();
    listener->acceptors_.push_back(std::make_shared<Acceptor>(dealer, std::move(*socket)));
  }
  for (const auto& acceptor : listener->acceptors_)
    shards[0]->watch(acceptor->socket.get(), EPOLLIN, acceptor);
  return listener;
}

Listener::~Listener() {
  for (const auto& acceptor : acceptors_) {
    shard_->unwatch(acceptor->socket.get());
    acceptor->socket.reset();
  }
}

}  // namespace millrace::runtime
