// Brokers as the metadata tells of them, for tests of this module.
#pragma once

#include "base/assert.h"
#include "metadata/image.h"

namespace millrace::replica::testing {

class Brokers {
 public:
  const metadata::Image& image() const { return image_; }
  BrokerEpoch epoch(NodeId id) const { return image_.find_broker(id)->epoch; }

  // Registers, fenced; every registration has an epoch of its own.
  void add(NodeId id, std::optional<std::string> rack = std::nullopt) {
    apply(wire::RegisterBrokerRecord{.broker_id = id.value(),
                                     .broker_epoch = ++last_epoch_,
                                     .rack = std::move(rack),
                                     .fenced = true});
  }
  void unfence(NodeId id) {
    apply(wire::BrokerRegistrationChangeRecord{
        .broker_id = id.value(), .broker_epoch = epoch(id).value(), .fenced = -1});
  }
  void fence(NodeId id) {
    apply(wire::BrokerRegistrationChangeRecord{
        .broker_id = id.value(), .broker_epoch = epoch(id).value(), .fenced = 1});
  }
  void shut_down(NodeId id) {
    apply(wire::BrokerRegistrationChangeRecord{
        .broker_id = id.value(), .broker_epoch = epoch(id).value(), .in_controlled_shutdown = 1});
  }

 private:
  void apply(const wire::MetadataRecord& record) {
    auto applied = image_.apply(record, image_.last_offset() + 1);
    ASSERT(applied.has_value(), "{}", applied.error().message);
  }

  metadata::Image image_;
  int64_t last_epoch_ = 100;
};

}  // namespace millrace::replica::testing
