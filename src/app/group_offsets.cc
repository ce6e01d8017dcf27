// `millrace group reset-offsets` and `millrace group offsets delete`.
#include <algorithm>
#include <charconv>

#include "app/connect.h"
#include "app/consume.h"
#include "app/group.h"
#include "app/partition_list.h"
#include "app/share_group.h"
#include "client/core/fetcher.h"

namespace millrace::app {
namespace {

using client::core::kAtEnd;
using client::core::kAtStart;
using client::core::StartAt;
using wire::ErrorCode;

struct ResetOptions {
  Target target;
  std::string group;
  std::vector<std::string> topics;
  std::string to;
  bool execute = false;
};

struct ForgetOptions {
  Target target;
  std::string group;
  std::string topic;
  std::vector<int32_t> partitions;
};

using Offsets = std::map<TopicPartition, Offset>;

// "topic" or "topic:0,3".
Outcome<std::vector<TopicPartition>> named_partitions(const std::string& text, Session& session) {
  const size_t colon = text.find(':');
  std::vector<int32_t> indexes;
  for (size_t at = colon; at != std::string::npos;) {
    const size_t end = std::min(text.find(',', at + 1), text.size());
    int32_t index = 0;
    const auto [last, failed] = std::from_chars(text.data() + at + 1, text.data() + end, index);
    if (failed != std::errc{} || last != text.data() + end)
      return std::unexpected(Failure(fmt::format("'{}' names no partitions", text),
                                     "--topic takes NAME, or NAME:0,3 for some partitions"));
    indexes.push_back(index);
    at = end == text.size() ? std::string::npos : end;
  }
  return partitions_of(session, text.substr(0, colon), indexes);
}

Outcome<std::vector<TopicPartition>> partitions_to_move(const ResetOptions& options,
                                                        const Offsets& committed,
                                                        Session& session) {
  std::vector<TopicPartition> partitions;
  for (const auto& text : options.topics) {
    auto named = named_partitions(text, session);
    if (!named) return std::unexpected(named.error());
    partitions.insert(partitions.end(), named->begin(), named->end());
  }
  if (options.topics.empty())
    for (const auto& [partition, offset] : committed) partitions.push_back(partition);
  if (partitions.empty())
    return std::unexpected(Failure(fmt::format("group '{}' has committed nothing", options.group),
                                   "name what it reads: --topic NAME"));
  return partitions;
}

// Where --to leads: an offset for each partition, not yet held to what there is.
class Goal {
 public:
  static Result<Goal> parse(const std::string& text) {
    Goal goal;
    if (text == "current") {
      goal.shift_ = 0;
    } else if (text.starts_with('+') || text.starts_with('-')) {
      int64_t shift = 0;
      const char* begin = text.data() + (text[0] == '+' ? 1 : 0);
      const auto [end, failed] = std::from_chars(begin, text.data() + text.size(), shift);
      if (failed != std::errc{} || end != text.data() + text.size())
        return fail(Errc::kInvalid, fmt::format("'{}' is no number of records", text));
      goal.shift_ = shift;
    } else {
      ASSIGN_OR_RETURN(goal.place_, parse_start(text));
    }
    return goal;
  }

  bool needs_committed() const { return shift_.has_value(); }
  // The question to the leader; none: the answer is known.
  std::optional<int64_t> timestamp() const {
    if (place_.kind == StartAt::Kind::kTimestamp) return place_.value;
    return std::nullopt;
  }
  struct Range {
    Offset start;
    Offset end;
  };
  // `found` answers timestamp(): below zero, there is no such record.
  Offset offset(std::optional<Offset> committed, Range range, Offset found) const {
    Offset wanted = range.end;
    if (shift_)
      wanted = *committed + *shift_;
    else if (place_.kind == StartAt::Kind::kEarliest)
      wanted = range.start;
    else if (place_.kind == StartAt::Kind::kOffset)
      wanted = Offset(place_.value);
    else if (place_.kind == StartAt::Kind::kTimestamp && found.value() >= 0)
      wanted = found;
    return std::clamp(wanted, range.start, range.end);
  }

