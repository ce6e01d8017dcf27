#include "client/core/assignor.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "wire/codec.h"
#include "wire/consumer_protocol.h"

namespace millrace::client::core {
namespace {

constexpr std::string_view kNames[] = {"range", "roundrobin", "cooperative-sticky"};

// Static members keep their place over restarts: they are ordered by their instance.
bool comes_before(const GroupMember& a, const GroupMember& b) {
  if (a.instance_id && b.instance_id) return *a.instance_id < *b.instance_id;
  if (a.instance_id.has_value() != b.instance_id.has_value()) return a.instance_id.has_value();
  return a.id < b.id;
}

bool subscribes(const GroupMember& member, const std::string& topic) {
  return std::ranges::find(member.subscription.topics, topic) != member.subscription.topics.end();
}

std::vector<TopicPartition> all_partitions(const PartitionCounts& counts) {
  std::vector<TopicPartition> all;
  for (const auto& [topic, count] : counts)
    for (int32_t index = 0; index < count; ++index) all.push_back({topic, PartitionIndex(index)});
  return all;
}

void assign_ranges(const std::vector<GroupMember>& members, const PartitionCounts& counts,
                   Assignment& result) {
  for (const auto& [topic, count] : counts) {
    std::vector<const GroupMember*> takers;
    for (const auto& member : members)
      if (subscribes(member, topic)) takers.push_back(&member);
    int32_t next = 0;
    for (size_t i = 0; i < takers.size(); ++i) {
      const auto each = count / static_cast<int32_t>(takers.size());
      const bool one_more = static_cast<int32_t>(i) < count % static_cast<int32_t>(takers.size());
      for (int32_t taken = 0; taken < each + (one_more ? 1 : 0); ++taken)
        result[takers[i]->id].push_back({topic, PartitionIndex(next++)});
    }
  }
}

void assign_in_turn(const std::vector<GroupMember>& members, const PartitionCounts& counts,
                    Assignment& result) {
  size_t turn = 0;
  for (const auto& partition : all_partitions(counts))
    for (size_t tried = 0; tried < members.size(); ++tried) {
      const GroupMember& member = members[turn++ % members.size()];
      if (!subscribes(member, partition.topic)) continue;
      result[member.id].push_back(partition);
      break;
    }
}

// Keeps as much as it can where it is, and evens out the numbers.
class Sticky {
 public:
  Sticky(const std::vector<GroupMember>& members, const PartitionCounts& counts)
      : members_(members), counts_(counts), shares_(members.size()) {}

  void assign(Assignment& result) {
    keep_owned();
    for (const auto& partition : all_partitions(counts_))
      if (!owner_.contains(partition)) give(partition);
    while (even_out()) {
    }
    for (size_t i = 0; i < members_.size(); ++i)
      for (const auto& partition : shares_[i]) {
        auto claimed = claims_.find(partition);
        // What another member still holds it first has to give up.
        if (claimed == claims_.end() || claimed->second == i)
          result[members_[i].id].push_back(partition);
      }
  }

 private:
  // Two members may both believe that they own a partition: the later generation does, and nobody
  // when both are of the same.
  void keep_owned() {
    std::map<TopicPartition, GenerationId> newest;
    std::set<TopicPartition> disputed;
    for (size_t i = 0; i < members_.size(); ++i) {
      const Subscription& subscription = members_[i].subscription;
      for (const auto& partition : subscription.owned) {
        auto [claim, first] = claims_.try_emplace(partition, i);
        if (first) {
          newest[partition] = subscription.generation;
        } else if (subscription.generation > newest[partition]) {
          claim->second = i;
          newest[partition] = subscription.generation;
          disputed.erase(partition);
        } else if (subscription.generation == newest[partition] && claim->second != i) {
          disputed.insert(partition);
        }
      }
    }
    for (const auto& partition : disputed) claims_.erase(partition);
    for (const auto& [partition, i] : claims_) {
      auto count = counts_.find(partition.topic);
      const bool there = count != counts_.end() && partition.partition.value() >= 0 &&
                         partition.partition.value() < count->second;
      if (there && subscribes(members_[i], partition.topic)) take(partition, i);
    }
  }

  void take(const TopicPartition& partition, size_t member) {
    owner_[partition] = member;
    shares_[member].insert(partition);
  }

  void give(const TopicPartition& partition) {
    std::optional<size_t> least;
    for (size_t i = 0; i < members_.size(); ++i)
      if (subscribes(members_[i], partition.topic) &&
          (!least || shares_[i].size() < shares_[*least].size()))
        least = i;
    if (least) take(partition, *least);
  }

