// What a member subscribes to, and what that means for the group's epoch.
#include <algorithm>

#include "base/log.h"
#include "group/consumer_protocol.h"
#include "group/metadata_hash.h"
#include "group/topic_regex.h"

namespace millrace::group {
namespace {

// So long the hash of a group's topics holds when nothing is heard of them: 24 days, Kafka's.
constexpr Duration kFresh = milliseconds(INT32_MAX);
constexpr milliseconds kRegexPause{10'000};  // between two resolutions of a group's regexes

std::string_view text_of(const std::optional<std::string>& regex) {
  return regex ? std::string_view(*regex) : std::string_view();
}

bool is_later(TimestampMs now, TimestampMs than, milliseconds by) {
  return now - than > by.count();
}

// The pattern's members as they will be with the request.
Counts regexes_after(const ConsumerGroup& group, std::string_view before, std::string_view after) {
  Counts regexes = group.regexes();
  if (before == after) return regexes;
  if (!before.empty() && regexes.contains(before)) count(regexes, before, -1);
  if (!after.empty()) count(regexes, after, 1);
  return regexes;
}

bool is_homogeneous(const Counts& regexes, const SubscribedTopics& topics, int32_t members) {
  if (regexes.empty())
    return std::ranges::all_of(topics,
                               [&](const auto& topic) { return topic.second.by_name == members; });
  if (regexes.begin()->second != members) return false;
  return std::ranges::all_of(topics, [](const auto& topic) {
    return topic.second.by_regex == 1 && topic.second.by_name == 0;
  });
}

}  // namespace

void ConsumerProtocol::write_metadata(Change& change) {
  const MemberMetadata& before = change.member.metadata;
  if (change.metadata == before) return;
  append(ConsumerRecords(change.group->id()).member(change.member.id, change.metadata));
  change.names_changed = change.metadata.subscribed_topic_names != before.subscribed_topic_names;
}

ConsumerProtocol::Outcome ConsumerProtocol::change_regex(Change& change) {
  const ConsumerGroup& group = *change.group;
  const std::string_view before = change.member.regex();
  const std::string_view after = text_of(change.metadata.subscribed_topic_regex);
  bool required = false;
  change.regex_changed =
      change.member.metadata.subscribed_topic_regex != change.metadata.subscribed_topic_regex;
  if (change.regex_changed && !before.empty() && group.subscribers_of(before) == 1)
    append(ConsumerRecords(group.id()).no_regex(before));
  if (change.regex_changed && after.empty()) {
    change.regex_resolved = !before.empty();
  } else if (change.regex_changed && group.subscribers_of(after) > 0) {
    change.regex_resolved = group.resolved(after) != nullptr;
  } else if (change.regex_changed) {
    if (const auto error = TopicRegex(after).error())
      return std::unexpected(
          Refusal{ErrorCode::kInvalidRegularExpression,
                  fmt::format("SubscribedTopicRegex `{}` is not a valid regular expression: {}.",
                              after, *error)});
    required = true;
  }
  request_resolution(change, required);
  return {};
}

void ConsumerProtocol::request_resolution(const Change& change, bool required) {
  const ConsumerGroup& group = *change.group;
  if (!required && group.regexes().empty()) return;
  Timer& timer = soft(group.id()).regex;
  if (timer.is_armed()) return;
  const auto& resolved = group.resolved();
  // All of a group are resolved together: any speaks for them.
  const TimestampMs last =
      resolved.empty() ? TimestampMs(INT64_MIN) : resolved.begin()->second.timestamp;
  const bool clock_went_back = step_.wall < last;
  if (!clock_went_back && !is_later(step_.wall, last, kRegexPause)) return;
  if (state_.newest_topics < 0) state_.newest_topics = topics_.version();
  const Counts regexes =
      regexes_after(group, change.member.regex(), text_of(change.metadata.subscribed_topic_regex));
  const int64_t version = resolved.empty() ? 0 : resolved.begin()->second.version;
  required |= regexes.size() != resolved.size() || version < state_.newest_topics ||
              is_later(step_.wall, last, state_.config.consumer_regex_refresh);
  if (required && !regexes.empty())
    state_.timers.arm(timer, step_.now, {TimerKind::kRegex, group.id(), ""});
}

void ConsumerProtocol::resolve_regexes(const ConsumerGroup& group) {
  const ConsumerRecords write(group.id());
  SubscribedTopics topics = group.subscribed_topics();
  bool bump = false;
  for (const auto& [pattern, members] : group.regexes()) {
    const TopicRegex regex(pattern);
    ResolvedRegex now{.topics = {}, .version = topics_.version(), .timestamp = step_.wall};
    topics_.for_each_name([&](const std::string& name) {
      if (regex.matches(name)) now.topics.insert(name);
    });
    const ResolvedRegex* before = group.resolved(pattern);
    if (before ? before->topics != now.topics : !now.topics.empty()) {
      bump = true;
      if (before) count_regex(topics, *before, -1);
      count_regex(topics, now, 1);
    }
    append(write.regex(pattern, now));
  }
  const int64_t hash = metadata_hash(topics);
  if (!bump && hash == group.metadata_hash()) return;
  append(write.epoch({group.next_epoch(), hash}));
  soft(group.id()).fresh_until = step_.now + kFresh;
}

SubscribedTopics ConsumerProtocol::subscribed_topics(const Change& change) const {
  const ConsumerGroup& group = *change.group;
  SubscribedTopics topics = group.subscribed_topics();
  // A member that is made, also in place of another, is not counted as it was, but that other is.
  const bool was_counted =
      group.find(change.member.id) != nullptr ||
      (change.metadata.instance_id && group.static_member(*change.metadata.instance_id) != nullptr);
  if (was_counted) count_names(topics, change.member.metadata, -1);
  count_names(topics, change.metadata, 1);
  const std::string_view before = change.member.regex();
  const bool left = !before.empty() && before != text_of(change.metadata.subscribed_topic_regex);
  if (left && group.subscribers_of(before) == 1)
    if (const ResolvedRegex* resolved = group.resolved(before)) count_regex(topics, *resolved, -1);
  return topics;
}

int64_t ConsumerProtocol::metadata_hash(const SubscribedTopics& topics) {
  return state_.topic_hashes.of_group(topics, topics_);
}

bool ConsumerProtocol::will_be_homogeneous(const Change& change) const {
  const ConsumerGroup& group = *change.group;
  auto members = static_cast<int32_t>(group.members().size());
  const auto& instance = change.metadata.instance_id;
  const bool replaces = instance && group.static_member(*instance) != nullptr;
  if (group.find(change.member.id) == nullptr && !replaces) ++members;
  const Counts regexes =
      regexes_after(group, change.member.regex(), text_of(change.metadata.subscribed_topic_regex));
  return is_homogeneous(regexes, subscribed_topics(change), members);
}

// The group's epoch rises when members, subscriptions or topics change what is to be assigned.
void ConsumerProtocol::update_epoch(Change& change, bool bump) {
  const ConsumerGroup& group = *change.group;
  auto& fresh_until = soft(group.id()).fresh_until;
  if (!bump && fresh_until && step_.now < *fresh_until) return;
  const int64_t hash = metadata_hash(subscribed_topics(change));
  const ConsumerRecords write(group.id());
  if (bump || hash != group.metadata_hash()) {
    change.epoch = group.next_epoch();
    append(write.epoch({change.epoch, hash}));
  }
  fresh_until = step_.now + kFresh;
  if (group.has_partition_metadata()) append(write.no_partition_metadata());
}

}  // namespace millrace::group