 private:
  std::optional<int64_t> shift_;
  StartAt place_ = StartAt::earliest();
};

struct Move {
  std::optional<Offset> from;
  Offset to;
};
using Moves = std::map<TopicPartition, Move>;

Outcome<Moves> moves_to(const Goal& goal, const std::vector<TopicPartition>& partitions,
                        const Offsets& committed, Session& session) {
  Session::Timestamps starts, ends, times;
  for (const auto& each : partitions) {
    starts[each] = kAtStart;
    ends[each] = kAtEnd;
    if (goal.timestamp()) times[each] = *goal.timestamp();
  }
  auto start = session.list_offsets(starts);
  if (!start) return std::unexpected(start.error());
  auto end = session.list_offsets(ends);
  if (!end) return std::unexpected(end.error());
  auto found = session.list_offsets(times);
  if (!found) return std::unexpected(found.error());
  Moves moves;
  for (const auto& each : partitions) {
    const auto at = committed.find(each);
    const auto from = at == committed.end() ? std::nullopt : std::optional(at->second);
    if (goal.needs_committed() && !from)
      return std::unexpected(Failure(fmt::format("nothing is committed for {}", each.to_string()),
                                     "--to start, end, N or @TIME need no committed offset"));
    moves[each] = {from, goal.offset(from, {(*start)[each].offset, (*end)[each].offset},
                                     goal.timestamp() ? (*found)[each].offset : Offset(-1))};
  }
  return moves;
}

Outcome<> commit(const std::string& group, const Moves& moves, Session& session) {
  wire::OffsetCommitRequest request{.group_id = group};
  for (const auto& [partition, move] : moves) {
    if (request.topics.empty() || request.topics.back().name != partition.topic)
      request.topics.push_back({.name = partition.topic});
    request.topics.back().partitions.push_back({.partition_index = partition.partition.value(),
                                                .committed_offset = move.to.value(),
                                                .committed_metadata = ""});
  }
  auto code_of = [](const wire::OffsetCommitResponse& response) {
    for (const auto& topic : response.topics)
      for (const auto& each : topic.partitions)
        if (each.error_code != 0) return each.error_code;
    return int16_t{0};
  };
  auto response = session.call_group(group, std::move(request), code_of);
  if (!response) return std::unexpected(Failure(response.error()));
  int16_t error = code_of(*response);
  // A commit from outside is refused while there are members.
  const auto refused = static_cast<ErrorCode>(error);
  if (refused == ErrorCode::kUnknownMemberId || refused == ErrorCode::kIllegalGeneration ||
      refused == ErrorCode::kStaleMemberEpoch || refused == ErrorCode::kRebalanceInProgress)
    error = wire::code_of(ErrorCode::kNonEmptyGroup);
  if (error == 0) return {};
  return std::unexpected(
      refusal({fmt::format("move the offsets of group '{}'", group), {}, group}, error));
}

// Where the group is; `is_share` says what its offsets are.
struct Standing {
  bool is_share = false;
  Offsets offsets;
};

Outcome<Standing> standing_of(const std::string& group, Session& session) {
  if (!described_by<wire::ShareGroupDescribeRequest>(session, group)) {
    auto committed = committed_offsets(session, group);
    if (!committed) return std::unexpected(committed.error());
    return Standing{.is_share = false, .offsets = std::move(*committed)};
  }
  auto positions = share_positions(session, group);
  if (!positions) return std::unexpected(positions.error());
  Standing standing{.is_share = true, .offsets = {}};
  for (const auto& [partition, each] : *positions) standing.offsets[partition] = each.start;
  return standing;
}

Outcome<> carry_out(const std::string& group, const Moves& moves, bool is_share, Session& session) {
  if (!is_share) return commit(group, moves, session);
  Offsets starts;
  for (const auto& [partition, move] : moves) starts[partition] = move.to;
  return move_share_group(session, group, starts);
}

void print_moves(const ResetOptions& options, const Moves& moves) {
  json::array rows;
  for (const auto& [partition, move] : moves) {
    json::object row{{"topic", partition.topic},
                     {"partition", partition.partition.value()},
                     {"committed", nullptr},
                     {"new_offset", move.to.value()},
                     {"done", options.execute}};
    if (move.from) row["committed"] = move.from->value();
    rows.push_back(std::move(row));
  }
  constexpr std::string_view kColumns[] = {"topic", "partition", "committed", "new_offset"};
  print_rows(options.target.format(), rows, kColumns);
  std::fflush(stdout);
  if (!options.execute) fmt::print(stderr, "Nothing was changed; --execute does it.\n");
}

Outcome<> reset(const ResetOptions& options, Session& session) {
  auto goal = Goal::parse(options.to);
  if (!goal)
    return std::unexpected(Failure(
        goal.error().message, "--to takes start, end, N, @TIME, current, or +N and -N to shift"));
  auto standing = standing_of(options.group, session);
  if (!standing) return std::unexpected(standing.error());
  auto partitions = partitions_to_move(options, standing->offsets, session);
  if (!partitions) return std::unexpected(partitions.error());
  auto moves = moves_to(*goal, *partitions, standing->offsets, session);
  if (!moves) return std::unexpected(moves.error());
  if (options.execute)
    if (auto done = carry_out(options.group, *moves, standing->is_share, session); !done)
      return done;
  print_moves(options, *moves);
  return {};
}

void print_forgotten(const ForgetOptions& options, const std::vector<int32_t>& partitions) {
  json::array rows;
  for (const int32_t partition : partitions)
    rows.push_back(
        json::object{{"topic", options.topic}, {"partition", partition}, {"result", "deleted"}});
  constexpr std::string_view kColumns[] = {"topic", "partition", "result"};
  print_rows(options.target.format(), rows, kColumns);
}

Outcome<> forget_committed(const ForgetOptions& options, const std::vector<int32_t>& partitions,
                           Session& session) {
  wire::OffsetDeleteRequest request{.group_id = options.group};
  auto& topic = request.topics.emplace_back();
  topic.name = options.topic;
  for (const int32_t index : partitions) topic.partitions.push_back({index});
  auto response = session.call_group(options.group, std::move(request),
                                     [](const auto& r) { return r.error_code; });
  if (!response) return std::unexpected(Failure(response.error()));
  const Subject subject{fmt::format("delete offsets of group '{}'", options.group), options.topic,
                        options.group};
  if (response->error_code != 0) return std::unexpected(refusal(subject, response->error_code));
  for (const auto& answered : response->topics)
    for (const auto& each : answered.partitions)
      if (each.error_code != 0) return std::unexpected(refusal(subject, each.error_code));
  return {};
}

Outcome<> forget(const ForgetOptions& options, Session& session) {
  auto standing = standing_of(options.group, session);
  if (!standing) return std::unexpected(standing.error());
  if (standing->is_share && !options.partitions.empty())
    return std::unexpected(Failure(fmt::format("group '{}' is a share group", options.group),
                                   "a share group forgets a whole topic: leave --partition out"));
  std::vector<int32_t> partitions = options.partitions;
  if (partitions.empty())
    for (const auto& [partition, _] : standing->offsets)
      if (partition.topic == options.topic) partitions.push_back(partition.partition.value());
  auto done = standing->is_share ? forget_share_topic(session, options.group, options.topic)
                                 : forget_committed(options, partitions, session);
  if (done) print_forgotten(options, partitions);
  return done;
}

void add_reset(Command& group) {
  auto command = group.add(
      "reset-offsets",
      {"Moves the committed offsets of a group that has no members, or where a share group "
       "begins. Shows what it would do; --execute does it.",
       "millrace group reset-offsets readers --topic orders --to start\n"
       "millrace group reset-offsets readers --to @2026-11-21T08:00:00 --execute"});
  auto options = std::make_shared<ResetOptions>();
  command.argument("GROUP", options->group, "Name of the group");
  command.option("--topic", options->topics,
                 "NAME, or NAME:0,3 for some partitions; repeatable (without: all it committed)");
  command.option("--to", options->to,
                 "start, end, N, @TIME (ms since 1970, or a date in UTC), current, +N or -N");
  command.flag("--execute", options->execute, "Does it");
  add_target(command, options->target);
  command.runs([options] {
    if (options->to.empty()) return usage_error("--to is needed", "group reset-offsets");
    return with_session(options->target, [&](Session& s) { return reset(*options, s); });
  });
}

void add_forget(Command& group) {
  auto offsets = group.add("offsets", {"Committed offsets of a group.", ""});
  auto command =
      offsets.add("delete", {"Deletes committed offsets of a topic that no member reads.",
                             "millrace group offsets delete readers --topic orders"});
  auto options = std::make_shared<ForgetOptions>();
  command.argument("GROUP", options->group, "Name of the group");
  command.option("--topic", options->topic, "Name of the topic");
  command.option("-p,--partition", options->partitions, "Partitions, repeatable (without: all)");
  add_target(command, options->target);
  command.runs([options] {
    if (options->topic.empty()) return usage_error("--topic is needed", "group offsets delete");
    return with_session(options->target, [&](Session& s) { return forget(*options, s); });
  });
}

}  // namespace

void add_group_offset_commands(Command& group) {
  add_reset(group);
  add_forget(group);
}

}  // namespace millrace::app
