#include "load.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <deque>

namespace millrace::bench {
namespace {

constexpr size_t kReadBytes = 64 * 1024;
constexpr uint64_t kSecond = 1'000'000'000;

[[noreturn]] void give_up(const std::string& why) {
  fmt::print(stderr, "bench_generator: {}\n", why);
  std::exit(1);
}

uint64_t clock_ns(clockid_t clock) {
  timespec time{};
  if (::clock_gettime(clock, &time) != 0) give_up("no such clock: has the broker ended?");
  return static_cast<uint64_t>(time.tv_sec) * kSecond + static_cast<uint64_t>(time.tv_nsec);
}
uint64_t now_ns() { return clock_ns(CLOCK_MONOTONIC); }

int connect_to(const std::string& host, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) give_up(host + ": no address");
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    give_up(fmt::format("connect to {}:{}: {}", host, port, std::strerror(errno)));
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

struct Stream {
  int fd = -1;
  ByteBuffer frame;
  size_t sent = 0;  // of the frame that is going out now
  bool sending = false;
  std::deque<uint64_t> due;  // of the requests that are not answered, oldest first
  size_t started = 0;        // of `due`, those that were begun to be sent
  ByteBuffer input;          // the beginning of an answer
  size_t discard = 0;        // of a fetched answer's records
  int64_t offset = 0;        // where the next fetch begins
};

class Load {
 public:
  explicit Load(const LoadOptions& options);
  ~Load();
  LoadResult run();

 private:
  void begin_window(uint64_t now);
  void give_out_due(uint64_t now);
  void start(Stream& stream);
  void write(Stream& stream);
  void read(Stream& stream);
  void read_produced(Stream& stream);
  void read_fetched(Stream& stream);
  void read_expected(Stream& stream);
  ByteBuffer frame_of(const TopicSlot& slot) const;
  void answered(Stream& stream, size_t bytes);
  bool window_is_over(uint64_t now) const;
  ssize_t receive(Stream& stream, MutableByteView into, int flags);

  LoadOptions options_;
  Batch batch_;
  size_t error_position_, prefix_;
  std::vector<Stream> streams_;
  int epoll_ = -1;
  ByteBuffer buffer_ = ByteBuffer(kReadBytes);
  uint64_t next_due_ = 0;
  size_t next_stream_ = 0;
  bool measuring_ = false;
  uint64_t window_begin_ = 0;
  double broker_cpu_ = 0, own_cpu_ = 0;
  LoadResult result_;
};

Load::Load(const LoadOptions& options)
    : options_(options),
      batch_(make_batch(options.shape)),
      error_position_(produce_error_position(options.topic)),
      prefix_(fetch_answer_prefix(options.topic)),
      streams_(options.connections),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  for (size_t i = 0; i < streams_.size(); ++i) {
    Stream& stream = streams_[i];
    stream.fd = connect_to(options_.host, options_.port);
    const TopicSlot slot{options_.topic, static_cast<int32_t>(i) % options_.partitions};
    stream.frame = frame_of(slot);
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.u64 = i}};
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, stream.fd, &event);
  }
}

ByteBuffer Load::frame_of(const TopicSlot& slot) const {
  if (options_.kind == Kind::kAsk) return options_.frame;
  if (options_.kind == Kind::kProduce) return produce_frame(slot, batch_.bytes);
  return fetch_frame(slot, options_.partition_max_bytes);
}

Load::~Load() {
  for (Stream& stream : streams_) ::close(stream.fd);
  ::close(epoll_);
}

LoadResult Load::run() {
  const uint64_t begun = now_ns();
  const auto warm = begun + static_cast<uint64_t>(options_.warm_up_seconds * 1e9);
  next_due_ = begun;
  if (options_.rate == 0)
    for (Stream& stream : streams_) {
      stream.due.assign(options_.pipeline, begun);
      start(stream);
    }
  std::array<epoll_event, 256> events;
  for (;;) {
    const uint64_t now = now_ns();
    if (!measuring_ && now >= warm) begin_window(now);
    if (measuring_ && window_is_over(now)) break;
    if (options_.rate > 0) give_out_due(now);
    // At a fixed rate the loop spins: a sleeping generator would add its own wake-up to latencies.
    const int timeout = options_.rate > 0 ? 0 : 1000;
    const int count = ::epoll_wait(epoll_, events.data(), events.size(), timeout);
    for (int i = 0; i < count; ++i) {
      Stream& stream = streams_[events[i].data.u64];
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read(stream);
      if (events[i].events & EPOLLOUT) write(stream);
    }
  }
  result_.seconds = static_cast<double>(now_ns() - window_begin_) / 1e9;
  if (options_.broker) result_.broker_cpu_seconds = cpu_seconds(options_.broker) - broker_cpu_;
  result_.own_cpu_seconds = cpu_seconds(0) - own_cpu_;
  return result_;
}

void Load::begin_window(uint64_t now) {
  measuring_ = true;
  window_begin_ = now;
  if (options_.broker) broker_cpu_ = cpu_seconds(options_.broker);
  own_cpu_ = cpu_seconds(0);
}

bool Load::window_is_over(uint64_t now) const {
  if (options_.seconds > 0)
    return now - window_begin_ >= static_cast<uint64_t>(options_.seconds * 1e9);
  return result_.bytes >= options_.bytes;
}

void Load::give_out_due(uint64_t now) {
  while (next_due_ <= now) {
    Stream& stream = streams_[next_stream_++ % streams_.size()];
    stream.due.push_back(next_due_);
    next_due_ += static_cast<uint64_t>(1e9 / options_.rate);
    start(stream);
  }
}

