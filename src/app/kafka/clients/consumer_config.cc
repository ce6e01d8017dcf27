#include "app/kafka/clients/consumer_config.h"

#include "app/kafka/clients/config_reader.h"
#include "app/kafka/text.h"
#include "library/consumer_options.h"

namespace millrace::app::kafka::clients {
namespace {

using client::core::StartAt;

void read_reset(ConfigReader& reader, client::core::FetcherOptions& options) {
  const std::string reset = reader.text("auto.offset.reset", "latest");
  if (reset == "none" || reset.starts_with("by_duration"))
    reader.refuse(reset, "auto.offset.reset", "it is not there yet: earliest or latest");
  else if (reset != "earliest" && reset != "latest")
    reader.refuse(reset, "auto.offset.reset",
                  "the value should be one of [by_duration, earliest, latest, none]");
  options.reset = reset == "earliest" ? StartAt::earliest() : StartAt::latest();
}

}  // namespace

Attempt<ConsumerConfig> consumer_config(const Properties& properties) {
  ConfigReader reader(properties);
  ConsumerConfig config;
  if (lower_case(reader.text("group.protocol", "classic")) != "classic")
    return config_exception(
        "group.protocol=consumer is not there yet: this program joins classic groups");
  library::read_fetcher(reader, config.fetcher);
  read_reset(reader, config.fetcher);
  library::read_membership(reader, config.membership);
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

}  // namespace millrace::app::kafka::clients
