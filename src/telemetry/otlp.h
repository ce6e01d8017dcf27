// What a client pushes (KIP-714): metrics in OpenTelemetry's protocol, version 1, as protobuf.
// Gauges, sums, and of histograms and summaries their counts and sums; what else there may be is
// passed over.
// Inputs are hostile: bounded in number and in bytes of what is made of them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace millrace::telemetry {

using Labels = std::map<std::string, std::string, std::less<>>;

struct Sample {
  std::string name;  // as the client says it: "org.apache.kafka.producer.record.send.total"
  Labels labels;     // of the client (its resource), and of the sample
  double value = 0;
  bool is_counter = false;
  bool is_delta = false;  // since the last push, not since the client began
};

inline constexpr size_t kMaxSamples = 20'000;
inline constexpr size_t kMaxSampleBytes = 16 << 20;

// kCorrupt: it is no such message, or has text that is not UTF-8; kLimit: more than is taken.
Result<std::vector<Sample>> decode_metrics(ByteView payload);

}  // namespace millrace::telemetry
