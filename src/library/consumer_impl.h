// A consumer as the thread that polls sees it: which partitions are its own, the records that wait
// to be given, positions, commits under way.
// What happens on the loop comes through a queue and is looked at in order, in poll() only; a call
// in between that has to know how far the loop is puts a mark into the queue and reads up to it.
// Threads: one at a time, which Use holds to; wake() by any.
// Invariants:
//   (1) a record is given only while its partition is owned and not paused, and nothing that was
//       fetched before a seek is given after it.
//   (2) what is revoked is given up (done_revoking) once the listener has returned or thrown.
#pragma once

#include <millrace/consumer.h>

#include <deque>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "library/caller.h"
#include "library/reader.h"
#include "library/single_user.h"

namespace millrace::v0 {

class MILLRACE_HIDDEN Consumer::Impl : public library::SingleUser {
 public:
  using Inner = millrace::TopicPartition;
  using InnerOffsets = std::map<Inner, Offset>;
  using Deadline = library::Loop::Deadline;

  explicit Impl(library::ConsumerConfigs configs);
  ~Impl();

  void subscribe(const std::vector<std::string>& topics, RebalanceListener listener);
  void assign(const std::set<Inner>& partitions);
  void unsubscribe() { leave(std::chrono::seconds(30)); }
  const std::set<Inner>& owned() const { return owned_; }
  const std::set<Inner>& paused() const { return paused_; }
  const std::vector<std::string>& topics() const { return topics_; }

  std::vector<ConsumerRecord> poll(Deadline until);
  void wake() { queue_.add(library::Woken{}); }
  void close(Duration timeout);

  InnerOffsets positions();
  void commit(const InnerOffsets& offsets, Deadline until);
  void commit_async(const InnerOffsets& offsets, CommitCallback callback);
  const std::string& group() const;  // std::logic_error without one
  GroupMetadata group_metadata();

  int64_t position(const Inner& partition);
  void seek(const Inner& partition, client::core::StartAt start);
  void pause(const std::vector<Inner>& partitions, bool paused);

  library::Caller& caller() { return caller_; }
  library::Isolation isolation() const {
    return configs_.fetcher.read_committed ? library::Isolation::kReadCommitted
                                           : library::Isolation::kReadUncommitted;
  }

 private:
  enum class Mode { kIdle, kGroup, kAssigned };
  struct Chunk {  // of one partition, from `given` on
    Inner partition;
    library::Records records;
    size_t given = 0;
  };
  struct Commit {
    InnerOffsets offsets;
    InnerOffsets open;  // not answered yet
    wire::ErrorCode error = wire::ErrorCode::kNone;
    CommitCallback callback;
  };

  // Puts the next happening behind those that wait; commits are settled at once. False: `until` has
  // come.
  bool take_next(Deadline until);
  void take_all();
  // Runs on the loop; what happened before it was put behind what waits.
  void run_marked(const library::Reader::Work& work);
  void handle_all();
  void on(library::Records& records);
  void on(library::Joined& joined);
  void on(library::Revoked& revoked);
  void on(client::core::Fetcher::Problem& problem);
  void on(client::core::GroupVocabulary::CommitOutcome&) {}
  void on(millrace::Error& error);
  void on(library::PolledTooSeldom&);
  void on(library::Left&) {}
  void on(library::Woken&) { woken_ = true; }
  void on(library::Mark&) {}
  void on(library::CommittedFound& found);

  std::vector<ConsumerRecord> give();
  void release(size_t weight);
  // What was fetched of these is not given.
  void forget_records(const std::set<Inner>& partitions);
  std::optional<Offset> first_waiting(const Inner& partition) const;

  void begin(Mode mode);
  void join();
  void leave(Duration timeout);
  void end();
  void tell(const RebalanceListener::Function& function, const std::vector<Inner>& partitions);
  void lose(const std::vector<Inner>& partitions);
  void place();
  void commit_when_due();
  void send_commit(const InnerOffsets& offsets);
  void settle(const client::core::GroupVocabulary::CommitOutcome& outcome);
  void settle(const std::vector<Inner>& partitions, wire::ErrorCode error);
  void settle_all(wire::ErrorCode error);
  void finish_commits();
  void need_owned(const Inner& partition) const;

  library::ConsumerConfigs configs_;
  library::Happenings queue_;  // outlives the loop, which fills it
  library::Caller caller_;
  library::Reader reader_;
  Mode mode_ = Mode::kIdle;
  std::vector<std::string> topics_;
  RebalanceListener listener_;
  std::deque<library::Happening> waiting_;
  std::deque<Chunk> chunks_;
  std::set<Inner> owned_;
  std::set<Inner> paused_;
  std::set<Inner> unplaced_;  // assigned, and not said yet where to begin
  bool placing_ = false;      // their committed offsets are being asked for
  std::chrono::steady_clock::time_point place_after_{};
  InnerOffsets positions_;  // behind what was given, or sought
  std::list<Commit> commits_;
  std::chrono::steady_clock::time_point next_commit_{};
  std::optional<millrace::Error> failed_;
  uint64_t last_mark_ = 0;
  uint64_t mark_seen_ = 0;
  bool left_ = false;
  bool woken_ = false;
  bool polling_ = false;
};

}  // namespace millrace::v0
