#include "gateway/metrics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "gateway/exposition.h"
#include "node/client_quotas.h"
#include "node/compactor.h"
#include "node/controller_host.h"
#include "node/replication.h"
#include "wire/api_table.h"

namespace millrace::gateway {
namespace {

using enum MetricKind;

// BrokerState, as Kafka numbers it.
constexpr double kStarting = 1;
constexpr double kRunning = 3;

// One partition of this broker at the moment it was looked at.
struct Look {
  TopicPartition name;
  node::Traffic traffic;
  bool is_leader = false;
  bool is_offline = false;
  size_t replicas = 0;
  size_t in_sync = 0;
  size_t min_in_sync = 0;
  bool is_reassigning = false;
  Offset log_start;
  Offset log_end;
  uint64_t size = 0;
};

using Looks = std::vector<Look>;

Look look_at(const node::HostedPartition& hosted, const metadata::Image& image) {
  Look look{.name = hosted.partition->name()};
  if (const auto* topic = image.find_topic(hosted.partition->topic_id())) {
    const auto index = static_cast<size_t>(look.name.partition.value());
    if (index < topic->partitions.size()) {
      const metadata::PartitionState& state = topic->partitions[index];
      look.replicas = state.replicas.size();
      look.in_sync = state.isr.size();
      look.is_reassigning = !state.adding_replicas.empty() || !state.removing_replicas.empty();
    }
  }
  with_partition(*hosted.partition, [&](node::PartitionState& state) {
    look.traffic = state.traffic();
    look.is_leader = state.is_leader();
    look.is_offline = state.is_offline();
    look.min_in_sync = static_cast<size_t>(std::max(1, state.settings()->min_insync_replicas));
    look.log_start = state.log().log_start();
    look.log_end = state.log().log_end();
    look.size = state.log().size_in_bytes();
  });
  return look;
}

Looks look_at_all(node::Node& node) {
  Looks looks;
  const auto image = node.image();
  for (const auto& hosted : node.partitions().all()) looks.push_back(look_at(hosted, *image));
  std::ranges::sort(looks, {}, &Look::name);
  return looks;
}

template <class Which>
double count(const Looks& looks, Which which) {
  return static_cast<double>(std::ranges::count_if(looks, which));
}

struct TrafficFamily {
  std::string_view name;
  std::string_view help;
  uint64_t node::Traffic::* value;
};

constexpr TrafficFamily kTraffic[] = {
    {"messagesin", "Records that producers wrote.", &node::Traffic::messages_in},
    {"bytesin", "Bytes of batches that producers wrote.", &node::Traffic::bytes_in},
    {"bytesout", "Bytes of batches that consumers read.", &node::Traffic::bytes_out},
    {"replicationbytesin", "Bytes of batches fetched from leaders.",
     &node::Traffic::replication_bytes_in},
    {"replicationbytesout", "Bytes of batches that followers fetched.",
     &node::Traffic::replication_bytes_out},
    {"totalproducerequests", "Partitions that Produce requests wrote to.",
     &node::Traffic::produces},
    {"totalfetchrequests", "Partitions that Fetch requests read from.", &node::Traffic::fetches},
};

// Each family once for all topics together, without a label, as Kafka has it, and once a topic.
void write_traffic(Exposition& page, const Looks& looks) {
  for (const TrafficFamily& family : kTraffic) {
    std::map<std::string_view, uint64_t> by_topic;
    uint64_t all = 0;
    for (const Look& look : looks) {
      by_topic[look.name.topic] += look.traffic.*family.value;
      all += look.traffic.*family.value;
    }
    page.family("kafka_server_brokertopicmetrics_" + std::string(family.name) + "_total", kCounter,
                family.help);
    page.sample({}, static_cast<double>(all));
    for (const auto& [topic, value] : by_topic)
      page.sample({{"topic", topic}}, static_cast<double>(value));
  }
}

void write_replicas(Exposition& page, const Looks& looks) {
  const auto gauge = [&](std::string_view name, std::string_view help, auto which) {
    page.single("kafka_server_replicamanager_" + std::string(name), kGauge, help,
                count(looks, which));
  };
  gauge("partitioncount", "Partitions with a replica here.", [](const Look&) { return true; });
  gauge("leadercount", "Partitions led from here.", &Look::is_leader);
  gauge("underreplicatedpartitions", "Led from here, with a replica out of sync.",
        [](const Look& look) { return look.is_leader && look.in_sync < look.replicas; });
  gauge("underminisrpartitioncount", "Led from here, with fewer in sync than min.insync.replicas.",
        [](const Look& look) { return look.is_leader && look.in_sync < look.min_in_sync; });
  gauge("atminisrpartitioncount", "Led from here, with no more in sync than min.insync.replicas.",
        [](const Look& look) { return look.is_leader && look.in_sync == look.min_in_sync; });
  gauge("offlinereplicacount", "Replicas here that cannot be served.", &Look::is_offline);
  gauge("reassigningpartitions", "Led from here and being moved.",
        [](const Look& look) { return look.is_leader && look.is_reassigning; });
}

void write_partitions(Exposition& page, const Looks& looks) {
  const auto each = [&](std::string_view name, std::string_view help, auto value) {
    page.family("kafka_log_log_" + std::string(name), kGauge, help);
    for (const Look& look : looks)
      page.sample(
          {{"topic", look.name.topic}, {"partition", std::to_string(look.name.partition.value())}},
          static_cast<double>(value(look)));
  };
  each("logstartoffset", "The first offset of the log.",
       [](const Look& look) { return look.log_start.value(); });
  each("logendoffset", "The offset behind the last record of the log.",
       [](const Look& look) { return look.log_end.value(); });
  each("size", "Bytes of the log's segments.", [](const Look& look) { return look.size; });
}

void write_requests(Exposition& page, const server::ServerStatistics& server) {
  const auto name_of = [](int16_t key) {
    const wire::ApiInfo* api = wire::find_api(key);
    return api ? std::string_view(api->name) : "?";
  };
  page.family("kafka_network_requestmetrics_requests_total", kCounter, "Requests answered.");
  for (const auto& [key, api] : server.apis)
    page.sample({{"request", name_of(key)}}, static_cast<double>(api.answered));
  constexpr std::pair<std::string_view, double> kQuantiles[] = {{"0.50", 0.5},  {"0.75", 0.75},
                                                                {"0.95", 0.95}, {"0.98", 0.98},
                                                                {"0.99", 0.99}, {"0.999", 0.999}};
  page.family(
      "kafka_network_requestmetrics_totaltimems", kGauge,
      "Milliseconds from a request's arrival to its answer, of the last one to two minutes.");
  for (const auto& [key, api] : server.apis) {
    const server::DurationHistogram recent = api.recent();
    if (recent.count() == 0) continue;
    for (const auto& [quantile, which] : kQuantiles)
      page.sample({{"request", name_of(key)}, {"quantile", quantile}},
                  std::chrono::duration<double, std::milli>(recent.quantile(which)).count());
  }
  page.family("kafka_network_requestmetrics_totaltimems_count", kCounter, "Requests timed.");
  for (const auto& [key, api] : server.apis)
    page.sample({{"request", name_of(key)}}, static_cast<double>(api.answered));
  page.family("millrace_request_seconds_total", kCounter, "Time that requests took together.");
  for (const auto& [key, api] : server.apis)
    page.sample({{"request", name_of(key)}}, std::chrono::duration<double>(api.total).count());
  page.family("kafka_server_socket_server_metrics_connection_count", kGauge, "Open connections.");
  for (const auto& [listener, open] : server.connections)
    page.sample({{"listener", listener}}, static_cast<double>(open));
}

// Of a node that is the active controller; those of the others say 0, as Kafka's do.
void write_controller(Exposition& page, const node::Node& node) {
  const auto image = node.image();
  const bool active = node.is_active_controller();
  double partitions = 0;
  double without_leader = 0;
  double not_preferred = 0;
  for (const auto& [name, topic] : image->topics())
    for (const metadata::PartitionState& state : topic->partitions) {
      ++partitions;
      without_leader += state.leader == kNoNode ? 1 : 0;
      not_preferred += !state.replicas.empty() && state.leader != state.replicas.front() ? 1 : 0;
    }
  const auto fenced =
      std::ranges::count_if(image->brokers(), [](const auto& each) { return each.second.fenced; });
  const auto gauge = [&](std::string_view name, std::string_view help, double value) {
    page.single("kafka_controller_kafkacontroller_" + std::string(name), kGauge, help,
                active ? value : 0);
  };
  gauge("activecontrollercount", "1: this node is the active controller.", 1);
  gauge("globaltopiccount", "Topics of the cluster.", static_cast<double>(image->topics().size()));
  gauge("globalpartitioncount", "Partitions of the cluster.", partitions);
  gauge("offlinepartitionscount", "Partitions without a leader.", without_leader);
  gauge("preferredreplicaimbalancecount", "Partitions that their first replica does not lead.",
        not_preferred);
  gauge("activebrokercount", "Brokers that are not fenced.",
        static_cast<double>(image->brokers().size()) - static_cast<double>(fenced));
  gauge("fencedbrokercount", "Brokers that are fenced.", static_cast<double>(fenced));
}

void write_quorum(Exposition& page, node::Node& node) {
  const node::QuorumView quorum = node.controller().quorum();
  const auto gauge = [&](std::string_view name, std::string_view help, double value) {
    page.single("kafka_server_raftmetrics_" + std::string(name), kGauge, help, value);
  };
  gauge("current_leader", "Id of the quorum's leader; -1: none is known.", quorum.leader.value());
  gauge("current_epoch", "The quorum's epoch.", quorum.epoch.value());
  gauge("high_watermark", "Offset up to which the metadata log is committed.",
        static_cast<double>(quorum.high_watermark.value()));
  gauge("log_end_offset", "End of the metadata log.", static_cast<double>(quorum.log_end.value()));
  gauge("number_of_voters", "Voters of the quorum.",
        static_cast<double>(quorum.voters.voters.size()));
}

// Of those who fall under quotas, by the user and the client id that share one; the part that a
// quota does not look at is empty.
void write_quotas(Exposition& page, node::ClientQuotas& quotas, Instant now) {
  using quota::Kind;
  constexpr struct {
    Kind kind;
    std::string_view group, value, help;
  } kKinds[] = {
      {Kind::kProduce, "produce", "byte_rate", "Bytes a second that are produced."},
      {Kind::kFetch, "fetch", "byte_rate", "Bytes a second that are fetched."},
      {Kind::kRequest, "request", "request_time", "Percents of a core that requests take."},
      {Kind::kControllerMutation, "controllermutation", "tokens",
       "Partitions that may be made or unmade at once."}};
  const auto readings = quotas.readings(now);
  const auto family = [&](const auto& kind, std::string_view what, std::string_view help,
                          double node::ClientQuotas::Reading::* value) {
    page.family(fmt::format("kafka_server_{}_{}", kind.group, what), kGauge, help);
    for (const auto& each : readings)
      if (each.kind == kind.kind)
        page.sample({{"user", each.tags.user}, {"client_id", each.tags.client_id}}, each.*value);
  };
  for (const auto& kind : kKinds) {
    if (!quotas.has(kind.kind)) continue;
    family(kind, kind.value, kind.help, &node::ClientQuotas::Reading::value);
    family(kind, "throttle_time", "Milliseconds that clients were told to wait, on average.",
           &node::ClientQuotas::Reading::average_throttle_ms);
  }
  if (quotas.has(Kind::kRequest))
    page.single("kafka_server_request_exempt_request_time", kGauge,
                "Percents of a core that requests take which no client is charged for.",
                quotas.exempt_time(now));
}

// What clients push (KIP-714): org.apache.kafka.producer.x is kafka_client_producer_x, so that no
// client's metric is taken for one of ours.
std::string client_metric(std::string_view name) {
  constexpr std::string_view kKafkas = "org.apache.kafka.";
  if (name.starts_with(kKafkas)) name.remove_prefix(kKafkas.size());
  return "kafka_client_" + Exposition::name_of(name);
}

telemetry::Labels client_labels(const telemetry::Labels& labels) {
  telemetry::Labels named;
  for (const auto& [label, value] : labels) named[Exposition::name_of(label)] = value;
  return named;
}

void write_client_series(Exposition& page, const server::ClientTelemetry::View& view) {
  // Several of their names may come to one of ours, and several of their labels.
  std::map<std::string, std::map<telemetry::Labels, telemetry::Reading>> families;
  for (const auto& [name, all] : view.series)
    for (const telemetry::Series& series : all)
      families[client_metric(name)][client_labels(series.labels)] = series.reading;
  for (const auto& [name, samples] : families) {
    const bool is_counter = samples.begin()->second.is_counter;
    page.family(name, is_counter ? kCounter : kGauge, "Pushed by clients.");
    for (const auto& [labels, reading] : samples) page.sample(labels, reading.value);
  }
}

void write_client_telemetry(Exposition& page, server::ClientTelemetry& telemetry, Instant now) {
  const auto view = telemetry.view(now);
  const auto single = [&](const char* name, MetricKind kind, const char* help, double value) {
    page.single(std::string("kafka_server_client_metrics_") + name, kind, help, value);
  };
  single("instance_count", kGauge, "Clients that push metrics.",
         static_cast<double>(view.counts.clients));
  single("unknown_subscription_request_count", kCounter, "Pushes by former subscriptions.",
         static_cast<double>(view.counts.unknown_subscriptions));
  single("throttle_count", kCounter, "Requests that came too early.",
         static_cast<double>(view.counts.throttled));
  single("plugin_error_count", kCounter, "Pushes that could not be read.",
         static_cast<double>(view.counts.refused_pushes));
  single("series_left_out_count", kCounter, "Series for which there was no room.",
         static_cast<double>(view.counts.series_left_out));
  write_client_series(page, view);
}

// Kafka's LogCleaner and LogCleanerManager.
void write_cleaner(Exposition& page, const node::Compactor& compactor, Instant now) {
  const node::Compactor::Statistics cleaner = compactor.statistics();
  const auto gauge = [&](std::string_view name, std::string_view help, double value) {
    page.single("kafka_log_logcleaner" + std::string(name), kGauge, help, value);
  };
  gauge("_max_clean_time_secs", "Seconds that the threads' last compactions took, at most.",
        cleaner.last.seconds);
  gauge("_cleaner_recopy_percent", "What they wrote again of what they read, at most.",
        std::floor(cleaner.last.kept * 100));
  gauge("_max_buffer_utilization_percent", "What they used of log.cleaner.dedupe.buffer.size.",
        std::floor(cleaner.last.map_used * 100));
  gauge("manager_max_dirty_percent", "The part that is not compacted of the dirtiest log.",
        std::floor(cleaner.dirtiest * 100));
  gauge("manager_time_since_last_run_ms", "Since the dirtiest log was looked for.",
        std::chrono::duration<double, std::milli>(now - cleaner.looked).count());
  page.family("kafka_log_logcleanermanager_uncleanable_partitions_count", kGauge,
              "Partitions that could not be compacted and are left alone for a while.");
  for (const auto& [directory, partitions] : cleaner.uncleanable)
    page.sample({{"logDirectory", directory}}, static_cast<double>(partitions));
  page.single("millrace_log_cleaner_compactions_total", kCounter, "Logs compacted.",
              static_cast<double>(cleaner.compactions));
  page.single("millrace_log_cleaner_read_bytes_total", kCounter, "Bytes that compaction read.",
              static_cast<double>(cleaner.bytes_read));
  page.single("millrace_log_cleaner_written_bytes_total", kCounter, "Bytes that it wrote.",
              static_cast<double>(cleaner.bytes_written));
}

void write_process(Exposition& page, const ProcessFacts& process) {
  page.single("process_cpu_seconds_total", kCounter, "CPU time, user and system.",
              process.cpu_seconds);
  page.single("process_start_time_seconds", kGauge, "Start, in seconds since 1970.",
              process.start_time_seconds);
  page.single("process_resident_memory_bytes", kGauge, "Resident memory.",
              static_cast<double>(process.resident_bytes));
  page.single("process_virtual_memory_bytes", kGauge, "Virtual memory.",
              static_cast<double>(process.virtual_bytes));
  page.single("process_open_fds", kGauge, "Open files and sockets.",
              static_cast<double>(process.open_files));
  page.single("process_max_fds", kGauge, "How many there may be.",
              static_cast<double>(process.open_files_limit));
}

void write_broker(Exposition& page, const MetricsSources& sources) {
  page.single("kafka_server_kafkaserver_brokerstate", kGauge, "1: starts, 3: runs.",
              sources.is_ready ? kRunning : kStarting);
  if (!sources.node->is_broker()) return;
  const Looks looks = look_at_all(*sources.node);
  write_traffic(page, looks);
  write_replicas(page, looks);
  page.single("kafka_log_logmanager_offlinelogdirectorycount", kGauge,
              "Log directories that failed.",
              static_cast<double>(sources.node->partitions().offline_directories().size()));
  write_cleaner(page, sources.node->replication().compactor(),
                sources.node->host().shard(0).clock().now());
  if (sources.with_partitions) write_partitions(page, looks);
}

}  // namespace

std::string metrics_page(const MetricsSources& sources) {
  Exposition page;
  write_broker(page, sources);
  write_requests(page, *sources.server);
  write_controller(page, *sources.node);
  write_quorum(page, *sources.node);
  write_quotas(page, sources.node->client_quotas(), sources.node->host().shard(0).clock().now());
  write_client_telemetry(page, *sources.telemetry, sources.node->host().shard(0).clock().now());
  write_process(page, sources.process);
  return page.text();
}

}  // namespace millrace::gateway
