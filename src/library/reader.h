// A client::Consumer on the event loop that tells a queue what happens to it, for a thread that
// polls. Holds it back when that thread is too slow, and has it leave its group when the thread
// polls too seldom (KIP-62).
// Not here: what is done about it (library/consumer_impl.h).
// Threads: begin(), end() and what takes work by one other than the loop's; polling() likewise; the
// events come on the loop's.
// Ownership: loop and queue outlive it; the client's consumer is its own.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <variant>
#include <vector>

#include "client/consumer.h"
#include "library/group_calls.h"
#include "library/happening_queue.h"
#include "library/loop.h"

namespace millrace::library {

using Records = std::vector<client::core::ConsumedRecord>;
struct Joined {
  std::set<TopicPartition> partitions;
};
struct Revoked {
  bool lost = false;
  std::vector<TopicPartition> partitions;
};
struct PolledTooSeldom {};  // and left the group
struct Left {};
struct Woken {};
struct Mark {  // what stands before it happened before it was put there
  uint64_t id = 0;
};
struct CommittedFound {
  std::vector<TopicPartition> asked;
  Result<CommittedOffsets> found;
};
using Happening = std::variant<Records, Joined, Revoked, client::core::Fetcher::Problem,
                               client::core::GroupVocabulary::CommitOutcome, Error, PolledTooSeldom,
                               Left, Woken, Mark, CommittedFound>;
using Happenings = HappeningQueue<Happening>;

// What the queue counts of it: bytes.
size_t weight_of(const client::core::ConsumedRecord& record);

class Reader final : public client::ConsumerEvents {
 public:
  Reader(Loop& loop, Happenings& queue) : loop_(loop), queue_(queue) {}
  ~Reader() { end(); }

  // Makes the consumer anew.
  void begin(const client::core::FetcherOptions& options);
  void end();
  bool is_begun() const { return consumer_ != nullptr; }

  using Work = std::function<void(client::Consumer&)>;
  // On the loop; nothing once end() was called.
  void run(const Work& work);  // and waits for it
  void post(Work work);

  // The group is left when so much time passes without a poll.
  void expect_polls(Duration interval);
  void polling(bool now);

  void records(Records records) override;
  void ended(const TopicPartition&) override {}
  void problem(const client::core::Fetcher::Problem& problem) override { queue_.add(problem); }
  void joined(const std::set<TopicPartition>& partitions) override {
    queue_.add(Joined{partitions});
  }
  void revoked(const std::vector<TopicPartition>& partitions, bool lost) override {
    queue_.add(Revoked{lost, partitions});
  }
  void committed(const client::core::GroupVocabulary::CommitOutcome& outcome) override {
    queue_.add(outcome);
  }
  void failed(const Error& error) override { queue_.add(error); }
  void left() override { queue_.add(Left{}); }

 private:
  void look_at_polls();

  Loop& loop_;
  Happenings& queue_;
  std::unique_ptr<client::Consumer> consumer_;  // used on the loop
  std::shared_ptr<int> alive_;                  // as long as that consumer
  env::TimerId timer_ = env::TimerId::kNone;
  Duration poll_interval_{};
  std::atomic<bool> polling_ = false;
  std::atomic<int64_t> last_poll_ns_ = 0;  // steady clock
};

}  // namespace millrace::library
