// The kinds of fault that there are, some of which a seed enables and leaves the others out: so
// that a rare combination is not drowned by the common ones.
// Not here: what they do and when (sim/faults, sim/cluster_faults).
// Threads: one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/probe.h"

namespace millrace::sim {

template <class Strike>
struct FaultKind {
  const char* name;
  Strike strike;
  bool enabled = false;
};

// Probes that say how often a fault struck, and that a seed has drawn it.
inline constexpr std::string_view kStruckPrefix = "fault.", kDrawnPrefix = "drawn.";

inline void count_fault(std::string_view prefix, const char* name) {
  PROBE((std::string(prefix) + name).c_str());
}

template <class Strike>
std::string names_of_enabled(const std::vector<FaultKind<Strike>>& kinds) {
  std::string names;
  for (const auto& kind : kinds)
    if (kind.enabled) names += std::string(names.empty() ? "" : ",") + kind.name;
  return names.empty() ? "none" : names;
}

}  // namespace millrace::sim
