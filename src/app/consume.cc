#include "app/consume.h"

#include <boost/json/serialize.hpp>
#include <charconv>
#include <csignal>
#include <ctime>

#include "app/connect.h"
#include "app/happenings.h"
#include "app/partition_list.h"
#include "app/record_format.h"
#include "client/consumer.h"

namespace millrace::app {
namespace {

using client::core::ConsumedRecord;
using client::core::GroupVocabulary;
using client::core::StartAt;

constexpr auto kCommitInterval = std::chrono::seconds(5);
constexpr auto kLeaveWithin = std::chrono::seconds(5);

struct ConsumeOptions {
  Target target;
  std::vector<std::string> topics;
  std::optional<std::string> offset;
  std::vector<int32_t> partitions;
  std::optional<int64_t> count;
  std::optional<std::string> group;
  std::optional<std::string> instance_id;
  std::string protocol = "classic";
  std::string assignor;  // empty: the protocol's first
  std::string format = "%v";
  bool read_committed = false;
  bool until_end = false;
};

json::object json_of(const ConsumedRecord& record) {
  json::object object{{"topic", record.partition.topic},
                      {"partition", record.partition.partition.value()},
                      {"offset", record.offset.value()},
                      {"timestamp", record.timestamp.value()}};
  auto add = [](json::object& to, std::string_view name, const std::optional<ByteBuffer>& bytes) {
    if (!bytes) {
      to[name] = nullptr;
      return;
    }
    auto text = json_text(as_text(*bytes));
    to[text.encoded ? std::string(name) + "_base64" : std::string(name)] = std::move(text.text);
  };
  add(object, "key", record.key);
  add(object, "value", record.value);
  json::array headers;
  for (const auto& header : record.headers) {
    json::object each{{"name", json_text(header.key).text}};
    add(each, "value", header.value);
    headers.push_back(std::move(each));
  }
  object["headers"] = std::move(headers);
  return object;
}

class Consumption {
 public:
  Consumption(const ConsumeOptions& options, RecordFormat format, Session& session)
      : options_(options), format_(std::move(format)), session_(session), happenings_(session) {}

  Outcome<> run(const std::map<TopicPartition, StartAt>& partitions, const StartAt& start) {
    begin(partitions, start);
    auto next_commit = std::chrono::steady_clock::now() + kCommitInterval;
    while (!done_) {
      auto happening = happenings_.next(next_commit);
      if (happening) std::visit([&](auto& what) { on(what); }, *happening);
      if (std::chrono::steady_clock::now() < next_commit) continue;
      next_commit += kCommitInterval;
      commit();
    }
    leave();
    return result_;
  }

 private:
  void begin(const std::map<TopicPartition, StartAt>& partitions, const StartAt& start) {
    for (const auto& [partition, at] : partitions) open_.insert(partition);
    client::core::FetcherOptions fetcher{.read_committed = options_.read_committed,
                                         .until_end = options_.until_end};
    fetcher.reset = options_.group ? std::optional(start) : std::nullopt;
    happenings_.begin(fetcher);
    session_.run([&] {
      if (!options_.group) return happenings_.consumer().assign(partitions);
      if (options_.protocol == "classic") return happenings_.consumer().join(classic_member());
      client::core::ConsumerMembershipOptions member;
      member.group = *options_.group;
      member.topics = options_.topics;
      member.instance_id = options_.instance_id;
      if (!options_.assignor.empty()) member.server_assignor = options_.assignor;
      happenings_.consumer().join(member);
    });
  }

  client::core::MembershipOptions classic_member() const {
    const auto assignor = client::core::assignor_of_name(options_.assignor);
    return {.group = *options_.group,
            .topics = options_.topics,
            .instance_id = options_.instance_id,
            .assignors = {assignor.value_or(client::core::Assignor::kRange)}};
  }

