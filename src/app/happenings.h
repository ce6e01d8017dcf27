// A consumer on the event loop, and what happens to it, in order, for a thread that prints it.
// Holds the consumer back when that thread is too slow.
// Threads: the events come on the loop's; everything else but consumer() is for one other thread.
// Ownership: the session outlives it; the consumer is its own.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <variant>
#include <vector>

#include "app/session.h"
#include "client/consumer.h"
#include "library/happening_queue.h"

namespace millrace::app {

struct Joined {
  std::set<TopicPartition> partitions;
};
struct Revoked {
  bool lost = false;
  std::vector<TopicPartition> partitions;
};
struct Stopped {  // by a signal
  int signal = 0;
};
struct Left {};
using Happening =
    std::variant<std::vector<client::core::ConsumedRecord>, TopicPartition, Failure, Joined,
                 Revoked, client::core::GroupVocabulary::CommitOutcome, Stopped, Left>;

class Happenings final : public client::ConsumerEvents {
 public:
  explicit Happenings(Session& session) : session_(session) {}
  ~Happenings();

  // Makes the consumer. From now on the first signal is a happening; the second ends the process.
  void begin(const client::core::FetcherOptions& options);
  client::Consumer& consumer() { return *consumer_; }  // on the loop, begun

  void records(std::vector<client::core::ConsumedRecord> records) override;
  void ended(const TopicPartition& partition) override { add(partition); }
  void problem(const client::core::Fetcher::Problem& problem) override;
  void joined(const std::set<TopicPartition>& partitions) override { add(Joined{partitions}); }
  void revoked(const std::vector<TopicPartition>& partitions, bool lost) override {
    add(Revoked{lost, partitions});
  }
  void committed(const client::core::GroupVocabulary::CommitOutcome& outcome) override {
    add(outcome);
  }
  void failed(const Error& error) override { add(Failure(error)); }
  void left() override { add(Left{}); }

  // The next one; nothing when `until` has come.
  std::optional<Happening> next(std::chrono::steady_clock::time_point until);

 private:
  static constexpr size_t kMostRecords = 16'384;  // that wait to be printed

  void add(Happening happening) { queue_.add(std::move(happening)); }

  Session& session_;
  std::unique_ptr<client::Consumer> consumer_;  // on the event loop
  bool stopping_ = false;                       // on the event loop
  library::HappeningQueue<Happening> queue_{kMostRecords};
};

}  // namespace millrace::app
