#include "sim/txn_state_oracle.h"

#include "base/hash.h"
#include "node/transactions.h"
#include "sim/led_partition.h"

namespace millrace::sim {
std::optional<txn::Transaction> TxnStateOracle::transaction_of(const std::string& id,
                                                               const metadata::Image& image,
                                                               const FindNode& find) const {
  const metadata::Topic* topic = image.find_topic(std::string_view(node::TransactionKind::kTopic));
  if (topic == nullptr) return std::nullopt;
  const auto count = static_cast<int32_t>(topic->partitions.size());
  const TopicPartition name{node::TransactionKind::kTopic,
                            PartitionIndex(coordinator_partition(id, count))};
  const Led led = led_partition(name, image, find);
  if (led.node == nullptr) return std::nullopt;
  std::optional<txn::Transaction> found;
  led.node->transactions().host().read(id, [&](const txn::Coordinator& coordinator) {
    if (const txn::Transaction* known = coordinator.find(id)) found = *known;
  });
  return found;
}

void TxnStateOracle::check(const std::string& id, const txn::Transaction& transaction,
                           const TopicPartition& name, const node::PartitionState& state) const {
  const auto violated = [&](const char* invariant, const storage::ProducerEntry& entry,
                            const char* what) {
    world_->violated(
        invariant,
        fmt::format("{} is {} with producer {}/{} at its coordinator; {} has epoch {}, {}", id,
                    txn::state_name(transaction.state), transaction.producer.id,
                    transaction.producer.epoch, name.to_string(), entry.epoch, what));
  };
  const bool may_be_open = (transaction.is_ongoing() || transaction.is_prepared()) &&
                           transaction.partitions.contains(name);
  for (const auto& [producer, entry] : state.log().producers().producers()) {
    const bool is_current = producer == transaction.producer.id;
    if (!is_current && producer != transaction.previous_id) continue;
    if (is_current && entry.epoch > transaction.producer.epoch)
      violated("TX8", entry, "a later one");
    if (entry.transaction_start && !(is_current && may_be_open))
      violated("TX6", entry, "in a transaction");
  }
}

void TxnStateOracle::look(const metadata::Image& image, const FindNode& find) {
  for (const std::string& id : ids_) {
    const auto transaction = transaction_of(id, image, find);
    if (!transaction) continue;
    for (const std::string& topic : topics_) {
      const metadata::Topic* known = image.find_topic(topic);
      const size_t count = known ? known->partitions.size() : 0;
      for (size_t i = 0; i < count; ++i) {
        const TopicPartition name{topic, PartitionIndex(static_cast<int32_t>(i))};
        const Led led = led_partition(name, image, find);
        if (led.node == nullptr) continue;
        with_partition(*led.hosted.partition,
                       [&](node::PartitionState& state) { check(id, *transaction, name, state); });
      }
    }
  }
}

}  // namespace millrace::sim
