#include "library/consumer_options.h"

#include <optional>
#include <string>
#include <string_view>

#include "library/text.h"

namespace millrace::library {
namespace {

using client::core::Assignor;

// "org.apache.kafka.clients.consumer.RangeAssignor".
std::optional<Assignor> assignor_of_class(std::string_view name) {
  constexpr std::string_view kPackage = "org.apache.kafka.clients.consumer.";
  if (!name.starts_with(kPackage)) return std::nullopt;
  name.remove_prefix(kPackage.size());
  if (name == "RangeAssignor") return Assignor::kRange;
  if (name == "RoundRobinAssignor") return Assignor::kRoundRobin;
  if (name == "CooperativeStickyAssignor") return Assignor::kCooperativeSticky;
  return std::nullopt;
}

}  // namespace

void read_fetcher(ConfigReader& reader, client::core::FetcherOptions& options) {
  options.min_bytes = static_cast<int32_t>(reader.number("fetch.min.bytes", 1));
  options.max_bytes = static_cast<int32_t>(reader.number("fetch.max.bytes", 50 << 20));
  options.partition_bytes =
      static_cast<int32_t>(reader.number("max.partition.fetch.bytes", 1 << 20));
  options.max_wait = milliseconds_of(reader.number("fetch.max.wait.ms", 500));
  options.retry_backoff = milliseconds_of(reader.long_number("retry.backoff.ms", 100));
  options.read_committed =
      reader.one_of("isolation.level", "read_uncommitted",
                    {"read_committed", "read_uncommitted"}) == "read_committed";
}

void read_membership(ConfigReader& reader, client::core::MembershipOptions& options) {
  options.group = reader.text("group.id", "");
  if (reader.has("group.instance.id")) options.instance_id = reader.text("group.instance.id", "");
  options.session_timeout = milliseconds_of(reader.number("session.timeout.ms", 45'000));
  options.heartbeat_interval = milliseconds_of(reader.number("heartbeat.interval.ms", 3'000));
  options.rebalance_timeout = milliseconds_of(reader.number("max.poll.interval.ms", 300'000));
  options.retry_backoff = milliseconds_of(reader.long_number("retry.backoff.ms", 100));
  const std::string classes = reader.text("partition.assignment.strategy", "");
  if (classes.empty()) return;
  options.assignors.clear();
  for (const auto& each : split(classes, ',')) {
    const auto assignor = assignor_of_class(trimmed(each));
    if (assignor)
      options.assignors.push_back(*assignor);
    else
      reader.refuse(each, "partition.assignment.strategy",
                    "only RangeAssignor, RoundRobinAssignor and CooperativeStickyAssignor are "
                    "there");
  }
}

}  // namespace millrace::library