void Load::start(Stream& stream) {
  if (stream.sending || stream.started == stream.due.size()) return;
  if (stream.started >= options_.pipeline) return;
  if (options_.rate == 0) stream.due[stream.started] = now_ns();
  ++stream.started;
  stream.sending = true;
  stream.sent = 0;
  write(stream);
}

void Load::write(Stream& stream) {
  while (stream.sending) {
    const ssize_t sent = ::send(stream.fd, stream.frame.data() + stream.sent,
                                stream.frame.size() - stream.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (sent < 0) give_up(fmt::format("send: {}", std::strerror(errno)));
    stream.sent += static_cast<size_t>(sent);
    if (stream.sent < stream.frame.size()) continue;
    stream.sending = false;
    start(stream);
  }
}

// Bytes received; 0: nothing now.
ssize_t Load::receive(Stream& stream, MutableByteView into, int flags) {
  const ssize_t got = ::recv(stream.fd, into.data(), into.size(), MSG_DONTWAIT | flags);
  if (got > 0) return got;
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  give_up(got == 0 ? "the broker closed a connection"
                   : fmt::format("recv: {}", std::strerror(errno)));
}

void Load::read(Stream& stream) {
  if (options_.kind == Kind::kAsk) return read_expected(stream);
  options_.kind == Kind::kProduce ? read_produced(stream) : read_fetched(stream);
}

void Load::read_produced(Stream& stream) {
  while (const ssize_t got = receive(stream, buffer_, 0)) {
    stream.input.insert(stream.input.end(), buffer_.begin(), buffer_.begin() + got);
    size_t used = 0;
    while (stream.input.size() - used > error_position_ + 2) {
      const uint8_t* answer = stream.input.data() + used;
      const size_t size = kFrameSizeBytes + load_big<uint32_t>(answer);
      if (stream.input.size() - used < size) break;
      if (const auto error = load_big<int16_t>(answer + error_position_); error != 0)
        give_up(fmt::format("Produce was answered with error {}", error));
      used += size;
      answered(stream, batch_.bytes.size());
    }
    stream.input.erase(stream.input.begin(), stream.input.begin() + static_cast<ssize_t>(used));
  }
}

void Load::read_expected(Stream& stream) {
  while (const ssize_t got = receive(stream, buffer_, 0)) {
    stream.input.insert(stream.input.end(), buffer_.begin(), buffer_.begin() + got);
    while (stream.input.size() >= options_.answer.size()) {
      const auto end = stream.input.begin() + std::ssize(options_.answer);
      if (!std::equal(stream.input.begin(), end, options_.answer.begin()))
        give_up("the request was answered otherwise than before");
      stream.input.erase(stream.input.begin(), end);
      answered(stream, options_.answer.size());
    }
  }
}

// The records themselves are dropped by the kernel: what is measured is the broker.
void Load::read_fetched(Stream& stream) {
  for (;;) {
    if (stream.discard > 0) {
      const MutableByteView nowhere(buffer_.data(), stream.discard);
      const ssize_t got = receive(stream, nowhere, MSG_TRUNC);
      if (got == 0) return;
      stream.discard -= static_cast<size_t>(got);
      if (stream.discard > 0) continue;
    } else {
      const ssize_t got =
          receive(stream, MutableByteView(buffer_).first(prefix_ - stream.input.size()), 0);
      if (got == 0) return;
      stream.input.insert(stream.input.end(), buffer_.begin(), buffer_.begin() + got);
      if (stream.input.size() < prefix_) continue;
      stream.discard = kFrameSizeBytes + load_big<uint32_t>(stream.input.data()) - prefix_;
      if (stream.discard > 0) continue;
    }
    const FetchAnswer answer = read_fetch_answer(stream.input, options_.topic);
    if (answer.error != 0) give_up(fmt::format("Fetch was answered with error {}", answer.error));
    stream.input.clear();
    const auto batches = static_cast<size_t>(answer.records_bytes) / batch_.bytes.size();
    stream.offset += static_cast<int64_t>(batches) * batch_.records;
    if (stream.offset >= answer.high_watermark) stream.offset = 0;
    patch_fetch_offset(stream.frame, stream.offset);
    answered(stream, static_cast<size_t>(answer.records_bytes));
  }
}

void Load::answered(Stream& stream, size_t bytes) {
  if (stream.started == 0) give_up("an answer that nobody asked for");
  if (measuring_) {
    ++result_.requests;
    result_.bytes += bytes;
    result_.latencies.add(now_ns() - stream.due.front());
  }
  stream.due.pop_front();
  --stream.started;
  if (options_.rate == 0) stream.due.push_back(0);
  start(stream);
}

}  // namespace

double cpu_seconds(pid_t process) {
  clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
  if (process != 0 && ::clock_getcpuclockid(process, &clock) != 0) give_up("no such process");
  return static_cast<double>(clock_ns(clock)) / 1e9;
}

LoadResult run_load(const LoadOptions& options) { return Load(options).run(); }

std::vector<int> open_idle(const std::string& host, uint16_t port, size_t count) {
  const ByteBuffer frame = api_versions_frame();
  ByteBuffer answer(kReadBytes);
  std::vector<int> open;
  for (size_t i = 0; i < count; ++i) {
    open.push_back(connect_to(host, port));
    if (::send(open.back(), frame.data(), frame.size(), 0) != std::ssize(frame) ||
        ::recv(open.back(), answer.data(), answer.size(), 0) <= 0)
      give_up(fmt::format("connection {} got no answer", i));
  }
  return open;
}

}  // namespace millrace::bench
