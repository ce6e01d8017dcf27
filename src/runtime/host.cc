#include "runtime/host.h"

#include <pthread.h>

#include <boost/asio/connect.hpp>
#include <condition_variable>
#include <csignal>
#include <deque>

#include "runtime/connection.h"
#include "runtime/listener.h"

namespace millrace::runtime {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

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

}  // namespace

Host::Host(size_t shard_count) {
  std::signal(SIGPIPE, SIG_IGN);
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
  auto& own = static_cast<Shard&>(shard);
  struct Attempt {
    Attempt(Shard& s, env::ConnectFunction d)
        : resolver(s.context()), socket(s.context()), done(std::move(d)) {}
    tcp::resolver resolver;
    tcp::socket socket;
    env::ConnectFunction done;
  };
  auto attempt = std::make_shared<Attempt>(own, std::move(done));
  auto fail_with = [attempt, address](error_code failed) {
    attempt->done(
        fail(Errc::kClosed, "connect to " + address.to_string() + ": " + failed.message()));
  };
  attempt->resolver.async_resolve(
      address.host, std::to_string(address.port),
      [attempt, fail_with, &own](error_code failed, tcp::resolver::results_type found) {
        if (failed) return fail_with(failed);
        boost::asio::async_connect(
            attempt->socket, found, [attempt, fail_with, &own](error_code refused, tcp::endpoint) {
              if (refused) return fail_with(refused);
              attempt->done(std::make_unique<Connection>(own, std::move(attempt->socket)));
            });
      });
}

void Host::on_signal(std::function<void(int)> handler) {
  signal_handler_ = std::move(handler);
  signals_ = std::make_unique<boost::asio::signal_set>(shards_[0]->context(), SIGINT, SIGTERM);
  await_signal();
}

void Host::await_signal() {
  signals_->async_wait([this](error_code cancelled, int signal) {
    if (cancelled) return;
    signal_handler_(signal);
    await_signal();
  });
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
