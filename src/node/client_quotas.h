// What clients are charged for on this node, and how long they have to wait because of it (KIP-13,
// KIP-55, KIP-124, KIP-599): bytes produced and fetched, the time that requests take, and changes
// of topics, each held against the quotas of the metadata.
// Not here: which quota is whose (quota/limits), counting (quota/windows), silence on the wire
// (server/connection), rates of connections (server/connection_rates), replication
// (node/partition_quota).
// Cost: where no quota of a kind is set, has() is all: one relaxed load.
// Threads: any; follow() on shard 0. A lock a kind, held for a look-up and a few additions, since
// who shares a quota may be on all shards.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/time.h"
#include "config/properties.h"
#include "quota/meters.h"

namespace millrace::node {

class ClientQuotas {
 public:
  using Kind = quota::Kind;
  using Client = quota::Client;

  explicit ClientQuotas(const config::NodeProperties& properties);

  // Null: no quota is set.
  void follow(const metadata::ClientQuotas* quotas);

  bool has(Kind kind) const {
    return enabled_[static_cast<size_t>(kind)].load(std::memory_order_relaxed);
  }

  // Counts `value` (bytes; percents of a second of one core), whether it is too much or not: how
  // long whoever shares the quota has to be silent to come back below it.
  Duration charge(Kind kind, const Client& client, double value, Instant now);
  // Takes back what was charged in vain.
  void refund(Kind kind, const Client& client, double value, Instant now);
  // The most that may be fetched at once by who has fetched nothing yet; more would always be too
  // much.
  std::optional<double> most_at_once(Kind kind, const Client& client, Instant now);

  // Percents of a second of one core that went into requests which no client is charged for: those
  // that brokers ask of each other, and those of producers which wait for no answer. Counted where
  // request time has quotas, as Kafka's exempt-request-time.
  void note_exempt_time(double percents, Instant now);
  double exempt_time(Instant now);  // percents a second

  // Changes of topics, by partitions. Strict: refused (false) while earlier ones are not worked
  // off, else free; not strict: never refused, only too much. `wait`: how long they are to wait.
  struct Mutation {
    bool is_allowed = true;
    Duration wait{};
  };
  Mutation charge_mutation(const Client& client, double partitions, bool strict, Instant now);

  // A client was told to wait, because of this kind.
  void note_throttle(Kind kind, const Client& client, Duration wait, Instant now);

  // For metrics.
  struct Reading {
    Kind kind;
    quota::Tags tags;
    double value = 0;  // bytes or percents a second; tokens left
    double average_throttle_ms = 0;
  };
  std::vector<Reading> readings(Instant now);

 private:
  struct RateMeters {
    explicit RateMeters(quota::Windows windows) : meters(windows) {}
    std::mutex mutex;
    quota::Meters<quota::Rate> meters;
  };
  struct MutationMeters {
    explicit MutationMeters(quota::Windows windows) : meters(windows) {}
    std::mutex mutex;
    quota::Meters<quota::TokenBucket> meters;
  };
  RateMeters& rates(Kind kind) { return *rates_[static_cast<size_t>(kind)]; }

  std::array<std::atomic<bool>, quota::kKinds> enabled_{};
  std::array<std::unique_ptr<RateMeters>, quota::kKinds - 1> rates_;  // of all but mutations
  MutationMeters mutations_;
  std::mutex exempt_mutex_;
  quota::Rate exempt_;
};

}  // namespace millrace::node
