#include "runtime/connection.h"

#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace millrace::runtime {
namespace {

using boost::asio::ip::tcp;

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

}  // namespace

Connection::Connection(Shard& shard, tcp::socket socket)
    : state_(std::make_shared<State>(shard, std::move(socket))) {
  boost::system::error_code ignored;
  state_->socket.non_blocking(true, ignored);
  state_->socket.set_option(tcp::no_delay(true), ignored);
  ::setsockopt(state_->socket.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kNotSentLowWater,
               sizeof kNotSentLowWater);
}

Connection::~Connection() {
  state_->closed = true;
  state_->events = nullptr;
  boost::system::error_code ignored;
  state_->socket.close(ignored);
}

void Connection::watch_read(bool on) {
  state_->reading.watched = on;
  if (on) state_->arm_read();
}

void Connection::watch_write(bool on) {
  state_->writing.watched = on;
  if (on) state_->arm_write();
}

void Connection::State::arm_read() {
  if (closed || !reading.watched || reading.pending) return;
  reading.pending = true;
  auto deliver = [self = shared_from_this()](boost::system::error_code = {}) {
    self->reading.pending = false;
    self->reading.ready = true;
    self->deliver_read();
  };
  if (reading.ready)
    shard->post([deliver] { deliver(); });
  else
    socket.async_wait(tcp::socket::wait_read, std::move(deliver));
}

void Connection::State::deliver_read() {
  if (closed || !reading.watched || events == nullptr) return;
  events->readable();
  arm_read();
}

void Connection::State::arm_write() {
  if (closed || !writing.watched || writing.pending) return;
  writing.pending = true;
  socket.async_wait(tcp::socket::wait_write,
                    [self = shared_from_this()](boost::system::error_code) {
                      self->writing.pending = false;
                      self->deliver_write();
                    });
}

void Connection::State::deliver_write() {
  if (closed || !writing.watched || events == nullptr) return;
  events->writable();
  arm_write();
}

Result<size_t> Connection::read(MutableByteView into) {
  if (!state_->reading.ready) return fail(Errc::kWouldBlock, "recv");
  const int fd = state_->socket.native_handle();
  const ssize_t got = without_interrupts([&] { return ::recv(fd, into.data(), into.size(), 0); });
  if (got >= 0) return static_cast<size_t>(got);
  if (errno == EAGAIN || errno == EWOULDBLOCK) state_->reading.ready = false;
  return socket_error("recv");
}

Result<size_t> Connection::write(std::span<const ByteView> pieces, bool more) {
  std::array<iovec, kMaxGather> vectors;
  size_t count = 0;
  for (ByteView piece : pieces.first(std::min(pieces.size(), kMaxGather)))
    vectors[count++] = {const_cast<uint8_t*>(piece.data()), piece.size()};
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = count;
  const int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
  const int fd = state_->socket.native_handle();
  const ssize_t sent = without_interrupts([&] { return ::sendmsg(fd, &message, flags); });
  if (sent < 0) return socket_error("send");
  return static_cast<size_t>(sent);
}

Result<size_t> Connection::send_file(env::File& file, uint64_t position, size_t length) {
  if (file.native_handle() < 0) return file_through_memory(file, position, length);
  auto offset = static_cast<off_t>(position);
  const int fd = state_->socket.native_handle();
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
  boost::system::error_code failed;
  const auto endpoint = state_->socket.remote_endpoint(failed);
  if (failed) return "(gone)";
  return endpoint.address().to_string() + ":" + std::to_string(endpoint.port());
}

std::string Connection::peer_host() const {
  boost::system::error_code failed;
  const auto endpoint = state_->socket.remote_endpoint(failed);
  return failed ? "(gone)" : endpoint.address().to_string();
}

}  // namespace millrace::runtime
