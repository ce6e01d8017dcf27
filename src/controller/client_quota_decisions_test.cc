#include <limits>

#include "controller/testing/cluster.h"

namespace millrace::controller {
namespace {

using wire::ErrorCode;
using Request = wire::AlterClientQuotasRequest;

constexpr auto kAny = std::nullopt;
constexpr const char* kProduce = "producer_byte_rate";

class ClientQuotaDecisions : public testing::ClusterTest {
 protected:
  using Ops = std::vector<Request::OpData>;

  static Request::EntryData entry(const metadata::QuotaEntity& entity, Ops ops) {
    return {.entity = metadata::quota_parts_of<decltype(Request::EntryData::entity)>(entity),
            .ops = std::move(ops)};
  }
  Decided<wire::AlterClientQuotasResponse> decide(std::vector<Request::EntryData> entries,
                                                  bool validate_only = false) {
    auto decided = controller_.decide_alter_client_quotas(
        {.entries = std::move(entries), .validate_only = validate_only},
        [](const std::string& address) { return address == "127.0.0.1"; });
    commit(decided.records);
    return decided;
  }
  // Of one alteration: nothing when it was let through.
  std::string problem(const metadata::QuotaEntity& entity, Ops ops) {
    const auto decided = decide({entry(entity, std::move(ops))});
    EXPECT_EQ(decided.response.entries.size(), 1u);
    const auto& answer = decided.response.entries[0];
    EXPECT_TRUE(answer.error_code == 0 || decided.records.empty());
    EXPECT_TRUE(answer.error_code == 0 ||
                answer.error_code == wire::code_of(ErrorCode::kInvalidRequest));
    return answer.error_message.value_or("");
  }
  double quota(const metadata::QuotaEntity& entity, const char* key = kProduce) const {
    const auto& all = controller_.image().client_quotas();
    if (!all || !all->of(entity).contains(key)) return 0;
    return all->of(entity).find(key)->second;
  }
};

TEST_F(ClientQuotaDecisions, set_change_and_remove_the_quotas_of_an_entity) {
  const metadata::QuotaEntity user{{"user", "u"}};
  decide({entry(user,
                {{.key = kProduce, .value = 1000}, {.key = "request_percentage", .value = 1.5}})});
  EXPECT_EQ(quota(user), 1000);
  EXPECT_EQ(quota(user, "request_percentage"), 1.5);
  decide({entry(user, {{.key = kProduce, .value = 2000}})});
  EXPECT_EQ(quota(user), 2000);
  decide({entry(
      user, {{.key = kProduce, .remove = true}, {.key = "request_percentage", .remove = true}})});
  EXPECT_EQ(controller_.image().client_quotas(), nullptr) << "nothing is set any more";
}

TEST_F(ClientQuotaDecisions, write_no_record_for_what_stays_as_it_is) {
  const metadata::QuotaEntity user{{"user", kAny}};
  EXPECT_EQ(decide({entry(user, {{.key = kProduce, .value = 7}})}).records.size(), 1u);
  EXPECT_TRUE(decide({entry(user, {{.key = kProduce, .value = 7}})}).records.empty());
  EXPECT_TRUE(
      decide({entry(user, {{.key = "consumer_byte_rate", .remove = true}})}).records.empty());
}

TEST_F(ClientQuotaDecisions, validate_only_changes_nothing) {
  const auto decided = decide({entry({{"user", "u"}}, {{.key = kProduce, .value = 7}})}, true);
  EXPECT_EQ(decided.response.entries.at(0).error_code, 0);
  EXPECT_FALSE(decided.response.entries[0].error_message);
  EXPECT_TRUE(decided.records.empty());
}

TEST_F(ClientQuotaDecisions, refuse_entities_that_there_are_none_of) {
  const Ops ops = {{.key = kProduce, .value = 7}};
  EXPECT_EQ(problem({}, ops), "Invalid empty client quota entity");
  EXPECT_EQ(problem({{"group", "g"}}, ops), "Unhandled client quota entity type: group");
  EXPECT_EQ(problem({{"user", ""}}, ops), "Empty user not supported");
  EXPECT_EQ(
      problem({{"ip", "127.0.0.1"}, {"user", "u"}}, ops),
      "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId");
  EXPECT_EQ(problem({{"ip", "nowhere"}}, {{.key = "connection_creation_rate", .value = 7}}),
            "nowhere is not a valid IP or resolvable host.");
  EXPECT_EQ(problem({{"ip", kAny}}, {{.key = "connection_creation_rate", .value = 7}}), "");
}

TEST_F(ClientQuotaDecisions, refuse_values_that_a_quota_cannot_have) {
  const metadata::QuotaEntity user{{"user", "u"}};
  auto of = [&](const char* key, double value) {
    return problem(user, {{.key = key, .value = value}});
  };
  EXPECT_EQ(of("nonsense", 1), "Invalid configuration key nonsense");
  EXPECT_EQ(of("connection_creation_rate", 1),
            "Invalid configuration key connection_creation_rate");
  EXPECT_EQ(of(kProduce, 0), "Quota producer_byte_rate must be greater than 0");
  EXPECT_EQ(of(kProduce, -1), "Quota producer_byte_rate must be greater than 0");
  EXPECT_EQ(of(kProduce, 1.5), "producer_byte_rate cannot be a fractional value.");
  EXPECT_EQ(of(kProduce, 1e19), "Proposed value for producer_byte_rate is too large for a LONG.");
  EXPECT_EQ(of(kProduce, 1 + 1e-7), "") << "almost whole";
  EXPECT_EQ(of("controller_mutation_rate", 0.1), "");
  EXPECT_EQ(problem({{"ip", "127.0.0.1"}}, {{.key = "connection_creation_rate", .value = 3e9}}),
            "Proposed value for connection_creation_rate is too large for an INT.");
  EXPECT_EQ(problem({{"ip", "127.0.0.1"}}, {{.key = kProduce, .value = 3}}),
            "Invalid configuration key producer_byte_rate");
}

TEST_F(ClientQuotaDecisions, one_bad_value_leaves_the_entity_as_it_was) {
  const metadata::QuotaEntity user{{"user", "u"}};
  problem(user, {{.key = kProduce, .value = 7}, {.key = "consumer_byte_rate", .value = 0}});
  EXPECT_EQ(quota(user), 0);
}

TEST_F(ClientQuotaDecisions, what_is_named_twice_is_told_once_and_the_first_counts) {
  const metadata::QuotaEntity both{{"user", "u"}, {"client-id", "c"}};
  const auto decided = decide({entry(both, {{.key = kProduce, .value = 7}}),
                               entry(both, {{.key = kProduce, .value = 8}}),
                               entry({{"user", kAny}}, {{.key = kProduce, .value = 9}})});
  ASSERT_EQ(decided.response.entries.size(), 2u);
  EXPECT_EQ(decided.response.entries[0].error_message,
            "Ignoring duplicate entity ClientQuotaEntity(entries={client-id=c, user=u})");
  EXPECT_EQ(decided.response.entries[1].error_code, 0);
  EXPECT_EQ(quota(both), 7);
  EXPECT_EQ(
      problem({{"user", kAny}}, {{.key = kProduce, .value = 1}, {.key = kProduce, .value = 2}}),
      "Ignoring duplicate entity ClientQuotaEntity(entries={user=null})");
}

TEST_F(ClientQuotaDecisions, a_snapshot_gives_the_same_quotas_back) {
  decide({entry({{"user", "u"}, {"client-id", kAny}}, {{.key = kProduce, .value = 7}}),
          entry({{"ip", "127.0.0.1"}}, {{.key = "connection_creation_rate", .value = 3}})});
  metadata::Image image;
  for (const auto& record : controller_.image().to_records())
    ASSERT_TRUE(image.apply(record, Offset(0)).has_value());
  EXPECT_TRUE(image.same_state(controller_.image()));
  ASSERT_TRUE(image.client_quotas());
  EXPECT_EQ(image.client_quotas()->all().size(), 2u);
}

}  // namespace
}  // namespace millrace::controller
