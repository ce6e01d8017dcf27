// What the scripts about groups of one kind (consumers, share groups, streams) do alike: which
// groups the words mean, their states, their deletion, and what is said when something fails.
// Not here: what is asked of the cluster (app/kafka/groups_admin.h), resets
// (app/kafka/offset_reset.h), deleted offsets (app/kafka/offset_deletion.h).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/kafka/groups_admin.h"
#include "app/kafka/options.h"

namespace millrace::app::kafka::groups {

constexpr Option with_describe(std::string_view name, std::string_view help) {
  return {.name = name, .takes = Option::Takes::kNothing, .help = help, .only_with = "describe"};
}

// Of --describe: groups, and one of the views at most.
Attempt<> check_describe(const Options& options);

// Those of --group, or with --all-groups all that the filter lets through.
Attempt<std::vector<std::string>> chosen_groups(Admin& admin, const Options& options,
                                                const GroupFilter& all);

// What stands between commas after --state or --type, held to what there is. Java's enumerations
// are told by their names without a difference of case.
Attempt<std::vector<std::string>> parse_names(const std::string& text, std::string_view what,
                                              const std::vector<std::string>& valid);
// Of --list: names, or with --state a table.
Attempt<> list_with_states(Admin& admin, const Options& options, GroupFilter filter,
                           const std::vector<std::string>& valid_states);

struct Deletion {
  std::vector<std::string> deleted;
  std::vector<std::pair<std::string, Ending>> failed;
};
// What prevents the deletion of groups, by their names: they have members, or are not of the kind.
// `title` begins a sentence about such a group ("Share group"), `absent` ends one about a group
// that is not there.
struct Deletable {
  std::string_view title;
  std::string_view absent;
};
Attempt<Deletion> refuse_deletions(Admin& admin, const std::vector<std::string>& groups,
                                   const GroupFilter& all, const Deletable& words);
// Those that were not refused before. `call` is what Kafka's client calls it.
void delete_groups(Admin& admin, const std::vector<std::string>& groups, std::string_view call,
                   Deletion& deletion);
// As "'a', 'b'".
std::string quoted(const std::vector<std::string>& groups);
// `end` ends the sentence about those that were deleted beside failures.
void print_deletion(std::string_view kind, const Deletion& deletion, std::string_view end = "");

// "a:0,1;b:2".
std::string assignment_text(const std::vector<TopicPartition>& partitions);

// "HOST:PORT  (ID)".
std::string coordinator_text(const GroupCoordinator& coordinator, std::string_view gap = "  ");

void print_error(std::string_view text);
// Says what an exception is about: the help behind wrong words, the exception otherwise, whose
// `status` it is then.
Attempt<> tell_failure(std::string_view kind, const Attempt<>& done, int status);

}  // namespace millrace::app::kafka::groups
