// The records of __consumer_offsets as Apache Kafka 4.3.1 wrote them: read, and written again.
#include <fstream>
#include <sstream>

#include "base/testing/golden.h"
#include "group/testing/sharer.h"
#include "group/testing/streamer.h"
#include "wire/group_records.h"

namespace millrace::group {
namespace {

using namespace testing;

std::vector<KeyValueRecord> records_of(int32_t partition) {
  std::ifstream file(std::string(MILLRACE_SOURCE_DIR) + "/src/group/testdata/consumer_offsets.txt");
  std::vector<KeyValueRecord> records;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream fields(line);
    int32_t from = -1;
    std::string key, value;
    fields >> from >> key >> value;
    if (from != partition) continue;
    auto& record = records.emplace_back(KeyValueRecord{millrace::testing::from_hex(key), {}});
    if (value != "-") record.value = millrace::testing::from_hex(value);
  }
  EXPECT_FALSE(records.empty());
  return records;
}

std::string only_type(const Host& host) {
  const auto groups = host.machine->list_groups({});
  EXPECT_EQ(groups.size(), 1u);
  return groups.at(0).group_type + " " + groups.at(0).group_state;
}

TEST(Golden, every_record_is_kept_when_a_log_is_replayed) {
  Host classic, consumer;
  classic.log = records_of(0);
  classic.start();
  EXPECT_EQ(only_type(classic), "classic Empty");
  EXPECT_EQ(classic.offset("classic-group", "codecs", 0), 25);
  consumer.log = records_of(1);
  consumer.start();
  EXPECT_EQ(only_type(consumer), "consumer Empty");
  EXPECT_EQ(consumer.offset("consumer-group", "codecs", 1), 25);
}

TEST(Golden, every_prefix_of_a_log_can_be_replayed) {
  for (int32_t partition : {0, 1, 2, 3}) {
    const auto records = records_of(partition);
    for (size_t count = 0; count <= records.size(); ++count) {
      Host host;
      host.log.assign(records.begin(), records.begin() + static_cast<ptrdiff_t>(count));
      host.start();
      EXPECT_LE(host.machine->list_groups({}).size(), 1u);
    }
  }
}

// kcat joined alone, committed once and left. Its requests make the same records here, byte for
// byte, from the first (a group is written when it is made) to the last (it is empty).
TEST(Golden, the_life_of_a_group_is_written_as_apache_kafka_wrote_it) {
  const auto expected = records_of(0);
  Host host({.initial_rebalance_delay = Duration::zero()});
  host.wall = TimestampMs(0x1a1fc2a74ef);
  host.topics.ids["codecs"] = Uuid::of_words({0x60939e67d2e84f66, 0x9fd41709f60ab2f4});
  RequestContext context = host.context(5);
  context.client_id = "rdkafka";
  context.fresh_id = Uuid::of_words({0xb49a5ec9796f4cd7, 0x9ef8e66df0d388b5});
  wire::JoinGroupRequest join;
  join.group_id = "classic-group";
  join.session_timeout_ms = 45'000;
  join.rebalance_timeout_ms = 300'000;
  join.protocol_type = "consumer";
  const auto written = wire::decode_value<wire::GroupMetadataValue>(*expected[1].value);
  ASSERT_TRUE(written);
  join.protocols = {{.name = "range", .metadata = written->members.at(0).subscription},
                    {.name = "roundrobin", .metadata = written->members[0].subscription}};
  host.take(host.machine->decide_join_group(join, context));
  join.member_id = host.reply<wire::JoinGroupResponse>(context.ticket).member_id;
  EXPECT_EQ(host.log, std::vector(expected.begin(), expected.begin() + 1));

  host.wall = TimestampMs(0x1a1fc2a752d);
  context.wall = host.wall;
  context.ticket = host.context(5).ticket;
  host.take(host.machine->decide_join_group(join, context));
  host.advance(Duration::zero());
  wire::SyncGroupRequest sync;
  sync.group_id = join.group_id;
  sync.member_id = join.member_id;
  sync.generation_id = 1;
  sync.assignments = {{.member_id = join.member_id, .assignment = written->members[0].assignment}};
  EXPECT_EQ(host.sync_error(host.sync(sync, 3)), ErrorCode::kNone);
  EXPECT_EQ(host.log, std::vector(expected.begin(), expected.begin() + 2));

  host.wall = TimestampMs(0x1a1fc2a7802);
  wire::OffsetCommitRequest commit;
  commit.group_id = join.group_id;
  commit.member_id = join.member_id;
  commit.generation_id_or_member_epoch = 1;
  commit.topics = {
      {.name = "codecs", .partitions = {{.committed_offset = 25, .committed_leader_epoch = 0}}}};
  host.commit(commit, 7);
  host.wall = TimestampMs(0x1a1fc2a784d);
  wire::LeaveGroupRequest leave;
  leave.group_id = join.group_id;
  leave.member_id = join.member_id;
  host.leave(leave, 1);
  EXPECT_EQ(host.log, expected);
}

// kcat joined alone, committed once and left, by the consumer protocol: each record of it, byte for
// byte, the hash of the metadata among them.
TEST(Golden, the_life_of_a_consumer_group_is_written_as_apache_kafka_wrote_it) {
  const auto expected = records_of(1);
  Host host;
  host.topics.ids["codecs"] = Uuid::of_words({0x60939e67d2e84f66, 0x9fd41709f60ab2f4});
  host.topics.counts["codecs"] = 2;
  host.wall = TimestampMs(0x1a1fc2a79e6);
  RequestContext context = host.context(1);
  context.client_id = "rdkafka";
  wire::ConsumerGroupHeartbeatRequest beat;
  beat.group_id = "consumer-group";
  const auto key = wire::decode_key<wire::ConsumerGroupMemberMetadataKey>(expected[0].key);
  ASSERT_TRUE(key);
  beat.member_id = key->member_id;
  beat.rebalance_timeout_ms = 300'000;
  beat.subscribed_topic_names = {"codecs"};
  beat.topic_partitions.emplace();
  const auto written =
      wire::decode_value<wire::ConsumerGroupMemberMetadataValue>(*expected[0].value);
  ASSERT_TRUE(written);
  beat.subscribed_topic_regex = written->subscribed_topic_regex;
  beat.server_assignor = written->server_assignor;
  if (beat.server_assignor == "") beat.server_assignor.reset();
  host.take(host.machine->decide_consumer_heartbeat(beat, context));
  EXPECT_EQ(host.log, std::vector(expected.begin(), expected.begin() + 5));
  const size_t joined = host.log.size();
  beat = {};
  beat.group_id = "consumer-group";
  beat.member_id = key->member_id;
  beat.member_epoch = -1;
  host.beat(beat);
  EXPECT_EQ(std::vector(host.log.begin() + static_cast<ptrdiff_t>(joined), host.log.end()),
            std::vector(expected.begin() + 6, expected.end()));
}

// A member joins, is assigned what was initialised, leaves; the group is deleted.
TEST(Golden, the_life_of_a_share_group_is_written_in_apache_kafkas_bytes) {
  const auto expected = records_of(2);
  Host host;
  host.topics.ids["codecs"] = Uuid::of_words({0x60939e67d2e84f66, 0x9fd41709f60ab2f4});
  host.topics.counts["codecs"] = 2;
  host.wall = TimestampMs(0x1a1fc2a79e6);
  Sharer member(host, "mirjiwB6AQ66gSnhPesTSw", "share-group");
  const auto beat = [&](int32_t epoch) {
    RequestContext context = host.context(1);
    context.client_id = "rdkafka";
    auto request = member.says();
    request.member_epoch = epoch;
    if (epoch == 0) request.subscribed_topic_names = {"codecs"};
    host.take(host.machine->decide_share_heartbeat(request, context));
  };
  beat(0);
  host.grant();
  host.advance(seconds(5));
  beat(2);
  beat(-1);
  host.begin_delete_groups({"share-group"});
  host.grant();
  EXPECT_EQ(host.log, expected);
  EXPECT_TRUE(host.machine->list_groups({}).empty());
}

// A member waits for others, another one comes and is given half of the tasks, each task has a
// standby, both leave; the group is deleted.
TEST(Golden, the_life_of_a_streams_group_is_written_in_apache_kafkas_bytes) {
  const auto expected = records_of(3);
  Host host({.streams_assignment_interval = milliseconds(0), .streams_initial_delay = seconds(2)});
  host.client_id = "tests";
  host.topics.ids["t0"] = Uuid::of_words({0x1ff1ba02a1b3481c, 0xa0e12375db57bdc9});
  host.topics.ids["store"] = Uuid::of_words({0x486475da90664c47, 0x8a1cdaebd638eccf});
  host.topics.counts["t0"] = host.topics.counts["store"] = 4;
  Streamer a(host, "a"), b(host, "b");
  host.wall = TimestampMs(0x1a204ae2795 - 2000);
  a.join();
  host.advance(seconds(2));
  a.beat();
  host.wall = TimestampMs(0x1a204ae27eb);
  b.join();
  a.beat();
  a.beat();
  b.beat();
  host.wall = TimestampMs(0x1a204ae2a3d);
  host.topics.streams_settings["st"].standby_replicas = 1;
  for (int round = 0; round < 3; ++round) {
    a.beat();
    b.beat();
  }
  host.wall = TimestampMs(0x1a204ae2ab2);
  b.leave();
  a.beat();
  a.beat();
  a.leave();
  host.begin_delete_groups({"st"});
  EXPECT_EQ(host.log, expected);
  EXPECT_TRUE(host.machine->list_groups({}).empty());
}

}  // namespace
}  // namespace millrace::group
