// Apache Kafka's scripts (of 4.3) for those who use a cluster. Each takes its script's words,
// prints what it prints and gives its exit status.
// Not here: those for groups, those that produce and consume, and the metadata shell
// (app/kafka/groups, clients, shell); their names (program/tools.h).
#pragma once

#include "app/kafka/options.h"

namespace millrace::app::kafka {

int broker_api_versions(const Words& words);
int client_metrics(const Words& words);
int cluster(const Words& words);
int configs(const Words& words);
int delete_records(const Words& words);
int dump_log(const Words& words);
int features(const Words& words);
int get_offsets(const Words& words);
int leader_election(const Words& words);
int log_dirs(const Words& words);
int metadata_quorum(const Words& words);
int reassign_partitions(const Words& words);
int topics(const Words& words);
int transactions(const Words& words);

}  // namespace millrace::app::kafka
