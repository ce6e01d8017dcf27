// What a host does for a transaction coordinator, for tests: applies decisions, keeps the log, the
// replies and the markers, gives producer ids, moves the clock, restarts the machine from the log.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "txn/coordinator.h"
#include "wire/codec.h"

namespace millrace::txn::testing {

using wire::ErrorCode;

class Host {
 public:
  explicit Host(const TxnConfig& options = {}) : config(options) { start(); }

  // Throws the machine away and replays the log, as after a crash.
  void start() {
    machine = std::make_unique<Coordinator>(config);
    markers.clear();
    for (const auto& record : log) EXPECT_TRUE(machine->apply(record));
    take(machine->on_loaded(moment()));
  }

  Moment moment() const { return {now, wall, version}; }

  void advance(Duration by) {
    const Instant until = now + by;
    while (machine->next_deadline() <= until) {
      move_to(std::max(now, machine->next_deadline()));
      take(machine->on_tick(moment()));
    }
    move_to(until);
  }

  // --- Requests.
  Producer init(const std::string& id, std::optional<Producer> expected = {}) {
    wire::InitProducerIdRequest request;
    request.transactional_id = id;
    request.transaction_timeout_ms = timeout_ms;
    if (expected) {
      request.producer_id = expected->id.value();
      request.producer_epoch = expected->epoch.value();
    }
    const auto response = ask<wire::InitProducerIdResponse>([&](const RequestContext& context) {
      return machine->decide_init_producer_id(request, context);
    });
    error = static_cast<ErrorCode>(response.error_code);
    return {ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)};
  }

  ErrorCode add(const std::string& id, const Producer& producer, std::set<TopicPartition> which) {
    return partitions({.transactional_id = id,
                       .producer = producer,
                       .partitions = std::move(which),
                       .verify_only = false,
                       .client_version = client})
        .error;
  }
  PartitionsAdded verify(const std::string& id, const Producer& producer,
                         std::set<TopicPartition> which) {
    return partitions({.transactional_id = id,
                       .producer = producer,
                       .partitions = std::move(which),
                       .verify_only = true,
                       .client_version = client});
  }
  PartitionsAdded partitions(const AddPartitions& request) {
    return ask<PartitionsAdded>([&](const RequestContext& context) {
      return machine->decide_add_partitions(request, context);
    });
  }

  // How the producer goes on.
  Producer end(const std::string& id, const Producer& producer, bool commit) {
    const EndTransaction request{id, producer, commit, client};
    const auto response = ask<wire::EndTxnResponse>([&](const RequestContext& context) {
      return machine->decide_end_transaction(request, context);
    });
    error = static_cast<ErrorCode>(response.error_code);
    return {ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)};
  }

  // Every partition gets its marker.
  void write_markers() {
    for (const Markers& each : std::exchange(markers, {})) take(machine->complete(each, moment()));
  }

  std::string state(const std::string& id) const {
    const Transaction* known = machine->find(id);
    return known ? std::string(state_name(known->state)) : "none";
  }

  TxnConfig config;
  TransactionVersion version = TransactionVersion::kV2;
  TransactionVersion client = TransactionVersion::kV2;
  int32_t timeout_ms = 60'000;
  ErrorCode error = ErrorCode::kNone;  // of the last init() or end()
  std::unique_ptr<Coordinator> machine;
  std::vector<machine::KeyValueRecord> log;
  std::vector<Markers> markers;
  Instant now{};
  TimestampMs wall{1'000'000};

 private:
  void move_to(Instant at) {
    wall += std::chrono::duration_cast<milliseconds>(at - now).count();
    now = at;
  }

  void take(Decision decision) {
    for (auto& record : decision.records) {
      EXPECT_TRUE(machine->apply(record));
      log.push_back(std::move(record));
    }
    for (Markers& each : decision.markers) markers.push_back(std::move(each));
    machine->check_invariants();
  }

  template <class Reply, class Step>
  Reply ask(const Step& step) {
    RequestContext context{
        .ticket = machine::Ticket{++tickets_}, .moment = moment(), .fresh_producer_id = {}};
    Decision decision = step(context);
    EXPECT_EQ(decision.replies.size(), 1u);
    if (std::holds_alternative<NeedsProducerId>(decision.replies[0].response)) {
      EXPECT_TRUE(decision.records.empty());
      context.fresh_producer_id = ProducerId(next_id_++);
      decision = step(context);
    }
    EXPECT_EQ(decision.replies.size(), 1u);
    EXPECT_EQ(decision.replies[0].ticket, context.ticket);
    auto reply = std::get<Reply>(std::move(decision.replies[0].response));
    take(std::move(decision));
    return reply;
  }

  uint64_t tickets_ = 0;
  int64_t next_id_ = 1000;
};

inline TopicPartition at(const std::string& topic, int32_t partition) {
  return {topic, PartitionIndex(partition)};
}

}  // namespace millrace::txn::testing
