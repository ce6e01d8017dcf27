// The facts of committed offsets (reference: KIP-211, KIP-447, KIP-848), one test each.
#include "group/testing/host.h"
#include "wire/group_records.h"

namespace millrace::group {
namespace {

using namespace testing;

wire::OffsetCommitRequest simple_commit(const std::string& metadata = "") {
  wire::OffsetCommitRequest request;
  request.group_id = "g";
  request.topics = {{.name = "t0",
                     .partitions = {{.partition_index = 1,
                                     .committed_offset = 42,
                                     .committed_leader_epoch = 3,
                                     .committed_metadata = metadata}}}};
  return request;
}

ErrorCode commit_error(Host& host, const wire::OffsetCommitRequest& request, int16_t version = 9) {
  const auto answer = host.reply<wire::OffsetCommitResponse>(host.commit(request, version));
  return static_cast<ErrorCode>(answer.topics.at(0).partitions.at(0).error_code);
}

TEST(Commit, without_a_generation_only_an_empty_group_accepts) {
  Host host;
  EXPECT_EQ(commit_error(host, simple_commit()), ErrorCode::kNone);
  EXPECT_EQ(host.offset("g", "t0", 1), 42);
  stable_group(host, 1);
  EXPECT_EQ(commit_error(host, simple_commit()), ErrorCode::kUnknownMemberId);
}

TEST(Commit, with_a_generation_in_an_unknown_group_fails_by_version) {
  Host host;
  auto request = simple_commit();
  request.generation_id_or_member_epoch = 1;
  request.member_id = "m";
  EXPECT_EQ(commit_error(host, request, 8), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(commit_error(host, request, 9), ErrorCode::kGroupIdNotFound);
}

TEST(Commit, the_generation_and_the_state_count) {
  Host host;
  auto members = stable_group(host, 1);
  members[0].generation = 0;
  EXPECT_EQ(members[0].commit("t0", 0, 1), ErrorCode::kIllegalGeneration);
  members[0].generation = 1;
  EXPECT_EQ(members[0].commit("t0", 0, 1), ErrorCode::kNone);
  members[0].join();
  members[0].take_join();
  EXPECT_EQ(members[0].commit("t0", 0, 1), ErrorCode::kRebalanceInProgress);
}

TEST(Commit, metadata_is_measured_in_java_characters) {
  Host host({.offset_metadata_max_size = 4});
  EXPECT_EQ(commit_error(host, simple_commit("日本語x")), ErrorCode::kNone);
  EXPECT_EQ(commit_error(host, simple_commit("𝄞𝄞x")), ErrorCode::kOffsetMetadataTooLarge);
}

TEST(Commit, an_unknown_topic_or_partition_fails_alone_and_is_answered_first) {
  Host host;
  auto request = simple_commit();
  request.topics[0].partitions.push_back({.partition_index = 9});
  const auto answer = host.reply<wire::OffsetCommitResponse>(host.commit(request));
  EXPECT_EQ(answer.topics[0].partitions[0].partition_index, 9);
  EXPECT_EQ(answer.topics[0].partitions[0].error_code,
            wire::code_of(ErrorCode::kUnknownTopicOrPartition));
  EXPECT_EQ(answer.topics[0].partitions[1].error_code, 0);
}

TEST(Commit, is_written_as_kafka_writes_it) {
  Host host;
  auto request = simple_commit();
  host.commit(request);
  const auto value = wire::decode_value<wire::OffsetCommitValue>(*host.log.back().value);
  ASSERT_TRUE(value);
  EXPECT_EQ((*host.log.back().value)[1], 4);
  EXPECT_EQ(value->topic_id, *host.topics.id_of("t0"));
  EXPECT_EQ(value->leader_epoch, 3);
  request.retention_time_ms = 5'000;
  host.commit(request, 4);
  const auto expiring = wire::decode_value<wire::OffsetCommitValue>(*host.log.back().value);
  EXPECT_EQ((*host.log.back().value)[1], 1);
  EXPECT_EQ(expiring->expire_timestamp, host.wall.value() + 5'000);
}

TEST(Fetch, what_was_never_committed_is_minus_one_with_empty_metadata) {
  Host host;
  wire::OffsetFetchRequest::OffsetFetchRequestGroup request;
  request.group_id = "unknown";
  request.topics = {{.name = "t0", .partition_indexes = {0}}};
  const auto answer = host.fetch(request);
  EXPECT_EQ(answer.error_code, 0);
  EXPECT_EQ(answer.topics.at(0).partitions.at(0).committed_offset, -1);
  EXPECT_EQ(answer.topics[0].partitions[0].committed_leader_epoch, -1);
  EXPECT_EQ(answer.topics[0].partitions[0].metadata, "");
}

machine::KeyValueRecord offset_record(int64_t offset) {
  return {wire::encode_key(wire::OffsetCommitKey{.group = "g", .topic = "t0", .partition = 0}),
          wire::encode_value(wire::OffsetCommitValue{.offset = offset}, 4)};
}

TEST(Transaction, its_offsets_count_from_a_commit_marker_on) {
  Host host;
  const ProducerId producer(7);
  ASSERT_TRUE(host.machine->apply(offset_record(1)));
  ASSERT_TRUE(host.machine->apply_transactional(offset_record(2), producer));
  EXPECT_EQ(host.offset("g", "t0", 0), 1);
  wire::OffsetFetchRequest::OffsetFetchRequestGroup request;
  request.group_id = "g";
  request.topics = {{.name = "t0", .partition_indexes = {0}}};
  EXPECT_EQ(host.fetch(request, 9, true).topics.at(0).partitions.at(0).error_code,
            wire::code_of(ErrorCode::kUnstableOffsetCommit));
  host.machine->apply_marker(producer, false);
  EXPECT_EQ(host.offset("g", "t0", 0), 1);
  ASSERT_TRUE(host.machine->apply_transactional(offset_record(3), producer));
  host.machine->apply_marker(producer, true);
  EXPECT_EQ(host.offset("g", "t0", 0), 3);
}

TEST(Transaction, a_plain_commit_after_its_own_wins) {
  Host host;
  const ProducerId producer(7);
  ASSERT_TRUE(host.machine->apply_transactional(offset_record(2), producer));
  ASSERT_TRUE(host.machine->apply(offset_record(9)));
  host.machine->apply_marker(producer, true);
  EXPECT_EQ(host.offset("g", "t0", 0), 9);
}

TEST(Expiry, offsets_of_an_empty_group_count_from_when_it_emptied) {
  Host host({.offsets_retention = seconds(60), .offsets_retention_check_interval = seconds(1)});
  auto members = stable_group(host, 1);
  members[0].commit("t0", 0, 1);
  for (int i = 0; i < 100; ++i) {
    host.advance(seconds(1));
    members[0].heartbeat();
  }
  EXPECT_EQ(host.offset("g", "t0", 0), 1);  // GR7: somebody is there
  members[0].leave();
  host.advance(seconds(50));
  EXPECT_EQ(host.offset("g", "t0", 0), 1);
  host.advance(seconds(11));
  EXPECT_EQ(host.offset("g", "t0", 0), -1);
  EXPECT_EQ(host.state("g"), "Dead");
}

TEST(Expiry, a_commit_may_name_its_own) {
  Host host({.offsets_retention_check_interval = seconds(1)});
  auto request = simple_commit();
  request.retention_time_ms = 5'000;
  host.commit(request, 4);
  host.advance(seconds(6));
  EXPECT_EQ(host.offset("g", "t0", 1), -1);
}

TEST(OffsetDelete, keeps_what_active_consumers_subscribe_to) {
  Host host;
  auto members = stable_group(host, 1);
  members[0].commit("t0", 0, 1);
  members[0].commit("t1", 0, 1);
  wire::OffsetDeleteRequest request;
  request.group_id = "g";
  request.topics = {{.name = "t0", .partitions = {{.partition_index = 0}}},
                    {.name = "t1", .partitions = {{.partition_index = 0}}}};
  const auto answer = host.reply<wire::OffsetDeleteResponse>(host.delete_offsets(request));
  EXPECT_EQ(answer.error_code, 0);
  EXPECT_EQ(answer.topics.at(0).partitions.at(0).error_code,
            wire::code_of(ErrorCode::kGroupSubscribedToTopic));
  EXPECT_EQ(answer.topics.at(1).partitions.at(0).error_code, 0);
  EXPECT_EQ(host.offset("g", "t0", 0), 1);
  EXPECT_EQ(host.offset("g", "t1", 0), -1);
}

TEST(OffsetDelete, refuses_first_what_does_not_exist) {
  Host host;
  host.commit(simple_commit());
  wire::OffsetDeleteRequest request;
  request.group_id = "g";
  request.topics = {{.name = "t0", .partitions = {{.partition_index = 1}, {.partition_index = 9}}},
                    {.name = "nowhere", .partitions = {{.partition_index = 0}}}};
  const auto answer = host.reply<wire::OffsetDeleteResponse>(host.delete_offsets(request));
  ASSERT_EQ(answer.topics.size(), 2u);
  const auto& partitions = answer.topics[0].partitions;
  ASSERT_EQ(partitions.size(), 2u);
  EXPECT_EQ(partitions[0].partition_index, 9);
  EXPECT_EQ(partitions[0].error_code, wire::code_of(ErrorCode::kUnknownTopicOrPartition));
  EXPECT_EQ(partitions[1].error_code, 0);
  EXPECT_EQ(answer.topics[1].partitions.at(0).error_code,
            wire::code_of(ErrorCode::kUnknownTopicOrPartition));
  EXPECT_EQ(host.offset("g", "t0", 1), -1);
}

TEST(OffsetDelete, an_active_group_of_another_type_is_not_empty) {
  Host host;
  Member a(host, "g");
  a.request.protocol_type = "connect";
  a.join();
  wire::OffsetDeleteRequest request;
  request.group_id = "g";
  EXPECT_EQ(host.error<wire::OffsetDeleteResponse>(host.delete_offsets(request)),
            ErrorCode::kNonEmptyGroup);
}

TEST(Commit, from_version_10_topics_are_named_by_id) {
  Host host;
  auto request = simple_commit();
  request.topics[0].topic_id = *host.topics.id_of("t0");
  request.topics[0].name = "";
  EXPECT_EQ(commit_error(host, request, 10), ErrorCode::kNone);
  EXPECT_EQ(host.offset("g", "t0", 1), 42);
  request.topics[0].topic_id = Uuid::of_words({1, 2});
  const auto answer = host.reply<wire::OffsetCommitResponse>(host.commit(request, 10));
  EXPECT_EQ(answer.topics.at(0).topic_id, Uuid::of_words({1, 2}));
  EXPECT_EQ(answer.topics[0].partitions.at(0).error_code,
            wire::code_of(ErrorCode::kUnknownTopicId));
}

TEST(Fetch, from_version_10_topics_are_named_by_id) {
  Host host;
  host.commit(simple_commit());
  wire::OffsetFetchRequest::OffsetFetchRequestGroup request;
  request.group_id = "g";
  request.topics = {{.topic_id = *host.topics.id_of("t0"), .partition_indexes = {1}},
                    {.topic_id = Uuid::of_words({1, 2}), .partition_indexes = {1}}};
  const auto answer = host.fetch(request, 10);
  EXPECT_EQ(answer.topics.at(0).partitions.at(0).committed_offset, 42);
  EXPECT_EQ(answer.topics[0].topic_id, request.topics->at(0).topic_id);
  EXPECT_EQ(answer.topics.at(1).partitions.at(0).error_code,
            wire::code_of(ErrorCode::kUnknownTopicId));
}

TEST(Fetch, what_was_committed_to_a_topic_of_the_same_name_before_is_not_shown) {
  Host host;
  host.commit(simple_commit());
  host.topics.ids["t0"] = Uuid::of_words({9, 9});
  wire::OffsetFetchRequest::OffsetFetchRequestGroup request;
  request.group_id = "g";
  request.topics = {{.name = "t0", .partition_indexes = {1}}};
  EXPECT_EQ(host.fetch(request).topics.at(0).partitions.at(0).committed_offset, -1);
  request.topics.reset();
  EXPECT_TRUE(host.fetch(request).topics.empty());
}

TEST(TopicDeletion, leaves_tombstones_for_what_was_committed_to_the_topic) {
  Host host;
  auto members = stable_group(host, 1);
  members[0].commit("t0", 0, 5);
  members[0].commit("t0", 1, 6);
  members[0].commit("t1", 0, 7);
  const DeletedTopic gone{"t0", *host.topics.id_of("t0")};
  host.take(host.machine->on_topics_deleted({&gone, 1}, host.topics));
  for (int restart = 0; restart < 2; ++restart) {
    EXPECT_EQ(host.offset("g", "t0", 0), -1);
    EXPECT_EQ(host.offset("g", "t0", 1), -1);
    EXPECT_EQ(host.offset("g", "t1", 0), 7);
    host.start();
  }
}

TEST(TopicDeletion, spares_what_was_committed_to_the_next_topic_of_that_name) {
  Host host;
  const DeletedTopic former{"t0", Uuid::of_words({9, 9})};
  host.commit(simple_commit());
  host.take(host.machine->on_topics_deleted({&former, 1}, host.topics));
  EXPECT_EQ(host.offset("g", "t0", 1), 42);
}

TEST(TopicDeletion, ends_offsets_that_wait_for_a_transaction) {
  Host host;
  const ProducerId producer(7);
  ASSERT_TRUE(host.machine->apply_transactional(offset_record(2), producer));
  const DeletedTopic gone{"t0", *host.topics.id_of("t0")};
  host.take(host.machine->on_topics_deleted({&gone, 1}, host.topics));
  host.machine->apply_marker(producer, true);
  EXPECT_EQ(host.offset("g", "t0", 0), -1);
}

TEST(Expiry, a_topic_that_nobody_reads_any_more_loses_its_offsets_though_the_group_lives) {
  Host host({.offsets_retention = seconds(60), .offsets_retention_check_interval = seconds(1)});
  auto members = stable_group(host, 1);  // reads t0
  members[0].commit("t0", 0, 1);
  members[0].commit("t1", 0, 1);
  for (int i = 0; i < 62; ++i) {
    host.advance(seconds(1));
    members[0].heartbeat();
  }
  EXPECT_EQ(host.offset("g", "t0", 0), 1);
  EXPECT_EQ(host.offset("g", "t1", 0), -1);
}

TEST(Expiry, a_group_of_another_kind_than_consumers_keeps_its_offsets_while_it_lives) {
  Host host({.offsets_retention = seconds(10), .offsets_retention_check_interval = seconds(1)});
  Member a(host, "g");
  a.request.protocol_type = "connect";
  a.join();
  host.advance(seconds(5));
  a.take_join();
  a.sync({{a.id, "all"}});
  a.commit("t0", 0, 1);
  for (int i = 0; i < 30; ++i) {
    host.advance(seconds(1));
    a.heartbeat();
  }
  EXPECT_EQ(host.offset("g", "t0", 0), 1);
}

}  // namespace
}  // namespace millrace::group
