// Hosts the controller: the machine (controller/controller) over this node's replica of the
// metadata log. While the replica leads and has committed a record of its epoch, the controller is
// active: it takes decisions one after the other, appends what they change, and answers when that
// is committed and published. Elsewhere it waits.
// Not here: what is decided (controller), the quorum (node/raft_driver), what a broker does with a
// new image (node/node), how to reach the active controller (node/controller_channel).
//
// Threads: submit(), ask_quorum(), is_active() and kraft_version() from any shard; open() and
// close() before and after the shards run; the rest on shard 0.
// Ownership: the parts outlive this.
// Order: decisions are published in the order in which they were taken, and one that has no records
// is answered behind those that it saw. A controller that is active no more answers what it has not
// committed with kNotController: it may yet be committed by its successor.
// Invariant (check_invariants): CH1 nobody waits for a controller that is not active.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "controller/controller.h"
#include "env/host.h"
#include "node/raft_driver.h"

namespace millrace::node {

// What a decision wants: records to commit, and what to do when they are (or could not be).
struct Command {
  std::function<controller::Records(controller::Controller&)> decide;  // on shard 0
  std::move_only_function<void(Result<>)> done;  // on `shard`, committed and published
  env::Shard* shard = nullptr;
};

class ControllerHost {
 public:
  // On shard 0, each time that something was committed.
  using Publish = std::function<void(std::shared_ptr<const metadata::Image>)>;

  ControllerHost(RaftDriver::Parts parts, Publish publish);

  Result<> open();
  // The quorum begins to work, on shard 0.
  void start();
  Result<> close() { return driver_.close(); }
  // Gives the quorum to another voter, if this one leads it.
  void resign() { driver_.resign(); }

  bool is_active() const { return is_active_; }
  void submit(Command command);
  // A request of another replica of the metadata log; `done` runs on `shard`.
  void ask_quorum(env::Shard& shard, raft::Message request, AnswerFunction done);
  QuorumView quorum() const { return driver_.view(); }
  const RaftDriver& driver() const { return driver_; }
  RaftDriver& driver() { return driver_; }
  // Runs after each change of the quorum that this node sees: who leads, what is committed.
  void when_moved(std::function<void()> moved) { watchers_.push_back(std::move(moved)); }

  // Where the next decision's records begin, and the time.
  controller::Position position() const;
  // Of the quorum, as its log says: any thread.
  int16_t kraft_version() const { return kraft_version_; }
  // Shard 0.
  void check_invariants() const;

 private:
  struct Pending {
    Offset end;  // of the log that has to be committed
    Command command;
  };

  Result<controller::Records> first_records() const;
  Result<> append(controller::Records records);
  static void answer(Command command, Result<> outcome);
  std::string who_is_active() const;
  void run_command(Command command);
  void moved();
  void answer_committed();
  void claim();
  void renounce(const Error& why);
  void sweep_sessions();
  void keep_moving();

  RaftDriver::Parts parts_;
  Publish publish_;
  controller::Controller controller_;
  RaftDriver driver_;
  std::shared_ptr<const metadata::Image> published_;
  std::vector<std::function<void()>> watchers_;
  std::deque<Pending> pending_;  // ascending in end
  LeaderEpoch active_epoch_;
  Offset idle_end_{0};  // where the log ended at the last look
  std::atomic<bool> is_active_ = false;
  std::atomic<int16_t> kraft_version_ = 0;
};

}  // namespace millrace::node
