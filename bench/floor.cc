// bench_floor PORT FOLDER: the least that any server must do for the generator's requests. Produce:
// read the frame, check the batch's CRC, give it an offset, write it to a file (page cache),
// answer. Fetch: find the position, sendfile. A heartbeat: answer. No validation of records, no
// index, no waiting, one thread. A broker's efficiency is this server's CPU time over its own.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "record/batch.h"

namespace millrace::bench {
namespace {

constexpr size_t kScratchBytes = 256 * 1024;
constexpr int kNotSentLowWater = 128 * 1024;
constexpr size_t kHeartbeatBytes = 55;  // of its answer, behind the correlation id
constexpr size_t kCrcFrom = 21;         // a batch's CRC covers what follows it

// All batches of a file have one size and one record count: an offset is a position.
struct File {
  int fd = -1;
  uint64_t size = 0;
  int64_t records_in_batch = 0;
  size_t batch_bytes = 0;
  int64_t end() const {
    return batch_bytes ? static_cast<int64_t>(size / batch_bytes) * records_in_batch : 0;
  }
};

struct Client {
  int fd = -1;
  ByteBuffer frame;        // the beginning of a frame
  size_t frame_bytes = 0;  // of `frame`, those that are there
  ByteBuffer output;       // answers, then `length` bytes of `file`
  size_t sent = 0;
  bool waits_to_send = false;
  int file = -1;
  off_t position = 0;
  size_t length = 0;
};

// Walks the fixed fields of a request.
class Cursor {
 public:
  explicit Cursor(const uint8_t* at) : at_(at) {}
  template <class T>
  T take() {
    const T value = load_big<T>(at_);
    at_ += sizeof(T);
    return value;
  }
  void skip(size_t count) { at_ += count; }
  std::string_view string() {
    const auto size = take<int16_t>();
    if (size < 0) return {};
    const auto* begin = reinterpret_cast<const char*>(at_);
    at_ += size;
    return {begin, static_cast<size_t>(size)};
  }
  const uint8_t* at() const { return at_; }

 private:
  const uint8_t* at_;
};

class Answer {
 public:
  explicit Answer(ByteBuffer& out) : out_(out), begin_(out.size()) { put<int32_t>(0); }
  template <class T>
  Answer& put(T value) {
    out_.resize(out_.size() + sizeof(T));
    store_big(out_.data() + out_.size() - sizeof(T), value);
    return *this;
  }
  Answer& put(std::string_view text) {
    put(static_cast<int16_t>(text.size()));
    out_.insert(out_.end(), text.begin(), text.end());
    return *this;
  }
  void finish(size_t more_bytes = 0) {
    store_big(out_.data() + begin_, static_cast<int32_t>(out_.size() - begin_ - 4 + more_bytes));
  }

 private:
  ByteBuffer& out_;
  size_t begin_;
};

class Floor {
 public:
  Floor(uint16_t port, std::string folder);
  [[noreturn]] void serve();

 private:
  void accept_client();
  bool read(Client& client);
  bool read_into_frame(Client& client);
  bool read_into_scratch(Client& client);
  void serve_frame(Client& client, uint8_t* frame);
  void produce(Client& client, Cursor request, int32_t correlation);
  void fetch(Client& client, Cursor request, int32_t correlation);
  void heartbeat(Client& client, int32_t correlation);
  bool flush(Client& client);
  void watch(Client& client);
  File& file_of(std::string_view topic, int32_t partition);

  std::string folder_;
  int listener_;
  int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  ByteBuffer scratch_ = ByteBuffer(kScratchBytes);
  std::map<std::string, std::vector<File>, std::less<>> files_;
  std::vector<ByteBuffer> spare_;  // buffers of large frames, the warm one last
};

Floor::Floor(uint16_t port, std::string folder)
    : folder_(std::move(folder)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const int on = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_, 1024) != 0) {
    fmt::print(stderr, "bench_floor: port {}: {}\n", port, std::strerror(errno));
    std::exit(1);
  }
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event);
  fmt::print("ready\n");
  std::fflush(stdout);
}

