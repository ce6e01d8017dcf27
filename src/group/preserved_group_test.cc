// Groups of the share (KIP-932) and streams (KIP-1071) protocols that somebody else wrote: kept,
// shown, deleted.
#include "group/preserved_group.h"

#include "group/testing/host.h"
#include "wire/group_records.h"

namespace millrace::group {
namespace {

using namespace testing;
using wire::encode_key;
using wire::encode_value;

std::vector<KeyValueRecord> groups() {
  return {{encode_key(wire::ShareGroupMetadataKey{.group_id = "s"}),
           encode_value(wire::ShareGroupMetadataValue{.epoch = 1}, 0)},
          {encode_key(wire::StreamsGroupMetadataKey{.group_id = "t"}),
           encode_value(wire::StreamsGroupMetadataValue{.epoch = 1}, 0)},
          {encode_key(wire::OffsetCommitKey{.group = "t", .topic = "t0", .partition = 1}),
           encode_value(wire::OffsetCommitValue{.offset = 7}, 4)}};
}

KeyValueRecord streams_member() {
  return {encode_key(wire::StreamsGroupMemberMetadataKey{.group_id = "t", .member_id = "m"}),
          encode_value(wire::StreamsGroupMemberMetadataValue{}, 0)};
}

std::string listed(const Host& host) {
  std::string text;
  for (const auto& group : host.machine->list_groups({}))
    text += group.group_id + " " + group.group_type + " " + group.group_state + "\n";
  return text;
}

TEST(PreservedGroup, its_records_and_offsets_survive_replays) {
  Host host;
  host.log = groups();
  host.start();
  EXPECT_EQ(listed(host), "s share Empty\nt streams Empty\n");
  EXPECT_EQ(host.offset("t", "t0", 1), 7);
  const std::string before = host.machine->describe_replicated();
  host.start();
  EXPECT_EQ(host.machine->describe_replicated(), before);
}

TEST(PreservedGroup, is_neither_a_classic_nor_a_consumer_group) {
  Host host;
  host.log = groups();
  host.start();
  const auto told = host.machine->describe_group("s", 6);
  EXPECT_EQ(told.error_code, wire::code_of(ErrorCode::kGroupIdNotFound));
  EXPECT_EQ(told.error_message, "Group s is not a classic group.");
  EXPECT_EQ(host.machine->describe_group("s", 5).group_state, "Dead");
  EXPECT_EQ(host.machine->describe_consumer_group("s", host.topics).error_message,
            "Group s is not a consumer group.");
}

TEST(PreservedGroup, refuses_classic_members_unless_it_is_an_empty_streams_group) {
  Host host;
  host.log = groups();
  host.log.push_back(streams_member());
  host.start();
  EXPECT_EQ(host.join_error(Member(host, "s").join()), ErrorCode::kInconsistentGroupProtocol);
  EXPECT_EQ(host.join_error(Member(host, "t").join()), ErrorCode::kInconsistentGroupProtocol);
  host.log.back().value.reset();
  host.start();
  Member(host, "t").join();
  EXPECT_EQ(listed(host), "s share Empty\nt classic PreparingRebalance\n");
  EXPECT_EQ(host.offset("t", "t0", 1), 7);
}

TEST(PreservedGroup, is_deleted_when_empty_with_everything_it_had) {
  Host host;
  host.log = groups();
  host.log.push_back(streams_member());
  host.start();
  EXPECT_EQ(host.delete_group("t"), ErrorCode::kNonEmptyGroup);
  host.log.back().value.reset();
  host.start();
  EXPECT_EQ(host.delete_group("t"), ErrorCode::kNone);
  host.start();
  EXPECT_EQ(listed(host), "s share Empty\n");
  EXPECT_EQ(host.offset("t", "t0", 1), -1);
}

}  // namespace
}  // namespace millrace::group
