// What a host does for a coordinator, for tests: applies decisions, keeps the log and the replies,
// moves the clock, restarts the machine from the log.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "group/coordinator.h"
#include "wire/codec.h"
#include "wire/consumer_protocol.h"
#include "wire/errors.h"

namespace millrace::group::testing {

using machine::KeyValueRecord;
using machine::Ticket;
using wire::ErrorCode;

// Topics "t0".."t9" with four partitions each, and what a test adds.
class FakeTopics final : public Topics {
 public:
  FakeTopics() {
    for (uint64_t i = 0; i < 10; ++i) ids[fmt::format("t{}", i)] = Uuid::of_words({7, i + 1});
  }
  std::optional<Uuid> id_of(std::string_view name) const override {
    const auto at = ids.find(name);
    if (at == ids.end()) return std::nullopt;
    return at->second;
  }
  std::optional<std::string> name_of(const Uuid& id) const override {
    for (const auto& [name, known] : ids)
      if (known == id) return name;
    return std::nullopt;
  }
  bool has_partition(std::string_view name, PartitionIndex partition) const override {
    return partition.value() >= 0 && partition.value() < partition_count(name);
  }
  int32_t partition_count(std::string_view name) const override {
    if (!ids.contains(name)) return 0;
    const auto at = counts.find(name);
    return at == counts.end() ? 4 : at->second;
  }
  std::vector<std::string> racks_of(std::string_view, PartitionIndex) const override {
    return racks;
  }
  void for_each_name(const std::function<void(const std::string&)>& visit) const override {
    for (const auto& [name, id] : ids) visit(name);
  }
  int64_t version() const override { return version_now; }
  int64_t max_batch_bytes() const override { return max_batch; }
  GroupTimes times_of(std::string_view group_id) const override {
    const auto at = times.find(group_id);
    return at == times.end() ? GroupTimes{} : at->second;
  }
  GroupTimes share_times_of(std::string_view group_id) const override {
    const auto at = share_times.find(group_id);
    return at == share_times.end() ? GroupTimes{} : at->second;
  }
  StreamsSettings streams_settings_of(std::string_view group_id) const override {
    const auto at = streams_settings.find(group_id);
    return at == streams_settings.end() ? StreamsSettings{} : at->second;
  }
  std::map<std::string, Uuid, std::less<>> ids;
  std::map<std::string, int32_t, std::less<>> counts;  // where they are not 4
  std::vector<std::string> racks;                      // of every partition
  std::map<std::string, GroupTimes, std::less<>> times, share_times;
  std::map<std::string, StreamsSettings, std::less<>> streams_settings;
  int64_t version_now = 1;
  int64_t max_batch = 1'048'588;
};

inline ByteBuffer bytes_of(std::string_view text) { return copy_of(as_bytes(text)); }

// A consumer's subscription as JoinGroup carries it.
inline ByteBuffer subscription(const std::vector<std::string>& topics) {
  wire::ConsumerProtocolSubscription value;
  value.topics = topics;
  wire::Writer writer;
  writer.int16(1);
  wire::write(writer, 1, value);
  return std::move(writer).take();
}

class Host {
 public:
  explicit Host(const GroupConfig& options = {}) : config(options) { start(); }

  // Throws the machine away and replays the log, as after a crash.
  void start() {
    machine = std::make_unique<Coordinator>(config);
    for (const KeyValueRecord& record : log) EXPECT_TRUE(machine->apply(record));
    take(machine->on_loaded(now, wall, topics));
  }

  void take(Decision decision) {
    for (KeyValueRecord& record : decision.records) {
      EXPECT_TRUE(machine->apply(record));
      log.push_back(std::move(record));
    }
    for (auto& reply : decision.replies)
      EXPECT_TRUE(replies.emplace(reply.ticket, std::move(reply.response)).second)
          << "a second reply for one request";
    for (ShareStateWish& wish : decision.share_wishes) wishes.push_back(std::move(wish));
    machine->check_invariants();
  }

  void advance(Duration by) {
    const Instant until = now + by;
    while (machine->next_deadline() <= until) {
      move_to(std::max(now, machine->next_deadline()));
      take(machine->on_tick(now, wall, topics));
    }
    move_to(until);
  }

  RequestContext context(int16_t version) {
    last = Ticket{++tickets};
    const Uuid fresh_id = Uuid::of_words({0x1111222233334444, tickets});
    return {last, client_id, "/127.0.0.1", version, now, wall, fresh_id, &topics};
  }