  void on(std::vector<ConsumedRecord>& records) {
    std::string text;
    for (const auto& record : records) {
      if (options_.count && printed_count_ >= *options_.count) break;
      if (options_.target.format() == OutputFormat::kJson)
        text += json::serialize(json_of(record)) + "\n";
      else
        format_.print(record, text);
      printed_[record.partition] = record.offset + 1;
      ++printed_count_;
    }
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) done_ = true;  // nobody reads any more
    if (options_.count && printed_count_ >= *options_.count) done_ = true;
  }
  void on(TopicPartition& partition) {
    ended_.insert(partition);
    open_.erase(partition);
    done_ = open_.empty();
  }
  void on(Failure& failure) {
    result_ = std::unexpected(failure);
    done_ = true;
  }
  void on(Joined& joined) {
    open_ = joined.partitions;
    for (const auto& each : ended_) open_.erase(each);
    if (options_.until_end && open_.empty()) done_ = true;
  }
  void on(Revoked& revoked) {
    for (const auto& each : revoked.partitions) ended_.erase(each);
    if (revoked.lost) printed_.clear();
    commit();
    session_.shard().post([this] { happenings_.consumer().done_revoking(); });
  }
  void on(GroupVocabulary::CommitOutcome& outcome) {
    // A rebalance takes partitions away with what was not committed: others read it again.
    const bool rebalanced = outcome.error == wire::ErrorCode::kRebalanceInProgress ||
                            outcome.error == wire::ErrorCode::kIllegalGeneration ||
                            outcome.error == wire::ErrorCode::kUnknownMemberId ||
                            outcome.error == wire::ErrorCode::kFencedMemberEpoch ||
                            outcome.error == wire::ErrorCode::kStaleMemberEpoch;
    if (outcome.error != wire::ErrorCode::kNone && !rebalanced)
      tell(refusal({fmt::format("commit offsets of group '{}'", *options_.group),
                    options_.topics.front(), *options_.group},
                   wire::code_of(outcome.error)));
  }
  void on(Stopped&) { done_ = true; }
  void on(Left&) { left_ = true; }

  void commit() {
    if (!options_.group || printed_.empty()) return;
    session_.shard().post([this, offsets = std::exchange(printed_, {})]() mutable {
      happenings_.consumer().commit(std::move(offsets));
    });
  }

  void leave() {
    if (!options_.group) return;
    commit();
    session_.shard().post([this] { happenings_.consumer().leave(); });
    const auto until = std::chrono::steady_clock::now() + kLeaveWithin;
    while (!left_) {
      auto happening = happenings_.next(until);
      if (!happening) return;
      if (std::holds_alternative<Left>(*happening)) left_ = true;
      if (auto* outcome = std::get_if<GroupVocabulary::CommitOutcome>(&*happening)) on(*outcome);
      if (std::holds_alternative<Failure>(*happening)) return;
    }
  }

  const ConsumeOptions& options_;
  RecordFormat format_;
  Session& session_;
  Happenings happenings_;
  std::set<TopicPartition> open_;     // not yet read to the end
  std::set<TopicPartition> ended_;    // of those that are ours, read to the end
  GroupVocabulary::Offsets printed_;  // and not yet committed
  int64_t printed_count_ = 0;
  bool done_ = false;
  bool left_ = false;
  Outcome<> result_;
};

Outcome<std::map<TopicPartition, StartAt>> chosen_partitions(const ConsumeOptions& options,
                                                             const StartAt& start,
                                                             Session& session) {
  std::map<TopicPartition, StartAt> chosen;
  for (const auto& topic : options.topics) {
    auto partitions = partitions_of(session, topic, options.partitions);
    if (!partitions) return std::unexpected(partitions.error());
    for (const auto& each : *partitions) chosen[each] = start;
  }
  return chosen;
}

Outcome<> consume(const ConsumeOptions& options, Session& session) {
  auto format = RecordFormat::parse(options.format);
  if (!format)
    return std::unexpected(
        Failure(fmt::format("--format '{}': {}", options.format, format.error().message),
                "--format '%p %o %k %v'"));
  auto start = parse_start(options.offset.value_or(options.group ? "start" : "end"));
  if (!start)
    return std::unexpected(
        Failure(start.error().message, "--offset takes start, end, N, -N or @TIME"));
  auto partitions = chosen_partitions(options, *start, session);
  if (!partitions) return std::unexpected(partitions.error());
  std::signal(SIGPIPE, SIG_IGN);
  return Consumption(options, std::move(*format), session).run(*partitions, *start);
}

// Whether the assignor is one of the group's protocol.
bool is_fitting(const ConsumeOptions& options) {
  if (options.assignor.empty() || options.assignor == "range") return true;
  return (options.assignor == "uniform") == (options.protocol == "consumer");
}

int run_consume(const ConsumeOptions& options) {
  const bool plain = !options.offset || *options.offset == "start" || *options.offset == "end";
  if (options.group && !options.partitions.empty())
    return usage_error("--group shares out the partitions itself; it does not go with --partition",
                       "consume");
  if (options.group && !plain)
    return usage_error(
        "with --group, --offset is start or end: where to begin when nothing is "
        "committed. Move a group with: millrace group reset-offsets",
        "consume");
  if (!is_fitting(options))
    return usage_error(
        fmt::format("--assignor {} is none of the {} protocol: classic has range, roundrobin and "
                    "cooperative-sticky, consumer has uniform and range",
                    options.assignor, options.protocol),
        "consume");
  if (options.count && *options.count <= 0) return usage_error("--num is at least 1", "consume");
  return with_session(options.target, [&](Session& s) { return consume(options, s); });
}

Result<int64_t> whole_number(std::string_view text) {
  int64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size() || text.empty())
    return fail(Errc::kInvalid, fmt::format("'{}' is no number", text));
  return value;
}

}  // namespace

