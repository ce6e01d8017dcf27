// Apache Kafka's scripts by name: kafka-storage.sh, kafka-server-start.sh, kafka-run-class.sh, and
// those of app/kafka. Called by one of these names, with or without .sh, the program takes that
// script's words, prints its lines and ends with its exit statuses: 1 also for words that are not
// understood.
// Not here: what starting and formatting do (app/start.h, app/format.h), what the scripts do that
// use a cluster (program/tools.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::program {

// The exit status; nothing: the name is no script's.
std::optional<int> run_script(std::string_view name, const std::vector<std::string>& words);

// `millrace kafka SCRIPT ...`: the words behind `kafka`.
int run_kafka_command(const std::vector<std::string>& words);

}  // namespace millrace::program
