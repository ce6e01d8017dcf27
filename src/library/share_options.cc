#include "library/share_options.h"

#include <fmt/ranges.h>

#include <string_view>
#include <vector>

namespace millrace::library {
namespace {

constexpr std::string_view kNotOfShareGroups[] = {"auto.offset.reset",
                                                  "enable.auto.commit",
                                                  "group.instance.id",
                                                  "isolation.level",
                                                  "partition.assignment.strategy",
                                                  "interceptor.classes",
                                                  "session.timeout.ms",
                                                  "heartbeat.interval.ms",
                                                  "group.protocol",
                                                  "group.remote.assignor"};

client::core::ShareAcquireMode read_acquire_mode(ConfigReader& reader) {
  constexpr std::string_view kName = "share.acquire.mode";
  const std::string mode = reader.text(kName, "batch_optimized");
  if (mode != "batch_optimized" && mode != "record_limit")
    reader.refuse(mode, kName,
                  fmt::format("Invalid value `{}` for configuration {}. The value must either be "
                              "'batch_optimized' or 'record_limit'.",
                              mode, kName));
  return mode == "record_limit" ? client::core::ShareAcquireMode::kRecordLimit
                                : client::core::ShareAcquireMode::kBatchOptimized;
}

}  // namespace

void read_share_consumer(ConfigReader& reader, client::ShareConsumer::Options& options) {
  std::vector<std::string_view> wrong;
  for (const auto name : kNotOfShareGroups)
    if (reader.has(name)) wrong.push_back(name);
  if (!wrong.empty())
    reader.refuse(
        fmt::format("{} cannot be set when using a share group.", fmt::join(wrong, ", ")));
  const Duration backoff = milliseconds_of(reader.long_number("retry.backoff.ms", 100));
  options.member.group = reader.text("group.id", "");
  if (reader.has("client.rack")) options.member.rack_id = reader.text("client.rack", "");
  options.member.retry_backoff = backoff;
  options.reading.retry_backoff = backoff;
  options.reading.min_bytes = static_cast<int32_t>(reader.number("fetch.min.bytes", 1));
  options.reading.max_bytes = static_cast<int32_t>(reader.number("fetch.max.bytes", 50 << 20));
  options.reading.max_wait = milliseconds_of(reader.number("fetch.max.wait.ms", 500));
  options.reading.max_records =
      static_cast<int32_t>(reader.number("max.poll.records", 500, {.least = 1}));
  options.reading.acquire_mode = read_acquire_mode(reader);
}

}  // namespace millrace::library
