// Brings the decisions of transactions to their partitions, on behalf of the coordinators of this
// node: WriteTxnMarkers to the leader of each, one request at a time a broker with all that has
// come together meanwhile, again and again until every partition has its marker or is gone.
// Not here: what is decided (txn/coordinator), what a partition does with it
// (node/transaction_marker).
//
// A transaction is given up when its coordinator moves (drop): the next one begins anew. An answer
// that says that a newer coordinator was there does the same; one that says that the producer has
// gone on counts as done.
// Threads: shard 0.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "node/broker_links.h"
#include "node/marker_writer.h"
#include "txn/transaction.h"
#include "wire/write_txn_markers.h"

namespace millrace::node {

class TransactionMarkers {
 public:
  // Whose transaction: a partition of __transaction_state in one leader epoch.
  struct Coordinator {
    PartitionIndex partition;
    LeaderEpoch epoch;
    friend auto operator<=>(const Coordinator&, const Coordinator&) = default;
  };
  struct Parts {
    env::Shard* shard = nullptr;
    NodeId self = kNoNode;
    BrokerLinks* links = nullptr;
    MarkerWriter* writer = nullptr;
    std::function<std::shared_ptr<const metadata::Image>()> image;
    // Every partition has its marker.
    std::function<void(const Coordinator&, const txn::Markers&)> done;
  };
  explicit TransactionMarkers(Parts parts) : parts_(std::move(parts)) {}

  void send(const Coordinator& coordinator, txn::Markers markers);
  void drop(const Coordinator& coordinator);

 private:
  static constexpr Duration kRetry = milliseconds(100);

  struct Sending {
    Coordinator coordinator;
    txn::Markers markers;
    std::set<TopicPartition> left;
    bool dropped = false;
  };
  using SendingPtr = std::shared_ptr<Sending>;
  struct Item {
    SendingPtr sending;
    TopicPartition partition;
  };
  struct Destination {
    std::vector<Item> waiting;
    bool under_way = false;
  };
  using Request = wire::WriteTxnMarkersRequest;
  using Response = wire::WriteTxnMarkersResponse;

  void route(Item item);
  void route_later(Item item);
  void ask(NodeId broker);
  void write_here(Item item);
  void answered(const std::vector<Item>& items, const Result<Response>& response);
  void judge(const Item& item, wire::ErrorCode code);
  void finish(const SendingPtr& sending);
  static TransactionMarker marker_of(const Sending& sending);
  static Request request_for(const std::vector<Item>& items);

  Parts parts_;
  std::map<Coordinator, std::map<std::string, SendingPtr>> sendings_;
  std::map<NodeId, Destination> destinations_;
};

}  // namespace millrace::node
