// Offsets of a streams group (KIP-1071), its end, and logs that another wrote.
#include "group/testing/streamer.h"
#include "wire/group_records.h"

namespace millrace::group {
namespace {

using namespace testing;
using wire::encode_key;
using wire::encode_value;

std::string listed(const Host& host) {
  std::string text;
  for (const auto& group : host.machine->list_groups({}))
    text += group.group_id + " " + group.group_type + " " + group.group_state + "\n";
  return text;
}

class StreamsOffsets : public ::testing::Test {
 protected:
  StreamsOffsets() : host_({.streams_initial_delay = Duration::zero()}), member_(host_, "m") {
    add_topic(host_, "store", 4);
    member_.join();
  }
  ErrorCode commit(const std::string& member, int32_t epoch, int16_t version = 9,
                   const std::string& topic = "t0") {
    wire::OffsetCommitRequest request;
    request.group_id = "st";
    request.member_id = member;
    request.generation_id_or_member_epoch = epoch;
    request.topics = {{.name = topic, .partitions = {{.committed_offset = 7}}}};
    const auto answer = host_.reply<wire::OffsetCommitResponse>(host_.commit(request, version));
    return static_cast<ErrorCode>(answer.topics.at(0).partitions.at(0).error_code);
  }
  ErrorCode fetch(std::optional<std::string> member, int32_t epoch) {
    wire::OffsetFetchRequest::OffsetFetchRequestGroup request;
    request.group_id = "st";
    request.member_id = std::move(member);
    request.member_epoch = epoch;
    return static_cast<ErrorCode>(host_.fetch(request).error_code);
  }
  Host host_;
  Streamer member_;
};

TEST_F(StreamsOffsets, members_commit_in_their_epoch) {
  EXPECT_EQ(commit("m", member_.epoch), ErrorCode::kNone);
  EXPECT_EQ(host_.offset("st", "t0", 0), 7);
  EXPECT_EQ(commit("m", member_.epoch + 1), ErrorCode::kStaleMemberEpoch);
  EXPECT_EQ(commit("m", member_.epoch, 8), ErrorCode::kUnsupportedVersion);
  EXPECT_EQ(commit("x", member_.epoch), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(commit("", -1), ErrorCode::kUnknownMemberId);
}

// KIP-1251: a task that a member had in an older epoch, and still has.
TEST_F(StreamsOffsets, members_commit_in_an_older_epoch_what_they_had_then) {
  const int32_t before = member_.epoch;
  host_.advance(seconds(2));
  Streamer other(host_, "o");
  other.join();
  member_.beat();
  member_.beat();
  ASSERT_GT(member_.epoch, before);
  ASSERT_TRUE(member_.tasks().contains(0));
  EXPECT_EQ(commit("m", before), ErrorCode::kNone);
  EXPECT_EQ(commit("m", before - 1), ErrorCode::kStaleMemberEpoch);
  EXPECT_EQ(commit("m", before, 9, "t1"), ErrorCode::kStaleMemberEpoch);
}

TEST_F(StreamsOffsets, are_fetched_in_the_members_epoch_or_by_nobody) {
  EXPECT_EQ(fetch("m", member_.epoch), ErrorCode::kNone);
  EXPECT_EQ(fetch("m", member_.epoch + 1), ErrorCode::kStaleMemberEpoch);
  EXPECT_EQ(fetch("x", member_.epoch), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(fetch(std::nullopt, -1), ErrorCode::kNone);
}

TEST_F(StreamsOffsets, are_deleted_when_nobody_reads_the_topic) {
  commit("m", member_.epoch);
  wire::OffsetDeleteRequest request;
  request.group_id = "st";
  request.topics = {{.name = "t0", .partitions = {{.partition_index = 0}}}};
  const auto error = [&] {
    const auto answer = host_.reply<wire::OffsetDeleteResponse>(host_.delete_offsets(request));
    return static_cast<ErrorCode>(answer.topics.at(0).partitions.at(0).error_code);
  };
  EXPECT_EQ(error(), ErrorCode::kGroupSubscribedToTopic);
  member_.leave();
  EXPECT_EQ(error(), ErrorCode::kNone);
  EXPECT_EQ(host_.offset("st", "t0", 0), -1);
}

TEST_F(StreamsOffsets, go_with_the_group_when_it_is_deleted) {
  commit("m", member_.epoch);
  EXPECT_EQ(host_.delete_group("st"), ErrorCode::kNonEmptyGroup);
  member_.leave();
  EXPECT_EQ(listed(host_), "st streams Empty\n");
  EXPECT_EQ(host_.delete_group("st"), ErrorCode::kNone);
  EXPECT_EQ(host_.offset("st", "t0", 0), -1);
  EXPECT_EQ(listed(host_), "");
  host_.start();
  EXPECT_EQ(listed(host_), "");
}

TEST_F(StreamsOffsets, expire_with_the_group_when_it_is_empty) {
  commit("m", member_.epoch);
  host_.topics.streams_settings["st"].times.session_timeout = seconds(30 * 24 * 3600);
  member_.beat();
  host_.advance(seconds(8 * 24 * 3600));
  EXPECT_EQ(host_.offset("st", "t0", 0), 7);
  member_.leave();
  host_.advance(seconds(3600));
  EXPECT_EQ(listed(host_), "");
}

TEST_F(StreamsOffsets, the_state_is_named_as_kafkas_filter_names_it) {
  host_.topics.ids.erase("t0");
  host_.machine->on_topics_changed({.names = {"t0"}}, host_.topics);
  member_.beat();
  EXPECT_EQ(listed(host_), "st streams NotReady\n");
  wire::ListGroupsRequest request;
  request.states_filter = {"NotReady"};
  EXPECT_TRUE(host_.machine->list_groups(request).empty());
  request.states_filter = {"not_ready"};
  request.types_filter = {"Streams"};
  EXPECT_EQ(host_.machine->list_groups(request).size(), 1u);
}

// A log that was compacted has the records of a group in any order.
TEST_F(StreamsOffsets, the_group_is_the_same_whatever_the_order_of_its_records) {
  host_.advance(seconds(2));
  Streamer other(host_, "o", "process-of-m");
  other.join();
  member_.beat();
  std::map<ByteBuffer, KeyValueRecord> last;
  for (const KeyValueRecord& record : host_.log) last[record.key] = record;
  const std::string before = host_.machine->describe_replicated();
  host_.log.clear();
  for (auto& [key, record] : last) host_.log.insert(host_.log.begin(), record);
  host_.start();
  EXPECT_EQ(host_.machine->describe_replicated(), before);
}

TEST(StreamsLog, of_another_version_is_taken_as_it_is) {
  Host host;
  host.log = {{encode_key(wire::StreamsGroupMetadataKey{.group_id = "t"}),
               encode_value(wire::StreamsGroupMetadataValue{.epoch = 1}, 0)},
              {encode_key(wire::OffsetCommitKey{.group = "t", .topic = "t0", .partition = 1}),
               encode_value(wire::OffsetCommitValue{.offset = 7}, 4)}};
  host.start();
  EXPECT_EQ(listed(host), "t streams Empty\n");
  EXPECT_EQ(host.offset("t", "t0", 1), 7);
  const auto told = host.machine->describe_group("t", 6);
  EXPECT_EQ(told.error_code, wire::code_of(ErrorCode::kGroupIdNotFound));
  EXPECT_EQ(told.error_message, "Group t is not a classic group.");
  EXPECT_EQ(host.machine->describe_group("t", 5).group_state, "Dead");
  EXPECT_EQ(host.machine->describe_consumer_group("t", host.topics).error_message,
            "Group t is not a consumer group.");
  // Before Kafka 4.3 tasks had no epochs: that of their member counts.
  wire::StreamsGroupCurrentMemberAssignmentValue current;
  current.member_epoch = 5;
  current.state = 1;
  current.active_tasks = {{.subtopology_id = "0", .partitions = {2}}};
  host.log.push_back(
      {encode_key(wire::StreamsGroupCurrentMemberAssignmentKey{.group_id = "t", .member_id = "m"}),
       encode_value(current, 0)});
  host.start();
  EXPECT_NE(host.machine->describe_replicated().find("0_2@5"), std::string::npos);
  EXPECT_EQ(host.delete_group("t"), ErrorCode::kNonEmptyGroup);
}

}  // namespace
}  // namespace millrace::group
