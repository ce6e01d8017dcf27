// Apache Kafka's scripts for those who use a cluster, by name.
// Not here: kafka-server-start, kafka-storage and kafka-run-class (program/scripts.h), what each
// script does (app/kafka).
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "app/kafka/options.h"

namespace millrace::program {

// `name` as the script is called, with or without "kafka-" and ".sh", or as its class is
// ("org.apache.kafka.tools.TopicCommand"). The exit status; nothing: there is no such script here.
std::optional<int> run_tool(std::string_view name, const app::kafka::Words& words);
// The names, without "kafka-" and ".sh", sorted.
std::vector<std::string_view> tool_names();

}  // namespace millrace::program
