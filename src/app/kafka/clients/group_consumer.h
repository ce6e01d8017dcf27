// A member of a consumer group for a script that polls, as Kafka's consumer is one: batches of
// records, commits, and a listener for partitions that come and go.
// Not here: configs (app/kafka/consumer_config.h), consumers without a group.
// Threads: one, which is not the loop's; the listener is called by it, within poll() and close().
// Ownership: the session, the config and the listener outlive it.
// Errors: KafkaException, when the group is lost for good.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "app/happenings.h"
#include "app/kafka/clients/consumer_config.h"

namespace millrace::app::kafka::clients {

class RebalanceListener {
 public:
  virtual void assigned(const std::vector<TopicPartition>& partitions) = 0;
  virtual void revoked(const std::vector<TopicPartition>& partitions) = 0;

 protected:
  ~RebalanceListener() = default;
};

class GroupConsumer {
 public:
  using Records = std::vector<client::core::ConsumedRecord>;
  using Offsets = client::core::GroupVocabulary::Offsets;
  using Deadline = std::chrono::steady_clock::time_point;

  GroupConsumer(Session& session, const ConsumerConfig& config, RebalanceListener& listener);

  void subscribe(const std::vector<std::string>& topics);
  // At most max.poll.records; none when `until` has come or a signal has. Commits, if it is
  // configured to, what was given before.
  Attempt<Records> poll(Deadline until);
  // Waits for the answer; its error.
  Attempt<wire::ErrorCode> commit(const Offsets& offsets);
  // Commits likewise, lets go of the partitions and leaves.
  void close();
  // Of the first signal since it was made; 0: none.
  int signal() const { return signal_; }

 private:
  void on(Records& records);
  void on(TopicPartition&) {}
  void on(Joined& joined);
  void on(Failure& failure) { failure_ = failure.problem; }
  void on(Revoked& revoked);
  void on(client::core::GroupVocabulary::CommitOutcome& outcome) { answer_ = outcome.error; }
  void on(Stopped& stopped) { signal_ = stopped.signal; }
  void on(Left&) { left_ = true; }
  // Whether anything happened before `until`.
  bool take_next(Deadline until);
  Records give();
  void commit_when_due();
  void commit_given();

  Session& session_;
  const ConsumerConfig& config_;
  RebalanceListener& listener_;
  Happenings happenings_;
  Records waiting_;  // from `given_` on
  size_t given_ = 0;
  Offsets positions_;  // behind what was given, and not committed
  std::set<TopicPartition> owned_;
  Deadline next_commit_;
  std::optional<wire::ErrorCode> answer_;
  std::optional<std::string> failure_;
  int signal_ = 0;
  bool left_ = false;
};

}  // namespace millrace::app::kafka::clients
