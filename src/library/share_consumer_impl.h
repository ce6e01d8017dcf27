// A share consumer as the thread that polls sees it: the records that it was given and has to speak
// of, what it says of them, and the answers.
// What happens on the loop comes through a queue and is looked at in calls only.
// Threads: one at a time, which Use holds to; wake() by any.
// Invariants:
//   (1) a record can be spoken of while it is this consumer's: it was given, and is not spoken of
//       but for renewals.
//   (2) every acknowledgement is pending until the leader's answer has come, or the consumer ends.
#pragma once

#include <millrace/share_consumer.h>

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "client/share_consumer.h"
#include "library/caller.h"
#include "library/happening_queue.h"
#include "library/single_user.h"

namespace millrace::v0 {

class MILLRACE_HIDDEN ShareConsumer::Impl final : public library::SingleUser,
                                                  public client::ShareConsumerEvents {
 public:
  using Deadline = library::Loop::Deadline;

  explicit Impl(library::ShareConsumerConfigs configs);
  ~Impl();

  void subscribe(const std::vector<std::string>& topics);
  std::vector<ConsumerRecord> poll(Deadline until);
  void wake() { queue_.add(Woken{}); }
  void acknowledge(const ConsumerRecord& record, AcknowledgeType type);
  std::vector<AcknowledgeOutcome> commit(Deadline until);
  std::optional<Duration> lock_timeout();
  void close(Deadline until);

 private:
  using Place = std::pair<millrace::TopicPartition, Offset>;
  using Records = std::vector<client::core::ConsumedRecord>;
  using Outcome = client::core::ShareFetcher::Outcome;
  struct Left {};
  struct Woken {};
  using Happening = std::variant<Records, Outcome, millrace::Error, Left, Woken>;

  // On the loop.
  void records(Records records) override { queue_.add(std::move(records)); }
  void acknowledged(const Outcome& outcome) override { queue_.add(outcome); }
  void problem(const client::core::ShareFetcher::Problem& problem) override {
    if (!problem.goes_on) queue_.add(problem.error);
  }
  void failed(const millrace::Error& error) override { queue_.add(error); }
  void left() override { queue_.add(Left{}); }

  // False: `until` has come.
  bool take_next(Deadline until);
  void on(Records& records);
  void on(Outcome& outcome);
  void on(millrace::Error& error) { failed_ = library::error_of(error); }
  void on(Left&) { left_ = true; }
  void on(Woken&) { woken_ = true; }

  std::vector<ConsumerRecord> give();
  void accept_given();
  void say(bool more);

  library::ShareConsumerConfigs configs_;
  library::HappeningQueue<Happening> queue_{0};  // outlives the loop, which fills it
  library::Caller caller_;
  std::unique_ptr<client::ShareConsumer> consumer_;  // used on the loop
  std::deque<client::core::ConsumedRecord> waiting_;
  std::set<Place> given_;    // and not spoken of
  std::set<Place> renewed_;  // and spoken of in no other way
  client::core::ShareFetcher::Acknowledge said_;
  std::set<Place> pending_;
  std::deque<AcknowledgeOutcome> outcomes_;  // not given yet
  std::optional<Error> failed_;
  bool left_ = false;
  bool woken_ = false;
};

}  // namespace millrace::v0