  // Moves one partition from a member to one that has at least two less; false: none is left.
  bool even_out() {
    for (size_t from = 0; from < members_.size(); ++from)
      for (size_t to = 0; to < members_.size(); ++to) {
        if (shares_[from].size() < shares_[to].size() + 2) continue;
        // The last ones go: with whole topics moving in order the first stay together.
        for (auto at = shares_[from].rbegin(); at != shares_[from].rend(); ++at) {
          if (!subscribes(members_[to], at->topic)) continue;
          const TopicPartition moved = *at;
          shares_[from].erase(moved);
          take(moved, to);
          return true;
        }
      }
    return false;
  }

  const std::vector<GroupMember>& members_;
  const PartitionCounts& counts_;
  std::vector<std::set<TopicPartition>> shares_;
  std::map<TopicPartition, size_t> owner_;
  std::map<TopicPartition, size_t> claims_;  // who holds it now
};

// The fields of both messages: partitions by topic.
template <class TopicList>
void add_partitions(const std::vector<TopicPartition>& partitions, TopicList& topics) {
  auto sorted = partitions;
  std::ranges::sort(sorted);
  for (const auto& each : sorted) {
    if (topics.empty() || topics.back().topic != each.topic)
      topics.push_back({.topic = each.topic, .partitions = {}});
    topics.back().partitions.push_back(each.partition.value());
  }
}

template <class TopicList>
std::vector<TopicPartition> partitions_of(const TopicList& topics) {
  std::vector<TopicPartition> partitions;
  for (const auto& topic : topics)
    for (int32_t index : topic.partitions)
      partitions.push_back({topic.topic, PartitionIndex(index)});
  return partitions;
}

// A version behind ours is read as ours: what it adds comes at the end.
template <class Message>
Result<Message> decode_any(ByteView bytes) {
  wire::Reader reader(bytes);
  const int16_t version = reader.int16("version");
  RETURN_IF_ERROR(reader.status());
  if (version < Message::kMinVersion) return fail(Errc::kCorrupt, "negative version");
  Message message;
  wire::read(reader, std::min(version, Message::kMaxVersion), message);
  RETURN_IF_ERROR(reader.status());
  return message;
}

}  // namespace

std::string_view assignor_name(Assignor assignor) { return kNames[static_cast<size_t>(assignor)]; }

std::optional<Assignor> assignor_of_name(std::string_view name) {
  auto found = std::ranges::find(kNames, name);
  if (found == std::end(kNames)) return std::nullopt;
  return static_cast<Assignor>(found - std::begin(kNames));
}

Assignment assign(Assignor assignor, std::vector<GroupMember> members,
                  const PartitionCounts& counts) {
  std::ranges::sort(members, comes_before);
  Assignment result;
  for (const auto& member : members) result[member.id];
  switch (assignor) {
    case Assignor::kRange: assign_ranges(members, counts, result); break;
    case Assignor::kRoundRobin: assign_in_turn(members, counts, result); break;
    case Assignor::kCooperativeSticky: Sticky(members, counts).assign(result); break;
  }
  return result;
}

ByteBuffer encode_subscription(Assignor assignor, const Subscription& subscription) {
  wire::ConsumerProtocolSubscription message{.generation_id = subscription.generation.value()};
  message.topics = subscription.topics;
  std::ranges::sort(message.topics);
  add_partitions(subscription.owned, message.owned_partitions);
  if (assignor == Assignor::kCooperativeSticky) {
    wire::Writer generation;
    generation.int32(subscription.generation.value());
    message.user_data = std::move(generation).take();
  }
  return wire::encode_value(message, wire::ConsumerProtocolSubscription::kMaxVersion);
}

Result<Subscription> decode_subscription(ByteView bytes) {
  ASSIGN_OR_RETURN(const auto message, decode_any<wire::ConsumerProtocolSubscription>(bytes));
  Subscription subscription{.topics = message.topics,
                            .owned = partitions_of(message.owned_partitions),
                            .generation = GenerationId(message.generation_id)};
  // Before KIP-792 cooperative-sticky alone had the generation, in its own bytes.
  if (message.generation_id < 0 && message.user_data && message.user_data->size() == 4)
    subscription.generation = GenerationId(load_big<int32_t>(message.user_data->data()));
  return subscription;
}

ByteBuffer encode_assignment(const std::vector<TopicPartition>& partitions) {
  wire::ConsumerProtocolAssignment message;
  add_partitions(partitions, message.assigned_partitions);
  return wire::encode_value(message, wire::ConsumerProtocolAssignment::kMaxVersion);
}

Result<std::vector<TopicPartition>> decode_assignment(ByteView bytes) {
  if (bytes.empty()) return std::vector<TopicPartition>{};  // as members of no interest get
  ASSIGN_OR_RETURN(const auto message, decode_any<wire::ConsumerProtocolAssignment>(bytes));
  return partitions_of(message.assigned_partitions);
}

}  // namespace millrace::client::core
