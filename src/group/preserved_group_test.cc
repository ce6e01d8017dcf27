// Groups of the consumer (KIP-848), share (KIP-932) and streams (KIP-1071) protocols that somebody
// else wrote: kept, shown, and in the end given over to classic members.
#include "group/preserved_group.h"

#include "group/testing/host.h"
#include "wire/group_records.h"

namespace millrace::group {
namespace {

using namespace testing;
using wire::encode_key;
using wire::encode_value;

// A consumer group "g" in epoch 5 whose member "m" is in it and reads t0.
std::vector<KeyValueRecord> consumer_group() {
  return {
      {encode_key(wire::ConsumerGroupMemberMetadataKey{.group_id = "g", .member_id = "m"}),
       encode_value(wire::ConsumerGroupMemberMetadataValue{.client_id = "c",
                                                           .subscribed_topic_names = {"t0"}},
                    0)},
      {encode_key(wire::ConsumerGroupMetadataKey{.group_id = "g"}),
       encode_value(wire::ConsumerGroupMetadataValue{.epoch = 5}, 0)},
      {encode_key(wire::ConsumerGroupTargetAssignmentMemberKey{.group_id = "g", .member_id = "m"}),
       encode_value(wire::ConsumerGroupTargetAssignmentMemberValue{}, 0)},
      {encode_key(wire::ConsumerGroupTargetAssignmentMetadataKey{.group_id = "g"}),
       encode_value(wire::ConsumerGroupTargetAssignmentMetadataValue{.assignment_epoch = 5}, 0)},
      {encode_key(wire::ConsumerGroupCurrentMemberAssignmentKey{.group_id = "g", .member_id = "m"}),
       encode_value(wire::ConsumerGroupCurrentMemberAssignmentValue{.member_epoch = 5}, 0)},
      {encode_key(wire::OffsetCommitKey{.group = "g", .topic = "t0", .partition = 1}),
       encode_value(wire::OffsetCommitValue{.offset = 7}, 4)}};
}

std::string listed(const Host& host) {
  std::string text;
  for (const auto& group : host.machine->list_groups({}))
    text += group.group_id + " " + group.group_type + " " + group.group_state;
  return text;
}

TEST(PreservedGroup, its_records_and_offsets_survive_replays) {
  Host host;
  host.log = consumer_group();
  host.start();
  EXPECT_EQ(listed(host), "g consumer Stable");
  EXPECT_EQ(host.offset("g", "t0", 1), 7);
  const std::string before = host.machine->describe_replicated();
  host.start();
  EXPECT_EQ(host.machine->describe_replicated(), before);
}

TEST(PreservedGroup, is_no_classic_group_for_describe_groups) {
  Host host;
  host.log = consumer_group();
  host.start();
  const auto told = host.machine->describe_group("g", 6);
  EXPECT_EQ(told.error_code, wire::code_of(ErrorCode::kGroupIdNotFound));
  EXPECT_EQ(told.error_message, "Group g is not a classic group.");
  EXPECT_EQ(host.machine->describe_group("g", 5).group_state, "Dead");
}

TEST(PreservedGroup, with_members_it_has_classic_ones_wait_until_their_sessions_end) {
  Host host({.consumer_session_timeout = seconds(45)});
  host.log = consumer_group();
  host.start();
  Member a(host, "g");
  EXPECT_EQ(host.join_error(a.join()), ErrorCode::kCoordinatorLoadInProgress);
  host.advance(seconds(46));
  EXPECT_EQ(listed(host), "g consumer Empty");
  a.join();
  EXPECT_EQ(listed(host), "g classic PreparingRebalance");
  EXPECT_EQ(host.offset("g", "t0", 1), 7);
}

TEST(PreservedGroup, becomes_classic_with_tombstones_for_all_that_it_was) {
  Host host({.consumer_session_timeout = seconds(45)});
  host.log = consumer_group();
  host.start();
  host.advance(seconds(46));
  Member(host, "g").join();
  std::map<ByteBuffer, bool> alive;
  for (const auto& record : host.log) alive[record.key] = record.value.has_value();
  std::erase_if(alive, [](const auto& entry) { return !entry.second; });
  EXPECT_EQ(alive.size(), 2u);
  EXPECT_TRUE(alive.contains(encode_key(wire::GroupMetadataKey{.group = "g"})));
  host.start();
  EXPECT_EQ(listed(host), "g classic Empty");
}

TEST(PreservedGroup, a_classic_protocol_type_other_than_consumer_never_fits) {
  Host host;
  host.log = consumer_group();
  host.start();
  Member a(host, "g");
  a.request.protocol_type = "connect";
  EXPECT_EQ(host.join_error(a.join()), ErrorCode::kInconsistentGroupProtocol);
}

TEST(PreservedGroup, share_and_streams_groups_refuse_classic_members) {
  Host host;
  host.log = {{encode_key(wire::ShareGroupMetadataKey{.group_id = "s"}),
               encode_value(wire::ShareGroupMetadataValue{.epoch = 1}, 0)},
              {encode_key(wire::StreamsGroupMetadataKey{.group_id = "t"}),
               encode_value(wire::StreamsGroupMetadataValue{.epoch = 1}, 0)}};
  host.start();
  EXPECT_EQ(host.join_error(Member(host, "s").join()), ErrorCode::kInconsistentGroupProtocol);
  EXPECT_EQ(host.join_error(Member(host, "t").join()), ErrorCode::kInconsistentGroupProtocol);
}

TEST(PreservedGroup, offsets_are_committed_by_its_members_or_to_it_when_empty) {
  Host host({.consumer_session_timeout = seconds(45)});
  host.log = consumer_group();
  host.start();
  Member a(host, "g");
  EXPECT_EQ(a.commit("t0", 1, 9), ErrorCode::kUnknownMemberId);
  host.advance(seconds(46));
  EXPECT_EQ(a.commit("t0", 1, 9), ErrorCode::kNone);
  EXPECT_EQ(host.offset("g", "t0", 1), 9);
}

TEST(PreservedGroup, its_offsets_do_not_expire_while_a_member_reads_the_topic) {
  Host host({.offsets_retention = seconds(10),
             .offsets_retention_check_interval = seconds(1),
             .consumer_session_timeout = seconds(45)});
  host.log = consumer_group();
  host.start();
  host.advance(seconds(40));
  EXPECT_EQ(host.offset("g", "t0", 1), 7);
  host.advance(seconds(10));  // the member is gone
  EXPECT_EQ(host.offset("g", "t0", 1), -1);
  EXPECT_EQ(listed(host), "");
}

TEST(PreservedGroup, is_deleted_when_empty_with_everything_it_had) {
  Host host({.consumer_session_timeout = seconds(45)});
  host.log = consumer_group();
  host.start();
  EXPECT_EQ(host.delete_group("g"), ErrorCode::kNonEmptyGroup);
  host.advance(seconds(46));
  EXPECT_EQ(host.delete_group("g"), ErrorCode::kNone);
  host.start();
  EXPECT_EQ(host.machine->describe_replicated(), "");
}

}  // namespace
}  // namespace millrace::group
