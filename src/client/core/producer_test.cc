#include "client/core/producer.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "client/core/testing/cluster.h"
#include "record/record.h"

namespace millrace::client::core {
namespace {

using testing::cache_of;
using testing::metadata_of;
using wire::ErrorCode;

// A batch that was sent, taken apart.
struct SentBatch {
  record::BatchHeader header;
  std::vector<std::string> values;
};

SentBatch batch_of(ByteView bytes) {
  const auto view = record::BatchView::parse(bytes);
  EXPECT_TRUE(view && view->verify_crc());
  SentBatch batch{.header = view->header(), .values = {}};
  record::ReadScratch scratch;
  auto reader = record::RecordReader::open(*view, scratch, 1 << 20);
  record::RecordView record;
  while (*reader->next(record)) batch.values.emplace_back(as_text(*record.value));
  return batch;
}

class ProducerTest : public ::testing::Test {
 protected:
  ProducerTest() : cache(cache_of({{"t", {1, 2}}})) {
    options.linger = {};
    options.idempotent = false;
  }

  Producer& producer() {
    if (!producer_) producer_ = std::make_unique<Producer>(cache, options);
    return *producer_;
  }
  Producer::Action resume(Producer::Event event) {
    auto action = producer().resume(std::move(event), now);
    for (const auto& each : action.deliveries) deliveries.push_back(each);
    return action;
  }
  Producer::Action produce(const std::string& value, std::optional<int32_t> partition = 0,
                           const std::string& topic = "t") {
    OutgoingRecord record{.tag = ++last_tag, .topic = topic};
    if (partition) record.partition = PartitionIndex(*partition);
    record.value = copy_of(as_bytes(value));
    return resume(Producer::Produce{std::move(record)});
  }
  Producer::Action answer(const Producer::Send& send, ErrorCode error, int64_t base_offset = 0) {
    wire::ProduceResponse response;
    for (const auto& topic : send.request.topic_data) {
      auto& answered = response.responses.emplace_back();
      answered.name = topic.name;
      for (const auto& each : topic.partition_data)
        answered.partition_responses.push_back(
            {.index = each.index, .error_code = wire::code_of(error), .base_offset = base_offset});
    }
    return resume(Producer::Produced{send.id, std::move(response)});
  }
  Producer::Action lose(const Producer::Send& send) {
    return resume(Producer::Produced{send.id, fail(Errc::kClosed, "reset")});
  }
  Producer::Action identify(int64_t id) {
    return resume(Producer::Identified{wire::InitProducerIdResponse{.producer_id = id}});
  }
  Producer::Action tick_after(Duration delay) {
    now = now + delay;
    return resume(Producer::Tick{});
  }
  static SentBatch only_batch(const Producer::Send& send) {
    return batch_of(send.request.topic_data.at(0).partition_data.at(0).records.bytes);
  }

