#include "library/reader.h"

#include <utility>

namespace millrace::library {
namespace {

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

size_t weight_of(const client::core::ConsumedRecord& record) {
  size_t weight = sizeof record + (record.key ? record.key->size() : 0) +
                  (record.value ? record.value->size() : 0);
  for (const auto& each : record.headers)
    weight += sizeof each + each.key.size() + (each.value ? each.value->size() : 0);
  return weight;
}

void Reader::begin(const client::core::FetcherOptions& options) {
  end();
  loop_.run([&] {
    consumer_ = std::make_unique<client::Consumer>(loop_.client(), options, *this);
    alive_ = std::make_shared<int>();
  });
}

void Reader::end() {
  loop_.run([&] {
    loop_.shard().cancel(std::exchange(timer_, env::TimerId::kNone));
    consumer_.reset();
    alive_.reset();
  });
}

void Reader::run(const Work& work) {
  loop_.run([&] {
    if (consumer_) work(*consumer_);
  });
}

void Reader::post(Work work) {
  loop_.shard().post([this, weak = std::weak_ptr(alive_), work = std::move(work)] {
    if (!weak.expired()) work(*consumer_);
  });
}

void Reader::expect_polls(Duration interval) {
  polling(false);
  loop_.run([&] {
    poll_interval_ = interval;
    look_at_polls();
  });
}

void Reader::polling(bool now) {
  last_poll_ns_ = now_ns();
  polling_ = now;
}

void Reader::look_at_polls() {
  if (!consumer_) return;
  const Duration left = poll_interval_ - Duration(now_ns() - last_poll_ns_);
  if (!polling_ && left <= Duration{}) {
    queue_.add(PolledTooSeldom{});
    return consumer_->leave();
  }
  timer_ = loop_.shard().after(polling_ ? poll_interval_ : left, [this] { look_at_polls(); });
}

void Reader::records(Records records) {
  size_t weight = 0;
  for (const auto& each : records) weight += weight_of(each);
  const bool full = queue_.hold(weight);
  queue_.add(std::move(records));
  if (full) consumer_->room(false);
}

}  // namespace millrace::library