void Floor::accept_client() {
  const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kNotSentLowWater, sizeof kNotSentLowWater);
  auto* client = new Client{.fd = fd};
  epoll_event event{.events = EPOLLIN, .data = {.ptr = client}};
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
}

// Level triggered: nothing is read twice to learn that there is no more.
void Floor::watch(Client& client) {
  const bool blocked = client.sent < client.output.size() || client.length > 0;
  if (blocked == std::exchange(client.waits_to_send, blocked)) return;
  epoll_event event{.events = blocked ? EPOLLOUT : EPOLLIN, .data = {.ptr = &client}};
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, client.fd, &event);
}

void Floor::serve() {
  std::array<epoll_event, 256> events;
  for (;;) {
    const int count = ::epoll_wait(epoll_, events.data(), events.size(), -1);
    for (int i = 0; i < count; ++i) {
      auto* client = static_cast<Client*>(events[i].data.ptr);
      if (client == nullptr) {
        accept_client();
        continue;
      }
      bool open = true;
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) open = read(*client);
      if (open) open = flush(*client);
      if (open) {
        watch(*client);
        continue;
      }
      ::close(client->fd);
      delete client;
    }
  }
}

bool Floor::read(Client& client) {
  return client.frame_bytes > 0 ? read_into_frame(client) : read_into_scratch(client);
}

bool Floor::read_into_frame(Client& client) {
  if (client.frame_bytes >= 4 && client.frame.size() == 4)
    client.frame.resize(4 + load_big<uint32_t>(client.frame.data()));
  const ssize_t got = ::recv(client.fd, client.frame.data() + client.frame_bytes,
                             client.frame.size() - client.frame_bytes, 0);
  if (got <= 0) return got < 0 && errno == EAGAIN;
  client.frame_bytes += static_cast<size_t>(got);
  if (client.frame_bytes < client.frame.size() || client.frame.size() == 4) return true;
  serve_frame(client, client.frame.data());
  client.frame_bytes = 0;
  spare_.push_back(std::move(client.frame));
  return true;
}

bool Floor::read_into_scratch(Client& client) {
  const ssize_t got = ::recv(client.fd, scratch_.data(), scratch_.size(), 0);
  if (got <= 0) return got < 0 && errno == EAGAIN;
  size_t used = 0;
  const auto there = static_cast<size_t>(got);
  size_t wanted = 4;
  while (there - used >= 4) {
    wanted = 4 + load_big<uint32_t>(scratch_.data() + used);
    if (there - used < wanted) break;
    serve_frame(client, scratch_.data() + used);
    used += wanted;
    wanted = 4;
  }
  if (used == there) return true;
  if (!spare_.empty()) {
    client.frame = std::move(spare_.back());
    spare_.pop_back();
  }
  client.frame.resize(wanted);
  client.frame_bytes = there - used;
  std::memcpy(client.frame.data(), scratch_.data() + used, client.frame_bytes);
  return true;
}

void Floor::serve_frame(Client& client, uint8_t* frame) {
  Cursor request(frame + 4);
  const auto key = request.take<int16_t>();
  request.skip(2);
  const auto correlation = request.take<int32_t>();
  request.string();
  if (key == 0) return produce(client, request, correlation);
  if (key == 1) return fetch(client, request, correlation);
  if (key == 68) return heartbeat(client, correlation);
  fmt::print(stderr, "bench_floor: API {} is not served\n", key);
  std::exit(1);
}

File& Floor::file_of(std::string_view topic, int32_t partition) {
  auto found = files_.find(topic);
  if (found == files_.end()) found = files_.emplace(std::string(topic), std::vector<File>()).first;
  const auto index = static_cast<size_t>(partition);
  if (found->second.size() <= index) found->second.resize(index + 1);
  File& file = found->second[index];
  if (file.fd >= 0) return file;
  const std::string path = fmt::format("{}/{}-{}.log", folder_, topic, partition);
  file.fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  return file;
}

