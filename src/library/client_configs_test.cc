#include "library/client_configs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "library/text.h"

namespace millrace::library {
namespace {

using ::testing::HasSubstr;

Properties with(std::initializer_list<std::pair<const std::string, std::string>> more) {
  Properties properties{{"bootstrap.servers", "localhost:9092"}};
  for (const auto& [name, value] : more) properties.insert_or_assign(name, value);
  return properties;
}

template <class T>
std::string refusal(const Result<T>& configs) {
  return configs ? "accepted" : configs.error().message;
}

TEST(ClientConfigs, what_is_not_given_is_as_in_kafkas_clients) {
  const auto producer = producer_configs(with({}));
  ASSERT_TRUE(producer) << refusal(producer);
  EXPECT_EQ(producer->options.acks, -1);
  EXPECT_TRUE(producer->options.idempotent);
  EXPECT_EQ(producer->options.linger, milliseconds(5));
  EXPECT_EQ(producer->options.batch_bytes, 16'384u);
  EXPECT_EQ(producer->buffer_memory, 33'554'432u);
  EXPECT_EQ(producer->max_block, seconds(60));
  EXPECT_EQ(producer->options.codec, record::Codec::kNone);
  const auto consumer = consumer_configs(with({{"group.id", "g"}}));
  ASSERT_TRUE(consumer) << refusal(consumer);
  EXPECT_TRUE(consumer->classic);
  EXPECT_TRUE(consumer->auto_commit);
  EXPECT_EQ(consumer->auto_commit_interval, seconds(5));
  EXPECT_EQ(consumer->max_poll_records, 500u);
  EXPECT_EQ(consumer->max_poll_interval, seconds(300));
  EXPECT_EQ(consumer->fetcher.reset, client::core::StartAt::latest());
  EXPECT_EQ(consumer->classic_member.session_timeout, seconds(45));
  const auto admin = admin_configs(with({}));
  ASSERT_TRUE(admin) << refusal(admin);
  EXPECT_EQ(admin->api_timeout, seconds(60));
}

TEST(ClientConfigs, an_unknown_name_is_refused_with_the_one_that_is_near) {
  EXPECT_EQ(refusal(producer_configs(with({{"linger_ms", "5"}}))),
            "Unknown configuration linger_ms of a producer; is it linger.ms?");
  EXPECT_THAT(refusal(consumer_configs(with({{"group.ID", "g"}}))), HasSubstr("is it group.id?"));
  EXPECT_THAT(refusal(consumer_configs(with({{"auto.offset.rest", "g"}}))),
              HasSubstr("is it auto.offset.reset?"));
  EXPECT_EQ(refusal(admin_configs(with({{"colour", "blue"}}))),
            "Unknown configuration colour of an admin client");
}

TEST(ClientConfigs, one_of_another_kind_of_client_is_refused_by_its_kind) {
  EXPECT_EQ(refusal(producer_configs(with({{"group.id", "g"}}))),
            "group.id is a config of a consumer, not of a producer");
  EXPECT_EQ(refusal(consumer_configs(with({{"acks", "all"}}))),
            "acks is a config of a producer, not of a consumer");
}

TEST(ClientConfigs, a_wrong_value_is_named_with_what_is_allowed) {
  EXPECT_EQ(refusal(producer_configs(with({{"acks", "2"}}))),
            "Invalid value 2 for configuration acks: String must be one of: all, -1, 0, 1");
  EXPECT_EQ(refusal(producer_configs(with({{"linger.ms", "soon"}}))),
            "Invalid value soon for configuration linger.ms: Not a number of type LONG");
  EXPECT_EQ(refusal(consumer_configs(with({{"max.poll.records", "0"}}))),
            "Invalid value 0 for configuration max.poll.records: Value must be at least 1");
  EXPECT_THAT(refusal(consumer_configs(with({{"auto.offset.reset", "newest"}}))),
              HasSubstr("it is earliest, latest or none"));
  EXPECT_THAT(refusal(admin_configs({{"bootstrap.servers", "localhost:x"}})),
              HasSubstr("bootstrap.servers"));
  EXPECT_THAT(refusal(admin_configs({})), HasSubstr("bootstrap.servers"));
}

TEST(ClientConfigs, configs_that_exclude_each_other_are_refused) {
  EXPECT_THAT(refusal(producer_configs(with({{"acks", "1"}, {"enable.idempotence", "true"}}))),
              HasSubstr("acks to all"));
  const auto quiet = producer_configs(with({{"acks", "1"}}));
  EXPECT_TRUE(quiet) << "idempotence that nobody asked for gives way";
  EXPECT_THAT(refusal(producer_configs(with({{"delivery.timeout.ms", "1000"}}))),
              HasSubstr("request.timeout.ms"));
  EXPECT_THAT(refusal(consumer_configs(
                  with({{"session.timeout.ms", "3000"}, {"heartbeat.interval.ms", "3000"}}))),
              HasSubstr("less than session.timeout.ms"));
  EXPECT_THAT(refusal(consumer_configs(
                  with({{"group.protocol", "consumer"}, {"session.timeout.ms", "6000"}}))),
              HasSubstr("session.timeout.ms cannot be set when group.protocol=consumer"));
  EXPECT_THAT(refusal(consumer_configs(with({{"group.remote.assignor", "uniform"}}))),
              HasSubstr("group.remote.assignor cannot be set when group.protocol=classic"));
  EXPECT_THAT(refusal(consumer_configs(with({{"enable.auto.commit", "true"}}))),
              HasSubstr("enable.auto.commit"));
}

TEST(ClientConfigs, transactions_need_idempotence) {
  const auto configs = producer_configs(with({{"transactional.id", "t"}, {"max.block.ms", "700"}}));
  ASSERT_TRUE(configs) << refusal(configs);
  EXPECT_EQ(configs->options.transaction->id, "t");
  EXPECT_EQ(configs->options.transaction->timeout, seconds(60));
  EXPECT_EQ(configs->options.transaction->patience, milliseconds(700));
  EXPECT_THAT(refusal(producer_configs(with({{"transactional.id", "t"}, {"acks", "1"}}))),
              HasSubstr("transactional.id without"));
  EXPECT_THAT(refusal(producer_configs(with({{"transactional.id", ""}}))),
              HasSubstr("transactional.id"));
}

TEST(ClientConfigs, a_compression_level_is_that_of_the_codec_chosen) {
  const auto configs = producer_configs(with({{"compression.type", "zstd"},
                                              {"compression.zstd.level", "7"},
                                              {"compression.gzip.level", "1"}}));
  ASSERT_TRUE(configs) << refusal(configs);
  EXPECT_EQ(configs->options.codec, record::Codec::kZstd);
  EXPECT_EQ(configs->options.level, 7);
  EXPECT_THAT(refusal(producer_configs(with({{"compression.gzip.level", "10"}}))),
              HasSubstr("compression.gzip.level"));
}

TEST(ClientConfigs, a_member_of_the_consumer_protocol_gets_its_options) {
  const auto configs = consumer_configs(with({{"group.protocol", "CONSUMER"},
                                              {"group.id", "g"},
                                              {"group.instance.id", "i"},
                                              {"group.remote.assignor", "range"},
                                              {"client.rack", "r"},
                                              {"max.poll.interval.ms", "7000"},
                                              {"isolation.level", "read_committed"},
                                              {"auto.offset.reset", "none"}}));
  ASSERT_TRUE(configs) << refusal(configs);
  EXPECT_FALSE(configs->classic);
  EXPECT_EQ(configs->member.group, "g");
  EXPECT_EQ(configs->member.instance_id, "i");
  EXPECT_EQ(configs->member.server_assignor, "range");
  EXPECT_EQ(configs->member.rack_id, "r");
  EXPECT_EQ(configs->member.rebalance_timeout, seconds(7));
  EXPECT_TRUE(configs->fetcher.read_committed);
  EXPECT_FALSE(configs->fetcher.reset);
}

TEST(Text, nearest_forgives_separators_case_and_a_typing_error_and_no_more) {
  const std::vector<std::string_view> words = {"fetch.min.bytes", "fetch.max.bytes", "group.id"};
  EXPECT_EQ(nearest("fetchMaxBytes", words), "fetch.max.bytes");
  EXPECT_EQ(nearest("FETCH_MIN_BYTES", words), "fetch.min.bytes");
  EXPECT_EQ(nearest("grup.id", words), "group.id");
  EXPECT_EQ(nearest("sasl.mechanism", words), "");
  EXPECT_EQ(nearest("", words), "");
}

}  // namespace
}  // namespace millrace::library
