// Members of one group with a coordinator after KIP-848 that gives a partition to nobody else
// before its owner has said that it gave it up. Requests and answers are lost, members are thrown
// out, leave and come: no two members that the coordinator counts read one partition, and in the
// end every partition is read by somebody.
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>

#include "client/core/consumer_membership.h"

namespace millrace::client::core {
namespace {

using wire::ErrorCode;
using Heartbeat = wire::ConsumerGroupHeartbeatRequest;
using HeartbeatAnswer = wire::ConsumerGroupHeartbeatResponse;
using Partitions = std::set<int32_t>;

constexpr int32_t kPartitions = 7;
constexpr int kMembers = 3;
constexpr int kSteps = 600;
const Uuid kTopic = Uuid::of_words({1, 1});

bool is_within(const Partitions& some, const Partitions& all) {
  return std::ranges::includes(all, some);
}

class Coordinator {
 public:
  struct Member {
    int32_t epoch = 0;
    int32_t previous = 0;
    Partitions assigned;  // that it may own
    Partitions reported;  // that it says it owns
  };

  bool counts(const std::string& id) const { return members_.contains(id); }
  void expel(const std::string& id) {
    if (members_.erase(id) > 0) ++epoch_;
  }

  HeartbeatAnswer beat(const Heartbeat& request) {
    if (request.member_epoch < 0) {
      expel(request.member_id);
      return {.member_epoch = request.member_epoch};
    }
    const bool joins = request.member_epoch == kJoiningEpoch;
    if (joins) {
      members_[request.member_id] = {};
      ++epoch_;
    }
    const auto found = members_.find(request.member_id);
    if (found == members_.end()) return {.error_code = wire::code_of(ErrorCode::kUnknownMemberId)};
    Member& member = found->second;
    std::optional<Partitions> reported;
    if (request.topic_partitions) {
      reported.emplace();
      for (const auto& topic : *request.topic_partitions)
        reported->insert(topic.partitions.begin(), topic.partitions.end());
    }
    const bool may = joins || request.member_epoch == member.epoch ||
                     (request.member_epoch == member.previous && reported &&
                      is_within(*reported, member.assigned));
    if (!may) {
      expel(request.member_id);
      return {.error_code = wire::code_of(ErrorCode::kFencedMemberEpoch)};
    }
    if (reported) member.reported = *reported;
    const Partitions before = member.assigned;
    reconcile(request.member_id, member);
    HeartbeatAnswer answer{.member_epoch = member.epoch, .heartbeat_interval_ms = 100};
    const bool all = request.rebalance_timeout_ms != -1 && reported;
    if (all || before != member.assigned) {
      auto& topic = answer.assignment.emplace().topic_partitions.emplace_back();
      topic.topic_id = kTopic;
      topic.partitions.assign(member.assigned.begin(), member.assigned.end());
    }
    return answer;
  }

 private:
  Partitions target_of(const std::string& id) const {
    Partitions target;
    const auto place = std::distance(members_.begin(), members_.find(id));
    for (int32_t p = 0; p < kPartitions; ++p)
      if (p % std::ssize(members_) == place) target.insert(p);
    return target;
  }

  void reconcile(const std::string& id, Member& member) {
    const Partitions target = target_of(id);
    Partitions kept;
    std::ranges::set_intersection(member.assigned, target, std::inserter(kept, kept.end()));
    member.assigned = kept;
    if (!is_within(member.reported, kept)) return;  // it has to give something up first
    member.previous = member.epoch;
    member.epoch = epoch_;
    for (const int32_t each : target) {
      const bool held = std::ranges::any_of(members_, [&](const auto& other) {
        return other.first != id &&
               (other.second.assigned.contains(each) || other.second.reported.contains(each));
      });
      if (!held) member.assigned.insert(each);
    }
  }

  std::map<std::string, Member> members_;
  int32_t epoch_ = 0;
};

// A member with its requests under way, and what it reads.
class Reader {
 public:
  Reader(std::string id, Coordinator& coordinator, std::mt19937& random)
      : id_(std::move(id)), coordinator_(coordinator), random_(random) {
    begin();
  }

  void begin() {
    member_ = std::make_unique<ConsumerMembership>(ConsumerMembershipOptions{
        .group = "g", .member_id = id_, .topics = {"t"}, .retry_backoff = milliseconds(10)});
    reading_.clear();
    asked_.clear();
    revoked_.clear();
    gone_ = false;
    follow(ConsumerMembership::Start{});
  }

  void pass(Duration time) {
    now_ = now_ + time;
    follow(ConsumerMembership::Tick{});
  }

