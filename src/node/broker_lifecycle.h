// This broker's side of its life (KIP-631): registers with the active controller, sends heartbeats,
// is unfenced, asks to be let go at the end.
// Not here: the controller's side (controller/brokers), how it is reached
// (node/controller_channel), what the broker serves (server).
// Threads: shard 0, but for epoch().
// Ownership: the channel outlives this.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "node/controller_channel.h"

namespace millrace::node {

// What a broker says of itself.
struct BrokerIdentity {
  NodeId id = kNoNode;
  std::string cluster_id;
  std::vector<metadata::Endpoint> listeners;
  std::optional<std::string> rack;
  std::vector<Uuid> log_dirs;
  BrokerEpoch previous_epoch{-1};  // of the process before, if it lost nothing acknowledged
};

class BrokerLifecycle {
 public:
  struct Parts {
    env::Shard* shard = nullptr;
    ControllerChannel* channel = nullptr;
    BrokerIdentity identity;
    Duration heartbeat_interval{};
    Duration session_timeout{};
    std::function<Offset()> metadata_end;  // what of the metadata log is applied here
    std::function<std::shared_ptr<const metadata::Image>()> image;  // that it gives
    std::function<std::vector<Uuid>()> offline_log_dirs;            // directories that have failed
  };
  struct Events {
    std::function<void(BrokerEpoch)> accepted;  // each registration
    std::function<void()> registered;           // once: the image has this broker's record
    std::function<void()> unfenced;             // once: clients are sent here
    std::function<void(const Error&)> refused;  // before `registered`: it never will be
  };

  BrokerLifecycle(Parts parts, Events events)
      : parts_(std::move(parts)), events_(std::move(events)) {}

  void start();
  // A new image was published.
  void follow(const metadata::Image& image);
  // What a heartbeat tells has changed: the next one goes at once.
  void speak();
  // Controlled shutdown: partitions are given up, then the broker is fenced. `left` runs when that
  // is done, or has taken longer than `at_most`.
  void leave(Duration at_most, std::function<void()> left);

  // Of the newest registration; -1: none yet. From any thread.
  BrokerEpoch epoch() const { return BrokerEpoch(epoch_); }

 private:
  enum class State : uint8_t { kNew, kRegistering, kRegistered, kServing, kLeaving, kLeft };

  wire::BrokerRegistrationRequest registration() const;
  wire::BrokerHeartbeatRequest heartbeat() const;
  void do_register();
  void registered(Result<wire::BrokerRegistrationResponse> response);
  void register_later(const std::string& why);
  void beat();
  void beaten(Result<wire::BrokerHeartbeatResponse> response);
  void beat_later(Duration pause);
  void speak_for_leavers(const metadata::Image& image);
  void finish_leaving();

  Parts parts_;
  Events events_;
  State state_ = State::kNew;
  Uuid incarnation_;
  std::atomic<int64_t> epoch_ = -1;
  bool was_unfenced_ = false;
  bool beating_ = false;    // a heartbeat is under way
  bool owes_beat_ = false;  // another is due when it is answered
  size_t leavers_ = 0;      // other brokers that wait to be let go
  uint64_t last_beat_ = 0;  // answers to older ones are late
  env::TimerId next_beat_ = env::TimerId::kNone;
  env::TimerId deadline_ = env::TimerId::kNone;
  std::function<void()> left_;
  std::string complaint_;
};

}  // namespace millrace::node
