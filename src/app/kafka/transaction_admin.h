// What kafka-transactions asks a cluster: the producers of partitions, transactional ids and their
// coordinators.
// Not here: words and tables (app/kafka/transactions.cc).
// Threads: those of app/session.h. Errors: exceptions as the handlers of Kafka's Admin client throw
// them; what passes (no leader yet, a coordinator that loads) is waited for.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "app/kafka/admin.h"
#include "wire/describe_producers.h"
#include "wire/describe_transactions.h"
#include "wire/list_transactions.h"

namespace millrace::app::kafka {

class TransactionAdmin {
 public:
  using Producer = wire::DescribeProducersResponse::ProducerState;
  using Producers = std::map<TopicPartition, std::vector<Producer>>;
  using Listing = wire::ListTransactionsResponse::TransactionState;

  struct Description {
    NodeId coordinator;
    wire::DescribeTransactionsResponse::TransactionState state;
    std::vector<TopicPartition> partitions;  // in the order of Java's HashSet
  };

  // What WriteTxnMarkers aborts.
  struct Abort {
    TopicPartition partition;
    int64_t producer_id = -1;
    int16_t producer_epoch = -1;
    int32_t coordinator_epoch = 0;

    std::string to_string() const;
  };

  explicit TransactionAdmin(Admin& admin) : admin_(admin) {}

  // Asked of the leaders, or of `broker`.
  Attempt<Producers> producers(std::set<TopicPartition> partitions, std::optional<NodeId> broker);
  // Of every broker.
  Attempt<std::map<NodeId, std::vector<Listing>>> list(const wire::ListTransactionsRequest& filter);
  // TransactionalIdNotFoundException if there is no such id.
  Attempt<Description> describe(const std::string& id);
  Attempt<> abort(const Abort& abort);
  // A new producer with this id: whatever the old one has open is aborted.
  Attempt<> fence(const std::string& id);

 private:
  Attempt<> ask_producers(NodeId node, const std::set<TopicPartition>& partitions,
                          std::optional<NodeId> broker, Producers& into);
  Attempt<NodeId> coordinator(const std::string& id, std::string_view call);

  Admin& admin_;
};

}  // namespace millrace::app::kafka
