// The features that Millrace knows (KIP-584): what it supports, and what a new cluster begins with,
// as Apache Kafka 4.3.
// Not here: the levels that a cluster has (Image::features), who may change them (controller).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace millrace::metadata {

struct SupportedFeature {
  const char* name;
  int16_t least = 0;
  int16_t most = 0;
  int16_t first_level = 0;  // of a new cluster; 0: none is written
};

inline constexpr const char* kMetadataVersion = "metadata.version";
inline constexpr const char* kKraftVersion = "kraft.version";
inline constexpr const char* kElrVersion = "eligible.leader.replicas.version";

// Levels of metadata.version from which something is otherwise.
inline constexpr int16_t kControllerRegistrationLevel = 15;  // 3.7-IV0
inline constexpr int16_t kElrLevel = 23;                     // 4.0-IV1
inline constexpr int16_t kNoEpochForIsrShrinkLevel = 12;     // 3.6-IV0
inline constexpr int16_t kDirectoryAssignmentLevel = 17;     // 3.7-IV2

inline constexpr SupportedFeature kSupportedFeatures[] = {
    {kMetadataVersion, 7, 30, 30},   {kElrVersion, 0, 1, 1},     {"group.version", 0, 1, 1},
    {kKraftVersion, 0, 1, 0},        {"share.version", 0, 1, 1}, {"streams.version", 0, 1, 1},
    {"transaction.version", 0, 2, 2}};

// Those that changed the records, so that there is no way back across them.
inline constexpr int16_t kChangedMetadata[] = {7, 8, 11, 13, 14, 15, 17, 23, 30};

inline std::span<const SupportedFeature> supported_features() { return kSupportedFeatures; }
inline const SupportedFeature* find_feature(std::string_view name) {
  for (const SupportedFeature& feature : kSupportedFeatures)
    if (feature.name == name) return &feature;
  return nullptr;
}

}  // namespace millrace::metadata
