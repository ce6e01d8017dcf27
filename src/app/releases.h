// Apache Kafka's releases as levels of metadata.version (KIP-778), and the features that a cluster
// of each of them begins with (KIP-1022).
// Not here: which levels Millrace supports (metadata/features.h).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace millrace::app {

struct Release {
  std::string_view name;  // "4.2-IV1"
  int16_t level = 0;      // of metadata.version
};

// In the order of their levels. The last one is still being made.
std::span<const Release> releases();
// "4.2-IV0", or "4.2" for the last that is finished and begins so.
const Release* find_release(std::string_view name);
const Release* release_of_level(int16_t level);

// A feature, and the levels that it has from a release on.
struct FeatureHistory {
  std::string_view name;
  std::string_view since;  // before: level 0
  int16_t level = 0;       // of a cluster of that release or a later one
  int16_t most = 0;
  // The metadata.version that levels above 0 need; 0: any.
  int16_t needs = 0;

  int16_t level_at(const Release& release) const;
};

// Beside metadata.version, in the order in which Apache Kafka tells of them.
std::span<const FeatureHistory> feature_histories();

}  // namespace millrace::app
