#include "node/transaction_markers.h"

#include "base/log.h"

namespace millrace::node {
namespace {

using wire::ErrorCode;

constexpr wire::VersionRange kVersions{1, 2};

}  // namespace

void TransactionMarkers::send(const Coordinator& coordinator, txn::Markers markers) {
  auto sending = std::make_shared<Sending>(Sending{
      .coordinator = coordinator, .markers = std::move(markers), .left = {}, .dropped = false});
  sending->left = sending->markers.partitions;
  auto& known = sendings_[coordinator][sending->markers.transactional_id];
  if (known) known->dropped = true;
  known = sending;
  for (const TopicPartition& partition : sending->markers.partitions) route({sending, partition});
  if (sending->markers.partitions.empty()) finish(sending);
}

void TransactionMarkers::drop(const Coordinator& coordinator) {
  const auto found = sendings_.find(coordinator);
  if (found == sendings_.end()) return;
  for (auto& [id, sending] : found->second) sending->dropped = true;
  sendings_.erase(found);
}

void TransactionMarkers::route(Item item) {
  if (item.sending->dropped) return;
  const auto image = parts_.image();
  const metadata::Topic* topic = image->find_topic(item.partition.topic);
  const auto index = static_cast<size_t>(item.partition.partition.value());
  if (topic == nullptr || index >= topic->partitions.size())
    return judge(item, ErrorCode::kNone);  // deleted: nobody will ever read it
  const NodeId leader = topic->partitions[index].leader;
  if (leader == kNoNode) return route_later(std::move(item));
  if (leader == parts_.self) return write_here(std::move(item));
  destinations_[leader].waiting.push_back(std::move(item));
  ask(leader);
}

void TransactionMarkers::route_later(Item item) {
  parts_.shard->after(kRetry, [this, item = std::move(item)] { route(item); });
}

TransactionMarker TransactionMarkers::marker_of(const Sending& sending) {
  return {.producer_id = sending.markers.producer.id,
          .producer_epoch = sending.markers.producer.epoch,
          .commit = sending.markers.commit,
          .coordinator_epoch = sending.coordinator.epoch.value(),
          .transaction_version = static_cast<int16_t>(sending.markers.version)};
}

void TransactionMarkers::write_here(Item item) {
  const MarkerWriter::Write write{.partition = item.partition, .marker = marker_of(*item.sending)};
  parts_.writer->write(write, *parts_.shard,
                       [this, item = std::move(item)](ErrorCode code) { judge(item, code); });
}

// In the order in which they came.
TransactionMarkers::Request TransactionMarkers::request_for(const std::vector<Item>& items) {
  std::map<const Sending*, size_t> places;
  std::vector<std::map<std::string, std::vector<int32_t>>> partitions;
  Request request;
  for (const Item& item : items) {
    const auto [place, is_new] = places.emplace(item.sending.get(), places.size());
    if (is_new) {
      const TransactionMarker marker = marker_of(*item.sending);
      auto& entry = request.markers.emplace_back();
      entry.producer_id = marker.producer_id.value();
      entry.producer_epoch = marker.producer_epoch.value();
      entry.transaction_result = marker.commit;
      entry.coordinator_epoch = marker.coordinator_epoch;
      entry.transaction_version = static_cast<int8_t>(marker.transaction_version);
      partitions.emplace_back();
    }
    partitions[place->second][item.partition.topic].push_back(item.partition.partition.value());
  }
  for (size_t i = 0; i < partitions.size(); ++i)
    for (const auto& [topic, indexes] : partitions[i])
      request.markers[i].topics.push_back({.name = topic, .partition_indexes = indexes});
  return request;
}

// In a later turn, so that what is sent together goes in one request.
void TransactionMarkers::ask(NodeId broker) {
  if (std::exchange(destinations_[broker].under_way, true)) return;
  parts_.shard->post([this, broker] {
    Destination& to = destinations_[broker];
    auto items = std::exchange(to.waiting, {});
    std::erase_if(items, [](const Item& item) { return item.sending->dropped; });
    to.under_way = !items.empty();
    if (items.empty()) return;
    Request request = request_for(items);
    parts_.links->ask<Request, Response>(
        broker, std::move(request), kVersions,
        [this, broker, items = std::move(items)](Result<Response> response) {
          Destination& to = destinations_[broker];
          to.under_way = false;
          answered(items, response);
          if (!to.waiting.empty()) ask(broker);
        });
  });
}

void TransactionMarkers::answered(const std::vector<Item>& items,
                                  const Result<Response>& response) {
  std::map<std::pair<int64_t, TopicPartition>, ErrorCode> codes;
  if (response)
    for (const auto& marker : response->markers)
      for (const auto& topic : marker.topics)
        for (const auto& each : topic.partitions)
          codes[{marker.producer_id, {topic.name, PartitionIndex(each.partition_index)}}] =
              static_cast<ErrorCode>(each.error_code);
  for (const Item& item : items) {
    const auto code = codes.find({item.sending->markers.producer.id.value(), item.partition});
    judge(item, code == codes.end() ? ErrorCode::kNetworkException : code->second);
  }
}

void TransactionMarkers::judge(const Item& item, ErrorCode code) {
  Sending& sending = *item.sending;
  if (sending.dropped) return;
  if (code == ErrorCode::kTransactionCoordinatorFenced) {
    LOG_WARN("the transaction of {} has another coordinator", sending.markers.transactional_id);
    sending.dropped = true;
    return;
  }
  if (code == ErrorCode::kInvalidProducerEpoch)
    LOG_WARN("{}-{} has a later epoch of producer {} than the transaction of {} that ends",
             item.partition.topic, item.partition.partition, sending.markers.producer.id,
             sending.markers.transactional_id);
  else if (code != ErrorCode::kNone)
    return route_later(item);
  sending.left.erase(item.partition);
  if (sending.left.empty()) finish(item.sending);
}

void TransactionMarkers::finish(const SendingPtr& sending) {
  sending->dropped = true;
  const auto of = sendings_.find(sending->coordinator);
  if (of != sendings_.end()) {
    const auto known = of->second.find(sending->markers.transactional_id);
    if (known != of->second.end() && known->second == sending) of->second.erase(known);
    if (of->second.empty()) sendings_.erase(of);
  }
  parts_.done(sending->coordinator, sending->markers);
}

}  // namespace millrace::node
