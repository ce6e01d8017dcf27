// What a consumer group of 1,000 members over 10,000 partitions costs its coordinator: CPU time of
// a heartbeat that says nothing new, and of the one that makes a new target assignment, its records
// encoded and applied. Prints `heartbeat_us N` and `rebalance_ms N`, medians.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <vector>

#include "base/assert.h"
#include "group/coordinator.h"

using namespace millrace;

namespace {

constexpr int kMembers = 1000;
constexpr int kTopics = 100;
constexpr int kPartitions = 100;  // of each
constexpr int kRebalances = 11;

double cpu_us() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec) * 1e6 +
         static_cast<double>(usage.ru_utime.tv_usec) +
         static_cast<double>(usage.ru_stime.tv_sec) * 1e6 +
         static_cast<double>(usage.ru_stime.tv_usec);
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

class World final : public group::Topics {
 public:
  World() {
    for (int i = 0; i < kTopics; ++i) names_.push_back(fmt::format("topic-{:03}", i));
  }
  std::optional<Uuid> id_of(std::string_view name) const override {
    const auto at = std::ranges::lower_bound(names_, name);
    if (at == names_.end() || *at != name) return std::nullopt;
    return Uuid::of_words({1, static_cast<uint64_t>(at - names_.begin()) + 1});
  }
  std::optional<std::string> name_of(const Uuid& id) const override {
    return names_.at(id.bytes[15] - 1U);
  }
  bool has_partition(std::string_view, PartitionIndex partition) const override {
    return partition.value() < kPartitions;
  }
  int32_t partition_count(std::string_view) const override { return kPartitions; }
  std::vector<std::string> racks_of(std::string_view, PartitionIndex) const override {
    return {"rack-a", "rack-b", "rack-c"};
  }
  void for_each_name(const std::function<void(const std::string&)>& visit) const override {
    std::ranges::for_each(names_, visit);
  }
  int64_t version() const override { return 1; }
  int64_t max_batch_bytes() const override { return 1 << 20; }
  group::GroupTimes times_of(std::string_view) const override { return {}; }
  group::GroupTimes share_times_of(std::string_view) const override { return {}; }
  group::StreamsSettings streams_settings_of(std::string_view) const override { return {}; }
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
};

class Bench {
 public:
  Bench() : machine_({.assignment_interval = milliseconds(0)}) {
    (void)machine_.on_loaded(now_, TimestampMs(1), world_);
    epochs_.resize(kMembers);
  }

  // CPU time in microseconds.
  double beat(int member, bool joins) {
    wire::ConsumerGroupHeartbeatRequest request;
    request.group_id = "group";
    request.member_id = fmt::format("member-{:04}", member);
    request.member_epoch = joins ? 0 : epochs_[static_cast<size_t>(member)];
    if (joins) {
      request.rebalance_timeout_ms = 60'000;
      request.subscribed_topic_names = world_.names();
      request.topic_partitions.emplace();
    }
    const double before = cpu_us();
    auto decision = machine_.decide_consumer_heartbeat(request, {.client_id = "bench",
                                                                 .client_host = "/127.0.0.1",
                                                                 .api_version = 1,
                                                                 .now = now_,
                                                                 .wall = TimestampMs(1),
                                                                 .topics = &world_});
    for (const auto& record : decision.records) ASSERT(machine_.apply(record).has_value());
    const double took = cpu_us() - before;
    const auto& answer =
        std::get<wire::ConsumerGroupHeartbeatResponse>(decision.replies.at(0).response);
    ASSERT(answer.error_code == 0, "{}", answer.error_message.value_or(""));
    epochs_[static_cast<size_t>(member)] = answer.member_epoch;
    return took;
  }

 private:
  World world_;
  Instant now_{seconds(100)};
  group::Coordinator machine_;
  std::vector<int32_t> epochs_;
};

}  // namespace

int main() {
  Bench bench;
  for (int i = 0; i < kMembers - kRebalances; ++i) bench.beat(i, true);
  std::vector<double> rebalances;
  for (int i = kMembers - kRebalances; i < kMembers; ++i)
    rebalances.push_back(bench.beat(i, true) / 1000);
  for (int round = 0; round < 3; ++round)
    for (int i = 0; i < kMembers; ++i) bench.beat(i, false);
  constexpr int kBeats = 20'000;
  const double before = cpu_us();
  for (int i = 0; i < kBeats; ++i) bench.beat(i % kMembers, false);
  std::printf("heartbeat_us %.2f\nrebalance_ms %.2f\n", (cpu_us() - before) / kBeats,
              median(rebalances));
  return 0;
}
