// Offsets as part of a producer's transaction.
#include "wire/txn_offset_commit.h"
#include "group/testing/host.h"

namespace millrace::group {
namespace {

using namespace testing;

constexpr ProducerId kProducer{7};

wire::TxnOffsetCommitRequest commit_of(int64_t offset) {
  wire::TxnOffsetCommitRequest request;
  request.group_id = "g";
  request.producer_id = kProducer.value();
  request.topics = {
      {.name = "t0", .partitions = {{.partition_index = 1, .committed_offset = offset}}}};
  return request;
}

// As the host does it: the records are the producer's.
ErrorCode commit(Host& host, const wire::TxnOffsetCommitRequest& request) {
  const RequestContext context = host.context(5);
  Decision decision = host.machine->decide_txn_offset_commit(request, host.topics, context);
  for (const KeyValueRecord& record : decision.records)
    EXPECT_TRUE(host.machine->apply_transactional(record, kProducer));
  decision.records.clear();
  host.take(std::move(decision));
  const auto answer = host.reply<wire::TxnOffsetCommitResponse>(context.ticket);
  return static_cast<ErrorCode>(answer.topics.at(0).partitions.at(0).error_code);
}

TEST(TxnOffsetCommit, counts_from_the_end_of_the_transaction_on) {
  Host host;
  EXPECT_EQ(commit(host, commit_of(5)), ErrorCode::kNone);
  EXPECT_EQ(host.offset("g", "t0", 1), -1);
  host.machine->apply_marker(kProducer, true);
  EXPECT_EQ(host.offset("g", "t0", 1), 5);
  EXPECT_EQ(commit(host, commit_of(6)), ErrorCode::kNone);
  host.machine->apply_marker(kProducer, false);
  EXPECT_EQ(host.offset("g", "t0", 1), 5);
}

TEST(TxnOffsetCommit, a_producer_that_names_no_member_commits_for_a_group_at_work) {
  Host host;
  Member member(host, "g");
  member.join();
  EXPECT_EQ(commit(host, commit_of(5)), ErrorCode::kNone);
}

// KIP-447: the generation is what fences a producer whose partitions are another's by now.
TEST(TxnOffsetCommit, a_member_of_another_generation_is_refused) {
  Host host;
  auto request = commit_of(5);
  request.generation_id = 1;
  EXPECT_EQ(commit(host, request), ErrorCode::kIllegalGeneration) << "no such group";
  Member member(host, "g");
  member.join();
  request.member_id = "stranger";
  EXPECT_EQ(commit(host, request), ErrorCode::kUnknownMemberId);
  request.member_id = member.id;
  request.generation_id = 17;
  EXPECT_EQ(commit(host, request), ErrorCode::kIllegalGeneration);
}

TEST(TxnOffsetCommit, a_partition_that_does_not_exist_and_long_metadata_are_refused) {
  Host host;
  auto request = commit_of(5);
  request.topics[0].partitions[0].partition_index = 4;
  EXPECT_EQ(commit(host, request), ErrorCode::kUnknownTopicOrPartition);
  request = commit_of(5);
  request.topics[0].partitions[0].committed_metadata = std::string(4097, 'x');
  EXPECT_EQ(commit(host, request), ErrorCode::kOffsetMetadataTooLarge);
}

}  // namespace
}  // namespace millrace::group
