#include "node/partition_transactions.h"

#include "base/log.h"

namespace millrace::node {

using wire::ErrorCode;

void TransactionHost::follow(const metadata::Image& before, const metadata::Image& after) {
  const int16_t finalised = after.feature_level("transaction.version");
  version_ = static_cast<txn::TransactionVersion>(std::clamp<int16_t>(finalised, 0, 2));
  follow_topic(before, after);
}

txn::Moment TransactionHost::moment() {
  const env::Clock& clock = host().shard(0).clock();
  return {.now = clock.now(), .wall = clock.wall(), .version = version_};
}

txn::Decision TransactionHost::loaded(txn::Coordinator& coordinator) {
  return coordinator.on_loaded(moment());
}

txn::Decision TransactionHost::tick(txn::Coordinator& coordinator) {
  return coordinator.on_tick(moment());
}

void TransactionHost::run(Request request) { run_with(std::move(request), std::nullopt); }

void TransactionHost::run_with(Request request, std::optional<ProducerId> fresh) {
  Work work{.key = request.transactional_id,
            .transaction = {},
            .step = {},
            .shard = request.shard,
            .done = {}};
  work.step = [this, fresh, step = request.step](txn::Coordinator& coordinator,
                                                 machine::Ticket ticket) {
    return step(coordinator, {.ticket = ticket, .moment = moment(), .fresh_producer_id = fresh});
  };
  work.done = [this, request = std::move(request)](ErrorCode code, txn::Response response) mutable {
    if (code != ErrorCode::kNone || !std::holds_alternative<txn::NeedsProducerId>(response))
      return request.done(code, std::move(response));
    env::Shard& shard = *request.shard;
    parts_.next_producer_id(shard, [this,
                                    request = std::move(request)](Result<ProducerId> id) mutable {
      if (id) return run_with(std::move(request), *id);
      request.done(ErrorCode::kCoordinatorLoadInProgress, {});  // as Kafka, while there is no block
    });
  };
  PartitionCoordinators::run(std::move(work));
}

void TransactionHost::complete(const TransactionMarkers::Coordinator& coordinator,
                               const txn::Markers& markers) {
  run_unasked(coordinator.partition, false,
              [&](txn::Coordinator& machine) { return machine.complete(markers, moment()); });
}

void TransactionHost::performed(Slot& slot, PartitionState& state, txn::Decision& decision) {
  if (decision.markers.empty()) return;
  const TransactionMarkers::Coordinator coordinator{slot.index(), slot.epoch};
  const auto markers = std::make_shared<std::vector<txn::Markers>>(std::move(decision.markers));
  when_committed(slot, state, [this, coordinator, markers] {
    for (txn::Markers& each : *markers)
      if (is_decided(each)) parts_.send_markers(coordinator, std::move(each));
  });
}

// It may have been ended meanwhile by another instance of its coordinator.
bool TransactionHost::is_decided(const txn::Markers& markers) {
  bool decided = false;
  read(markers.transactional_id, [&](const txn::Coordinator& machine) {
    const txn::Transaction* known = machine.find(markers.transactional_id);
    decided = known && known->is_prepared() && known->producer == markers.producer;
  });
  return decided;
}

void TransactionHost::discarded(const Slot& slot) {
  host().shard(0).post([this, coordinator = TransactionMarkers::Coordinator{
                                  slot.index(), slot.epoch}] { parts_.drop_markers(coordinator); });
}

}  // namespace millrace::node
