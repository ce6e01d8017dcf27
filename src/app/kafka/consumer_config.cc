#include "app/kafka/consumer_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/kafka/config_reader.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka {
namespace {

using client::core::Assignor;
using client::core::StartAt;

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
  const std::string reset = reader.text("auto.offset.reset", "latest");
  if (reset == "none" || reset.starts_with("by_duration"))
    reader.refuse(reset, "auto.offset.reset", "it is not there yet: earliest or latest");
  else if (reset != "earliest" && reset != "latest")
    reader.refuse(reset, "auto.offset.reset",
                  "the value should be one of [by_duration, earliest, latest, none]");
  options.reset = reset == "earliest" ? StartAt::earliest() : StartAt::latest();
}

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

}  // namespace

Attempt<ConsumerConfig> consumer_config(const Properties& properties) {
  ConfigReader reader(properties);
  ConsumerConfig config;
  if (lower_case(reader.text("group.protocol", "classic")) != "classic")
    return config_exception(
        "group.protocol=consumer is not there yet: this program joins classic groups");
  read_fetcher(reader, config.fetcher);
  read_membership(reader, config.membership);
  config.auto_commit = reader.truth("enable.auto.commit", true);
  config.auto_commit_ms = reader.number("auto.commit.interval.ms", 5'000);
  config.max_poll_records = reader.number("max.poll.records", 500, {.least = 1});
  RETURN_IF_ERROR(reader.fine());
  return config;
}

Attempt<std::unique_ptr<Admin>> open_for_consumer(const Properties& properties) {
  auto admin = Admin::open(properties);
  if (!admin && !admin.error().is("ConfigException"))
    return thrown("org.apache.kafka.common.KafkaException", "Failed to construct kafka consumer");
  return admin;
}

}  // namespace millrace::app::kafka
