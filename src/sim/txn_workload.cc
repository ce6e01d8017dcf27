#include "sim/txn_workload.h"

#include <algorithm>

#include "node/coordinator_kinds.h"
#include "sim/topic_creation.h"
#include "wire/errors.h"
#include "wire/offset_fetch.h"

namespace millrace::sim {
namespace {

constexpr int16_t kOffsetFetchVersion = 7;
constexpr Duration kPause = milliseconds(200);

std::string name_of(int producer) { return fmt::format("tx{}", producer); }

std::vector<std::string> names_of(int producers) {
  std::vector<std::string> names;
  for (int i = 0; i < producers; ++i) names.push_back(name_of(i));
  return names;
}

// In every fourteenth pair of seeds, so that the course of the others does not depend on it.
bool uses_sequences_again(uint64_t seed) { return seed / 2 % 14 == 12; }

}  // namespace

TxnWorkload::TxnWorkload(const Site& site, const TxnWorkloadOptions& options)
    : site_(site),
      options_(options),
      oracle_(site.host->world(), options.offsets_expire),
      states_(site.host->world(), names_of(options.producers), {kTopic, node::GroupKind::kTopic}),
      client_(site, "txn-admin") {}

void TxnWorkload::create_topic(const std::map<std::string, std::string>& configs,
                               std::function<void()> created) {
  sim::create_topic(*site_.host, client_,
                    {.name = kTopic,
                     .partitions = options_.partitions,
                     .replicas = options_.replicas,
                     .configs = configs},
                    std::move(created));
}

void TxnWorkload::start() {
  Stream& dice = site_.host->world().workload;
  for (int i = 0; i < options_.producers; ++i)
    producers_.push_back(std::make_unique<TxnProducer>(
        site_, oracle_,
        TxnProducerOptions{.name = name_of(i),
                           .topic = kTopic,
                           .partitions = options_.partitions,
                           .modern = i % 2 == 0,
                           .uses_sequences_again = uses_sequences_again(site_.host->world().seed()),
                           .pause = milliseconds(dice.between({5, 200})),
                           .timeout_ms = static_cast<int32_t>(dice.between({1000, 15'000}))}));
  for (int32_t p = 0; p < options_.partitions; ++p)
    readers_.push_back(std::make_unique<TxnReader>(
        site_, TopicPartition{kTopic, PartitionIndex(p)},
        [this, p](const std::string& value) { oracle_.seen(p, value); }));
  for (auto& producer : producers_) producer->start();
  for (auto& reader : readers_) reader->start();
}

void TxnWorkload::finish() {
  for (auto& producer : producers_) producer->finish();
}

bool TxnWorkload::is_done() const {
  return std::ranges::all_of(producers_, [](const auto& each) { return each->is_done(); });
}

void TxnWorkload::check(std::function<void()> done) {
  check_ = {.done = std::move(done)};
  for (int32_t p = 0; p < options_.partitions; ++p) {
    ++check_.left;
    check_.readers.push_back(std::make_unique<TxnReader>(
        site_, TopicPartition{kTopic, PartitionIndex(p)},
        [this, p](const std::string& value) { check_.contents[p].insert(value); }));
    check_.readers.back()->read_to_end([this] { one_is_read(); });
  }
  for (const auto& producer : producers_) {
    ++check_.left;
    fetch_offset(producer->options().name);
  }
  one_is_read();
}

void TxnWorkload::one_is_read() {
  if (--check_.left > 0) return;
  oracle_.check(check_.contents, check_.offsets);
  check_.done();
}

void TxnWorkload::fetch_offset(const std::string& producer) {
  wire::OffsetFetchRequest request;
  request.group_id = producer;
  request.require_stable = true;
  request.topics = {{.name = kTopic, .partition_indexes = {0}}};
  const Client::CoordinatorOf place{producer};
  client_.call<wire::OffsetFetchResponse>(
      place, request, kOffsetFetchVersion, [=, this](Result<wire::OffsetFetchResponse> response) {
        const bool served = response && response->error_code == 0 && !response->topics.empty() &&
                            response->topics[0].partitions.at(0).error_code == 0;
        if (!served) {
          client_.doubt(place);
          site_.host->shard(0).after(kPause, [=, this] { fetch_offset(producer); });
          return;
        }
        check_.offsets[producer] = response->topics[0].partitions[0].committed_offset;
        one_is_read();
      });
}

}  // namespace millrace::sim