  // The oldest request is served, or it or its answer is lost.
  void serve(bool lossy) {
    if (asked_.empty()) return;
    const auto request = std::move(asked_.front());
    asked_.pop_front();
    const int fate = lossy ? static_cast<int>(random_() % 8) : 2;
    if (const auto* beat = std::get_if<Heartbeat>(&request)) {
      std::optional<HeartbeatAnswer> answer;
      if (fate != 0) answer = coordinator_.beat(*beat);
      if (fate <= 1 || !answer)
        follow(ConsumerMembership::Beaten{fail(Errc::kClosed, "cut")});
      else
        follow(ConsumerMembership::Beaten{*answer});
    } else if (const auto* fetch = std::get_if<wire::OffsetFetchRequest>(&request)) {
      wire::OffsetFetchResponse response;
      auto& topic = response.groups.emplace_back().topics.emplace_back();
      topic.name = "t";
      for (const int32_t each : fetch->groups[0].topics->at(0).partition_indexes)
        topic.partitions.push_back({.partition_index = each, .committed_offset = 1});
      follow(ConsumerMembership::OffsetsFetched{std::move(response)});
    } else {
      follow(ConsumerMembership::Committed{wire::OffsetCommitResponse{}});
    }
  }

  void finish_revoking() {
    if (revoked_.empty()) return;
    for (const int32_t each : revoked_.front()) reading_.erase(each);
    revoked_.pop_front();
    follow(ConsumerMembership::Revoked{});
  }
  void commit() {
    GroupVocabulary::Offsets offsets;
    for (const int32_t each : reading_) offsets[{"t", PartitionIndex(each)}] = Offset(2);
    if (!offsets.empty()) follow(ConsumerMembership::Commit{offsets});
  }
  void leave() { follow(ConsumerMembership::Leave{}); }

  const std::string& id() const { return id_; }
  const Partitions& reading() const { return reading_; }
  bool gone() const { return gone_; }
  bool busy() const { return !asked_.empty() || !revoked_.empty(); }
  std::string describe() const { return member_->describe(); }

 private:
  void follow(ConsumerMembership::Event event) {
    auto action = member_->resume(std::move(event), now_);
    EXPECT_FALSE(action.failed) << action.failed->message;
    for (auto& each : action.requests) asked_.push_back(std::move(each));
    if (!action.revoke.empty()) {
      Partitions gone;
      for (const auto& each : action.revoke) gone.insert(each.partition.value());
      // What is lost is read no more; what is given up has to be committed first.
      if (action.lost)
        for (const int32_t each : gone) reading_.erase(each);
      revoked_.push_back(std::move(gone));
    }
    for (const auto& [partition, offset] : action.assigned) {
      EXPECT_TRUE(member_->owned().contains(partition)) << "CM1";
      EXPECT_TRUE(reading_.insert(partition.partition.value()).second) << "CM1";
    }
    if (action.left) {
      gone_ = true;
      reading_.clear();
      revoked_.clear();
    }
    if (!action.resolve.empty()) follow(ConsumerMembership::NamesKnown{{{kTopic, "t"}}});
    if (action.find_coordinator)
      follow(ConsumerMembership::Coordinator{FoundCoordinator{.node = NodeId(1)}});
  }

  std::string id_;
  Coordinator& coordinator_;
  std::mt19937& random_;
  std::unique_ptr<ConsumerMembership> member_;
  Instant now_{seconds(1)};
  std::deque<ConsumerMembership::Request> asked_;
  std::deque<Partitions> revoked_;  // told, and not yet answered
  Partitions reading_;
  bool gone_ = false;
};

class ConsumerMembershipProperty : public ::testing::TestWithParam<uint32_t> {
 protected:
  void step(Reader& reader) {
    switch (random() % 12) {
      case 0: return reader.pass(milliseconds(static_cast<int64_t>(random() % 200)));
      case 1: return reader.finish_revoking();
      case 2: return reader.commit();
      case 3:
        if (random() % 20 == 0) coordinator.expel(reader.id());
        return;
      case 4:
        if (reader.gone()) return reader.begin();
        if (random() % 10 == 0) reader.leave();
        return;
      default: return reader.serve(/*lossy=*/true);
    }
  }

  void check() const {
    std::map<int32_t, const Reader*> owners;
    for (const auto& reader : readers) {
      if (!coordinator.counts(reader->id())) continue;  // it does not know yet that it is out
      for (const int32_t each : reader->reading()) {
        const auto [owner, first] = owners.emplace(each, reader.get());
        ASSERT_TRUE(first) << each << " is read by " << owner->second->describe() << " and "
                           << reader->describe();
      }
    }
  }

  std::mt19937 random{GetParam()};
  Coordinator coordinator;
  std::vector<std::unique_ptr<Reader>> readers;
};

TEST_P(ConsumerMembershipProperty, no_partition_is_read_twice_and_in_the_end_each_once) {
  for (int i = 0; i < kMembers; ++i)
    readers.push_back(std::make_unique<Reader>("m" + std::to_string(i), coordinator, random));
  for (int i = 0; i < kSteps && !HasFatalFailure(); ++i) {
    step(*readers[random() % readers.size()]);
    check();
  }
  for (auto& each : readers)
    if (each->gone()) each->begin();
  for (int i = 0; i < 200; ++i)
    for (auto& each : readers) {
      each->pass(milliseconds(50));
      each->finish_revoking();
      each->serve(/*lossy=*/false);
      check();
    }
  size_t read = 0;
  for (const auto& each : readers) read += each->reading().size();
  EXPECT_EQ(read, kPartitions);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ConsumerMembershipProperty, ::testing::Range(0U, 60U));

}  // namespace
}  // namespace millrace::client::core
