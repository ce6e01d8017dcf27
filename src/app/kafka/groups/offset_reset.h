// Where --reset-offsets leads: which partitions, which offsets, and the lines that say so. For all
// scripts that move a group.
// Not here: what groups there are and who commits (one file a script).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "app/kafka/groups_admin.h"

namespace millrace::app::kafka::groups {

using ResetOffsets = std::vector<std::pair<TopicPartition, int64_t>>;   // as Kafka prints them
using ResetGroups = std::vector<std::pair<std::string, ResetOffsets>>;  // the same

// "topic:0,3".
Attempt<std::vector<TopicPartition>> parse_topic_partitions(const std::string& text);
// Values of --topic: topics, and topics with partitions.
Attempt<std::vector<TopicPartition>> partitions_to_reset(Admin& admin,
                                                         const std::vector<std::string>& topics);
// Whether they are all there and have leaders.
Attempt<> check_partitions(Admin& admin, const std::vector<TopicPartition>& partitions);

// "2026-11-21T08:00:00.000", with or without an offset from UTC; in milliseconds.
Attempt<int64_t> parse_date_time(const std::string& text);
// "P1DT2H3M4.5S", in milliseconds.
Attempt<int64_t> parse_duration(const std::string& text);

ResetOffsets in_java_order(const std::map<TopicPartition, int64_t>& offsets);
Attempt<ResetOffsets> reset_to_end(Admin& admin, const std::vector<TopicPartition>& partitions,
                                   int64_t end);
Attempt<ResetOffsets> reset_to_time(Admin& admin, const std::vector<TopicPartition>& partitions,
                                    int64_t timestamp);
// Offsets outside of the log go to its ends, with a warning.
Attempt<ResetOffsets> reset_within_range(Admin& admin,
                                         const std::map<TopicPartition, int64_t>& wanted);

// What of a group is reset. Its committed offsets are asked for where the words need them.
struct ResetScope {
  const std::string& group;
  const std::vector<TopicPartition>& partitions;
  std::function<Attempt<CommittedOffsets>()> committed;
};
// To where --to-earliest, --shift-by, --from-file and the like say.
Attempt<ResetOffsets> reset_as_told(Admin& admin, const Options& options, const ResetScope& scope);
Attempt<> commit_reset(Admin& admin, const std::string& group, const ResetOffsets& offsets);
// That a group with members is not reset.
void print_inactive_only(const std::string& group, const std::string& state);
// Error codes of a reset; the exception of the partitions for which it failed.
using ResetErrors = std::map<TopicPartition, int16_t>;
Attempt<> check_reset_errors(const ResetErrors& errors);

void print_reset(const ResetGroups& groups);
void print_reset_csv(const ResetGroups& groups, bool with_group);

}  // namespace millrace::app::kafka::groups