  Ticket join(const wire::JoinGroupRequest& request, int16_t version = 9) {
    const RequestContext c = context(version);
    take(machine->decide_join_group(request, c));
    return c.ticket;
  }
  Ticket sync(const wire::SyncGroupRequest& request, int16_t version = 5) {
    const RequestContext c = context(version);
    take(machine->decide_sync_group(request, c));
    return c.ticket;
  }
  Ticket heartbeat(const wire::HeartbeatRequest& request, int16_t version = 4) {
    const RequestContext c = context(version);
    take(machine->decide_heartbeat(request, c));
    return c.ticket;
  }
  wire::ConsumerGroupHeartbeatResponse beat(const wire::ConsumerGroupHeartbeatRequest& request,
                                            int16_t version = 1) {
    const RequestContext c = context(version);
    take(machine->decide_consumer_heartbeat(request, c));
    return reply<wire::ConsumerGroupHeartbeatResponse>(c.ticket);
  }
  wire::ShareGroupHeartbeatResponse share_beat(const wire::ShareGroupHeartbeatRequest& request) {
    const RequestContext c = context(1);
    take(machine->decide_share_heartbeat(request, c));
    return reply<wire::ShareGroupHeartbeatResponse>(c.ticket);
  }
  StreamsHeartbeatAnswer streams_beat(const wire::StreamsGroupHeartbeatRequest& request) {
    const RequestContext c = context(0);
    take(machine->decide_streams_heartbeat(request, c));
    return reply<StreamsHeartbeatAnswer>(c.ticket);
  }
  void note_topics(const std::string& group, const std::vector<StreamsTopicOutcome>& outcomes) {
    take(machine->decide_streams_topics(group, outcomes, context(0)));
  }
  Ticket alter_share_offsets(const wire::AlterShareGroupOffsetsRequest& request) {
    const RequestContext c = context(0);
    take(machine->decide_alter_share_offsets(request, c));
    return c.ticket;
  }
  Ticket delete_share_offsets(const wire::DeleteShareGroupOffsetsRequest& request) {
    const RequestContext c = context(0);
    take(machine->decide_delete_share_offsets(request, c));
    return c.ticket;
  }
  // The share coordinators' answer to the oldest wish: the first partition's error, the others are
  // done.
  void grant(ErrorCode error = ErrorCode::kNone) {
    ASSERT_FALSE(wishes.empty()) << "nothing is wished for";
    ShareStateOutcome outcome{.wish = wishes.front(), .errors = {}};
    wishes.erase(wishes.begin());
    outcome.errors.resize(outcome.wish.partitions.size(), ErrorCode::kNone);
    outcome.errors.front() = error;
    RequestContext c = context(0);
    c.ticket = {};
    take(machine->finish_share_state(outcome, c));
  }
  Ticket leave(const wire::LeaveGroupRequest& request, int16_t version = 5) {
    const RequestContext c = context(version);
    take(machine->decide_leave_group(request, c));
    return c.ticket;
  }
  Ticket commit(const wire::OffsetCommitRequest& request, int16_t version = 9) {
    const RequestContext c = context(version);
    take(machine->decide_offset_commit(request, topics, c));
    return c.ticket;
  }

  Ticket delete_offsets(const wire::OffsetDeleteRequest& request) {
    const RequestContext c = context(0);
    take(machine->decide_offset_delete(request, topics, c));
    return c.ticket;
  }
  Ticket begin_delete_groups(const std::vector<std::string>& ids) {
    const RequestContext c = context(2);
    wire::DeleteGroupsRequest request;
    request.groups_names = ids;
    take(machine->decide_delete_groups(request, c));
    return c.ticket;
  }
  ErrorCode delete_group(const std::string& id) {
    const auto answer = reply<wire::DeleteGroupsResponse>(begin_delete_groups({id}));
    return static_cast<ErrorCode>(answer.results.at(0).error_code);
  }
  wire::OffsetFetchResponse::OffsetFetchResponseGroup fetch(
      const wire::OffsetFetchRequest::OffsetFetchRequestGroup& request, int16_t version = 9,
      bool require_stable = false) const {
    return machine->fetch_offsets(request, topics, {version, require_stable});
  }

  template <class R>
  const R* find(Ticket ticket) const {
    const auto at = replies.find(ticket);
    return at == replies.end() ? nullptr : std::get_if<R>(&at->second);
  }
  template <class R>
  R reply(Ticket ticket) const {
    const R* found = find<R>(ticket);
    EXPECT_NE(found, nullptr) << "no reply";
    return found ? *found : R{};
  }
  bool is_parked(Ticket ticket) const { return !replies.contains(ticket); }
  template <class R>
  ErrorCode error(Ticket ticket) const {
    return static_cast<ErrorCode>(reply<R>(ticket).error_code);
  }
  ErrorCode join_error(Ticket t) const { return error<wire::JoinGroupResponse>(t); }
  ErrorCode sync_error(Ticket t) const { return error<wire::SyncGroupResponse>(t); }
  ErrorCode heartbeat_error(Ticket t) const { return error<wire::HeartbeatResponse>(t); }
  std::string state(const std::string& group) const {
    return machine->describe_group(group, 5).group_state;
  }
  // What is committed; -1: nothing.
  int64_t offset(std::string_view group, const std::string& topic, int32_t partition) const {
    const auto found = machine->committed(group, {topic, PartitionIndex(partition)});
    return found ? found->offset.value() : -1;
  }

