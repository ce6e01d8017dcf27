#include "server/connection_rates.h"

#include <gtest/gtest.h>

namespace millrace::server {
namespace {

config::NodeProperties node_of(config::Values changes) {
  auto values = config::NodeProperties::embedded_default();
  for (auto& [name, value] : changes) values[name] = value;
  return *config::NodeProperties::of(std::move(values));
}

std::shared_ptr<const metadata::ClientQuotas> quota_of(std::optional<std::string> address,
                                                       double rate) {
  auto quotas = std::make_shared<metadata::ClientQuotas>();
  quotas->apply({.entity = {{.entity_type = "ip", .entity_name = std::move(address)}},
                 .key = "connection_creation_rate",
                 .value = rate});
  return quotas;
}

Instant at(int64_t ms) { return Instant{} + milliseconds(ms); }

class Rates : public ::testing::Test {
 protected:
  explicit Rates(config::Values changes = {}) : node_(node_of(std::move(changes))), rates_(node_) {}
  ConnectionRates::Verdict take(int64_t ms, const char* address = "10.0.0.1",
                                const char* listener = "PLAINTEXT") {
    return rates_.take(
        {.listener = listener, .address = address, .settings = node_, .quotas = quotas_}, at(ms));
  }

  config::NodeProperties node_;
  ConnectionRates rates_;
  std::shared_ptr<const metadata::ClientQuotas> quotas_;
};

class ConnectionRatesTest : public Rates {};

TEST_F(ConnectionRatesTest, without_a_limit_all_are_let_in_at_once) {
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(take(0).wait, Duration::zero());
}

TEST_F(ConnectionRatesTest, an_address_over_its_quota_is_held_and_refused) {
  quotas_ = quota_of("10.0.0.1", 2);
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(take(0).is_refused) << "two a second of ten";
  const auto verdict = take(0);
  EXPECT_TRUE(verdict.is_refused);
  EXPECT_EQ(verdict.wait, milliseconds(500));
  EXPECT_FALSE(take(0, "10.0.0.2").is_refused);
  EXPECT_FALSE(take(0, "::ffff:10.0.0.2").is_refused);
  EXPECT_TRUE(take(0, "::ffff:10.0.0.1").is_refused) << "it is the same";
  EXPECT_FALSE(take(500).is_refused) << "what was refused is not counted";
}

TEST_F(ConnectionRatesTest, a_default_is_of_each_address_and_gone_when_it_is_taken_back) {
  quotas_ = quota_of(std::nullopt, 1);
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(take(0).is_refused);
  EXPECT_TRUE(take(0).is_refused);
  EXPECT_FALSE(take(0, "10.0.0.2").is_refused);
  quotas_.reset();
  EXPECT_FALSE(take(0).is_refused);
}

class ConnectionRatesOfBroker : public Rates {
 protected:
  ConnectionRatesOfBroker() : Rates({{"max.connection.creation.rate", "2"}}) {}
};

TEST_F(ConnectionRatesOfBroker, are_kept_by_waiting_one_after_the_other) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(take(0).wait, Duration::zero());
  EXPECT_EQ(take(0).wait, milliseconds(500));
  // 22 in 10.5 s are 2.095 a second.
  EXPECT_EQ(take(0).wait, milliseconds(500 + 500));
  EXPECT_FALSE(take(0).is_refused);
}

class ConnectionRatesOfListener : public Rates {
 protected:
  ConnectionRatesOfListener()
      : Rates({{"listener.name.plaintext.max.connection.creation.rate", "1"}}) {}
};

TEST_F(ConnectionRatesOfListener, hold_up_no_other_listener) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(take(0).wait, Duration::zero());
  EXPECT_EQ(take(0).wait, milliseconds(1000));
  EXPECT_EQ(take(0, "10.0.0.1", "OTHER").wait, Duration::zero());
}

TEST(IpAddress, is_read_in_each_of_its_notations) {
  EXPECT_EQ(parse_ip_address("127.0.0.1"), parse_ip_address("localhost"));
  EXPECT_EQ(parse_ip_address("::ffff:1.2.3.4"), parse_ip_address("1.2.3.4"));
  EXPECT_EQ(parse_ip_address("::1"), parse_ip_address("0:0:0:0:0:0:0:1"));
  EXPECT_EQ(parse_ip_address("[fe80::1]"), parse_ip_address("fe80:0::0:1"));
  for (const char* wrong : {"", "1.2.3", "1.2.3.256", "1.2.3.4.5", "a.b.c.d", "example.org", ":",
                            "1:2:3", "::1::", "1:2:3:4:5:6:7:8:9", "12345::"})
    EXPECT_FALSE(parse_ip_address(wrong)) << wrong;
}

}  // namespace
}  // namespace millrace::server
