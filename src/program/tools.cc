#include "program/tools.h"

#include <algorithm>

#include "app/kafka/clients/scripts.h"
#include "app/kafka/groups/scripts.h"
#include "app/kafka/scripts.h"
#include "app/kafka/shell/metadata_shell.h"

namespace millrace::program {
namespace {

namespace kafka = app::kafka;
using kafka::Words;

struct Tool {
  std::string_view name;
  std::string_view java_class;
  int (*run)(const Words& words);
};

constexpr Tool kTools[] = {
    {"broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand",
     kafka::broker_api_versions},
    {"client-metrics", "org.apache.kafka.tools.ClientMetricsCommand", kafka::client_metrics},
    {"cluster", "org.apache.kafka.tools.ClusterTool", kafka::cluster},
    {"configs", "kafka.admin.ConfigCommand", kafka::configs},
    {"console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer",
     kafka::clients::console_consumer},
    {"console-producer", "org.apache.kafka.tools.ConsoleProducer",
     kafka::clients::console_producer},
    {"console-share-consumer", "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
     kafka::clients::console_share_consumer},
    {"consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
     kafka::groups::consumer_groups},
    {"consumer-perf-test", "org.apache.kafka.tools.ConsumerPerformance",
     kafka::clients::consumer_perf_test},
    {"delete-records", "org.apache.kafka.tools.DeleteRecordsCommand", kafka::delete_records},
    {"dump-log", "org.apache.kafka.tools.DumpLogSegments", kafka::dump_log},
    {"e2e-latency", "org.apache.kafka.tools.EndToEndLatency", kafka::clients::e2e_latency},
    {"features", "org.apache.kafka.tools.FeatureCommand", kafka::features},
    {"get-offsets", "org.apache.kafka.tools.GetOffsetShell", kafka::get_offsets},
    {"groups", "org.apache.kafka.tools.GroupsCommand", kafka::groups::groups},
    {"leader-election", "org.apache.kafka.tools.LeaderElectionCommand", kafka::leader_election},
    {"log-dirs", "org.apache.kafka.tools.LogDirsCommand", kafka::log_dirs},
    {"metadata-quorum", "org.apache.kafka.tools.MetadataQuorumCommand", kafka::metadata_quorum},
    {"metadata-shell", "org.apache.kafka.shell.MetadataShell", kafka::shell::metadata_shell},
    {"producer-perf-test", "org.apache.kafka.tools.ProducerPerformance",
     kafka::clients::producer_perf_test},
    {"reassign-partitions", "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
     kafka::reassign_partitions},
    {"share-groups", "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
     kafka::groups::share_groups},
    {"streams-groups", "org.apache.kafka.tools.streams.StreamsGroupCommand",
     kafka::groups::streams_groups},
    {"topics", "org.apache.kafka.tools.TopicCommand", kafka::topics},
    {"transactions", "org.apache.kafka.tools.TransactionsCommand", kafka::transactions},
    {"verifiable-consumer", "org.apache.kafka.tools.VerifiableConsumer",
     kafka::clients::verifiable_consumer},
    {"verifiable-producer", "org.apache.kafka.tools.VerifiableProducer",
     kafka::clients::verifiable_producer},
};

}  // namespace

std::optional<int> run_tool(std::string_view name, const Words& words) {
  std::string_view plain = name;
  if (plain.starts_with("kafka-")) plain.remove_prefix(6);
  if (plain.ends_with(".sh")) plain.remove_suffix(3);
  for (const Tool& tool : kTools)
    if (tool.name == plain || tool.java_class == name) return tool.run(words);
  return std::nullopt;
}

std::vector<std::string_view> tool_names() {
  std::vector<std::string_view> names;
  for (const Tool& tool : kTools) names.push_back(tool.name);
  std::ranges::sort(names);
  return names;
}

}  // namespace millrace::program
