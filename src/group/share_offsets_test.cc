// What administrators do to share groups (KIP-932): AlterShareGroupOffsets,
// DeleteShareGroupOffsets, DeleteGroups.
#include "group/testing/sharer.h"

namespace millrace::group {
namespace {

using namespace testing;
using Alter = wire::AlterShareGroupOffsetsResponse;
using Delete = wire::DeleteShareGroupOffsetsResponse;

// A group that is empty, with t0 initialised.
void used(Host& host) {
  Sharer member(host, "m0");
  member.join();
  host.grant();
  member.leave();
}

wire::AlterShareGroupOffsetsRequest alteration(
    const std::vector<std::pair<int32_t, int64_t>>& offsets, const std::string& topic = "t0") {
  wire::AlterShareGroupOffsetsRequest request;
  request.group_id = "s";
  auto& altered = request.topics.emplace_back();
  altered.topic_name = topic;
  for (const auto& [index, offset] : offsets)
    altered.partitions.push_back({.partition_index = index, .start_offset = offset});
  return request;
}

wire::DeleteShareGroupOffsetsRequest deletion(const std::vector<std::string>& topics) {
  wire::DeleteShareGroupOffsetsRequest request;
  request.group_id = "s";
  for (const std::string& topic : topics) request.topics.push_back({.topic_name = topic});
  return request;
}

template <class Response>
std::string told(const Response& response) {
  return fmt::format("{} {}", wire::error_name(static_cast<ErrorCode>(response.error_code)),
                     response.error_message.value_or(""));
}

std::string told(const Host& host, Ticket ticket) {
  std::string text;
  for (const auto& topic : host.reply<Delete>(ticket).responses)
    text += fmt::format("{} {};", topic.topic_name, told(topic));
  return text;
}

size_t initialized(const Host& host) {
  size_t count = 0;
  for (const auto& [topic_id, partitions] : host.machine->initialized_share_partitions("s"))
    count += partitions.size();
  return count;
}

TEST(ShareOffsets, altering_makes_a_group_and_begins_where_it_says) {
  Host host;
  const Ticket ticket = host.alter_share_offsets(alteration({{1, 70}, {3, 0}}));
  EXPECT_TRUE(host.is_parked(ticket));
  ASSERT_EQ(host.wishes.size(), 1u);
  EXPECT_EQ(host.wishes[0].state_epoch, 1);
  ASSERT_EQ(host.wishes[0].partitions.size(), 2u);
  EXPECT_EQ(host.wishes[0].partitions[0].index, PartitionIndex(1));
  EXPECT_EQ(host.wishes[0].partitions[0].start_offset, Offset(70));
  host.grant();
  const auto answer = host.reply<Alter>(ticket);
  EXPECT_EQ(told(answer), "NONE ");
  ASSERT_EQ(answer.responses.size(), 1u);
  EXPECT_EQ(answer.responses[0].topic_id, *host.topics.id_of("t0"));
  EXPECT_EQ(answer.responses[0].partitions.size(), 2u);
  EXPECT_EQ(initialized(host), 2u);
  EXPECT_EQ(described(host).group_state, "Empty");
  host.start();
  EXPECT_EQ(initialized(host), 2u);
}

TEST(ShareOffsets, altering_says_which_partitions_there_are_not) {
  Host host;
  const auto unknown = host.reply<Alter>(host.alter_share_offsets(alteration({{0, 1}}, "absent")));
  EXPECT_EQ(unknown.responses.at(0).topic_id, Uuid::zero());
  EXPECT_EQ(told(unknown.responses[0].partitions.at(0)),
            "UNKNOWN_TOPIC_OR_PARTITION This server does not host this topic-partition.");
  const Ticket ticket = host.alter_share_offsets(alteration({{4, 1}, {0, 1}, {-1, 1}}));
  host.grant();
  const auto answer = host.reply<Alter>(ticket);
  EXPECT_EQ(told(answer.responses.at(0).partitions.at(0)),
            "UNKNOWN_TOPIC_OR_PARTITION This server does not host this topic-partition.");
  EXPECT_EQ(told(answer.responses[0].partitions.at(1)), "NONE ");
  EXPECT_NE(answer.responses[0].partitions.at(2).error_code, 0);
}

TEST(ShareOffsets, altering_tells_what_the_share_coordinator_refuses) {
  Host host;
  const Ticket ticket = host.alter_share_offsets(alteration({{0, 1}, {1, 1}}));
  host.grant(ErrorCode::kFencedStateEpoch);
  const auto answer = host.reply<Alter>(ticket);
  EXPECT_EQ(told(answer.responses.at(0).partitions.at(0)),
            "FENCED_STATE_EPOCH The share coordinator rejected the request because the share-group "
            "state epoch did not match.");
  EXPECT_EQ(told(answer.responses[0].partitions.at(1)), "NONE ");
  EXPECT_EQ(initialized(host), 0u);
}

TEST(ShareOffsets, nothing_is_altered_or_deleted_while_there_are_members) {
  Host host;
  Sharer(host, "m0").join();
  host.grant();
  EXPECT_EQ(told(host.reply<Alter>(host.alter_share_offsets(alteration({{0, 1}})))),
            "NON_EMPTY_GROUP The group is not empty.");
  EXPECT_EQ(told(host.reply<Delete>(host.delete_share_offsets(deletion({"t0"})))),
            "NON_EMPTY_GROUP The group is not empty.");
  EXPECT_EQ(host.delete_group("s"), ErrorCode::kNonEmptyGroup);
  EXPECT_TRUE(host.wishes.empty());
}

TEST(ShareOffsets, groups_of_other_kinds_are_not_found) {
  Host host;
  EXPECT_EQ(told(host.reply<Delete>(host.delete_share_offsets(deletion({"t0"})))),
            "GROUP_ID_NOT_FOUND Group s not found.");
  Member classic(host, "s");
  classic.join();
  EXPECT_EQ(told(host.reply<Delete>(host.delete_share_offsets(deletion({"t0"})))),
            "GROUP_ID_NOT_FOUND Group s is not a share group.");
  EXPECT_EQ(told(host.reply<Alter>(host.alter_share_offsets(alteration({{0, 1}})))),
            "GROUP_ID_NOT_FOUND Group s is not a share group.");
}

TEST(ShareOffsets, deleting_names_each_topic_and_asks_for_what_is_initialised) {
  Host host;
  used(host);
  const Ticket ticket = host.delete_share_offsets(deletion({"absent", "t0", "t1"}));
  EXPECT_TRUE(host.is_parked(ticket));
  ASSERT_EQ(host.wishes.size(), 1u);
  EXPECT_EQ(host.wishes[0].kind, ShareStateWish::Kind::kDelete);
  EXPECT_EQ(host.wishes[0].partitions.size(), 4u);
  EXPECT_EQ(initialized(host), 0u);
  host.grant();
  EXPECT_EQ(told(host, ticket),
            "t0 NONE ;"
            "absent UNKNOWN_TOPIC_OR_PARTITION This server does not host this topic-partition.;"
            "t1 UNKNOWN_TOPIC_OR_PARTITION There is no offset information to delete.;");
  EXPECT_EQ(told(host, host.delete_share_offsets(deletion({"t0"}))),
            "t0 UNKNOWN_TOPIC_OR_PARTITION There is no offset information to delete.;");
}

TEST(ShareOffsets, a_deletion_that_failed_can_be_repeated) {
  Host host;
  used(host);
  const Ticket failed = host.delete_share_offsets(deletion({"t0"}));
  host.grant(ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(told(host, failed), "t0 COORDINATOR_NOT_AVAILABLE The coordinator is not available.;");
  const Ticket again = host.delete_share_offsets(deletion({"t0"}));
  host.grant();
  EXPECT_EQ(told(host, again), "t0 NONE ;");
}

TEST(ShareOffsets, a_group_that_kept_nothing_is_deleted_at_once) {
  Host host;
  Sharer member(host, "m0");
  member.join({"absent"});
  member.leave();
  EXPECT_EQ(host.delete_group("s"), ErrorCode::kNone);
  EXPECT_TRUE(host.machine->list_groups({}).empty());
  EXPECT_EQ(host.delete_group("s"), ErrorCode::kGroupIdNotFound);
}

TEST(ShareOffsets, a_group_is_deleted_when_its_state_is) {
  Host host;
  used(host);
  const Ticket ticket = host.begin_delete_groups({"s", "x"});
  EXPECT_TRUE(host.is_parked(ticket));
  ASSERT_EQ(host.wishes.size(), 1u);
  EXPECT_EQ(host.wishes[0].partitions.size(), 4u);
  EXPECT_EQ(host.machine->list_groups({}).size(), 1u);
  host.grant();
  const auto answer = host.reply<wire::DeleteGroupsResponse>(ticket);
  EXPECT_EQ(answer.results.at(0).error_code, 0);
  EXPECT_EQ(answer.results.at(1).error_code, wire::code_of(ErrorCode::kGroupIdNotFound));
  EXPECT_TRUE(host.machine->list_groups({}).empty());
  host.start();
  EXPECT_TRUE(host.machine->list_groups({}).empty());
}

TEST(ShareOffsets, a_group_whose_state_could_not_be_deleted_stays_and_can_be_deleted_again) {
  Host host;
  used(host);
  const Ticket failed = host.begin_delete_groups({"s"});
  host.grant(ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(host.reply<wire::DeleteGroupsResponse>(failed).results.at(0).error_code,
            wire::code_of(ErrorCode::kCoordinatorNotAvailable));
  EXPECT_EQ(initialized(host), 0u);
  const Ticket again = host.begin_delete_groups({"s"});
  ASSERT_EQ(host.wishes.size(), 1u);
  EXPECT_EQ(host.wishes[0].partitions.size(), 4u);
  host.grant();
  EXPECT_EQ(host.reply<wire::DeleteGroupsResponse>(again).results.at(0).error_code, 0);
}

TEST(ShareOffsets, who_joins_while_a_group_is_being_deleted_keeps_it) {
  Host host;
  used(host);
  const Ticket ticket = host.begin_delete_groups({"s"});
  Sharer late(host, "m1");
  late.join();
  ASSERT_EQ(host.wishes.size(), 1u);  // what is made now might be deleted behind its back
  host.grant();
  EXPECT_EQ(host.reply<wire::DeleteGroupsResponse>(ticket).results.at(0).error_code,
            wire::code_of(ErrorCode::kNonEmptyGroup));
  late.beat();
  ASSERT_EQ(host.wishes.size(), 1u);
  host.grant();
  host.advance(seconds(2));
  late.beat();
  EXPECT_EQ(late.partitions().size(), 4u);
}

TEST(ShareOffsets, what_was_wished_for_a_group_that_is_gone_is_not_its_successors) {
  Host host;
  Sharer member(host, "m0");
  member.join();
  member.leave();
  host.begin_delete_groups({"s"});
  std::rotate(host.wishes.begin(), host.wishes.begin() + 1, host.wishes.end());
  host.grant();  // the deletion
  EXPECT_TRUE(host.machine->list_groups({}).empty());
  Sharer(host, "m1").join();
  host.grant();  // of the group before
  EXPECT_EQ(initialized(host), 0u);
  host.grant();
  EXPECT_EQ(initialized(host), 4u);
}

// The second request finds the group gone, and what has its name now is another.
TEST(ShareOffsets, a_deletion_that_comes_late_deletes_no_other_group) {
  Host host;
  used(host);
  const Ticket first = host.begin_delete_groups({"s"});
  const Ticket second = host.begin_delete_groups({"s"});
  ASSERT_EQ(host.wishes.size(), 2u);
  host.grant();
  EXPECT_EQ(host.reply<wire::DeleteGroupsResponse>(first).results.at(0).error_code, 0);
  Member member(host, "s");
  member.join();
  host.advance(seconds(10));
  member.leave();
  ASSERT_EQ(host.state("s"), "Empty");
  host.grant();
  EXPECT_EQ(host.reply<wire::DeleteGroupsResponse>(second).results.at(0).error_code,
            code_of(ErrorCode::kGroupIdNotFound));
  EXPECT_EQ(host.state("s"), "Empty");
}

}  // namespace
}  // namespace millrace::group
