#include "node/transactions.h"

#include <fmt/format.h>

namespace millrace::node {
namespace {

// A leader that says nothing for longer is asked again, or another one.
constexpr Duration kAnswerTime = seconds(10);

TransactionHost::Options options_of(const config::NodeProperties& properties) {
  auto time = [&](const char* name) { return milliseconds(properties.number(name)); };
  return {.machine = {.max_timeout_ms =
                          static_cast<int32_t>(properties.number("transaction.max.timeout.ms")),
                      .id_expiration = time("transactional.id.expiration.ms"),
                      .id_expiration_check_interval =
                          time("transaction.remove.expired.transaction.cleanup.interval.ms")}};
}

}  // namespace

Transactions::Transactions(const Parts& parts)
    : links_({.host = parts.host,
              .client_id = fmt::format("broker-{}-transactions", parts.self),
              .listener = inter_broker_listener(*parts.properties),
              .request_timeout = kAnswerTime,
              .image = parts.image}),
      writer_(*parts.partitions, *parts.groups),
      markers_({.shard = &parts.host->shard(0),
                .self = parts.self,
                .links = &links_,
                .writer = &writer_,
                .image = parts.image,
                .done = [this](const auto& coordinator,
                               const auto& markers) { host_.complete(coordinator, markers); }}),
      host_({.host = parts.host,
             .partitions = parts.partitions,
             .next_producer_id = parts.next_producer_id,
             .send_markers =
                 [this](const auto& coordinator, txn::Markers markers) {
                   markers_.send(coordinator, std::move(markers));
                 },
             .drop_markers = [this](const auto& coordinator) { markers_.drop(coordinator); }},
            options_of(*parts.properties)),
      verifier_({.host = parts.host,
                 .self = parts.self,
                 .transactions = &host_,
                 .links = &links_,
                 .image = parts.image}) {}

}  // namespace millrace::node
