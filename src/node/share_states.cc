#include "node/share_states.h"

#include "base/log.h"
#include "node/controller_channel.h"
#include "node/internal_topics.h"

namespace millrace::node {
namespace {

// A coordinator that says nothing for longer is asked again, or another one.
constexpr Duration kAnswerTime = seconds(10);
constexpr Duration kCreationTime = seconds(5);

ShareStateHost::Options options_of(const config::NodeProperties& properties) {
  const auto time = [&](const char* name) { return milliseconds(properties.number(name)); };
  return {.machine = {.updates_per_snapshot = static_cast<int32_t>(properties.number(
                          "share.coordinator.snapshot.update.records.per.snapshot")),
                      .cold_snapshot_interval =
                          time("share.coordinator.cold.partition.snapshot.interval.ms"),
                      .prune_interval = time("share.coordinator.state.topic.prune.interval.ms")},
          .commit_timeout = time("share.coordinator.write.timeout.ms")};
}

void log_failure(const Result<wire::CreateTopicsResponse>& response) {
  if (!response)
    LOG_INFO("topic {} was not created: {}", ShareStateKind::kTopic, response.error().message);
  else
    for (const auto& each : response->topics)
      if (each.error_code != 0)
        LOG_INFO("topic {} was not created: {}", each.name, each.error_message.value_or(""));
}

}  // namespace

ShareStates::ShareStates(const Parts& parts)
    : channel_(parts.channel),
      properties_(parts.properties),
      links_({.host = parts.host,
              .client_id = fmt::format("broker-{}-share-states", parts.self),
              .listener = inter_broker_listener(*parts.properties),
              .request_timeout = kAnswerTime,
              .image = parts.image}),
      host_({.host = parts.host, .partitions = parts.partitions, .image = parts.image},
            options_of(*parts.properties)),
      persister_({.host = parts.host,
                  .self = parts.self,
                  .states = &host_,
                  .links = &links_,
                  .image = parts.image,
                  .create_topic = [this] { create_topic(); }}) {}

void ShareStates::create_topic() {
  if (std::exchange(creating_, true)) return;
  wire::CreateTopicsRequest request;
  request.timeout_ms = static_cast<int32_t>(kCreationTime / milliseconds(1));
  request.topics = {creatable_topic(*properties_, ShareStateKind::kTopic)};
  channel_->ask(std::move(request), kCreationTime,
                [this](Result<wire::CreateTopicsResponse> response) {
                  creating_ = false;
                  log_failure(response);
                });
}

}  // namespace millrace::node
