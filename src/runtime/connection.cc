#include "runtime/connection.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace millrace::runtime {
namespace {

// Unsent bytes that the kernel takes before it says "full": bounds kernel memory a connection, and
// makes large sendfile runs 2 to 4 times cheaper under bbr.
constexpr int kNotSentLowWater = 128 * 1024;
constexpr size_t kMaxGather = 64;

std::unexpected<Error> socket_error(const char* operation) {
  if (errno == EAGAIN || errno == EWOULDBLOCK) return fail(Errc::kWouldBlock, operation);
  return fail(Errc::kClosed, std::string(operation) + ": " + std::strerror(errno));
}

template <class Call>
ssize_t without_interrupts(Call call) {
  ssize_t result;
  do result = call();
  while (result < 0 && errno == EINTR);
  return result;
}

ssize_t send_pieces(int fd, std::span<const ByteView> pieces, int flags) {
  std::array<iovec, kMaxGather> vectors;
  size_t count = 0;
  for (ByteView piece : pieces.first(std::min(pieces.size(), kMaxGather)))
    vectors[count++] = {const_cast<uint8_t*>(piece.data()), piece.size()};
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = count;
  return ::sendmsg(fd, &message, flags);
}

struct PeerName {
  std::string host = "(gone)";
  uint16_t port = 0;
};

PeerName name_of_peer(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) < 0) return {};
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return {text, ntohs(v6.sin6_port)};
  }
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
  ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  return {text, ntohs(v4.sin_port)};
}

}  // namespace

Connection::Connection(Shard& shard, Descriptor socket)
    : state_(std::make_shared<State>(shard, std::move(socket))) {
  const int fd = state_->socket.get();
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kNotSentLowWater, sizeof kNotSentLowWater);
}

Connection::~Connection() { state_->close(); }

void Connection::watch_read(bool on) {
  state_->watches_read = on;
  if (on && !(state_->armed & EPOLLIN)) state_->arm(state_->wanted());
}

void Connection::watch_write(bool on) {
  state_->watches_write = on;
  if (on && !(state_->armed & EPOLLOUT)) state_->arm(state_->wanted());
}

uint32_t Connection::State::wanted() const {
  return (watches_read ? uint32_t{EPOLLIN} : 0) | (watches_write ? uint32_t{EPOLLOUT} : 0);
}

// With nothing wanted the socket leaves epoll altogether: errors would be reported for ever.
void Connection::State::arm(uint32_t wanted) {
  armed = wanted;
  if (wanted == 0)
    shard->unwatch(socket.get());
  else
    shard->watch(socket.get(), wanted, shared_from_this());
}

void Connection::State::close() {
  events = nullptr;
  shard->unwatch(socket.get());
  socket.reset();
}

// The owner may destroy the connection in any of its events.
void Connection::State::on_events(uint32_t ready) {
  if (!socket.is_open()) return;
  drained = false;
  const bool broken = ready & (EPOLLERR | EPOLLHUP);
  const uint32_t told = wanted();
  if (events && watches_read && (broken || ready & EPOLLIN)) events->readable();
  if (events && watches_write && (broken || ready & EPOLLOUT)) events->writable();
  if (!socket.is_open()) return;
  // What was told and is wanted no more may be wanted again before it happens once more: a request
  // that stops its line is mostly answered before the next one comes.
  const uint32_t in_vain = (broken ? armed : armed & ready) & ~(told | wanted());
  if (in_vain) arm(wanted());
}

Result<size_t> Connection::read(MutableByteView into) {
  if (state_->drained) return fail(Errc::kWouldBlock, "recv");
  const int fd = state_->socket.get();
  const ssize_t got = without_interrupts([&] { return ::recv(fd, into.data(), into.size(), 0); });
  if (got < 0) return socket_error("recv");
  state_->drained = got > 0 && std::cmp_less(got, into.size());
  return static_cast<size_t>(got);
}

Result<size_t> Connection::write(std::span<const ByteView> pieces, bool more) {
  const int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
  const int fd = state_->socket.get();
  const ssize_t sent = without_interrupts([&] {
    return pieces.size() == 1 ? ::send(fd, pieces[0].data(), pieces[0].size(), flags)
                              : send_pieces(fd, pieces, flags);
  });
  if (sent < 0) return socket_error("send");
  return static_cast<size_t>(sent);
}

Result<size_t> Connection::send_file(env::File& file, uint64_t position, size_t length) {
  if (file.native_handle() < 0) return file_through_memory(file, position, length);
  auto offset = static_cast<off_t>(position);
  const int fd = state_->socket.get();
  const ssize_t sent =
      without_interrupts([&] { return ::sendfile(fd, file.native_handle(), &offset, length); });
  if (sent < 0) return socket_error("sendfile");
  return static_cast<size_t>(sent);
}

Result<size_t> Connection::file_through_memory(env::File& file, uint64_t position, size_t length) {
  ByteBuffer bytes(std::min<size_t>(length, 64 * 1024));
  ASSIGN_OR_RETURN(size_t got, file.read_at(bytes, position));
  const ByteView piece = ByteView(bytes).first(got);
  return write({&piece, 1}, false);
}

std::string Connection::peer() const {
  const PeerName name = name_of_peer(state_->socket.get());
  return name.port ? fmt::format("{}:{}", name.host, name.port) : name.host;
}

std::string Connection::peer_host() const { return name_of_peer(state_->socket.get()).host; }

}  // namespace millrace::runtime
