#include "client/producer.h"

#include <utility>

namespace millrace::client {

Producer::Producer(Client& client, const core::ProducerOptions& options, OnDelivery on_delivery)
    : client_(&client),
      options_(options),
      core_(client.metadata(), options),
      on_delivery_(std::move(on_delivery)),
      alive_(std::make_shared<int>()) {}

Producer::~Producer() { client_->shard().cancel(timer_); }

void Producer::produce(core::OutgoingRecord record) {
  run(core::Producer::Produce{std::move(record)});
}

void Producer::produce(std::vector<core::OutgoingRecord> records) {
  if (records.empty()) return;
  const Instant now = client_->shard().clock().now();
  std::optional<Instant> wake;
  for (auto& record : records) {
    auto action = core_.resume(core::Producer::Produce{std::move(record)}, now);
    wake = action.wake;
    perform(std::move(action));
  }
  wake_at(wake);
}

void Producer::flush() { run(core::Producer::Flush{}); }

void Producer::run(core::Producer::Event event) {
  auto action = core_.resume(std::move(event), client_->shard().clock().now());
  wake_at(action.wake);
  perform(std::move(action));
}

void Producer::perform(core::Producer::Action action) {
  for (auto& each : action.sends) send(std::move(each));
  if (action.identify) identify(std::move(*action.identify));
  wanted_.merge(action.refresh);
  if (!wanted_.empty()) refresh();
  if (action.ask) ask(std::move(*action.ask));
  for (const auto& each : action.deliveries) on_delivery_(each);
  if (!action.outcome) return;
  if (auto done = std::exchange(on_outcome_, nullptr)) done(std::move(action.outcome->failure));
}

void Producer::send(core::Producer::Send send) {
  core::Call call = core::call_of(std::move(send.request));
  call.versions = send.versions;
  call.encode = [bytes = std::move(send.bytes), encode = std::move(call.encode)](int16_t version) {
    return encode(version);
  };
  call.has_answer = options_.acks != 0;
  client_->send(
      core::Destination::to(send.to), std::move(call),
      while_alive<core::Answer>([this, id = send.id](Result<core::Answer> answer) {
        if (!answer)
          run(core::Producer::Produced{id, std::unexpected(std::move(answer).error())});
        else if (options_.acks == 0)
          run(core::Producer::Produced{id, wire::ProduceResponse{}});
        else
          run(core::Producer::Produced{id, core::response_to<wire::ProduceRequest>(*answer)});
      }));
}

void Producer::identify(wire::InitProducerIdRequest request) {
  client_->call(core::Destination::any(), std::move(request),
                while_alive<wire::InitProducerIdResponse>([this](auto response) {
                  run(core::Producer::Identified{std::move(response)});
                }));
}

void Producer::refresh() {
  if (std::exchange(refreshing_, true)) return;
  const auto names = std::exchange(wanted_, {});
  client_->refresh({.names = {names.begin(), names.end()}, .create = true},
                   while_alive<wire::MetadataResponse>([this](auto response) {
                     refreshing_ = false;
                     if (response)
                       run(core::Producer::MetadataRefreshed{});
                     else
                       run(core::Producer::MetadataFailed{std::move(response).error()});
                   }));
}

void Producer::wake_at(std::optional<Instant> when) {
  env::Shard& shard = client_->shard();
  shard.cancel(std::exchange(timer_, env::TimerId::kNone));
  if (!when) return;
  const Duration delay = std::max(Duration{}, *when - shard.clock().now());
  timer_ = shard.after(delay, [this, weak = std::weak_ptr(alive_)] {
    if (!weak.expired()) run(core::Producer::Tick{});
  });
}

}  // namespace millrace::client