Result<int64_t> parse_time_ms(std::string_view text) {
  if (auto number = whole_number(text)) return *number;
  std::tm time{};
  const std::string whole(text);
  for (const char* form :
       {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"}) {
    time = {};
    const char* end = ::strptime(whole.c_str(), form, &time);
    if (end != nullptr && (*end == '\0' || std::string_view(end) == "Z"))
      return int64_t{::timegm(&time)} * 1000;
  }
  return fail(Errc::kInvalid,
              fmt::format("'{}' is no time: give milliseconds since 1970, or a date in UTC such as "
                          "2026-11-21T08:00:00",
                          text));
}

Result<StartAt> parse_start(std::string_view text) {
  if (text == "start" || text == "beginning" || text == "earliest") return StartAt::earliest();
  if (text == "end" || text == "latest") return StartAt::latest();
  if (text.starts_with('@')) {
    ASSIGN_OR_RETURN(const int64_t time, parse_time_ms(text.substr(1)));
    return StartAt{StartAt::Kind::kTimestamp, time};
  }
  auto number = whole_number(text);
  if (!number) return fail(Errc::kInvalid, fmt::format("'{}' is no offset", text));
  if (*number < 0) return StartAt{StartAt::Kind::kBeforeEnd, -*number};
  return StartAt::offset(Offset(*number));
}

void add_consume_command(Command& root) {
  auto command =
      root.add("consume", {"Prints records of topics as they come; Ctrl-C ends it, commits and "
                           "leaves the group.",
                           "millrace consume orders --offset start --until-end\n"
                           "millrace consume orders --group readers --format '%p %o %k %v'\n"
                           "millrace consume orders --offset -10 --num 10 -o json"});
  auto options = std::make_shared<ConsumeOptions>();
  command.argument("TOPIC", options->topics, "Topics to read");
  command.option(
      "--offset", options->offset,
      "Where to begin: start, end, N, -N (that many before the end), @TIME (ms since "
      "1970, or a date in UTC). Without: end; in a group: what is committed, else start");
  command.option("-p,--partition", options->partitions, "Partitions, repeatable (without: all)");
  command.option("-n,--num", options->count, "Ends after so many records");
  command.option("-g,--group", options->group, "Reads as a member of this group, and commits");
  command.option("--instance-id", options->instance_id, "Of a static member of the group");
  command.option("--group-protocol", options->protocol,
                 "Of the group: classic, or consumer (KIP-848), whose coordinator shares out",
                 {.values = {"classic", "consumer"}, .variable = {}});
  command.option(
      "--assignor", options->assignor,
      "How the group shares out partitions: range, roundrobin or cooperative-sticky; by "
      "the consumer protocol uniform or range",
      {.values = {"range", "roundrobin", "cooperative-sticky", "uniform"}, .variable = {}});
  command.option("-f,--format", options->format,
                 "How to print a record: %t topic, %p partition, %o offset, %k key, %v value, %h "
                 "headers, %T timestamp, %K %S sizes of key and value; \\n \\t \\xHH; \\c at the "
                 "end: no newline",
                 {});
  command.flag("--read-committed", options->read_committed,
               "Leaves out records of transactions that were aborted or are open");
  command.flag("-e,--until-end", options->until_end,
               "Ends at the end that the partitions have now");
  add_target(command, options->target);
  command.runs([options] { return run_consume(*options); });
}

}  // namespace millrace::app
