// The partitions of a share group between their topics' metadata and the share coordinators: what
// is wished for, and what comes of it.
#include <algorithm>

#include "base/log.h"
#include "group/offsets.h"
#include "group/share_protocol.h"
#include "wire/error_messages.h"

namespace millrace::group {
namespace {

constexpr const char* kUnknownTopic = "<UNKNOWN>";  // Kafka's name for a topic that is gone

std::vector<ShareStateWish::Partition> all_of(const ShareTopics& topics) {
  std::vector<ShareStateWish::Partition> partitions;
  for (const auto& [topic_id, topic] : topics)
    for (const int32_t index : topic.partitions)
      partitions.push_back({.topic_id = topic_id, .index = PartitionIndex(index)});
  return partitions;
}

ErrorCode first_error(const ShareStateOutcome& outcome) {
  const auto failed = std::ranges::find_if(
      outcome.errors, [](ErrorCode error) { return error != ErrorCode::kNone; });
  return failed == outcome.errors.end() ? ErrorCode::kNone : *failed;
}

}  // namespace

void ShareProtocol::wish(const Wanted& wanted, std::vector<ShareStateWish::Partition> partitions,
                         machine::Ticket cause, ShareWork work) {
  state_.share_work.insert_or_assign({cause, wanted.group_id}, std::move(work));
  step_.decision.share_wishes.push_back({.cause = cause,
                                         .group_id = wanted.group_id,
                                         .kind = wanted.kind,
                                         .state_epoch = wanted.state_epoch,
                                         .partitions = std::move(partitions)});
}

// Whether the share coordinators were asked so short a time ago that they may still answer.
bool ShareProtocol::is_tried(const std::string& group_id, const Uuid& topic_id) const {
  const auto soft = state_.soft_groups.find(group_id);
  if (soft == state_.soft_groups.end()) return false;
  const auto since = soft->second.initializing_since.find(topic_id);
  return since != soft->second.initializing_since.end() &&
         step_.now - since->second < state_.config.share_initialize_retry;
}

// Of the topics that the group subscribes to, the partitions that are not initialised and not on
// the way to be.
ShareTopics ShareProtocol::missing_partitions(const Change& change) const {
  ShareTopics ready;
  if (const SharePartitions* known = change.group->partitions()) {
    ready = known->initialized;
    for (const auto& [topic_id, topic] : known->initializing)
      if (is_tried(change.group->id(), topic_id)) unite(ready, {{topic_id, topic}});
  }
  ShareTopics missing;
  for (const auto& [name, members] : change.subscribed) {
    const auto id = topics_.id_of(name);
    if (!id) continue;
    const auto known = ready.find(*id);
    ShareTopic topic{.name = name};
    for (int32_t index = 0; index < topics_.partition_count(name); ++index)
      if (known == ready.end() || !known->second.partitions.contains(index))
        topic.partitions.insert(index);
    if (!topic.partitions.empty()) missing.emplace(*id, std::move(topic));
  }
  return missing;
}

bool ShareProtocol::is_being_deleted(const std::string& group_id) const {
  return std::ranges::any_of(state_.share_work, [&](const auto& work) {
    const auto* deletion = std::get_if<ShareDeletion>(&work.second);
    return deletion != nullptr && !deletion->is_over && work.first.second == group_id;
  });
}

// A state that is made while it is being deleted might be gone behind the group's back.
void ShareProtocol::initialize_missing(const Change& change) {
  if (is_being_deleted(change.group->id())) return;
  const ShareTopics missing = missing_partitions(change);
  if (missing.empty()) return;
  const std::string& group_id = change.group->id();
  write_initializing(group_id, change.group->partitions(), missing);
  wish({.group_id = group_id,
        .kind = ShareStateWish::Kind::kInitialize,
        .state_epoch = change.epoch},
       all_of(missing), change.context.ticket, ShareStart{});
}

void ShareProtocol::write_initializing(const std::string& group_id, const SharePartitions* known,
                                       const ShareTopics& topics) {
  SharePartitions partitions = known ? *known : SharePartitions{};
  unite(partitions.initializing, topics);
  for (const auto& [topic_id, topic] : partitions.initializing) partitions.deleting.erase(topic_id);
  for (const auto& [topic_id, topic] : topics)
    soft(group_id).initializing_since[topic_id] = step_.now;
  write_partitions(group_id, std::move(partitions));
}

void ShareProtocol::write_partitions(const std::string& group_id, SharePartitions partitions) {
  for (auto& [topic_id, name] : partitions.deleting)
    name = topics_.name_of(topic_id).value_or(kUnknownTopic);
  append(ShareRecords(group_id).partitions(partitions));
}

// --- What came of a wish.

void ShareProtocol::finish(const ShareStateOutcome& outcome) {
  auto known = state_.share_work.extract({outcome.wish.cause, outcome.wish.group_id});
  if (known.empty()) return;  // of a coordinator before this one
  ShareWork& work = known.mapped();
  if (const auto* deletion = std::get_if<ShareDeletion>(&work))
    return finish_deletion(outcome, *deletion);
  if (auto* response = std::get_if<DeleteResponse>(&work))
    return finish_deleting_offsets(outcome, std::move(*response));
  if (auto* response = std::get_if<AlterResponse>(&work))
    return finish_altering(outcome, std::move(*response));
  if (const ShareGroup* group = state_.find_share(outcome.wish.group_id))
    finish_initializing(*group, outcome);
}

// All of them, or none: one that failed is wished for again with the others. Those that are not
// written down as initialising any more were given up meanwhile, with their topic or group.
void ShareProtocol::finish_initializing(const ShareGroup& group, const ShareStateOutcome& outcome) {
  if (group.partitions() == nullptr) return;
  SharePartitions partitions = *group.partitions();
  ShareTopics topics;
  for (const auto& partition : outcome.wish.partitions) {
    const auto topic = partitions.initializing.find(partition.topic_id);
    if (topic == partitions.initializing.end()) continue;
    if (!topic->second.partitions.contains(partition.index.value())) continue;
    ShareTopic& found = topics[partition.topic_id];
    found.name = topics_.name_of(partition.topic_id).value_or(topic->second.name);
    found.partitions.insert(partition.index.value());
  }
  subtract(partitions.initializing, topics);
  for (const auto& [topic_id, topic] : topics)
    if (!partitions.initializing.contains(topic_id))
      soft(group.id()).initializing_since.erase(topic_id);
  const ErrorCode error = first_error(outcome);
  if (error == ErrorCode::kNone)
    unite(partitions.initialized, topics);
  else
    LOG_WARN("share group {}: its partitions could not be initialised: {}", group.id(),
             wire::error_name(error));
  if (partitions != *group.partitions()) write_partitions(group.id(), std::move(partitions));
}

// What failed stays written down as initialising: it is done again when the group is used.
void ShareProtocol::finish_altering(const ShareStateOutcome& outcome, AlterResponse response) {
  const ShareGroup* group = state_.find_share(outcome.wish.group_id);
  if (first_error(outcome) == ErrorCode::kNone) {
    if (group != nullptr) finish_initializing(*group, outcome);
    return step_.reply(outcome.wish.cause, std::move(response));
  }
  std::map<std::pair<Uuid, int32_t>, ErrorCode> errors;
  for (size_t i = 0; i < outcome.errors.size(); ++i) {
    const auto& partition = outcome.wish.partitions[i];
    errors[{partition.topic_id, partition.index.value()}] = outcome.errors[i];
  }
  for (auto& topic : response.responses)
    for (auto& partition : topic.partitions) {
      const auto error = errors.find({topic.topic_id, partition.partition_index});
      if (partition.error_code != 0 || error == errors.end()) continue;
      if (error->second == ErrorCode::kNone) continue;
      partition.error_code = code_of(error->second);
      partition.error_message = wire::error_message(error->second);
    }
  step_.reply(outcome.wish.cause, std::move(response));
}

void ShareProtocol::finish_deleting_offsets(const ShareStateOutcome& outcome,
                                            DeleteResponse refused) {
  std::map<Uuid, ErrorCode> topics;  // with the error of one of its partitions
  for (size_t i = 0; i < outcome.errors.size(); ++i) {
    ErrorCode& error = topics[outcome.wish.partitions[i].topic_id];
    if (error == ErrorCode::kNone) error = outcome.errors[i];
  }
  const ShareGroup* group = state_.find_share(outcome.wish.group_id);
  SharePartitions partitions =
      group && group->partitions() ? *group->partitions() : SharePartitions{};
  DeleteResponse response;
  for (const auto& [topic_id, error] : topics) {
    const std::string name = topics_.name_of(topic_id).value_or("");
    if (error == ErrorCode::kNone) {
      partitions.deleting.erase(topic_id);
      response.responses.push_back({.topic_name = name, .topic_id = topic_id});
    } else {
      refused.responses.push_back({.topic_name = name,
                                   .topic_id = topic_id,
                                   .error_code = code_of(error),
                                   .error_message = wire::error_message(error)});
    }
  }
  if (group && group->partitions() && !response.responses.empty())
    write_partitions(group->id(), std::move(partitions));
  std::ranges::move(refused.responses, std::back_inserter(response.responses));
  step_.reply(outcome.wish.cause, std::move(response));
}

void ShareProtocol::finish_deletion(const ShareStateOutcome& outcome,
                                    const ShareDeletion& deletion_of_group) {
  const auto deletion = state_.group_deletions.find(outcome.wish.cause);
  if (deletion == state_.group_deletions.end()) return;
  const std::string& group_id = outcome.wish.group_id;
  ErrorCode error = first_error(outcome);
  if (error == ErrorCode::kNone)
    error = deletion_of_group.is_over ? ErrorCode::kGroupIdNotFound
                                      : Offsets(step_).delete_group(group_id);
  auto& [response, left] = deletion->second;
  for (auto& result : response.results)
    if (result.group_id == group_id) result.error_code = code_of(error);
  if (--left > 0) return;
  step_.reply(outcome.wish.cause, std::move(response));
  state_.group_deletions.erase(deletion);
}

// --- Topics and groups that go.

// What was being deleted already is deleted again, as that may not have come to its end.
ShareTopics ShareProtocol::deletable(const SharePartitions& partitions) const {
  ShareTopics topics = partitions.initialized;
  unite(topics, partitions.initializing);
  for (const auto& [topic_id, name] : partitions.deleting) {
    const auto known = topics_.name_of(topic_id);
    if (!known) continue;
    ShareTopic topic{.name = *known};
    for (int32_t index = 0; index < topics_.partition_count(*known); ++index)
      topic.partitions.insert(index);
    unite(topics, {{topic_id, std::move(topic)}});
  }
  return topics;
}

bool ShareProtocol::begin_deletion(const ShareGroup& group, const RequestContext& context) {
  if (!group.is_empty() || group.partitions() == nullptr) return false;
  const ShareTopics topics = deletable(*group.partitions());
  SharePartitions partitions;
  for (const auto& [topic_id, topic] : topics) partitions.deleting[topic_id] = topic.name;
  append(ShareRecords(group.id()).partitions(partitions));
  auto wishes = all_of(topics);
  if (wishes.empty()) return false;
  wish({.group_id = group.id(), .kind = ShareStateWish::Kind::kDelete}, std::move(wishes),
       context.ticket, ShareDeletion{});
  return true;
}

void ShareProtocol::on_topics_deleted(std::span<const DeletedTopic> deleted) {
  for (const auto& [group_id, group] : state_.groups)
    if (const auto* share = group.as<ShareGroup>())
      forget_topics(*share, [&](const Uuid& topic_id) {
        return std::ranges::find(deleted, topic_id, &DeletedTopic::id) != deleted.end();
      });
}

template <class IsGone>
void ShareProtocol::forget_topics(const ShareGroup& group, IsGone is_gone) {
  if (group.partitions() == nullptr) return;
  SharePartitions partitions = *group.partitions();
  const auto is_of_one = [&](const auto& entry) { return is_gone(entry.first); };
  std::erase_if(partitions.initializing, is_of_one);
  std::erase_if(partitions.initialized, is_of_one);
  std::erase_if(partitions.deleting, is_of_one);
  if (const auto soft = state_.soft_groups.find(group.id()); soft != state_.soft_groups.end())
    std::erase_if(soft->second.initializing_since, is_of_one);
  if (partitions != *group.partitions()) write_partitions(group.id(), std::move(partitions));
}

// Topics may have been deleted while nobody coordinated the group; and the coordinator of before
// may still be waiting for what it wished for.
void ShareProtocol::on_loaded(const ShareGroup& group) {
  for (const auto& [member_id, member] : group.members()) arm_session(group.id(), member_id);
  if (group.partitions() == nullptr) return;
  for (const auto& [topic_id, topic] : group.partitions()->initializing)
    soft(group.id()).initializing_since[topic_id] = step_.now;
  forget_topics(group, [&](const Uuid& topic_id) { return !topics_.name_of(topic_id); });
}

}  // namespace millrace::group
