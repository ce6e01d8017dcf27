#include "app/happenings.h"

#include <fmt/format.h>

#include <cstdlib>
#include <utility>

namespace millrace::app {
Happenings::~Happenings() {
  session_.run([&] {
    session_.host().on_signal([](int) { std::_Exit(130); });
    consumer_.reset();
  });
}

void Happenings::begin(const client::core::FetcherOptions& options) {
  session_.run([&] {
    consumer_ = std::make_unique<client::Consumer>(session_.client(), options, *this);
    session_.host().on_signal([this](int signal) {
      if (std::exchange(stopping_, true)) std::_Exit(130);  // the second one does not wait
      add(Stopped{signal});
    });
  });
}

void Happenings::records(std::vector<client::core::ConsumedRecord> records) {
  const bool full = queue_.hold(records.size());
  add(std::move(records));
  if (full) consumer_->room(false);
}

void Happenings::problem(const client::core::Fetcher::Problem& problem) {
  add(Failure(fmt::format("cannot go on reading: {}", problem.error.message),
              problem.error.code == Errc::kNotFound
                  ? fmt::format("see what there is with: millrace topic describe {}",
                                problem.partition.topic)
                  : ""));
}

std::optional<Happening> Happenings::next(std::chrono::steady_clock::time_point until) {
  auto happening = queue_.next(until);
  const auto* records =
      happening ? std::get_if<std::vector<client::core::ConsumedRecord>>(&*happening) : nullptr;
  if (records != nullptr && queue_.release(records->size()))
    session_.shard().post([this] {
      if (consumer_) consumer_->room(true);
    });
  return happening;
}

}  // namespace millrace::app
