#include "app/releases.h"

#include <algorithm>
#include <iterator>

#include "metadata/features.h"
#include "metadata/record_version.h"

namespace millrace::app {
namespace {

constexpr Release kReleases[] = {
    {"3.3-IV3", 7},  {"3.4-IV0", 8},  {"3.5-IV0", 9},  {"3.5-IV1", 10}, {"3.5-IV2", 11},
    {"3.6-IV0", 12}, {"3.6-IV1", 13}, {"3.6-IV2", 14}, {"3.7-IV0", 15}, {"3.7-IV1", 16},
    {"3.7-IV2", 17}, {"3.7-IV3", 18}, {"3.7-IV4", 19}, {"3.8-IV0", 20}, {"3.9-IV0", 21},
    {"4.0-IV0", 22}, {"4.0-IV1", 23}, {"4.0-IV2", 24}, {"4.0-IV3", 25}, {"4.1-IV0", 26},
    {"4.1-IV1", 27}, {"4.2-IV0", 28}, {"4.2-IV1", 29}, {"4.3-IV0", 30}, {"4.4-IV0", 31}};
constexpr const Release& kFirst = kReleases[0];
constexpr const Release& kUnfinished = kReleases[std::size(kReleases) - 1];
static_assert(kFirst.level == metadata::kOldestMetadataVersion);
static_assert(kUnfinished.level == metadata::kLatestMetadataVersion + 1);

constexpr FeatureHistory kFeatures[] = {
    {.name = metadata::kKraftVersion, .since = "3.9-IV0", .level = 1, .most = 1},
    {.name = "transaction.version", .since = "4.0-IV2", .level = 2, .most = 2},
    {.name = "group.version", .since = "4.0-IV0", .level = 1, .most = 1},
    {.name = metadata::kElrVersion,
     .since = "4.1-IV0",
     .level = 1,
     .most = 1,
     .needs = metadata::kElrLevel},
    {.name = "share.version", .since = "4.2-IV0", .level = 1, .most = 1},
    {.name = "streams.version", .since = "4.2-IV1", .level = 1, .most = 1}};

bool is_of(const Release& release, std::string_view line) {
  return release.name.starts_with(line) && release.name.substr(line.size()).starts_with('-') &&
         release.level != kUnfinished.level;
}

}  // namespace

std::span<const Release> releases() { return kReleases; }

const Release* find_release(std::string_view name) {
  const Release* found = nullptr;
  for (const Release& each : kReleases)
    if (each.name == name || is_of(each, name)) found = &each;
  return found;
}

const Release* release_of_level(int16_t level) {
  const auto* found = std::ranges::find(kReleases, level, &Release::level);
  return found == std::end(kReleases) ? nullptr : found;
}

int16_t FeatureHistory::level_at(const Release& release) const {
  return release.level >= find_release(since)->level ? level : int16_t{0};
}

std::span<const FeatureHistory> feature_histories() { return kFeatures; }

}  // namespace millrace::app
