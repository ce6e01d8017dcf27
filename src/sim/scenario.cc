#include "sim/scenario.h"

#include <algorithm>
#include <memory>

#include "sim/broker.h"
#include "sim/compaction_knobs.h"
#include "sim/expiry.h"
#include "sim/faults.h"
#include "sim/inspector.h"
#include "sim/migration_knobs.h"
#include "sim/share_knobs.h"
#include "sim/share_workload.h"
#include "sim/streams_knobs.h"
#include "sim/txn_workload.h"
#include "sim/workload.h"

namespace millrace::sim {
namespace {

constexpr const char* kTopic = "data";
constexpr Duration kDrainTime = seconds(120);
constexpr Duration kStep = milliseconds(100);  // how often a condition is looked at
constexpr Duration kInspection = milliseconds(20);
constexpr Duration kTableInspection = milliseconds(400);
constexpr double kDurableCheckChance = 0.1;
constexpr Duration kSettling = seconds(1);  // what was recovered is synced, so that it is visible
constexpr int64_t kNeverMs = 24 * 3'600'000;
constexpr Duration kSomeAge = seconds(60 * Expiry::kRetentionMinutes * 2 / 3);
constexpr Duration kExpirySlack = milliseconds(500);

// What a seed decides about the broker and its clients.
struct Knobs {
  Knobs(Stream& dice, uint64_t seed)
      : partitions(static_cast<int32_t>(dice.between({1, 3}))),
        shards(static_cast<size_t>(dice.between({1, 3}))),
        producers(static_cast<int>(dice.between({1, 3}))),
        members(static_cast<int>(dice.between({1, 3}))),
        page_cache(dice.chance(0.15)),
        compressed(dice.chance(0.3)),
        chaos(seconds(dice.between({10, 40}))),
        largest_piece(dice.chance(0.2) ? 16 : 65536),
        mean_delay(std::chrono::microseconds(dice.between({20, 3000}))),
        mean_disk_time(std::chrono::microseconds(dice.between({50, 5000}))),
        mean_stall(dice.chance(0.3) ? milliseconds(dice.between({1, 50})) : milliseconds(0)),
        segment_ms(dice.between({200, 20'000})),
        segment_bytes(dice.between({500, 40'000})),
        index_interval(dice.between({0, 4096})),
        checkpoint_ms(dice.between({100, 10'000})),
        offsets_partitions(dice.between({1, 3})),
        expiry_check_ms(dice.between({200, 3000})),
        hogs(dice.chance(0.2) && largest_piece > 1000 ? static_cast<int>(dice.between({1, 10}))
                                                      : 0),
        tail_rots(dice.chance(0.25)),
        transactions(dice.chance(0.5)),
        compaction(seed),
        consumer_protocol(seed / 2 % 11 == 2),
        share(seed),
        streams(seed),
        migration(seed) {
    if (tail_rots) checkpoint_ms = kNeverMs;  // everything lies behind the recovery points
    // Compaction writes them when it needs them. Of what a page cache loses nothing is promised.
    if (tail_rots) compaction.backoff_ms = kNeverMs;
    if (page_cache || tail_rots) compaction.writers = 0;
    if (page_cache || tail_rots) share.leave_out();
    if (page_cache || tail_rots) streams.members = 0;
    if (!transactions) share.of_transactions = 0;
  }

  config::Values properties() const {
    config::Values values = config::NodeProperties::embedded_default();
    values["log.dirs"] = Broker::kDataDirectory;
    values["millrace.durability"] = page_cache ? "page-cache" : "fsync";
    values["offsets.topic.num.partitions"] = std::to_string(offsets_partitions);
    values["transaction.state.log.num.partitions"] = std::to_string(offsets_partitions);
    values["group.min.session.timeout.ms"] = "1000";
    values["group.initial.rebalance.delay.ms"] = "100";
    values["group.consumer.min.session.timeout.ms"] = "1000";
    values["group.consumer.session.timeout.ms"] = std::to_string(ConsumerMember::kSessionMs);
    values["log.flush.offset.checkpoint.interval.ms"] = std::to_string(checkpoint_ms);
    values["log.retention.check.interval.ms"] = "1000";
    values["log.index.interval.bytes"] = std::to_string(index_interval);
    values["socket.request.max.bytes"] = std::to_string(Hog::kLargestRequest);
    values["queued.max.request.bytes"] = std::to_string(Hog::kLargestRequest);
    values["offsets.retention.minutes"] = std::to_string(Expiry::kRetentionMinutes);
    values["offsets.retention.check.interval.ms"] = std::to_string(expiry_check_ms);
    compaction.add_to(values);
    share.add_to(values, offsets_partitions);
    streams.add_to(values);
    migration.add_to(values);
    return values;
  }
  std::map<std::string, std::string> segment_configs() const {
    return {{"segment.ms", std::to_string(segment_ms)},
            {"internal.segment.bytes", std::to_string(segment_bytes)}};
  }
  std::map<std::string, std::string> topic_configs() const {
    auto configs = segment_configs();
    compaction.add_to(configs);
    return configs;
  }
  std::string to_string() const {
    return fmt::format(
        "partitions={} shards={} producers={} members={} {} compressed={} chaos={}s piece={} "
        "segment_ms={} segment_bytes={} checkpoint_ms={} hogs={}{}{}{}{}{}",
        partitions, shards, producers, members, page_cache ? "page-cache" : "fsync", compressed,
        std::chrono::duration_cast<seconds>(chaos).count(), largest_piece, segment_ms,
        segment_bytes, checkpoint_ms, hogs, transactions ? " transactions" : "",
        compaction.to_string(), share.to_string(), streams.to_string(), migration.to_string());
  }

  int32_t partitions;
  size_t shards;
  int producers, members;
  bool page_cache, compressed;
  Duration chaos;
  size_t largest_piece;
  Duration mean_delay, mean_disk_time, mean_stall;
  int64_t segment_ms, segment_bytes, index_interval, checkpoint_ms, offsets_partitions;
  int64_t expiry_check_ms;
  int hogs;
  bool tail_rots;
  bool transactions;
  CompactionKnobs compaction;
  bool consumer_protocol;  // some members of groups speak it
  ShareKnobs share;
  StreamsKnobs streams;
  MigrationKnobs migration;
};

class Scenario {
 public:
  explicit Scenario(uint64_t seed);
  Outcome run();

 private:
  BrokerOptions broker_options() const;
  WorkloadOptions workload_options() const;
  ShareWorkload::Nodes nodes();
  void check_acknowledged(int32_t partition, int64_t offset);
  void inspect();
  void look_at_table();
  void create_topics();
  void drain();
  void share_to_the_end();
  void await_groups();
  void read_and_check();
  void check_transactions();
  void read_logs();
  void restart_cleanly();
  void check_expiry();
  // Nothing is written any more: what rots now is there to stay.
  void let_data_rot();
  void let_tails_rot();
  // A while later by the broker's clock, with time to look what has expired.
  void let_offsets_age();
  void start_again();
  std::vector<void (Scenario::*)()> phases() const;
  // Runs until nothing is missing, or `reached`; a violation, named `what`, if the time is over
  // before.
  void await(const std::string& what, const std::function<std::string()>& missing);
  void await(const std::string& what, const std::function<bool()>& reached);

  World world_;
  Knobs knobs_;
  Network network_;
  Medium medium_, client_medium_;
  Broker broker_;
  Host clients_;
  Site site_;
  Workload workload_;
  TxnWorkload transactions_;
  TableWorkload table_;
  ShareWorkload share_, share_committed_;
  StreamsWorkload streams_;
  MigrationWorkload migration_;
  Inspector inspector_;
  Rot rot_;
  Faults faults_;
  Expiry expiry_;
};

Scenario::Scenario(uint64_t seed)
    : world_(seed),
      knobs_(world_.workload, seed),
      network_(world_),
      medium_(world_),
      client_medium_(world_),
      broker_(network_, medium_, broker_options()),
      clients_(network_, client_medium_, {.name = "clients"}),
      site_{&clients_, {{"broker", Broker::kPort}}},
      workload_(site_, workload_options()),
      transactions_(site_, {.producers = knobs_.transactions ? 2 : 0, .offsets_expire = true}),
      table_(site_, knobs_.compaction.table(knobs_.partitions, knobs_.compressed)),
      share_(site_, workload_.oracle(), nodes(), knobs_.share.group(kTopic, knobs_.partitions)),
      share_committed_(site_, workload_.oracle(), nodes(), knobs_.share.group_of_transactions()),
      streams_(site_, workload_.oracle(), nodes().image,
               knobs_.streams.group(kTopic, knobs_.partitions, 1, knobs_.segment_configs())),
      migration_(site_, knobs_.migration.group(kTopic, knobs_.partitions)),
      inspector_(world_, medium_),
      rot_(medium_, workload_.oracle(), kTopic),
      faults_(world_, {&network_, &medium_, &broker_, &rot_},
              {.power_loss = !knobs_.page_cache, .disk_time = knobs_.mean_disk_time}),
      expiry_(site_, kTopic) {
  share_committed_.on_committed = [this](int32_t partition, const std::string& value) {
    transactions_.oracle().shared(partition, value);
  };
  transactions_.oracle().is_shared = [this](int32_t partition) {
    return share_committed_.has_all_of(partition);
  };
  network_.largest_piece = knobs_.largest_piece;
  network_.mean_delay = knobs_.mean_delay;
  world_.note("knobs " + knobs_.to_string());
}

BrokerOptions Scenario::broker_options() const {
  const HostOptions host{.name = "broker",
                         .shards = knobs_.shards,
                         .mean_disk_time = knobs_.mean_disk_time,
                         .mean_stall = knobs_.mean_stall};
  return {.properties = knobs_.properties(), .host = host, .cluster_id = {}};
}

WorkloadOptions Scenario::workload_options() const {
  return {.topic = kTopic,
          .partitions = knobs_.partitions,
          .producers = knobs_.producers,
          .members = knobs_.members,
          .hogs = knobs_.hogs,
          .compressed = knobs_.compressed,
          .keyed = knobs_.compaction.all_topics,
          .consumer_protocol = knobs_.consumer_protocol};
}

ShareWorkload::Nodes Scenario::nodes() {
  const auto find = [this](NodeId) {
    return broker_.is_running() && !broker_.host().is_silent() ? &broker_.node() : nullptr;
  };
  return {.image =
              [find] {
                node::Node* node = find(kNoNode);
                return node ? node->image() : nullptr;
              },
          .find = find};
}

void Scenario::check_acknowledged(int32_t partition, int64_t offset) {
  if (world_.workload.chance(kDurableCheckChance) && !rot_.is_there())
    inspector_.check_durable({kTopic, PartitionIndex(partition)}, offset);
}

void Scenario::inspect() {
  if (broker_.is_running() && !broker_.host().is_silent()) {
    inspector_.check_offsets(broker_);
    broker_.node().check_coordinators();
    if (!rot_.is_there()) inspector_.check_metadata(broker_);
    inspector_.check_memory(broker_);
    if (const auto image = broker_.node().image())
      transactions_.look(*image, [this](NodeId) { return &broker_.node(); });
    share_.look();
    share_committed_.look();
    streams_.look();
  }
  world_.after(kInspection, Owner::kScenario, [this] { inspect(); });
}

void Scenario::look_at_table() {
  if (broker_.is_running() && !broker_.host().is_silent())
    table_.oracle().look(broker_.node().partitions());
  world_.after(kTableInspection, Owner::kScenario, [this] { look_at_table(); });
}

void Scenario::await(const std::string& what, const std::function<std::string()>& missing) {
  const Instant until = world_.now() + kDrainTime;
  while (!world_.has_failed()) {
    const std::string still = missing();
    if (still.empty()) return;
    if (world_.now() >= until) return world_.violated("liveness", what + still);
    world_.run_for(kStep);
  }
}

void Scenario::await(const std::string& what, const std::function<bool()>& reached) {
  await(what, [&]() -> std::string { return reached() ? "" : " in time"; });
}

void Scenario::create_topics() {
  bool created = false;
  workload_.create_topic(knobs_.topic_configs(), [&] { created = true; });
  await("the topic cannot be created", [&] { return created; });
  created = knobs_.compaction.writers == 0;
  if (!created) table_.create_topic(knobs_.segment_configs(), [&] { created = true; });
  await("the topic of keys cannot be created", [&] { return created; });
  created = false;
  share_.configure([&] { created = true; });
  await("the share group cannot be configured", [&] { return created; });
  if (!knobs_.transactions) return;
  created = false;
  share_committed_.configure([&] { created = true; });
  await("the share group of transactions cannot be configured", [&] { return created; });
  created = false;
  transactions_.create_topic(knobs_.topic_configs(), [&] { created = true; });
  await("the topic of transactions cannot be created", [&] { return created; });
}

void Scenario::drain() {
  workload_.finish();
  transactions_.finish();
  table_.finish();
  share_.finish();
  share_committed_.finish();
  await("a writer of keys does not finish after everything healed",
        [&] { return table_.is_done(); });
  await("a producer does not finish after everything healed",
        [&] { return workload_.producers_are_done(); });
  await("TX7: a transactional producer does not finish after everything healed",
        [&] { return transactions_.is_done(); });
  await("ST4: a large request is not answered after everything healed",
        [&] { return workload_.hogs_are_done(); });
  await("GR5: a group does not settle after everything healed",
        [&] { return workload_.groups_are_stable(); });
}

void Scenario::share_to_the_end() {
  await("SH3: a share group does not read to the end: ",
        [&] { return share_.what_is_missing() + share_committed_.what_is_missing(); });
  if (!world_.has_failed()) share_.check();
}

void Scenario::await_groups() {
  streams_.finish();
  migration_.finish();
  await("SG3: the streams group does not settle: ", [&] { return streams_.what_is_missing(); });
  await("GR10: the migration does not end: ", [&] { return migration_.what_is_missing(); });
}

void Scenario::read_logs() {
  bool done = false;
  workload_.read_all([&] { done = true; });
  await("a log cannot be read to its end", [&] { return done; });
}

void Scenario::check_transactions() {
  bool done = false;
  transactions_.check([&] { done = true; });
  await("TX7: a transaction stays open", [&] { return done; });
}

void Scenario::read_and_check() {
  share_to_the_end();
  await_groups();
  read_logs();
  if (knobs_.transactions) check_transactions();
  bool checked = false;
  workload_.admin().check([&] { checked = true; });
  await("metadata cannot be read", [&] { return checked; });
  if (world_.has_failed()) return;
  table_.oracle().check_all(broker_.node().partitions());
  inspector_.check_producers(broker_);
  inspector_.check_image(broker_);
}

void Scenario::restart_cleanly() {
  bool stopped = false;
  broker_.stop([&] { stopped = true; });
  await("the broker does not stop", [&] { return stopped; });
  if (!world_.has_failed()) start_again();
}

void Scenario::start_again() {
  if (auto started = broker_.start(); !started)
    world_.violated("ST2", "the broker does not start again: " + started.error().message);
  world_.run_for(kSettling);
}

void Scenario::let_offsets_age() {
  broker_.host().set_clock_error(broker_.host().clock_error() + kSomeAge);
  world_.run_for(milliseconds(2 * knobs_.expiry_check_ms) + kExpirySlack);
}

void Scenario::check_expiry() {
  expiry_.run({.age = [this] { let_offsets_age(); },
               .restart =
                   [this] {
                     const Duration clock_error = broker_.host().clock_error();
                     broker_.kill();
                     start_again();
                     if (broker_.is_running()) broker_.host().set_clock_error(clock_error);
                   },
               .await = [this](const auto& what, const auto& reached) { await(what, reached); }});
}

void Scenario::let_data_rot() {
  world_.expect_errors(true);
  for (int64_t i = world_.faults.between({1, 3}); i > 0; --i) rot_.damage_batch();
  for (int64_t i = world_.faults.between({0, 3}); i > 0; --i) rot_.damage_aid();
  read_logs();
  if (world_.has_failed()) return;
  if (world_.faults.chance(0.5)) return restart_cleanly();
  broker_.kill();
  start_again();
}

void Scenario::let_tails_rot() {
  world_.expect_errors(true);
  broker_.kill();
  workload_.pause(true);  // what is cut would be appended again
  for (int32_t i = 0; i < knobs_.partitions; ++i)
    if (world_.faults.chance(0.7)) rot_.damage_tail(i);
  start_again();
}

// Behind the chaos, when all is healed and the clients have finished.
std::vector<void (Scenario::*)()> Scenario::phases() const {
  using S = Scenario;
  if (knobs_.tail_rots) return {&S::read_and_check, &S::let_tails_rot, &S::read_logs};
  return {&S::read_and_check, &S::restart_cleanly, &S::read_and_check,
          &S::check_expiry,   &S::let_data_rot,    &S::read_logs};
}

Outcome Scenario::run() {
  if (auto started = broker_.start(); !started)
    world_.violated("ST2", "the broker does not start: " + started.error().message);
  create_topics();
  if (!knobs_.page_cache)
    workload_.on_acknowledged = [this](int32_t partition, int64_t offset) {
      check_acknowledged(partition, offset);
    };
  workload_.start();
  if (knobs_.transactions) transactions_.start();
  table_.start();
  share_.start();
  share_committed_.start();
  streams_.start();
  migration_.start();
  inspect();
  look_at_table();
  faults_.on_started = [this] {
    table_.oracle().look(broker_.node().partitions());
    inspector_.check_producers(broker_);
    inspector_.check_image(broker_);
    if (!rot_.is_there()) inspector_.check_recovered(broker_);
  };
  faults_.on_quiet = [this](bool quiet) { workload_.pause(quiet); };
  faults_.begin();
  world_.run_for(knobs_.chaos);
  faults_.heal();
  await("the broker does not run after everything healed",
        [this] { return faults_.is_quiet() && broker_.is_running(); });
  drain();
  for (auto phase : phases())
    if (!world_.has_failed()) (this->*phase)();
  return outcome_of(world_, {.acknowledged = workload_.oracle().acknowledged_count(),
                             .lives = broker_.lives(),
                             .knobs = knobs_.to_string() + " faults=" + faults_.enabled()});
}

}  // namespace

Outcome run_scenario(uint64_t seed) {
  Scenario scenario(seed);
  return scenario.run();
}

}  // namespace millrace::sim