// Produce 8: transactional id, acks, timeout, one topic, one partition, one batch.
void Floor::produce(Client& client, Cursor request, int32_t correlation) {
  request.string();
  request.skip(2 + 4 + 4);
  const std::string_view topic = request.string();
  request.skip(4);
  const auto partition = request.take<int32_t>();
  const auto size = request.take<uint32_t>();
  auto* batch = const_cast<uint8_t*>(request.at());
  File& file = file_of(topic, partition);
  const bool whole =
      crc32c({batch + kCrcFrom, size - kCrcFrom}) == load_big<uint32_t>(batch + kCrcFrom - 4);
  const int64_t offset = file.end();
  store_big(batch, offset);
  const ssize_t written = ::pwrite(file.fd, batch, size, static_cast<off_t>(file.size));
  if (!whole || written != static_cast<ssize_t>(size)) {
    fmt::print(stderr, "bench_floor: a batch is broken, or the disk full\n");
    std::exit(1);
  }
  file.batch_bytes = size;
  file.records_in_batch = load_big<int32_t>(batch + record::kBatchHeaderSize - 4);
  file.size += size;
  Answer answer(client.output);
  answer.put(correlation).put<int32_t>(1).put(topic).put<int32_t>(1);
  answer.put(partition).put<int16_t>(0).put(offset).put<int64_t>(-1).put<int64_t>(0);
  answer.put<int32_t>(0).put<int16_t>(-1).put<int32_t>(0).finish();
}

// ConsumerGroupHeartbeat 1: as many bytes as say that all is as it was.
void Floor::heartbeat(Client& client, int32_t correlation) {
  Answer answer(client.output);
  answer.put(correlation);
  for (size_t i = 0; i < kHeartbeatBytes; ++i) answer.put<int8_t>(0);
  answer.finish();
}

// Fetch 11: replica, wait, least, most bytes, isolation, session, one topic, one partition.
void Floor::fetch(Client& client, Cursor request, int32_t correlation) {
  request.skip(4 + 4 + 4 + 4 + 1 + 4 + 4 + 4);
  const std::string_view topic = request.string();
  request.skip(4);
  const auto partition = request.take<int32_t>();
  request.skip(4);
  const auto offset = request.take<int64_t>();
  request.skip(8);
  const auto most = request.take<uint32_t>();
  const File& file = file_of(topic, partition);
  if (file.records_in_batch == 0) {
    fmt::print(stderr, "bench_floor: a fetch of what was not produced\n");
    std::exit(1);
  }
  const uint64_t position =
      static_cast<uint64_t>(offset / file.records_in_batch) * file.batch_bytes;
  client.file = file.fd;
  client.position = static_cast<off_t>(position);
  client.length =
      std::max<size_t>(std::min<uint64_t>(most, file.size - position), file.batch_bytes);
  Answer answer(client.output);
  answer.put(correlation).put<int32_t>(0).put<int16_t>(0).put<int32_t>(0);
  answer.put<int32_t>(1).put(topic).put<int32_t>(1).put(partition).put<int16_t>(0);
  answer.put(file.end()).put(file.end()).put<int64_t>(0).put<int32_t>(-1).put<int32_t>(-1);
  answer.put(static_cast<int32_t>(client.length)).finish(client.length);
}

bool Floor::flush(Client& client) {
  while (client.sent < client.output.size()) {
    const ssize_t sent =
        ::send(client.fd, client.output.data() + client.sent, client.output.size() - client.sent,
               MSG_NOSIGNAL | (client.length > 0 ? MSG_MORE : 0));
    if (sent < 0) return errno == EAGAIN;
    client.sent += static_cast<size_t>(sent);
  }
  client.output.clear();
  client.sent = 0;
  while (client.length > 0) {
    const ssize_t sent = ::sendfile(client.fd, client.file, &client.position, client.length);
    if (sent <= 0) return sent < 0 && errno == EAGAIN;
    client.length -= static_cast<size_t>(sent);
  }
  return true;
}

}  // namespace
}  // namespace millrace::bench

int main(int count, char** values) {
  if (count != 3) {
    fmt::print(stderr, "bench_floor PORT FOLDER\n");
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);  // a client that is gone while a file is sent to it
  millrace::bench::Floor(static_cast<uint16_t>(std::atoi(values[1])), values[2]).serve();
}
