#include "quota/limits.h"

#include <gtest/gtest.h>

#include "quota/meters.h"

namespace millrace::quota {
namespace {

using metadata::QuotaEntity;

constexpr auto kAny = std::nullopt;

metadata::ClientQuotas quotas_of(const std::vector<std::pair<QuotaEntity, double>>& entries,
                                 const std::string& key = "producer_byte_rate") {
  metadata::ClientQuotas quotas;
  for (const auto& [entity, value] : entries)
    quotas.apply(
        {.entity = metadata::quota_parts_of<decltype(wire::ClientQuotaRecord::entity)>(entity),
         .key = key,
         .value = value});
  return quotas;
}

// The eight levels, the most specific one first.
const std::vector<std::pair<QuotaEntity, double>> kLevels = {
    {{{"user", "u"}, {"client-id", "c"}}, 1},
    {{{"user", "u"}, {"client-id", kAny}}, 2},
    {{{"user", "u"}}, 3},
    {{{"user", kAny}, {"client-id", "c"}}, 4},
    {{{"user", kAny}, {"client-id", kAny}}, 5},
    {{{"user", kAny}}, 6},
    {{{"client-id", "c"}}, 7},
    {{{"client-id", kAny}}, 8}};

TEST(Limits, the_most_specific_of_eight_levels_counts) {  // KIP-55
  for (size_t first = 0; first < kLevels.size(); ++first) {
    const Limits limits(quotas_of({kLevels.begin() + static_cast<int>(first), kLevels.end()}),
                        Kind::kProduce);
    EXPECT_EQ(limits.of(limits.tags_of({"u", "c"})), static_cast<double>(first + 1));
  }
}

TEST(Limits, others_fall_to_the_defaults) {
  const Limits limits(quotas_of(kLevels), Kind::kProduce);
  auto limit = [&](const char* user, const char* client) {
    return limits.of(limits.tags_of({user, client}));
  };
  EXPECT_EQ(limit("u", "x"), 2);
  EXPECT_EQ(limit("x", "c"), 4);
  EXPECT_EQ(limit("x", "x"), 5);
  EXPECT_EQ(limit("u", ""), 3) << "without a client id a user's quota is what is left";
}

TEST(Limits, a_quota_of_a_user_is_shared_by_its_client_ids) {
  const Limits limits(quotas_of({kLevels[2], kLevels[6]}), Kind::kProduce);
  EXPECT_EQ(limits.tags_of({"u", "c"}), (Tags{"u", ""}));
  EXPECT_EQ(limits.tags_of({"u", "x"}), (Tags{"u", ""}));
  EXPECT_EQ(limits.tags_of({"x", "c"}), (Tags{"", "c"}));
}

TEST(Limits, where_only_one_level_is_set_all_share_as_it_says) {
  EXPECT_EQ(Limits(quotas_of({kLevels[2]}), Kind::kProduce).tags_of({"x", "y"}), (Tags{"x", ""}));
  EXPECT_EQ(Limits(quotas_of({kLevels[6]}), Kind::kProduce).tags_of({"x", "y"}), (Tags{"", "y"}));
  EXPECT_EQ(Limits(quotas_of({kLevels[0]}), Kind::kProduce).tags_of({"x", "y"}), (Tags{"x", "y"}));
  EXPECT_EQ(Limits().tags_of({"x", "y"}), (Tags{"", "y"}));
}

TEST(Limits, each_kind_has_its_own_name) {
  const auto quotas = quotas_of(kLevels, "consumer_byte_rate");
  EXPECT_TRUE(Limits(quotas, Kind::kProduce).empty());
  EXPECT_FALSE(Limits(quotas, Kind::kFetch).empty());
  EXPECT_TRUE(Limits(quotas_of({{{{"ip", "::1"}}, 3}}), Kind::kProduce).empty());
}

TEST(Limits, without_one_there_is_as_much_as_a_long_holds) {
  const Limits limits(quotas_of({kLevels[2]}), Kind::kProduce);
  EXPECT_EQ(limits.of(limits.tags_of({"x", "c"})), Limits::kNone);
}

TEST(Meters, keep_what_was_counted_when_a_limit_changes) {
  Meters<Rate> meters({});
  meters.set_limits(Limits(quotas_of({kLevels[6]}), Kind::kProduce));
  auto& meter = meters.of({"u", "c"}, 0);
  meter.count.record(1000, 0);
  EXPECT_EQ(meter.bound, 7);
  meters.set_limits(Limits(quotas_of({{kLevels[6].first, 50}}), Kind::kProduce));
  EXPECT_EQ(meter.bound, 50);
  EXPECT_EQ(meter.count.throttle_ms(meter.bound, 0), 10'000);
}

TEST(Meters, clients_that_change_their_names_are_forgotten_with_their_windows) {
  Meters<Rate> meters({});
  meters.set_limits(Limits(quotas_of({kLevels[7]}), Kind::kProduce));
  for (int64_t i = 0; i < 100'000; ++i)
    meters.of({"u", std::to_string(i)}, i * 100).count.record(1, i * 100);
  EXPECT_LE(meters.size(), 1024u);
}

}  // namespace
}  // namespace millrace::quota
