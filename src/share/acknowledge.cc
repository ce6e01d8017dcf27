// What members say of the records that they have.
#include <algorithm>

#include <fmt/format.h>

#include "share/share_partition.h"

namespace millrace::share {

using wire::ErrorCode;

namespace {

constexpr DeliveryState kTargets[] = {
    DeliveryState::kArchived,      // gap: there is no such record
    DeliveryState::kAcknowledged,  // accept
    DeliveryState::kAvailable,     // release
    DeliveryState::kArchived,      // reject
};

bool is_well_formed(const AcknowledgementBatch& batch) {
  if (batch.first > batch.last || batch.types.empty()) return false;
  if (batch.types.size() > 1 &&
      std::cmp_not_equal(batch.types.size() - 1, batch.last - batch.first))
    return false;
  return std::ranges::all_of(batch.types, [](int8_t type) { return 0 <= type && type <= kRenew; });
}

}  // namespace

Outcome SharePartition::acknowledge(const std::string& member,
                                    std::span<const AcknowledgementBatch> batches, Instant now) {
  Change change{.id = fresh_change(), .batches = {}};
  for (const AcknowledgementBatch& batch : batches) {
    const auto refusal = acknowledge_batch({.member = member,
                                            .batch = batch,
                                            .change = change,
                                            .lock_until = now + config_.record_lock});
    if (!refusal) continue;
    end_change(change, false);
    return {.error = refusal->error, .message = refusal->message};
  }
  return keep(std::move(change));
}

Outcome SharePartition::keep(Change change) {
  if (change.batches.empty()) return {};
  waiting_.push_back(std::move(change));
  return {.change = waiting_.back().id};
}

SharePartition::Checked SharePartition::acknowledge_batch(const Acknowledging& acknowledging) {
  const AcknowledgementBatch& batch = acknowledging.batch;
  if (!is_well_formed(batch))
    return Refusal{ErrorCode::kInvalidRequest, "the acknowledgement makes no sense"};
  if (batch.last < start_) return {};
  auto at = floor(batch.first);
  // The window has passed the first of them.
  if (at == batches_.end() && batch.first < start_) at = floor(start_);
  if (at == batches_.end())
    return Refusal{ErrorCode::kInvalidRecordState, "the records are not in flight"};
  const auto end = batches_.upper_bound(batch.last);
  const Offset last = std::prev(end)->second.last();
  if (last < batch.first || last < batch.last)
    return Refusal{ErrorCode::kInvalidRequest, "some records were not acquired yet"};
  for (; at != end; ++at)
    if (auto refusal = acknowledge_in(acknowledging, at->second)) return refusal;
  return {};
}

SharePartition::Checked SharePartition::acknowledge_in(const Acknowledging& acknowledging,
                                                       InFlightBatch& batch) {
  const AcknowledgementBatch& said = acknowledging.batch;
  if (batch.last() < start_) return {};
  if (!batch.is_split()) {
    const Member& member = batch.state().member();
    if (!member) return Refusal{ErrorCode::kInvalidRecordState, "the records are not acquired"};
    if (*member != acknowledging.member)
      return Refusal{ErrorCode::kInvalidRecordState, "another member has the records"};
  }
  const bool is_whole = batch.is_within(said.first, said.last);
  if (is_whole && !batch.is_split() && said.types.size() == 1 && !straddles_start(batch))
    return acknowledge_unit(acknowledging, batch.unit_at(batch.first()), said.types.front());
  return acknowledge_records(acknowledging, batch);
}

SharePartition::Checked SharePartition::acknowledge_records(const Acknowledging& acknowledging,
                                                            InFlightBatch& batch) {
  const AcknowledgementBatch& said = acknowledging.batch;
  const Offset first = std::max(said.first, start_);
  if (batch.last() < first) return {};
  split(batch);
  Checked refusal;
  batch.for_each(first, said.last, [&](const Unit& unit) {
    if (!refusal)
      refusal = acknowledge_unit(acknowledging, unit, acknowledging.type_of(unit.first));
  });
  return refusal;
}

SharePartition::Checked SharePartition::acknowledge_unit(const Acknowledging& acknowledging,
                                                         const Unit& unit, int8_t type) {
  const Member& member = unit.state->member();
  if (!member)
    return Refusal{ErrorCode::kInvalidRecordState,
                   fmt::format("the record at offset {} is not acquired", unit.first)};
  if (*member != acknowledging.member)
    return Refusal{ErrorCode::kInvalidRecordState,
                   fmt::format("another member has the record at offset {}", unit.first)};
  if (type != kRenew) {
    change(acknowledging.change, unit, kTargets[type]);
    return {};
  }
  if (!config_.may_renew)
    return Refusal{ErrorCode::kInvalidRecordState,
                   "the group does not allow to renew acquisition locks"};
  alter(unit, [&](RecordState& state) { state.renew(acknowledging.lock_until); });
  return {};
}

void SharePartition::change(Change& change, const Unit& unit, DeliveryState target) {
  alter(unit,
        [&](RecordState& state) { state.begin_change(change.id, target, config_.delivery_limit); });
  const StateBatch batch{.first = unit.first,
                         .last = unit.last,
                         .state = unit.state->state(),
                         .delivery_count = static_cast<int16_t>(unit.state->delivery_count())};
  if (!change.batches.empty()) {
    StateBatch& before = change.batches.back();
    if (before.last + 1 == batch.first && before.state == batch.state &&
        before.delivery_count == batch.delivery_count) {
      before.last = batch.last;
      return;
    }
  }
  change.batches.push_back(batch);
}

Outcome SharePartition::release(const std::string& member) {
  Change change{.id = fresh_change(), .batches = {}};
  for (auto& [first, batch] : batches_) {
    if (straddles_start(batch)) split(batch);
    batch.for_each([&](const Unit& unit) {
      if (!unit.state->member() || *unit.state->member() != member) return;
      this->change(change, unit,
                   unit.last < start_ ? DeliveryState::kArchived : DeliveryState::kAvailable);
    });
  }
  return keep(std::move(change));
}

}  // namespace millrace::share
