#include "sim/table_workload.h"

#include <algorithm>

#include "record/builder.h"
#include "sim/topic_creation.h"
#include "wire/errors.h"
#include "wire/init_producer_id.h"

namespace millrace::sim {
namespace {

constexpr int16_t kProduceVersion = 9;
constexpr int16_t kInitProducerIdVersion = 4;
constexpr Range kRetryMs{1, 200};
constexpr double kTombstoneChance = 0.2;

bool loses_its_place(wire::ErrorCode code) {
  return code == wire::ErrorCode::kOutOfOrderSequenceNumber ||
         code == wire::ErrorCode::kUnknownProducerId ||
         code == wire::ErrorCode::kInvalidProducerEpoch;
}

}  // namespace

TableWriter::TableWriter(const Site& site, TableOracle& oracle, const std::string& name,
                         const TableOptions& options)
    : host_(site.host),
      oracle_(&oracle),
      name_(name),
      options_(options),
      client_(site, name),
      dice_(host_->world().workload.next()) {
  for (int32_t i = 0; i < options_.partitions; ++i) lanes_[i];
}

void TableWriter::start() { get_id(); }

bool TableWriter::is_done() const {
  return finishing_ && std::ranges::none_of(
                           lanes_, [](const auto& each) { return each.second.batch.has_value(); });
}

void TableWriter::get_id() {
  wire::InitProducerIdRequest request{.transactional_id = std::nullopt,
                                      .transaction_timeout_ms = 60'000};
  client_.call<wire::InitProducerIdResponse>(Client::AnyBroker{}, request, kInitProducerIdVersion,
                                             [this](Result<wire::InitProducerIdResponse> response) {
                                               if (!response || response->error_code != 0) {
                                                 client_.doubt(Client::AnyBroker{});
                                                 host_->shard(0).after(milliseconds(200),
                                                                       [this] { get_id(); });
                                                 return;
                                               }
                                               id_ = response->producer_id;
                                               epoch_ = response->producer_epoch;
                                               work();
                                             });
}

void TableWriter::work() {
  for (auto& [partition, lane] : lanes_) {
    if (!lane.batch && !finishing_ && dice_.chance(0.7)) begin(partition, lane);
    if (lane.batch && !lane.is_asked && host_->world().now() >= lane.not_before)
      send(partition, lane);
  }
  host_->shard(0).after(dice_.around(options_.pause) + milliseconds(1), [this] { work(); });
}

void TableWriter::begin(int32_t partition, Lane& lane) {
  TableOracle::Batch batch{.producer = id_, .sequence = lane.sequence, .writes = {}};
  for (int64_t i = dice_.between({1, 4}); i > 0; --i) {
    const std::string key = fmt::format("{}-{}-k{}", name_, partition,
                                        dice_.below(static_cast<uint64_t>(options_.keys)));
    batch.writes.push_back({key, ++lane.numbers[key], dice_.chance(kTombstoneChance)});
  }
  lane.sequence += static_cast<int32_t>(batch.writes.size());
  lane.batch = std::move(batch);
}

wire::ProduceRequest TableWriter::request_of(int32_t partition, const TableOracle::Batch& batch,
                                             ByteBuffer& bytes) {
  record::BatchBuilder builder({.codec = options_.codec,
                                .producer_id = ProducerId(id_),
                                .producer_epoch = ProducerEpoch(epoch_),
                                .base_sequence = ProducerSequence(batch.sequence)});
  for (const TableWrite& write : batch.writes) {
    const std::string value = write.value();
    builder.append({.timestamp = host_->shard(0).clock().wall(),
                    .key = as_bytes(write.key),
                    .value = write.is_tombstone ? std::nullopt : std::optional(as_bytes(value)),
                    .headers = {}});
  }
  bytes = std::move(builder).build();
  wire::ProduceRequest request{.acks = -1, .timeout_ms = 30'000};
  request.topic_data.push_back({.name = TableWorkload::kTopic});
  request.topic_data[0].partition_data.push_back(
      {.index = partition, .records = wire::Records::of(bytes)});
  return request;
}

void TableWriter::send(int32_t partition, Lane& lane) {
  lane.is_asked = true;
  ByteBuffer bytes;
  const auto request = request_of(partition, *lane.batch, bytes);
  client_.call<wire::ProduceResponse>(
      TopicPartition{TableWorkload::kTopic, PartitionIndex(partition)}, request, kProduceVersion,
      [this, partition](Result<wire::ProduceResponse> response) {
        if (!response) return answered(partition, -1, -1);
        const auto& answer = response->responses.at(0).partition_responses.at(0);
        answered(partition, answer.error_code, answer.base_offset);
      });
}

void TableWriter::answered(int32_t partition, int16_t error, int64_t base_offset) {
  Lane& lane = lanes_[partition];
  lane.is_asked = false;
  if (error == 0) {
    oracle_->acknowledged(partition, base_offset, *lane.batch);
    lane.batch.reset();
    return;
  }
  if (loses_its_place(static_cast<wire::ErrorCode>(error)))
    host_->world().violated("CP2", fmt::format("{} at sequence {} of {} is refused with {}", name_,
                                               lane.batch->sequence, partition, error));
  if (error > 0) client_.doubt(TopicPartition{TableWorkload::kTopic, PartitionIndex(partition)});
  lane.not_before = host_->world().now() + milliseconds(dice_.between(kRetryMs));
}

TableWorkload::TableWorkload(const Site& site, const TableOptions& options)
    : site_(site),
      options_(options),
      oracle_(
          site.host->world(), kTopic,
          {.delete_retention = options.delete_retention, .is_replicated = options.replicas > 1}),
      client_(site, "table-admin") {}

void TableWorkload::create_topic(std::map<std::string, std::string> configs,
                                 std::function<void()> created) {
  configs["cleanup.policy"] = "compact";
  configs["delete.retention.ms"] =
      std::to_string(std::chrono::duration_cast<milliseconds>(options_.delete_retention).count());
  sim::create_topic(*site_.host, client_,
                    {.name = kTopic,
                     .partitions = options_.partitions,
                     .replicas = options_.replicas,
                     .configs = configs},
                    std::move(created));
}

void TableWorkload::start() {
  for (int i = 0; i < options_.writers; ++i) {
    writers_.push_back(
        std::make_unique<TableWriter>(site_, oracle_, fmt::format("w{}", i), options_));
    writers_.back()->start();
  }
}

void TableWorkload::finish() {
  for (auto& writer : writers_) writer->finish();
}

bool TableWorkload::is_done() const {
  return std::ranges::all_of(writers_, [](const auto& each) { return each->is_done(); });
}

}  // namespace millrace::sim
