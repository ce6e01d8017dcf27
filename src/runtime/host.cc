#include "runtime/host.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <deque>

#include "runtime/addresses.h"
#include "runtime/connection.h"
#include "runtime/listener.h"

namespace millrace::runtime {
namespace {

class DiskThread final : public env::DiskThread {
 public:
  explicit DiskThread(const std::string& name) : thread_([this] { serve(); }) {
    ::pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
  }
  ~DiskThread() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_one();
  }
  void run(env::Work work) override {
    {
      std::lock_guard lock(mutex_);
      queue_.push_back(std::move(work));
    }
    changed_.notify_one();
  }

 private:
  void serve() {
    for (;;) {
      env::Work work;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (stopping_) return;
        work = std::move(queue_.front());
        queue_.pop_front();
      }
      work();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<env::Work> queue_;
  bool stopping_ = false;
  std::jthread thread_;  // last: it uses the rest
};

// Tries the addresses of a name one after the other. Kept by the shard while it waits.
class Attempt final : public Watcher, public std::enable_shared_from_this<Attempt> {
 public:
  Attempt(Shard& shard, env::Address named, env::ConnectFunction done)
      : shard_(&shard), named_(std::move(named)), done_(std::move(done)) {}

  void begin(Result<std::vector<SocketAddress>> found) {
    if (!found) return done_(std::unexpected(std::move(found).error()));
    addresses_ = std::move(*found);
    try_next();
  }

  void on_events(uint32_t) override {
    if (!socket_.is_open()) return;
    int failed = 0;
    socklen_t size = sizeof failed;
    ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &failed, &size);
    shard_->unwatch(socket_.get());
    if (failed == 0) return done_(std::make_unique<Connection>(*shard_, std::move(socket_)));
    cause_ = failed;
    try_next();
  }

 private:
  void try_next() {
    while (next_ < addresses_.size()) {
      const SocketAddress& to = addresses_[next_++];
      socket_ = Descriptor(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      if (::connect(socket_.get(), to.get(), to.size) == 0 || errno == EINPROGRESS)
        return shard_->watch(socket_.get(), EPOLLOUT, shared_from_this());
      cause_ = errno;
    }
    socket_.reset();
    done_(fail(Errc::kClosed, "connect to " + named_.to_string() + ": " + std::strerror(cause_)));
  }

  Shard* shard_;
  env::Address named_;
  env::ConnectFunction done_;
  std::vector<SocketAddress> addresses_;
  size_t next_ = 0;
  Descriptor socket_;
  int cause_ = 0;
};

// The soft limit is for programs that use select(); every connection and active log is a file.
void raise_file_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

// A signal handler may do little: it writes the signal's number into a pipe that shard 0 watches.
std::atomic<int> signal_pipe = -1;

void write_signal(int signal) {
  const int saved = errno;
  const auto byte = static_cast<uint8_t>(signal);
  (void)!::write(signal_pipe, &byte, 1);
  errno = saved;
}

class SignalReader final : public Watcher {
 public:
  SignalReader(Descriptor pipe, std::function<void(int)> handler)
      : pipe_(std::move(pipe)), handler_(std::move(handler)) {}
  void on_events(uint32_t) override {
    uint8_t signal = 0;
    if (::read(pipe_.get(), &signal, 1) == 1) handler_(signal);
  }

 private:
  Descriptor pipe_;
  std::function<void(int)> handler_;
};

}  // namespace

Host::Host(size_t shard_count, Process process) {
  if (process == Process::kOurs) {
    std::signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
  }
  for (size_t i = 0; i < shard_count; ++i) shards_.push_back(std::make_unique<Shard>(i));
}

Host::~Host() { stop(); }

std::unique_ptr<env::DiskThread> Host::start_disk_thread(const std::string& name) {
  return std::make_unique<DiskThread>(name);
}

Result<std::unique_ptr<env::Listener>> Host::listen(const env::Address& address,
                                                    env::AcceptFunction accept) {
  return Listener::open(shards_, address, std::move(accept));
}

void Host::connect(env::Shard& shard, const env::Address& address, env::ConnectFunction done) {
  auto attempt = std::make_shared<Attempt>(static_cast<Shard&>(shard), address, std::move(done));
  std::call_once(resolver_started_, [this] { resolver_ = start_disk_thread("resolver"); });
  resolver_->run([&shard, address, attempt = std::move(attempt)] {
    shard.post([attempt, found = resolve(address)]() mutable { attempt->begin(std::move(found)); });
  });
}

void Host::on_signal(std::function<void(int)> handler) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return;
  signal_pipe = ends[1];
  shards_[0]->watch(ends[0], EPOLLIN,
                    std::make_shared<SignalReader>(Descriptor(ends[0]), std::move(handler)));
  struct sigaction action{};
  action.sa_handler = write_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

void Host::run() {
  for (size_t i = 1; i < shards_.size(); ++i)
    threads_.emplace_back([shard = shards_[i].get()] { shard->run(); });
  shards_[0]->run();
  for (size_t i = 1; i < shards_.size(); ++i) shards_[i]->stop();
  threads_.clear();
}

void Host::stop() {
  for (auto& shard : shards_) shard->stop();
}

}  // namespace millrace::runtime
