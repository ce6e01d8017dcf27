// Apache Kafka's scripts for those who use a cluster, by name. Each takes its script's words,
// prints what it prints and gives its exit status (of Apache Kafka 4.3).
// Not here: kafka-server-start, kafka-storage and kafka-run-class (app/scripts.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/kafka/options.h"

namespace millrace::app::kafka {

// `name` as the script is called, with or without "kafka-" and ".sh", or as its class is
// ("org.apache.kafka.tools.TopicCommand"). The exit status; nothing: there is no such script here.
std::optional<int> run_tool(std::string_view name, const Words& words);
// The names, without "kafka-" and ".sh", sorted.
std::vector<std::string_view> tool_names();

int broker_api_versions(const Words& words);
int client_metrics(const Words& words);
int cluster(const Words& words);
int configs(const Words& words);
int console_consumer(const Words& words);
int console_producer(const Words& words);
int consumer_groups(const Words& words);
int consumer_perf_test(const Words& words);
int delete_records(const Words& words);
int dump_log(const Words& words);
int e2e_latency(const Words& words);
int features(const Words& words);
int get_offsets(const Words& words);
int groups(const Words& words);
int leader_election(const Words& words);
int log_dirs(const Words& words);
int metadata_quorum(const Words& words);
int metadata_shell(const Words& words);
int producer_perf_test(const Words& words);
int reassign_partitions(const Words& words);
int share_groups(const Words& words);
int streams_groups(const Words& words);
int topics(const Words& words);
int transactions(const Words& words);
int verifiable_consumer(const Words& words);
int verifiable_producer(const Words& words);

}  // namespace millrace::app::kafka
