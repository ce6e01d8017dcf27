// Hosts the controller: the machine (controller/controller) over the metadata log, on shard 0.
// Takes decisions one after the other, makes them durable on the disk thread, publishes what they
// change, and only then answers; writes snapshots; ends sessions; serves replicas of the log.
// Not here: what is decided (controller), the log's files (node/metadata_log), what a broker does
// with a new image (node/node).
//
// Threads: submit() and ask_quorum() from any shard; open(), decide_now() and close() before and
// after the shards run; the rest happens on shard 0.
// Ownership: the parts outlive this.
// Order: decisions are published in the order in which they were taken, and one that has no records
// is answered behind those that it saw. A failed sync ends it: later commands get that error.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "config/properties.h"
#include "controller/controller.h"
#include "env/host.h"
#include "node/metadata_log.h"

namespace millrace::node {

// What a decision wants: records to commit, and what to do when they are (or could not be).
struct Command {
  std::function<controller::Records(controller::Controller&)> decide;  // on shard 0
  std::move_only_function<void(Result<>)> done;  // on `shard`, durable and published
  env::Shard* shard = nullptr;
};

// The quorum of the metadata log as its leader sees it.
struct QuorumView {
  raft::ReplicaKey self;
  NodeId leader = kNoNode;
  LeaderEpoch epoch;
  Offset high_watermark;
  Offset log_end;
  raft::VoterSet voters;
  std::map<raft::ReplicaKey, raft::Progress> replicas;  // the others, voters and observers
  raft::Now now;
};

class ControllerHost {
 public:
  struct Parts {
    env::Host* host = nullptr;
    const config::NodeProperties* properties = nullptr;
    env::DiskThread* disk_thread = nullptr;  // of the metadata log's directory
    std::string log_dir;                     // that holds the metadata log
    raft::ReplicaKey self;
    std::string cluster_id;
    metadata::Endpoint endpoint;  // of the controller listener
    Offset recovery_point{0};     // of the metadata log
  };
  // On shard 0, each time that something became durable.
  using Publish = std::function<void(std::shared_ptr<const metadata::Image>)>;

  ControllerHost(Parts parts, Publish publish);

  // Replays the log, leads, and gives a new cluster its first records.
  Result<> open();
  // Sessions, snapshots by time; from here on everything runs on shard 0.
  void start();
  Result<> close();

  void submit(Command command);
  // Decides and appends at once. Durable after flush().
  Result<> decide_now(const std::function<controller::Records(controller::Controller&)>& decide);
  Result<> flush();
  // A request of another replica of the metadata log; `done` runs on `shard`.
  void ask_quorum(env::Shard& shard, raft::Message request, AnswerFunction done);
  QuorumView quorum() const;  // on shard 0

  const metadata::Image& image() const { return controller_.image(); }
  // Where the next decision's records begin, and the time.
  controller::Position position() const;
  Offset metadata_end() const { return metadata_log_->log_end(); }
  // Of the quorum, as the log says since the start: any thread.
  int16_t kraft_version() const { return kraft_version_; }

 private:
  // A decision on its way to the medium.
  struct Commit {
    bool has_records = false;
    Command command;
    std::shared_ptr<const metadata::Image> image;
    Unsaved unsaved;
    Result<> synced;
  };
  MetadataLogOptions log_options() const;
  Result<controller::Records> first_records();
  raft::Now now() const;
  static void answer(Command command, Result<> outcome);
  void run_command(Command command);
  void committed(Commit commit);
  void snapshot_if_due(std::shared_ptr<const metadata::Image> image, Offset end);
  void schedule_quorum_tick();
  void sweep_sessions();

  Parts parts_;
  Publish publish_;
  controller::Controller controller_;
  std::unique_ptr<MetadataLog> metadata_log_;
  std::shared_ptr<const metadata::Image> durable_image_;
  Offset durable_end_{0};
  std::optional<Error> failure_;  // of a sync
  int16_t kraft_version_ = 0;
  Instant quorum_tick_at_ = Instant::never();
  env::TimerId quorum_tick_{};
};

}  // namespace millrace::node
