#include "sim/cluster_scenario.h"

#include <algorithm>
#include <memory>

#include "sim/cluster_faults.h"
#include "sim/cluster_rot.h"
#include "sim/compaction_knobs.h"
#include "sim/controller_oracle.h"
#include "sim/durability_oracle.h"
#include "sim/expiry.h"
#include "sim/false_leader.h"
#include "sim/inspector.h"
#include "sim/log_mover.h"
#include "sim/migration_knobs.h"
#include "sim/quorum_oracle.h"
#include "sim/reassigner.h"
#include "sim/replica_oracle.h"
#include "sim/share_knobs.h"
#include "sim/share_workload.h"
#include "sim/streams_knobs.h"
#include "sim/txn_workload.h"
#include "sim/voter_changer.h"
#include "sim/workload.h"

namespace millrace::sim {
namespace {

constexpr const char* kTopic = "data";
constexpr Duration kDrainTime = seconds(120);
constexpr Duration kStep = milliseconds(100);  // how often a condition is looked at
constexpr Duration kInspection = milliseconds(20);
constexpr Duration kTableInspection = milliseconds(400);
constexpr Duration kComparison = seconds(2);
// Of offsets: longer than clocks differ in the chaos.
constexpr std::chrono::minutes kRetention{120};
constexpr Duration kSomeAge = kRetention * 2 / 3;
constexpr milliseconds kExpiryCheck{1000};
constexpr double kAcknowledgedCheckChance = 0.1;

// What a seed decides about the cluster and its clients.
struct Knobs {
  Knobs(Stream& dice, uint64_t seed)
      : brokers(static_cast<int>(dice.chance(0.7) ? 3 : dice.between({2, 5}))),
        apart(dice.chance(0.25)),
        voters(draw_voters(dice)),
        replicas(static_cast<int16_t>(dice.chance(0.7) ? std::min(3, brokers)
                                                       : dice.between({1, brokers}))),
        min_isr(dice.between({1, std::max(1, replicas - 1)})),
        metadata_apart(dice.chance(0.5)),
        partitions(static_cast<int32_t>(dice.between({1, 4}))),
        shards(static_cast<size_t>(dice.between({1, 2}))),
        producers(static_cast<int>(dice.between({1, 3}))),
        members(static_cast<int>(dice.between({1, 3}))),
        page_cache(dice.chance(0.1)),
        compressed(dice.chance(0.3)),
        chaos(seconds(dice.between({10, 40}))),
        mean_delay(std::chrono::microseconds(dice.between({20, 3000}))),
        mean_disk_time(std::chrono::microseconds(dice.between({50, 5000}))),
        mean_stall(dice.chance(0.2) ? milliseconds(dice.between({1, 50})) : milliseconds(0)),
        between_faults(milliseconds(dice.between({300, 4000}))),
        segment_ms(dice.between({500, 20'000})),
        segment_bytes(dice.between({1000, 60'000})),
        session_ms(dice.between({1500, 9000})),
        lag_ms(dice.between({1000, 10'000})),
        checkpoint_ms(dice.between({100, 10'000})),
        snapshot_bytes(dice.chance(0.4) ? dice.between({2000, 20'000}) : 20 << 20),
        offsets_partitions(dice.between({1, 3})),
        moves(dice.chance(0.4)),
        unclean(dice.chance(0.15)),
        log_directories(static_cast<int>(dice.chance(0.4) ? dice.between({2, 3}) : 1)),
        log_moves(dice.chance(0.6) && log_directories > 1),
        hogs(dice.chance(0.2) ? static_cast<int>(dice.between({1, 6})) : 0),
        expires(dice.chance(0.3)),
        first_voters(dice.chance(0.35) ? static_cast<int>(dice.between({1, voters})) : 0),
        compaction(seed),
        consumer_protocol(seed / 2 % 11 == 2),
        share(seed),
        streams(seed),
        migration(seed) {
    if (page_cache || unclean) compaction.writers = 0;  // of what may be lost nothing is promised
    if (page_cache || unclean) share.leave_out();
    if (page_cache || unclean) streams.members = 0;
  }

  int draw_voters(Stream& dice) const {
    const int most = apart ? 5 : brokers;
    const int voters = dice.chance(0.7) ? 3 : static_cast<int>(dice.between({1, 5}));
    return std::min(voters, most);
  }
  config::Values properties() const {
    config::Values values = config::NodeProperties::embedded_default();
    values["millrace.durability"] = page_cache ? "page-cache" : "fsync";
    values["offsets.topic.num.partitions"] = std::to_string(offsets_partitions);
    values["offsets.topic.replication.factor"] = std::to_string(replicas);
    values["transaction.state.log.num.partitions"] = std::to_string(offsets_partitions);
    values["transaction.state.log.replication.factor"] = std::to_string(replicas);
    values["transaction.state.log.min.isr"] = std::to_string(min_isr);
    values["min.insync.replicas"] = std::to_string(min_isr);
    values["group.min.session.timeout.ms"] = "1000";
    values["group.initial.rebalance.delay.ms"] = "100";
    values["group.consumer.min.session.timeout.ms"] = "1000";
    values["group.consumer.session.timeout.ms"] = std::to_string(ConsumerMember::kSessionMs);
    values["log.flush.offset.checkpoint.interval.ms"] = std::to_string(checkpoint_ms);
    values["log.retention.check.interval.ms"] = "1000";
    values["broker.session.timeout.ms"] = std::to_string(session_ms);
    values["broker.heartbeat.interval.ms"] = std::to_string(session_ms / 5);
    values["replica.lag.time.max.ms"] = std::to_string(lag_ms);
    values["socket.request.max.bytes"] = std::to_string(Hog::kLargestRequest);
    values["queued.max.request.bytes"] = std::to_string(Hog::kLargestRequest);
    values["offsets.retention.minutes"] = std::to_string(kRetention.count());
    values["offsets.retention.check.interval.ms"] = std::to_string(kExpiryCheck.count());
    values["metadata.log.max.record.bytes.between.snapshots"] = std::to_string(snapshot_bytes);
    compaction.add_to(values);
    share.add_to(values, offsets_partitions);
    streams.add_to(values);
    migration.add_to(values);
    if (share.members == 0) return values;
    values["share.coordinator.state.topic.replication.factor"] = std::to_string(replicas);
    values["share.coordinator.state.topic.min.isr"] = std::to_string(min_isr);
    return values;
  }
  // But for the topic in which no key comes twice.
  std::set<std::string> compacted_topics() const {
    std::set<std::string> topics{"__consumer_offsets", "__transaction_state",
                                 TableWorkload::kTopic};
    if (compaction.all_topics) topics.insert(TxnWorkload::kTopic);
    return topics;
  }
  TableOptions table() const {
    TableOptions options = compaction.table(std::min(partitions, 2), compressed);
    options.replicas = replicas;
    return options;
  }
  std::map<std::string, std::string> segment_configs() const {
    return {{"segment.ms", std::to_string(segment_ms)},
            {"internal.segment.bytes", std::to_string(segment_bytes)},
            {"min.insync.replicas", std::to_string(min_isr)},
            {"unclean.leader.election.enable", "false"}};
  }
  std::map<std::string, std::string> topic_configs() const {
    auto configs = segment_configs();
    configs["unclean.leader.election.enable"] = unclean ? "true" : "false";
    compaction.add_to(configs);
    return configs;
  }
  std::string to_string() const {
    return fmt::format(
        "brokers={} voters={}{} replicas={} min_isr={} partitions={} shards={} producers={} "
        "members={} {} chaos={}s session={}ms lag={}ms{}{}{}{}{}{}{}{}{}{}{}",
        brokers, voters, apart ? " apart" : "", replicas, min_isr, partitions, shards, producers,
        members, page_cache ? "page-cache" : "fsync",
        std::chrono::duration_cast<seconds>(chaos).count(), session_ms, lag_ms,
        metadata_apart ? " metadata apart" : "", moves ? " moves" : "", unclean ? " unclean" : "",
        log_directories > 1 ? fmt::format(" log directories={}", log_directories) : "",
        log_moves ? " moves between them" : "", hogs > 0 ? fmt::format(" hogs={}", hogs) : "",
        first_voters > 0 ? fmt::format(" dynamic quorum, {} first", first_voters) : "",
        compaction.to_string(), share.to_string(), streams.to_string(), migration.to_string());
  }

  int brokers;
  bool apart;
  int voters;
  int16_t replicas;
  int64_t min_isr;
  bool metadata_apart;
  int32_t partitions;
  size_t shards;
  int producers, members;
  bool page_cache, compressed;
  Duration chaos, mean_delay, mean_disk_time, mean_stall, between_faults;
  int64_t segment_ms, segment_bytes, session_ms, lag_ms, checkpoint_ms, snapshot_bytes;
  int64_t offsets_partitions;
  bool moves, unclean;
  int log_directories;
  bool log_moves;
  int hogs;
  bool expires;
  int first_voters;
  CompactionKnobs compaction;
  bool consumer_protocol;  // some members of groups speak it
  ShareKnobs share;
  StreamsKnobs streams;
  MigrationKnobs migration;
};

class ClusterScenario {
 public:
  explicit ClusterScenario(uint64_t seed);
  Outcome run();

 private:
  ClusterOptions cluster_options() const;
  WorkloadOptions workload_options() const;
  ShareWorkload::Nodes share_nodes();
  std::map<std::string, int32_t> topics() const {
    return {{kTopic, knobs_.partitions},
            {"__consumer_offsets", static_cast<int32_t>(knobs_.offsets_partitions)}};
  }
  ReassignerOptions reassigner_options() const;
  void come_up();
  void inspect();
  void look_at_tables();
  void compare();
  void chaos();
  void drain();
  void become_whole();
  void read_and_check();
  void lose_all_power();
  void check_expiry();
  void let_offsets_age();
  void restart_brokers();
  // Runs until nothing is missing; a violation, named `what`, if the time is over before.
  void await(const std::string& what, const std::function<std::string()>& missing);
  void await(const std::string& what, const std::function<bool()>& reached);

  World world_;
  Knobs knobs_;
  Network network_;
  Cluster cluster_;
  Medium client_medium_;
  Host clients_;
  Workload workload_;
  Reassigner reassigner_;
  LogMover log_mover_;
  VoterChanger voter_changer_;
  FalseLeader false_leader_;
  TxnWorkload transactions_;
  TableWorkload table_;
  ShareWorkload share_, share_committed_;
  StreamsWorkload streams_;
  MigrationWorkload migration_;
  QuorumOracle quorum_;
  ReplicaOracle replicas_;
  CommittedRecords committed_;
  ControllerOracle controllers_;
  DurabilityOracle durability_;
  ClusterFaults faults_;
  ClusterRot rot_;
  Inspector inspector_;
  Expiry expiry_;
  Duration clock_error_{};  // of all nodes, when everything is healed
};

ClusterScenario::ClusterScenario(uint64_t seed)
    : world_(seed),
      knobs_(world_.workload, seed),
      network_(world_),
      cluster_(network_, cluster_options()),
      client_medium_(world_),
      clients_(network_, client_medium_, {.name = "clients"}),
      workload_({&clients_, cluster_.bootstrap()}, workload_options()),
      reassigner_({&clients_, cluster_.bootstrap()}, reassigner_options()),
      log_mover_({&clients_, cluster_.bootstrap()},
                 {.topics = topics(), .log_directories = cluster_.node(0).log_directories}),
      voter_changer_({&clients_, cluster_.bootstrap()},
                     {.cluster_id = Cluster::kClusterId, .candidates = cluster_.candidates()}),
      false_leader_({&clients_, cluster_.bootstrap()}, cluster_),
      transactions_({&clients_, cluster_.bootstrap()}, {.replicas = knobs_.replicas}),
      table_({&clients_, cluster_.bootstrap()}, knobs_.table()),
      share_({&clients_, cluster_.bootstrap()}, workload_.oracle(), share_nodes(),
             knobs_.share.group(kTopic, knobs_.partitions)),
      share_committed_({&clients_, cluster_.bootstrap()}, workload_.oracle(), share_nodes(),
                       knobs_.share.group_of_transactions()),
      streams_({&clients_, cluster_.bootstrap()}, workload_.oracle(), share_nodes().image,
               knobs_.streams.group(kTopic, knobs_.partitions, knobs_.replicas,
                                    knobs_.segment_configs())),
      migration_({&clients_, cluster_.bootstrap()},
                 knobs_.migration.group(kTopic, knobs_.partitions)),
      quorum_(world_, cluster_),
      replicas_(world_, cluster_,
                {.synced = !knobs_.page_cache,
                 .min_isr = static_cast<int32_t>(knobs_.min_isr),
                 .compacted = knobs_.compacted_topics()}),
      committed_(cluster_),
      controllers_(world_),
      durability_(world_, cluster_, !knobs_.page_cache),
      faults_(world_, network_, cluster_,
              {.power_loss = !knobs_.page_cache,
               .wipes = knobs_.metadata_apart || knobs_.apart,
               .has_spare_copies = knobs_.min_isr > 1 && !knobs_.page_cache,
               .rots = !knobs_.page_cache && !knobs_.moves && !knobs_.unclean,
               .disk_time = knobs_.mean_disk_time,
               .mean_time_between = knobs_.between_faults}),
      rot_(world_, cluster_),
      inspector_(world_, client_medium_),
      expiry_({&clients_, cluster_.bootstrap()}, kTopic) {
  share_committed_.on_committed = [this](int32_t partition, const std::string& value) {
    transactions_.oracle().shared(partition, value);
  };
  transactions_.oracle().is_shared = [this](int32_t partition) {
    return share_committed_.has_all_of(partition);
  };
  network_.mean_delay = knobs_.mean_delay;
  committed_.on_record = [this](const auto& step) { controllers_.take(step); };
  committed_.on_batch = [this](const auto& batch) { durability_.is_committed(batch); };
  world_.note("knobs " + knobs_.to_string());
}

ClusterOptions ClusterScenario::cluster_options() const {
  return {.brokers = knobs_.brokers,
          .voters = knobs_.voters,
          .first_voters = knobs_.first_voters,
          .controllers_apart = knobs_.apart,
          .log_directories = knobs_.log_directories,
          .metadata_apart = knobs_.metadata_apart,
          .properties = knobs_.properties(),
          .host = {.shards = knobs_.shards,
                   .mean_disk_time = knobs_.mean_disk_time,
                   .mean_stall = knobs_.mean_stall}};
}

WorkloadOptions ClusterScenario::workload_options() const {
  return {.topic = kTopic,
          .partitions = knobs_.partitions,
          .replicas = knobs_.replicas,
          .producers = knobs_.producers,
          .members = knobs_.members,
          .hogs = knobs_.hogs,
          .compressed = knobs_.compressed,
          .keyed = knobs_.compaction.all_topics,
          .consumer_protocol = knobs_.consumer_protocol};
}

ReassignerOptions ClusterScenario::reassigner_options() const {
  return {.topics = topics(), .brokers = knobs_.brokers, .least_replicas = knobs_.min_isr};
}

ShareWorkload::Nodes ClusterScenario::share_nodes() {
  return {.image = [this] { return cluster_.newest_image(); },
          .find = [this](NodeId id) -> node::Node* {
            Cluster::Node* node = cluster_.find(id);
            return node && node->is_broker && node->can_be_asked() ? &node->broker.node() : nullptr;
          }};
}

void ClusterScenario::await(const std::string& what, const std::function<std::string()>& missing) {
  const Instant until = world_.now() + kDrainTime;
  for (;;) {
    if (world_.has_failed()) return;
    const std::string still = missing();
    if (still.empty()) return;
    if (world_.now() >= until) return world_.violated("liveness", what + still);
    world_.run_for(kStep);
  }
}

void ClusterScenario::await(const std::string& what, const std::function<bool()>& reached) {
  await(what, [&]() -> std::string { return reached() ? "" : " in time"; });
}

void ClusterScenario::inspect() {
  quorum_.look();
  committed_.look();
  replicas_.look();
  durability_.look();
  streams_.look();
  for (const auto& node : cluster_.nodes())
    if (node->can_be_asked()) inspector_.check_memory(node->broker);
  if (const auto image = cluster_.newest_image())
    transactions_.look(*image, [this](NodeId id) -> node::Node* {
      Cluster::Node* node = cluster_.find(id);
      return node && node->can_be_asked() ? &node->broker.node() : nullptr;
    });
  world_.after(kInspection, Owner::kScenario, [this] { inspect(); });
}

void ClusterScenario::look_at_tables() {
  for (const auto& node : cluster_.nodes())
    if (node->is_broker && node->can_be_asked())
      table_.oracle().look(node->broker.node().partitions());
  share_.look();
  share_committed_.look();
  world_.after(kTableInspection, Owner::kScenario, [this] { look_at_tables(); });
}

void ClusterScenario::compare() {
  quorum_.compare_logs();
  world_.after(kComparison, Owner::kScenario, [this] { compare(); });
}

void ClusterScenario::come_up() {
  for (const auto& node : cluster_.nodes()) faults_.start(*node);
  inspect();
  compare();
  bool created = false;
  workload_.create_topic(knobs_.topic_configs(), [&] { created = true; });
  await("the topic cannot be created", [&] { return created; });
  created = false;
  auto configs = knobs_.topic_configs();
  configs["unclean.leader.election.enable"] = "false";  // which would promise nothing
  transactions_.create_topic(configs, [&] { created = true; });
  await("the topic of transactions cannot be created", [&] { return created; });
  created = knobs_.compaction.writers == 0;
  if (!created) table_.create_topic(knobs_.segment_configs(), [&] { created = true; });
  await("the topic of keys cannot be created", [&] { return created; });
  created = false;
  share_.configure([&] { created = true; });
  await("the share group cannot be configured", [&] { return created; });
  created = false;
  share_committed_.configure([&] { created = true; });
  await("the share group of transactions cannot be configured", [&] { return created; });
}

void ClusterScenario::chaos() {
  workload_.oracle().expect_other_leaders();
  workload_.admin().expect_lag(true);
  workload_.on_acknowledged = [this](int32_t partition, int64_t offset) {
    if (!workload_.oracle().had_unclean_election(partition) &&
        world_.workload.chance(kAcknowledgedCheckChance))
      replicas_.check_acknowledged({kTopic, PartitionIndex(partition)}, offset);
  };
  faults_.on_wiped = [this](NodeId node) {
    replicas_.disk_was_wiped(node);
    controllers_.disk_was_wiped(node);
  };
  replicas_.on_unclean_election = [this](const TopicPartition& partition) {
    if (partition.topic == kTopic) workload_.oracle().may_have_lost(partition.partition.value());
  };
  workload_.oracle().look_again = [this] { replicas_.look(); };
  faults_.on_rot = [this](Cluster::Node& node) {
    const auto damage = rot_.strike(node, workload_.oracle(), kTopic);
    if (!damage) return;
    replicas_.is_damaged(damage->node, damage->partition);
    durability_.is_damaged(damage->node, damage->partition);
  };
  workload_.start();
  if (knobs_.moves) reassigner_.start();
  if (knobs_.log_moves) log_mover_.start();
  if (knobs_.first_voters > 0) voter_changer_.start();
  false_leader_.start();
  transactions_.start();
  table_.start();
  share_.start();
  share_committed_.start();
  streams_.start();
  migration_.start();
  look_at_tables();
  faults_.begin();
  world_.run_for(knobs_.chaos);
  faults_.heal();
  await("not every node runs after everything healed", [this] { return faults_.is_quiet(); });
}

void ClusterScenario::drain() {
  workload_.finish();
  reassigner_.finish();
  log_mover_.finish();
  voter_changer_.finish();
  false_leader_.finish();
  transactions_.finish();
  table_.finish();
  share_.finish();
  share_committed_.finish();
  await("a writer of keys does not finish after everything healed",
        [&] { return table_.is_done(); });
  await("a producer does not finish after everything healed: ", [&]() -> std::string {
    return workload_.producers_are_done() ? "" : "in time; " + replicas_.what_is_missing();
  });
  await("ST4: a large request is not answered after everything healed",
        [&] { return workload_.hogs_are_done(); });
  await("TX7: a transactional producer does not finish after everything healed",
        [&] { return transactions_.is_done(); });
  await("GR5: a group does not settle after everything healed",
        [&] { return workload_.groups_are_stable(); });
}

void ClusterScenario::become_whole() {
  await("IS13: after everything healed ", [&] { return replicas_.what_is_missing(); });
  await("F5: after everything healed ", [&] { return rot_.what_is_left(); });
  rot_.count();
  workload_.oracle().settled();
  workload_.oracle().repaired();
  replicas_.mended();
  durability_.mended();
}

void ClusterScenario::read_and_check() {
  await("SH3: a share group does not read to the end: ",
        [&] { return share_.what_is_missing() + share_committed_.what_is_missing(); });
  if (!world_.has_failed()) share_.check();
  streams_.finish();
  await("SG3: the streams group does not settle: ", [&] { return streams_.what_is_missing(); });
  migration_.finish();
  await("GR10: the migration does not end: ", [&] { return migration_.what_is_missing(); });
  bool done = false;
  workload_.read_all([&] { done = true; });
  await("a log cannot be read to its end", [&] { return done; });
  done = false;
  transactions_.check([&] { done = true; });
  await("TX7: a transaction stays open", [&] { return done; });
  workload_.admin().expect_lag(false);
  done = false;
  workload_.admin().check([&] { done = true; });
  await("metadata cannot be read", [&] { return done; });
  for (const auto& node : cluster_.nodes())
    if (node->is_broker && node->can_be_asked())
      table_.oracle().check_all(node->broker.node().partitions());
  quorum_.compare_logs();
  replicas_.compare_logs();
}

void ClusterScenario::lose_all_power() {
  if (knobs_.page_cache) return;  // which promises nothing then
  world_.note("all machines lose their power");
  for (const auto& node : cluster_.nodes()) faults_.lose_power_of(*node);
  await("not every node runs after all lost their power", [this] { return faults_.is_quiet(); });
}

void ClusterScenario::let_offsets_age() {
  clock_error_ += kSomeAge;
  for (const auto& node : cluster_.nodes()) node->broker.host().set_clock_error(clock_error_);
  world_.run_for(2 * kExpiryCheck + 5 * kStep);
}

void ClusterScenario::restart_brokers() {
  for (const auto& node : cluster_.nodes())
    if (node->is_broker) {
      node->broker.kill();
      faults_.start(*node);
      if (node->broker.is_running()) node->broker.host().set_clock_error(clock_error_);
    }
}

void ClusterScenario::check_expiry() {
  if (!knobs_.expires) return;
  expiry_.run({.age = [this] { let_offsets_age(); },
               .restart = [this] { restart_brokers(); },
               .await = [this](const auto& what, const auto& reached) { await(what, reached); }});
}

Outcome ClusterScenario::run() {
  using S = ClusterScenario;
  for (auto phase : {&S::come_up, &S::chaos, &S::drain, &S::become_whole, &S::read_and_check,
                     &S::lose_all_power, &S::become_whole, &S::read_and_check, &S::check_expiry})
    if (!world_.has_failed()) (this->*phase)();
  return outcome_of(world_, {.acknowledged = workload_.oracle().acknowledged_count(),
                             .lives = cluster_.lives(),
                             .knobs = knobs_.to_string() + " faults=" + faults_.enabled()});
}

}  // namespace

Outcome run_cluster_scenario(uint64_t seed) {
  ClusterScenario scenario(seed);
  return scenario.run();
}

}  // namespace millrace::sim
