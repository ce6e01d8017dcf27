#include "app/kafka/scripts.h"

#include <algorithm>

namespace millrace::app::kafka {
namespace {

struct Tool {
  std::string_view name;
  std::string_view java_class;
  int (*run)(const Words& words);
};

constexpr Tool kTools[] = {
    {"broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand", broker_api_versions},
    {"client-metrics", "org.apache.kafka.tools.ClientMetricsCommand", client_metrics},
    {"cluster", "org.apache.kafka.tools.ClusterTool", cluster},
    {"configs", "kafka.admin.ConfigCommand", configs},
    {"console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer", console_consumer},
    {"console-producer", "org.apache.kafka.tools.ConsoleProducer", console_producer},
    {"consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
     consumer_groups},
    {"consumer-perf-test", "org.apache.kafka.tools.ConsumerPerformance", consumer_perf_test},
    {"delete-records", "org.apache.kafka.tools.DeleteRecordsCommand", delete_records},
    {"dump-log", "org.apache.kafka.tools.DumpLogSegments", dump_log},
    {"e2e-latency", "org.apache.kafka.tools.EndToEndLatency", e2e_latency},
    {"features", "org.apache.kafka.tools.FeatureCommand", features},
    {"get-offsets", "org.apache.kafka.tools.GetOffsetShell", get_offsets},
    {"groups", "org.apache.kafka.tools.GroupsCommand", groups},
    {"leader-election", "org.apache.kafka.tools.LeaderElectionCommand", leader_election},
    {"log-dirs", "org.apache.kafka.tools.LogDirsCommand", log_dirs},
    {"metadata-quorum", "org.apache.kafka.tools.MetadataQuorumCommand", metadata_quorum},
    {"metadata-shell", "org.apache.kafka.shell.MetadataShell", metadata_shell},
    {"producer-perf-test", "org.apache.kafka.tools.ProducerPerformance", producer_perf_test},
    {"reassign-partitions", "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
     reassign_partitions},
    {"share-groups", "org.apache.kafka.tools.consumer.group.ShareGroupCommand", share_groups},
    {"streams-groups", "org.apache.kafka.tools.streams.StreamsGroupCommand", streams_groups},
    {"topics", "org.apache.kafka.tools.TopicCommand", topics},
    {"transactions", "org.apache.kafka.tools.TransactionsCommand", transactions},
    {"verifiable-consumer", "org.apache.kafka.tools.VerifiableConsumer", verifiable_consumer},
    {"verifiable-producer", "org.apache.kafka.tools.VerifiableProducer", verifiable_producer},
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

}  // namespace millrace::app::kafka
