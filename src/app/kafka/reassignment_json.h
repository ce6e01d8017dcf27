// The JSON of kafka-reassign-partitions: which partitions shall have which replicas, in which log
// directories; and the topics that a plan is asked for.
// Errors: exceptions with Apache Kafka's words; where the text is no JSON, our own.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "app/kafka/reassignment_admin.h"

namespace millrace::app::kafka {

using Assignment = std::map<TopicPartition, std::vector<int32_t>>;

struct ReassignmentPlan {
  // As the file has them: a partition may come twice.
  std::vector<std::pair<TopicPartition, std::vector<int32_t>>> partitions;
  DirectoryMoves directories;  // where one is named
};

Attempt<ReassignmentPlan> parse_reassignments(const std::string& text);
// What --execute asks of a plan: partitions, each once, with replicas, each once.
Attempt<Assignment> checked_assignment(const ReassignmentPlan& plan);

Attempt<std::vector<std::string>> parse_topics_to_move(const std::string& text);

// "any" for replicas whose directory is not known.
std::string reassignment_json(const Assignment& assignment, const DirectoryMoves& directories);

}  // namespace millrace::app::kafka