  GroupConfig config;
  std::string client_id = "client";
  FakeTopics topics;
  std::unique_ptr<Coordinator> machine;
  std::vector<KeyValueRecord> log;
  std::map<Ticket, Response> replies;
  std::vector<ShareStateWish> wishes;
  Instant now{seconds(100)};
  TimestampMs wall{1'700'000'000'000};
  Ticket last{};

 private:
  void move_to(Instant to) {
    wall += std::chrono::duration_cast<milliseconds>(to - now).count();
    now = to;
  }
  uint64_t tickets = 0;
};

// A member as a client is one: knows its id and generation, joins and syncs.
class Member {
 public:
  Member(Host& host, std::string group) : host_(host) {
    request.group_id = std::move(group);
    request.session_timeout_ms = 10'000;
    request.rebalance_timeout_ms = 60'000;
    request.protocol_type = "consumer";
    request.protocols = {{.name = "range", .metadata = subscription({"t0"})}};
  }

  // Sends JoinGroup, twice when an id has to be fetched first.
  Ticket join(int16_t version = 9) {
    request.member_id = id;
    joined_version = version;
    ticket = host_.join(request, version);
    if (!host_.is_parked(ticket) && host_.join_error(ticket) == ErrorCode::kMemberIdRequired) {
      id = host_.reply<wire::JoinGroupResponse>(ticket).member_id;
      return join(version);
    }
    take_join();
    return ticket;
  }
  // Looks whether the join was answered meanwhile.
  bool take_join() {
    const auto* answer = host_.find<wire::JoinGroupResponse>(ticket);
    if (answer == nullptr || answer->error_code != 0) return false;
    id = answer->member_id;
    generation = answer->generation_id;
    leader = answer->leader;
    protocol = answer->protocol_name;
    members = answer->members;
    return true;
  }
  bool leads() const { return leader == id; }
  Ticket sync(const std::map<std::string, std::string>& assignments = {}) {
    wire::SyncGroupRequest sync;
    sync.group_id = request.group_id;
    sync.generation_id = generation;
    sync.member_id = id;
    sync.group_instance_id = request.group_instance_id;
    sync.protocol_type = request.protocol_type;
    sync.protocol_name = protocol;
    for (const auto& [member, bytes] : assignments)
      sync.assignments.push_back({.member_id = member, .assignment = bytes_of(bytes)});
    return ticket = host_.sync(sync);
  }
  std::string assignment() const {
    return std::string(as_text(host_.reply<wire::SyncGroupResponse>(ticket).assignment));
  }
  wire::HeartbeatRequest heartbeat_request() const {
    wire::HeartbeatRequest beat;
    beat.group_id = request.group_id;
    beat.generation_id = generation;
    beat.member_id = id;
    beat.group_instance_id = request.group_instance_id;
    return beat;
  }
  ErrorCode heartbeat() { return host_.heartbeat_error(host_.heartbeat(heartbeat_request())); }
  ErrorCode leave() {
    wire::LeaveGroupRequest leave;
    leave.group_id = request.group_id;
    leave.members = {{.member_id = id, .group_instance_id = request.group_instance_id}};
    const auto answer = host_.reply<wire::LeaveGroupResponse>(host_.leave(leave));
    return static_cast<ErrorCode>(answer.members.at(0).error_code);
  }
  ErrorCode commit(const std::string& topic, int32_t partition, int64_t offset,
                   int16_t version = 9) {
    wire::OffsetCommitRequest commit;
    commit.group_id = request.group_id;
    commit.generation_id_or_member_epoch = generation;
    commit.member_id = id;
    commit.group_instance_id = request.group_instance_id;
    auto& t = commit.topics.emplace_back();
    t.name = topic;
    t.topic_id = host_.topics.id_of(topic).value_or(Uuid::zero());
    t.partitions.push_back({.partition_index = partition, .committed_offset = offset});
    const auto answer = host_.reply<wire::OffsetCommitResponse>(host_.commit(commit, version));
    return static_cast<ErrorCode>(answer.topics.at(0).partitions.at(0).error_code);
  }

  wire::JoinGroupRequest request;
  std::string id;
  std::string leader;
  std::optional<std::string> protocol;
  int32_t generation = -1;
  int16_t joined_version = 9;
  std::vector<wire::JoinGroupResponse::JoinGroupResponseMember> members;
  Ticket ticket{};

 private:
  Host& host_;
};

// A group of members that is Stable: the first leads, each has its number as assignment.
inline std::vector<Member> stable_group(Host& host, size_t count) {
  std::vector<Member> members;
  for (size_t i = 0; i < count; ++i) members.emplace_back(host, "g");
  for (Member& member : members) member.join();
  host.advance(seconds(10));
  std::map<std::string, std::string> assignments;
  for (size_t i = 0; i < count; ++i) {
    EXPECT_TRUE(members[i].take_join());
    assignments[members[i].id] = std::to_string(i);
  }
  for (Member& member : members)
    if (!member.leads()) member.sync();
  for (Member& member : members)
    if (member.leads()) member.sync(assignments);
  EXPECT_EQ(host.state("g"), "Stable");
  return members;
}

}  // namespace millrace::group::testing
