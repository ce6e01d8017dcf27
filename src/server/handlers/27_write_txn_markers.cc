// WriteTxnMarkers: the end of transactions, from their coordinators to the leaders of their
// partitions; or from an operator who ends one that no coordinator knows (KIP-664). Answered when
// every marker is on the replicas in sync, or has an error of its own.
#include "node/transactions.h"
#include "server/gathered_response.h"
#include "server/handlers/handlers.h"
#include "wire/write_txn_markers.h"

namespace millrace::server {
namespace {

using Request = wire::WriteTxnMarkersRequest;
using Response = wire::WriteTxnMarkersResponse;
using wire::ErrorCode;

using Writing = GatheredResponse<Response>;

// All of it, before anything is written: results are kept by reference.
void prepare(Response& response, const Request& request) {
  for (const auto& marker : request.markers) {
    auto& result = response.markers.emplace_back();
    result.producer_id = marker.producer_id;
    for (const auto& topic : marker.topics) {
      auto& of_topic = result.topics.emplace_back();
      of_topic.name = topic.name;
      for (const int32_t index : topic.partition_indexes)
        of_topic.partitions.push_back({.partition_index = index});
    }
  }
}

void write(const std::shared_ptr<Writing>& writing, const Request::WritableTxnMarker& marker,
           Response::WritableTxnMarkerResult& result) {
  node::Node& node = writing->call.node();
  const auto image = node.image();
  for (auto& topic : result.topics)
    for (auto& each : topic.partitions) {
      const PartitionIndex index(each.partition_index);
      writing->one_more();
      node.transactions().marker_writer().write(
          {.partition = {topic.name, index},
           .marker = {.producer_id = ProducerId(marker.producer_id),
                      .producer_epoch = ProducerEpoch(marker.producer_epoch),
                      .commit = marker.transaction_result,
                      .coordinator_epoch = marker.coordinator_epoch,
                      .transaction_version = marker.transaction_version},
           .absence = node.absence_of(image->find_topic(topic.name), index)},
          writing->call.shard(), [writing, &each](ErrorCode code) {
            each.error_code = wire::code_of(code);
            writing->one_is_done();
          });
    }
}

}  // namespace

void handle_write_txn_markers(Call call) {
  auto request = call.decode<Request>();
  if (!request) return;
  auto writing = std::make_shared<Writing>(std::move(call));
  prepare(writing->response, *request);
  for (size_t i = 0; i < request->markers.size(); ++i)
    write(writing, request->markers[i], writing->response.markers[i]);
  writing->one_is_done();
}

}  // namespace millrace::server
