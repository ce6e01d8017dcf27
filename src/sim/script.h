// A cluster for scripts: what is done to it stands in the test, line by line, and the world runs
// until what is waited for has come. The oracles look on all the time; what does not come about in
// a minute is a violation as well.
// Not here: what is drawn from seeds (sim/cluster_scenario); the seed of a script decides about the
// order of events and how long they take.
// Threads: one; one script a process at a time.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "node/controller_host.h"
#include "sim/cluster.h"
#include "sim/consumer.h"
#include "sim/quorum_oracle.h"
#include "sim/replica_oracle.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"
#include "wire/errors.h"
#include "wire/produce.h"

namespace millrace::sim {

struct ScriptOptions {
  int brokers = 3;
  int voters = 3;
  bool controllers_apart = true;  // so that brokers may come and go without an election of voters
  int16_t replicas = 3;
  int min_isr = 2;
  int lag_ms = 1500;      // until a follower leaves the ISR
  int session_ms = 2000;  // until a broker is fenced
  uint64_t seed = 1;
  config::Values more;
  std::map<std::string, std::string> topic;  // the configs of topics that are created
};

class Script {
 public:
  static constexpr const char* kTopic = "data";
  using Node = Cluster::Node;

  explicit Script(const ScriptOptions& options = {});

  // What was violated, last of all by the logs as they are now; empty: nothing.
  std::string failure();
  // The network heals, all nodes run: everything is whole again and nothing acknowledged lost.
  void become_whole();
  void check_acknowledged();

  void start(Node& node);
  void kill(Node& node) { node.broker.kill(); }
  void lose_power(Node& node) { node.broker.lose_power(); }
  void stop(Node& node);
  void cut(const Node& a, const Node& b);
  void run_for(Duration time) { world_.run_for(time); }
  void until(const std::string& what, const std::function<bool()>& reached);
  // The fact holds all the time.
  void during(Duration time, const std::string& what, const std::function<bool()>& holds);
  void expect(bool fact, const std::string& what);

  // What the controller says of the first partition.
  metadata::PartitionState state() {
    const auto image = cluster_.newest_image();
    const metadata::Topic* topic = image ? image->find_topic(kTopic) : nullptr;
    return topic ? topic->partitions.at(0) : metadata::PartitionState{};
  }
  std::vector<NodeId> isr() { return state().isr; }
  bool in_isr(const Node& node) { return std::ranges::count(isr(), node.id) > 0; }
  bool in_elr(const Node& node) { return std::ranges::count(state().elr, node.id) > 0; }
  Node& leader() { return *cluster_.find(state().leader); }
  bool has_leader() { return state().leader != kNoNode; }
  // Replicas in the order of the assignment, without the leader.
  Node& follower(size_t index) {
    std::vector<NodeId> others = state().replicas;
    std::erase(others, state().leader);
    return *cluster_.find(others.at(index));
  }
  std::string describe();

  // One record, acks=all: its error, once it was answered or the request given up.
  wire::ErrorCode produce(const std::string& value, Duration patience = seconds(5));
  // As often as it takes.
  void produce_until_acknowledged(const std::string& value) {
    until("a record is acknowledged", [&] { return produce(value) == wire::ErrorCode::kNone; });
  }
  std::map<int64_t, std::string> read();
  // What a client is answered, or why it is not; views in it are over.
  template <class Response, class Request>
  Result<Response> ask(const Client::Place& place, const Request& request, int16_t version) {
    std::optional<Result<Response>> answer;
    client_.call<Response>(place, request, version,
                           [&](Result<Response> got) { answer = std::move(got); });
    until("a client is answered", [&] { return answer.has_value(); });
    return answer ? *answer : fail(Errc::kTimedOut, "no answer");
  }
  void create_topic(const std::string& name);
  void delete_topic(const std::string& name);
  // Asks for it; nothing: for what is under way to be taken back.
  void move_to(const std::optional<std::vector<NodeId>>& replicas);
  bool is_moving() {
    return !state().adding_replicas.empty() || !state().removing_replicas.empty();
  }
  // Of the replica on this node; nothing: it has none.
  std::optional<Offset> high_watermark(Node& node);
  std::optional<Offset> log_start(Node& node);
  std::optional<Offset> log_end(Node& node);

  World& world() { return world_; }
  Network& network() { return network_; }
  Cluster& cluster() { return cluster_; }
  QuorumOracle& quorum() { return quorum_; }
  ReplicaOracle& replicas() { return replicas_; }
  Site& site() { return site_; }

 private:
  ClusterOptions cluster_options() const;
  void watch();

  ScriptOptions options_;
  World world_;
  Network network_;
  Cluster cluster_;
  Medium client_medium_{world_};
  Host clients_;
  Site site_;
  Client client_, reader_;
  Oracle oracle_;
  QuorumOracle quorum_;
  ReplicaOracle replicas_;
  std::map<int64_t, std::string> acknowledged_;  // by offset
};

}  // namespace millrace::sim
