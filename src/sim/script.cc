#include "sim/script.h"

#include "record/builder.h"
#include "wire/alter_partition_reassignments.h"

namespace millrace::sim {
namespace {

constexpr int16_t kProduceVersion = 9;
constexpr int16_t kCreateVersion = 7;
constexpr int16_t kDeleteVersion = 5;
constexpr int16_t kMoveVersion = 0;

constexpr Duration kPatience = seconds(60);
constexpr Duration kStep = milliseconds(10);
constexpr Duration kInspection = milliseconds(5);

}  // namespace

Script::Script(const ScriptOptions& options)
    : options_(options),
      world_(options.seed),
      network_(world_),
      cluster_(network_, cluster_options()),
      clients_(network_, client_medium_, {.name = "clients"}),
      site_{&clients_, cluster_.bootstrap()},
      client_(site_, "script"),
      reader_(site_, "reader"),
      oracle_(world_),
      quorum_(world_, cluster_),
      replicas_(world_, cluster_, {.synced = true, .min_isr = options.min_isr}) {
  oracle_.expect_other_leaders();
  for (const auto& node : cluster_.nodes()) start(*node);
  watch();
  create_topic(kTopic);
  until("the cluster is whole", [this] { return replicas_.what_is_missing().empty(); });
}

void Script::watch() {
  quorum_.look();
  replicas_.look();
  world_.after(kInspection, Owner::kScenario, [this] { watch(); });
}

std::string Script::failure() {
  quorum_.compare_logs();
  replicas_.compare_logs();
  return world_.failure();
}

void Script::become_whole() {
  network_.heal();
  for (const auto& node : cluster_.nodes())
    if (!node->broker.is_running()) start(*node);
  until("everything is whole", [this] { return replicas_.what_is_missing().empty(); });
  check_acknowledged();
}

void Script::check_acknowledged() {
  const std::map<int64_t, std::string> found = read();
  for (const auto& [offset, value] : acknowledged_)
    expect(found.contains(offset) && found.at(offset) == value,
           fmt::format("{} is at {}, where it was acknowledged", value, offset));
}

void Script::start(Node& node) {
  if (world_.has_failed()) return;
  auto started = node.broker.start();
  if (!started) world_.violated("ST2", node.name + ": " + started.error().message);
}

void Script::stop(Node& node) {
  bool stopped = false;
  node.broker.stop([&] { stopped = true; });
  until(node.name + " stops", [&] { return stopped; });
}

void Script::cut(const Node& a, const Node& b) {
  network_.cut({a.name, b.name});
  network_.cut({b.name, a.name});
}

void Script::until(const std::string& what, const std::function<bool()>& reached) {
  const Instant end = world_.now() + kPatience;
  while (!world_.has_failed() && !reached()) {
    if (world_.now() >= end)
      return world_.violated("script", "it does not come about that " + what + ": " + describe() +
                                           ", " + replicas_.what_is_missing());
    world_.run_for(kStep);
  }
}

void Script::during(Duration time, const std::string& what, const std::function<bool()>& holds) {
  const Instant end = world_.now() + time;
  while (!world_.has_failed() && world_.now() < end) {
    if (!holds()) return world_.violated("script", "it is not so that " + what + ": " + describe());
    world_.run_for(kStep);
  }
}

void Script::expect(bool fact, const std::string& what) {
  if (!fact) world_.violated("script", "it is not so that " + what + ": " + describe());
}

std::string Script::describe() {
  auto text_of = [](const std::vector<NodeId>& ids) {
    std::string text;
    for (NodeId id : ids) text += fmt::format(" {}", id);
    return text;
  };
  return fmt::format("leader {} of epoch {}, ISR{}, ELR{}", state().leader, state().leader_epoch,
                     text_of(isr()), text_of(state().elr));
}

ClusterOptions Script::cluster_options() const {
  config::Values values = config::NodeProperties::embedded_default();
  const std::string replicas = std::to_string(options_.replicas);
  values["offsets.topic.num.partitions"] = "1";
  values["offsets.topic.replication.factor"] = replicas;
  values["min.insync.replicas"] = std::to_string(options_.min_isr);
  values["replica.lag.time.max.ms"] = std::to_string(options_.lag_ms);
  values["broker.session.timeout.ms"] = std::to_string(options_.session_ms);
  values["broker.heartbeat.interval.ms"] = std::to_string(options_.session_ms / 5);
  values["group.initial.rebalance.delay.ms"] = "100";
  for (const auto& [name, value] : options_.more) values[name] = value;
  return {.brokers = options_.brokers,
          .voters = options_.voters,
          .controllers_apart = options_.controllers_apart,
          .properties = std::move(values),
          .host = {}};
}

void Script::create_topic(const std::string& name) {
  bool created = false;
  until("topic " + name + " is created", [&] {
    wire::CreateTopicsRequest request;
    request.topics.push_back(
        {.name = name, .num_partitions = 1, .replication_factor = options_.replicas});
    for (const auto& [config, value] : options_.topic)
      request.topics[0].configs.push_back({.name = config, .value = value});
    bool answered = false;
    client_.call<wire::CreateTopicsResponse>(
        Client::AnyBroker{}, request, kCreateVersion,
        [&](Result<wire::CreateTopicsResponse> response) {
          answered = true;
          const auto code = response && !response->topics.empty()
                                ? static_cast<wire::ErrorCode>(response->topics[0].error_code)
                                : wire::ErrorCode::kNetworkException;
          created = code == wire::ErrorCode::kNone || code == wire::ErrorCode::kTopicAlreadyExists;
          if (!created) client_.doubt(Client::AnyBroker{});
        });
    while (!answered && !world_.has_failed()) world_.run_for(kStep);
    return created;
  });
}

void Script::delete_topic(const std::string& name) {
  bool deleted = false;
  until("topic " + name + " is deleted", [&] {
    const wire::DeleteTopicsRequest request{.topic_names = {name}, .timeout_ms = 5000};
    bool answered = false;
    client_.call<wire::DeleteTopicsResponse>(Client::AnyBroker{}, request, kDeleteVersion,
                                             [&](Result<wire::DeleteTopicsResponse> response) {
                                               answered = true;
                                               deleted = response && !response->responses.empty() &&
                                                         response->responses[0].error_code == 0;
                                               if (!deleted) client_.doubt(Client::AnyBroker{});
                                             });
    while (!answered && !world_.has_failed()) world_.run_for(kStep);
    return deleted;
  });
  if (name != kTopic) return;
  acknowledged_.clear();
  oracle_ = Oracle(world_);  // another topic of the name owes nothing
  oracle_.expect_other_leaders();
}

void Script::move_to(const std::optional<std::vector<NodeId>>& replicas) {
  wire::AlterPartitionReassignmentsRequest request{.timeout_ms = 5000};
  request.topics.push_back({.name = kTopic, .partitions = {{.partition_index = 0}}});
  if (replicas) {
    auto& ids = request.topics[0].partitions[0].replicas.emplace();
    for (NodeId id : *replicas) ids.push_back(id.value());
  }
  bool taken = false;
  until("a move is asked for", [&] {
    bool answered = false;
    client_.call<wire::AlterPartitionReassignmentsResponse>(
        Client::AnyBroker{}, request, kMoveVersion,
        [&](Result<wire::AlterPartitionReassignmentsResponse> response) {
          answered = true;
          taken = response && response->error_code == 0 && !response->responses.empty() &&
                  response->responses[0].partitions.at(0).error_code == 0;
          if (!taken) client_.doubt(Client::AnyBroker{});
        });
    while (!answered && !world_.has_failed()) world_.run_for(kStep);
    return taken;
  });
}

namespace {

template <class Get>
std::optional<Offset> of_replica(Script::Node& node, const Get& get) {
  if (!node.can_be_asked()) return std::nullopt;
  const auto hosted =
      node.broker.node().partitions().find(TopicPartition{Script::kTopic, PartitionIndex(0)});
  if (!hosted) return std::nullopt;
  return with_partition(*hosted.partition, get);
}

}  // namespace

std::optional<Offset> Script::high_watermark(Node& node) {
  return of_replica(node, [](node::PartitionState& state) { return state.high_watermark(); });
}

std::optional<Offset> Script::log_start(Node& node) {
  return of_replica(node, [](node::PartitionState& state) { return state.log().log_start(); });
}

std::optional<Offset> Script::log_end(Node& node) {
  return of_replica(node, [](node::PartitionState& state) { return state.log().log_end(); });
}

wire::ErrorCode Script::produce(const std::string& value, Duration patience) {
  record::BatchBuilder builder({});
  builder.append({.timestamp = clients_.shard(0).clock().wall(),
                  .key = std::nullopt,
                  .value = as_bytes(value),
                  .headers = {}});
  const ByteBuffer bytes = std::move(builder).build();
  wire::ProduceRequest request{.acks = -1,
                               .timeout_ms = static_cast<int32_t>(
                                   std::chrono::duration_cast<milliseconds>(patience).count())};
  request.topic_data.push_back({.name = kTopic});
  request.topic_data[0].partition_data.push_back({.index = 0, .records = wire::Records::of(bytes)});
  const TopicPartition place{kTopic, PartitionIndex(0)};
  std::optional<wire::ErrorCode> outcome;
  client_.timeout = patience + seconds(1);
  client_.call<wire::ProduceResponse>(
      place, request, kProduceVersion, [&](Result<wire::ProduceResponse> response) {
        if (!response) return static_cast<void>(outcome = wire::ErrorCode::kNetworkException);
        const auto& answer = response->responses.at(0).partition_responses.at(0);
        outcome = static_cast<wire::ErrorCode>(answer.error_code);
        if (answer.error_code != 0) return client_.doubt(place);
        acknowledged_[answer.base_offset] = value;
        oracle_.acknowledged(0, answer.base_offset, value);
        replicas_.check_acknowledged(place, answer.base_offset);
      });
  while (!outcome && !world_.has_failed()) world_.run_for(kStep);
  return outcome.value_or(wire::ErrorCode::kUnknownServerError);
}

std::map<int64_t, std::string> Script::read() {
  std::map<int64_t, std::string> all;
  int64_t position = 0;
  bool at_end = false;
  until("the log is read to its end", [&] {
    bool answered = false;
    fetch(reader_, oracle_, {.topic = kTopic, .partition = 0, .offset = position, .max_wait_ms = 0},
          [&](std::optional<FetchedPartition> fetched, const Oracle::Contents& records) {
            answered = true;
            if (!fetched || fetched->error != 0) return;
            all.insert(records.begin(), records.end());
            position = fetched->next_offset;
            at_end = position >= fetched->high_watermark;
          });
    while (!answered && !world_.has_failed()) world_.run_for(kStep);
    return at_end;
  });
  return all;
}

}  // namespace millrace::sim
