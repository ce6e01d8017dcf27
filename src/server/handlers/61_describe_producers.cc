// DescribeProducers (KIP-664): the idempotent and transactional producers that a partition
// remembers.
#include "controller/controller.h"
#include "server/handlers/handlers.h"
#include "wire/describe_producers.h"

namespace millrace::server {

void handle_describe_producers(Call call) {
  auto request = call.decode<wire::DescribeProducersRequest>();
  if (!request) return;
  wire::DescribeProducersResponse response;
  for (const auto& topic : request->topics) {
    auto& topic_result = response.topics.emplace_back();
    topic_result.name = topic.name;
    for (int32_t index : topic.partition_indexes) {
      auto& result = topic_result.partitions.emplace_back();
      result.partition_index = index;
      auto hosted =
          call.node().partitions().find(TopicPartition{topic.name, PartitionIndex(index)});
      if (auto problem = controller::topic_name_problem(topic.name)) {
        result.error_code = wire::code_of(wire::ErrorCode::kInvalidTopicException);
        result.error_message = "Topic name is invalid: " + *problem;
        continue;
      }
      if (!hosted) {
        const auto image = call.node().image();
        const metadata::Topic* known = image->find_topic(topic.name);
        result.error_code = wire::code_of(call.node().absence_of(known, PartitionIndex(index)));
        if (known == nullptr)
          result.error_message = "This server does not host this topic-partition.";
        continue;
      }
      with_partition(*hosted.partition, [&](node::PartitionState& state) {
        for (const auto& [id, producer] : state.log().producers().producers()) {
          const storage::ProducedBatch* last = producer.last();
          result.active_producers.push_back(
              {.producer_id = id.value(),
               .producer_epoch = producer.epoch.value(),
               .last_sequence = last ? last->last_sequence.value() : -1,
               .last_timestamp = producer.last_timestamp.value(),
               .coordinator_epoch = producer.coordinator_epoch,
               .current_txn_start_offset =
                   producer.transaction_start.value_or(Offset(-1)).value()});
        }
      });
    }
  }
  call.respond(response);
}

}  // namespace millrace::server