  MetadataCache cache;
  ProducerOptions options;
  Instant now{seconds(1)};
  uint64_t last_tag = 0;
  std::vector<Delivery> deliveries;
  std::unique_ptr<Producer> producer_;
};

TEST_F(ProducerTest, a_record_goes_to_its_leader_and_comes_back_with_its_offset) {
  const auto action = produce("x", 1);
  ASSERT_EQ(action.sends.size(), 1);
  EXPECT_EQ(action.sends[0].to, NodeId(2));
  EXPECT_EQ(only_batch(action.sends[0]).values, std::vector<std::string>{"x"});
  answer(action.sends[0], ErrorCode::kNone, 41);
  ASSERT_EQ(deliveries.size(), 1);
  EXPECT_EQ(deliveries[0].offset, Offset(41));
  EXPECT_EQ(deliveries[0].partition, (TopicPartition{"t", PartitionIndex(1)}));
  EXPECT_TRUE(producer().idle());
  EXPECT_EQ(producer().buffered_bytes(), 0);
}

TEST_F(ProducerTest, records_wait_for_linger_and_go_together) {
  options.linger = milliseconds(10);
  EXPECT_TRUE(produce("a").sends.empty());
  const auto second = produce("b");
  EXPECT_TRUE(second.sends.empty());
  EXPECT_EQ(second.wake, now + milliseconds(10));
  const auto action = tick_after(milliseconds(10));
  ASSERT_EQ(action.sends.size(), 1);
  EXPECT_EQ(only_batch(action.sends[0]).values, (std::vector<std::string>{"a", "b"}));
}

TEST_F(ProducerTest, a_full_batch_and_a_flush_do_not_wait) {
  options.linger = seconds(10);
  options.batch_bytes = 100;
  EXPECT_TRUE(produce("a").sends.empty());
  EXPECT_EQ(produce(std::string(90, 'b')).sends.size(), 1);
  EXPECT_TRUE(produce("c", 1).sends.empty());
  EXPECT_EQ(resume(Producer::Flush{}).sends.size(), 1);
}

TEST_F(ProducerTest, one_batch_of_a_partition_is_under_way_at_a_time) {
  const auto first = produce("a");
  EXPECT_TRUE(produce("b").sends.empty());
  EXPECT_EQ(produce("x", 1).sends.size(), 1) << "another partition does not wait";
  const auto next = answer(first.sends[0], ErrorCode::kNone);
  ASSERT_EQ(next.sends.size(), 1);
  EXPECT_EQ(only_batch(next.sends[0]).values, std::vector<std::string>{"b"});
}

TEST_F(ProducerTest, a_key_decides_the_partition_as_in_java) {
  OutgoingRecord record{.tag = 1, .topic = "t"};
  record.key = copy_of(as_bytes("some key"));
  const auto action = resume(Producer::Produce{record});
  ASSERT_EQ(action.sends.size(), 1);
  EXPECT_EQ(action.sends[0].request.topic_data[0].partition_data[0].index,
            partition_of_key(*record.key, 2));
}

TEST_F(ProducerTest, records_without_a_key_stay_together_and_change_with_the_batch) {
  options.linger = milliseconds(10);
  for (int i = 0; i < 10; ++i) produce("x", std::nullopt);
  std::set<int32_t> chosen;
  for (int round = 0; round < 20; ++round) {
    produce("x", std::nullopt);
    const auto action = tick_after(milliseconds(10));
    ASSERT_EQ(action.sends.size(), 1);
    ASSERT_EQ(action.sends[0].request.topic_data[0].partition_data.size(), 1);
    chosen.insert(action.sends[0].request.topic_data[0].partition_data[0].index);
    answer(action.sends[0], ErrorCode::kNone);
  }
  EXPECT_EQ(chosen.size(), 2);
}

TEST_F(ProducerTest, a_retriable_error_is_tried_again_after_the_backoff_with_new_metadata) {
  const auto sent = produce("a");
  const auto refused = answer(sent.sends[0], ErrorCode::kNotLeaderOrFollower);
  EXPECT_TRUE(refused.sends.empty());
  EXPECT_TRUE(refused.refresh.contains("t"));
  cache.update(metadata_of({{"t", {3, 2}}}));
  const auto again = tick_after(options.retry_backoff);
  ASSERT_EQ(again.sends.size(), 1);
  EXPECT_EQ(again.sends[0].to, NodeId(3));
  answer(again.sends[0], ErrorCode::kNone, 5);
  EXPECT_EQ(deliveries.at(0).offset, Offset(5));
}

TEST_F(ProducerTest, a_final_error_comes_back_with_the_words_for_each_record) {
  options.linger = milliseconds(1);
  produce("a");
  produce("b");
  const auto sent = tick_after(milliseconds(1));
  wire::ProduceResponse response;
  auto& topic = response.responses.emplace_back();
  topic.name = "t";
  auto& partition = topic.partition_responses.emplace_back();
  partition.error_code = wire::code_of(ErrorCode::kInvalidRecord);
  partition.error_message = "batch refused";
  partition.record_errors.push_back({.batch_index = 1, .batch_index_error_message = "no key"});
  resume(Producer::Produced{sent.sends[0].id, response});
  ASSERT_EQ(deliveries.size(), 2);
  EXPECT_EQ(deliveries[0].message, "batch refused");
  EXPECT_EQ(deliveries[1].message, "no key");
  EXPECT_EQ(deliveries[1].error, ErrorCode::kInvalidRecord);
}

TEST_F(ProducerTest, a_batch_that_is_too_large_goes_as_two) {
  options.linger = milliseconds(1);
  produce("a");
  produce("b");
  produce("c");
  const auto sent = tick_after(milliseconds(1));
  const auto first = answer(sent.sends[0], ErrorCode::kMessageTooLarge);
  ASSERT_EQ(first.sends.size(), 1);
  EXPECT_EQ(only_batch(first.sends[0]).values, std::vector<std::string>{"a"});
  const auto second = answer(first.sends[0], ErrorCode::kNone, 0);
  EXPECT_EQ(only_batch(second.sends[0]).values, (std::vector<std::string>{"b", "c"}));
  answer(second.sends[0], ErrorCode::kNone, 1);
  EXPECT_EQ(deliveries.size(), 3);
}

TEST_F(ProducerTest, a_record_over_the_bound_is_refused_here) {
  options.max_record_bytes = 100;
  EXPECT_TRUE(produce(std::string(200, 'x')).sends.empty());
  EXPECT_EQ(deliveries.at(0).error, ErrorCode::kMessageTooLarge);
}

TEST_F(ProducerTest, what_cannot_be_delivered_in_time_ends) {
  const auto sent = produce("a");
  lose(sent.sends[0]);
  now = now + options.delivery_timeout;
  resume(Producer::Tick{});
  EXPECT_EQ(deliveries.at(0).error, ErrorCode::kRequestTimedOut);
  EXPECT_TRUE(producer().idle());
}

TEST_F(ProducerTest, an_unknown_topic_is_asked_for_and_given_up_after_a_while) {
  EXPECT_TRUE(produce("a", 0, "new").refresh.contains("new"));
  cache.update(metadata_of({{"new", {}, ErrorCode::kUnknownTopicOrPartition}}));
  EXPECT_TRUE(resume(Producer::MetadataRefreshed{}).deliveries.empty());
  EXPECT_TRUE(tick_after(options.retry_backoff).refresh.contains("new"));
  now = now + options.topic_patience;
  resume(Producer::MetadataRefreshed{});
  EXPECT_EQ(deliveries.at(0).error, ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(ProducerTest, brokers_that_cannot_be_asked_are_waited_for_as_long_as_for_an_answer) {
  produce("a", 0, "new");
  const Error unreachable{Errc::kClosed, "no broker can be reached"};
  now = now + options.topic_patience;
  EXPECT_TRUE(resume(Producer::MetadataFailed{unreachable}).deliveries.empty());
  EXPECT_TRUE(tick_after(options.retry_backoff).refresh.contains("new"));
  now = now + options.request_timeout;
  resume(Producer::MetadataFailed{unreachable});
  EXPECT_EQ(deliveries.at(0).error, ErrorCode::kNetworkException);
  EXPECT_EQ(deliveries.at(0).message, "no broker can be reached");
}

TEST_F(ProducerTest, a_topic_that_comes_to_be_gets_its_records) {
  produce("a", std::nullopt, "new");
  cache.update(metadata_of({{"new", {3}}}));
  const auto action = resume(Producer::MetadataRefreshed{});
  ASSERT_EQ(action.sends.size(), 1);
  EXPECT_EQ(action.sends[0].to, NodeId(3));
}

TEST_F(ProducerTest, a_name_that_no_topic_can_have_is_refused_at_once) {
  produce("a", 0, "bad name");
  cache.update(metadata_of({{"bad name", {}, ErrorCode::kInvalidTopicException}}));
  resume(Producer::MetadataRefreshed{});
  EXPECT_EQ(deliveries.at(0).error, ErrorCode::kInvalidTopicException);
}

TEST_F(ProducerTest, a_partition_that_is_not_there_is_refused) {
  produce("a", 7);
  EXPECT_EQ(deliveries.at(0).error, ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(ProducerTest, without_acks_a_record_ends_when_it_is_sent) {
  options.acks = 0;
  const auto sent = produce("a");
  resume(Producer::Produced{sent.sends[0].id, wire::ProduceResponse{}});
  EXPECT_EQ(deliveries.at(0).offset, Offset(-1));
  EXPECT_EQ(deliveries.at(0).error, ErrorCode::kNone);
}

TEST_F(ProducerTest, a_response_that_leaves_a_partition_out_is_a_retry) {
  const auto sent = produce("a");
  EXPECT_TRUE(resume(Producer::Produced{sent.sends[0].id, wire::ProduceResponse{}}).sends.empty());
  EXPECT_EQ(tick_after(options.retry_backoff).sends.size(), 1);
}

class IdempotentProducerTest : public ProducerTest {
 protected:
  IdempotentProducerTest() { options.idempotent = true; }
};

TEST_F(IdempotentProducerTest, gets_an_id_first_and_numbers_its_batches) {
  const auto asked = produce("a");
  EXPECT_TRUE(asked.sends.empty());
  ASSERT_TRUE(asked.identify);
  EXPECT_FALSE(produce("b").identify) << "one is under way";
  const auto sent = identify(77);
  ASSERT_EQ(sent.sends.size(), 1);
  const auto first = only_batch(sent.sends[0]);
  EXPECT_EQ(first.header.producer_id, ProducerId(77));
  EXPECT_EQ(first.header.base_sequence, ProducerSequence(0));
  const auto next = (answer(sent.sends[0], ErrorCode::kNone), produce("c"));
  EXPECT_EQ(only_batch(next.sends.at(0)).header.base_sequence,
            ProducerSequence(static_cast<int32_t>(first.values.size())));
}

TEST_F(IdempotentProducerTest, a_retry_has_the_sequence_of_the_first_try_and_nothing_more) {
  produce("a");
  const auto sent = identify(77);
  lose(sent.sends[0]);
  produce("b");
  const auto again = tick_after(options.retry_backoff);
  ASSERT_EQ(again.sends.size(), 1);
  const auto batch = only_batch(again.sends[0]);
  EXPECT_EQ(batch.header.base_sequence, ProducerSequence(0));
  EXPECT_EQ(batch.values, std::vector<std::string>{"a"}) << "what may be written stays as it is";
  const auto next = answer(again.sends[0], ErrorCode::kNone);
  EXPECT_EQ(only_batch(next.sends.at(0)).header.base_sequence, ProducerSequence(1));
}

TEST_F(IdempotentProducerTest, a_duplicate_counts_as_written) {
  produce("a");
  const auto sent = identify(77);
  answer(sent.sends[0], ErrorCode::kDuplicateSequenceNumber);
  EXPECT_EQ(deliveries.at(0).error, ErrorCode::kNone);
}

TEST_F(IdempotentProducerTest, what_was_certainly_not_written_leaves_its_sequence_to_the_next) {
  produce("a");
  const auto sent = identify(77);
  answer(sent.sends[0], ErrorCode::kInvalidRecord);
  const auto next = produce("b");
  const auto batch = only_batch(next.sends.at(0));
  EXPECT_EQ(batch.header.producer_id, ProducerId(77));
  EXPECT_EQ(batch.header.base_sequence, ProducerSequence(0));
}

TEST_F(IdempotentProducerTest, what_may_be_written_and_is_given_up_costs_the_producer_id) {
  produce("a");
  const auto sent = identify(77);
  lose(sent.sends[0]);
  now = now + options.delivery_timeout;
  resume(Producer::Tick{});
  ASSERT_EQ(deliveries.size(), 1);
  ASSERT_TRUE(produce("b").identify);
  const auto next = identify(78);
  EXPECT_EQ(only_batch(next.sends.at(0)).header.producer_id, ProducerId(78));
}

TEST_F(IdempotentProducerTest, a_gap_in_sequences_costs_the_producer_id) {
  produce("a");
  const auto sent = identify(77);
  answer(sent.sends[0], ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(deliveries.at(0).error, ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_TRUE(produce("b").identify);
}

TEST_F(IdempotentProducerTest, no_id_is_asked_for_again_until_there_is_one) {
  produce("a");
  resume(Producer::Identified{fail(Errc::kClosed, "reset")});
  EXPECT_TRUE(tick_after(options.retry_backoff).identify);
}

TEST_F(IdempotentProducerTest, a_refused_id_refuses_the_records) {
  produce("a");
  resume(Producer::Identified{wire::InitProducerIdResponse{
      .error_code = wire::code_of(ErrorCode::kClusterAuthorizationFailed)}});
  EXPECT_EQ(deliveries.at(0).error, ErrorCode::kClusterAuthorizationFailed);
}

TEST_F(IdempotentProducerTest, a_broker_without_ids_gets_plain_batches) {
  produce("a");
  const auto sent = resume(Producer::Identified{fail(Errc::kUnsupported, "not served")});
  EXPECT_EQ(only_batch(sent.sends.at(0)).header.producer_id, kNoProducerId);
}

}  // namespace
}  // namespace millrace::client::core
