// Groups that go from one protocol to the other while their members work.
#include "group/embedded_protocol.h"
#include "group/testing/consumer.h"

namespace millrace::group {
namespace {

using namespace testing;

std::string listed(const Host& host) {
  std::string text;
  for (const auto& group : host.machine->list_groups({}))
    text += group.group_id + " " + group.group_type + " " + group.group_state;
  return text;
}

std::string assigned(const Host& host, const std::vector<int32_t>& partitions) {
  const TargetAssignment assignment{{*host.topics.id_of("t0"), partitions}};
  return std::string(as_text(serialize_assignment(assignment, host.topics, 1)));
}

std::set<int32_t> read(const ByteBuffer& bytes) {
  const auto assignment = parse_assignment(bytes);
  EXPECT_TRUE(assignment);
  std::set<int32_t> partitions;
  for (const auto& topic : assignment->assigned_partitions)
    partitions.insert(topic.partitions.begin(), topic.partitions.end());
  return partitions;
}

// A classic member that has all four partitions of t0.
Member classic_group(Host& host) {
  Member member(host, "g");
  member.join();
  host.advance(seconds(10));
  EXPECT_TRUE(member.take_join());
  member.sync({{member.id, assigned(host, {0, 1, 2, 3})}});
  return member;
}

TEST(Migration, a_classic_group_is_upgraded_when_a_consumer_joins) {
  Host host;
  Member classic = classic_group(host);
  Consumer a(host, "a");
  const Beat joined = a.join();
  EXPECT_EQ(error_of(joined), ErrorCode::kNone);
  EXPECT_EQ(listed(host), "g consumer Reconciling");
  EXPECT_EQ(a.size(), 0u);
  const auto described = host.machine->describe_consumer_group("g", host.topics);
  EXPECT_EQ(described.members.size(), 2u);
  EXPECT_EQ(classic.heartbeat(), ErrorCode::kRebalanceInProgress);
  // It joins again, gives up two, and joins once more.
  classic.request.protocols[0].metadata = subscription({"t0"});
  classic.join();
  EXPECT_EQ(host.sync_error(classic.sync()), ErrorCode::kNone);
  const auto kept = read(host.reply<wire::SyncGroupResponse>(classic.ticket).assignment);
  EXPECT_EQ(kept.size(), 2u);
  classic.join();
  classic.sync();
  EXPECT_EQ(classic.heartbeat(), ErrorCode::kNone);
  a.beat();
  EXPECT_EQ(a.size(), 2u);
  host.start();
  EXPECT_EQ(listed(host), "g consumer Stable");
}

TEST(Migration, the_last_consumer_that_leaves_makes_the_group_classic_again) {
  Host host;
  Member classic = classic_group(host);
  Consumer a(host, "a");
  a.join();
  a.leave();
  EXPECT_EQ(listed(host), "g classic PreparingRebalance");
  EXPECT_EQ(classic.heartbeat(), ErrorCode::kIllegalGeneration);
  classic.join();
  EXPECT_TRUE(classic.take_join());
  EXPECT_EQ(host.sync_error(classic.sync({{classic.id, assigned(host, {0, 1, 2, 3})}})),
            ErrorCode::kNone);
  host.start();
  EXPECT_EQ(listed(host), "g classic Stable");
}

TEST(Migration, a_downgrade_that_was_written_is_read_back_with_its_members) {
  Host host;
  Member classic = classic_group(host);
  Consumer a(host, "a");
  a.join();
  a.leave();
  host.start();
  EXPECT_EQ(listed(host), "g classic Stable");
  EXPECT_EQ(host.machine->describe_group("g", 5).members.size(), 1u);
}

TEST(Migration, each_policy_lets_in_whom_it_says) {
  const auto upgrade = [](MigrationPolicy policy) {
    Host host({.migration = policy});
    Member classic = classic_group(host);
    Consumer a(host, "a");
    return a.join();
  };
  EXPECT_EQ(error_of(upgrade(MigrationPolicy::kBidirectional)), ErrorCode::kNone);
  EXPECT_EQ(error_of(upgrade(MigrationPolicy::kUpgrade)), ErrorCode::kNone);
  EXPECT_EQ(error_of(upgrade(MigrationPolicy::kDowngrade)), ErrorCode::kGroupIdNotFound);
  EXPECT_EQ(upgrade(MigrationPolicy::kDisabled).error_message,
            "Cannot upgrade classic group g to consumer group because online upgrade is disabled.");
  const auto join = [](MigrationPolicy policy) {
    Host host({.migration = policy});
    Consumer a(host, "a");
    a.join();
    Member classic(host, "g");
    return host.join_error(classic.join());
  };
  EXPECT_EQ(join(MigrationPolicy::kDisabled), ErrorCode::kInconsistentGroupProtocol);
  EXPECT_EQ(join(MigrationPolicy::kUpgrade), ErrorCode::kNone);
}

TEST(Migration, without_a_downgrade_the_group_stays_with_its_classic_members) {
  Host host({.migration = MigrationPolicy::kUpgrade});
  Member classic = classic_group(host);
  Consumer a(host, "a");
  a.join();
  a.leave();
  EXPECT_EQ(listed(host), "g consumer Assigning");
}

TEST(Migration, classic_members_alone_share_out_what_a_consumer_had) {
  Host host({.migration = MigrationPolicy::kUpgrade});
  Member classic = classic_group(host);
  Consumer a(host, "a");
  a.join();
  classic.heartbeat();
  classic.request.protocols[0].metadata = subscription({"t0"});
  for (int i = 0; i < 2; ++i) {
    classic.join();
    classic.sync();
  }
  a.beat();
  EXPECT_EQ(a.size(), 2u);
  a.leave();
  host.advance(seconds(2));
  EXPECT_EQ(classic.heartbeat(), ErrorCode::kRebalanceInProgress);
  classic.join();
  EXPECT_EQ(host.sync_error(classic.sync()), ErrorCode::kNone);
  EXPECT_EQ(read(host.reply<wire::SyncGroupResponse>(classic.ticket).assignment).size(), 4u);
  EXPECT_EQ(classic.heartbeat(), ErrorCode::kNone);
  EXPECT_EQ(listed(host), "g consumer Stable");
}

TEST(Migration, a_group_that_is_not_of_consumers_is_not_upgraded) {
  Host host;
  Member connect(host, "g");
  connect.request.protocol_type = "connect";
  connect.join();
  Consumer a(host, "a");
  EXPECT_EQ(a.join().error_message,
            "Cannot upgrade classic group g to consumer group because the group does not use the "
            "consumer embedded protocol.");
  EXPECT_EQ(listed(host), "g classic PreparingRebalance");
}

TEST(Migration, who_waits_in_the_classic_group_joins_again) {
  Host host;
  Member classic(host, "g");
  classic.join();
  const Ticket waiting = classic.ticket;
  EXPECT_TRUE(host.is_parked(waiting));
  Consumer a(host, "a");
  EXPECT_EQ(error_of(a.join()), ErrorCode::kNone);
  EXPECT_EQ(host.join_error(waiting), ErrorCode::kRebalanceInProgress);
  EXPECT_EQ(host.join_error(classic.join()), ErrorCode::kNone);
}

TEST(Migration, a_classic_member_that_does_not_join_again_is_removed) {
  Host host;
  Member classic = classic_group(host);
  classic.request.rebalance_timeout_ms = 20'000;
  Consumer a(host, "a");
  a.join();
  for (int i = 0; i < 20; ++i) {
    classic.heartbeat();
    a.beat();
    host.advance(seconds(5));
  }
  a.settle();
  EXPECT_EQ(a.size(), 4u);
  EXPECT_EQ(classic.heartbeat(), ErrorCode::kUnknownMemberId);
}

TEST(Migration, a_classic_member_leaves_by_the_classic_protocol) {
  Host host;
  Member classic = classic_group(host);
  Consumer a(host, "a");
  a.join();
  EXPECT_EQ(classic.leave(), ErrorCode::kNone);
  a.settle();
  EXPECT_EQ(a.size(), 4u);
}

TEST(Migration, a_static_classic_member_in_place_of_the_last_consumer_makes_the_group_classic) {
  Host host;
  Consumer a(host, "a");
  a.full.instance_id = "one";
  a.join();
  host.advance(seconds(2));
  Member classic(host, "g");
  classic.request.group_instance_id = "one";
  EXPECT_EQ(host.join_error(classic.join()), ErrorCode::kNone);
  EXPECT_EQ(listed(host), "g classic Stable");
  EXPECT_EQ(host.machine->describe_group("g", 5).members.size(), 1u);
  host.start();
  EXPECT_EQ(listed(host), "g classic Stable");
}

}  // namespace
}  // namespace millrace::group
