// kafka-transactions: transactional ids, the producers of partitions, and transactions that hang
// (KIP-664).
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "app/kafka/admin.h"
#include "app/kafka/commands.h"
#include "app/kafka/java_order.h"
#include "app/kafka/script.h"
#include "app/kafka/scripts.h"
#include "app/kafka/text.h"
#include "app/kafka/transaction_admin.h"

namespace millrace::app::kafka {
namespace {

using Takes = Argument::Takes;
using Row = std::vector<std::string>;

constexpr size_t kBatch = 500;  // topics, or partitions, of one question
constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kDefaultTimeoutMinutes = 15;

constexpr Argument kConnection[] = {
    {.name = "--version", .brief = "-v", .help = "Shows the version.", .takes = Takes::kNothing},
    {.name = "--command-config", .help = "Properties file of the client."},
    {.name = "--bootstrap-server",
     .help = "Brokers to begin with: HOST:PORT, several between commas.",
     .required = true},
};
constexpr Argument kTopic{.name = "--topic", .help = "The topic.", .required = true};
constexpr Argument kPartition{
    .name = "--partition", .help = "The partition.", .takes = Takes::kInteger, .required = true};
constexpr Argument kBroker{
    .name = "--broker-id", .help = "A broker that has a replica.", .takes = Takes::kInteger};

constexpr Argument kList[] = {
    {.name = "--duration-filter",
     .help = "Only those that have run longer, in milliseconds.",
     .takes = Takes::kLong},
    {.name = "--transactional-id-pattern",
     .help = "Only those whose transactional ids match this regular expression."},
};
constexpr Argument kDescribe[] = {
    {.name = "--transactional-id", .help = "The transactional id.", .required = true}};
constexpr Argument kDescribeProducers[] = {kBroker, kTopic, kPartition};
constexpr Argument kAbort[] = {
    kTopic,
    kPartition,
    {.name = "--start-offset",
     .help = "Where the transaction begins in the partition.",
     .takes = Takes::kLong},
    {.name = "--producer-id", .help = "Its producer, instead of its start.", .takes = Takes::kLong},
    {.name = "--producer-epoch", .help = "The epoch of that producer.", .takes = Takes::kShort},
    {.name = "--coordinator-epoch",
     .help = "The epoch of its coordinator.",
     .takes = Takes::kInteger},
};
constexpr Argument kFindHanging[] = {
    kBroker,
    {.name = "--max-transaction-timeout",
     .help = "Minutes that a transaction may take (15).",
     .takes = Takes::kInteger},
    {.name = "--topic", .help = "Only of this topic."},
    {.name = "--partition", .help = "Only of this partition.", .takes = Takes::kInteger},
};
constexpr Argument kTerminate[] = {
    {.name = "--transactionalId", .help = "The transactional id.", .required = true}};

constexpr CommandWords kCommands[] = {
    {"list", "Lists transactional ids.", kList},
    {"describe", "Shows what a transactional id does.", kDescribe},
    {"describe-producers", "Shows the producers of a partition.", kDescribeProducers},
    {"abort", "Aborts a transaction that hangs.", kAbort},
    {"find-hanging", "Finds transactions that hang.", kFindHanging},
    {"forceTerminateTransaction", "Aborts what a transactional id has open.", kTerminate},
};
constexpr Program kProgram = {.name = "kafka-transactions.sh",
                              .about = "Shows transactions, and ends those that hang.",
                              .arguments = kConnection,
                              .commands = kCommands};

int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

std::unexpected<Ending> give_up(std::string_view words) {
  fmt::print(stderr, "{}\n", words);
  return ended(1);
}

// What could not be done, as the script tells it.
template <class T>
Attempt<T> or_give_up(Attempt<T> attempt, std::string_view what) {
  if (attempt) return attempt;
  return give_up(fmt::format("{}: {}. Enable debug logging for additional detail.", what,
                             attempt.error().message));
}

void print_table(const Row& titles, const std::vector<Row>& rows) {
  std::vector<size_t> widths(titles.size());
  auto fit = [&](const Row& row) {
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  };
  fit(titles);
  std::ranges::for_each(rows, fit);
  auto print = [&](const Row& row) {
    for (size_t i = 0; i < widths.size(); ++i) fmt::print("{:<{}}\t", row[i], widths[i]);
    fmt::print("\n");
  };
  print(titles);
  std::ranges::for_each(rows, print);
}

TopicPartition partition_of(const Parsed& words) {
  return {*words.value("--topic"),
          PartitionIndex(static_cast<int32_t>(*words.number("--partition")))};
}

std::optional<NodeId> broker_of(const Parsed& words) {
  const auto broker = words.number("--broker-id");
  return broker ? std::optional(NodeId(static_cast<int32_t>(*broker))) : std::nullopt;
}

Attempt<> list(TransactionAdmin& admin, const Parsed& words) {
  wire::ListTransactionsRequest filter;
  filter.duration_filter = words.number("--duration-filter").value_or(-1);
  filter.transactional_id_pattern = words.value("--transactional-id-pattern");
  if (filter.transactional_id_pattern == "") filter.transactional_id_pattern.reset();
  ASSIGN_OR_RETURN(const auto listings,
                   or_give_up(admin.list(filter), "Failed to list transactions"));
  std::vector<Row> rows;
  for (const auto& [coordinator, some] : listings)
    for (const auto& each : some)
      rows.push_back({each.transactional_id, std::to_string(coordinator.value()),
                      std::to_string(each.producer_id), each.transaction_state});
  print_table({"TransactionalId", "Coordinator", "ProducerId", "TransactionState"}, rows);
  return {};
}

Attempt<> describe(TransactionAdmin& admin, const Parsed& words) {
  const std::string id = *words.value("--transactional-id");
  ASSIGN_OR_RETURN(
      const auto found,
      or_give_up(admin.describe(id),
                 fmt::format("Failed to describe transaction state of transactional-id `{}`", id)));
  const auto& state = found.state;
  const bool began = state.transaction_start_time_ms >= 0;
  const int64_t start = state.transaction_start_time_ms;
  std::string partitions;
  for (const auto& each : found.partitions)
    partitions += (partitions.empty() ? "" : ",") + each.to_string();
  print_table(
      {"CoordinatorId", "TransactionalId", "ProducerId", "ProducerEpoch", "TransactionState",
       "TransactionTimeoutMs", "CurrentTransactionStartTimeMs", "TransactionDurationMs",
       "TopicPartitions"},
      {{std::to_string(found.coordinator.value()), id, std::to_string(state.producer_id),
        std::to_string(state.producer_epoch), state.transaction_state,
        std::to_string(state.transaction_timeout_ms), began ? std::to_string(start) : "None",
        began ? std::to_string(now_ms() - start) : "None", partitions}});
  return {};
}

Attempt<> describe_producers(TransactionAdmin& admin, const Parsed& words) {
  const auto partition = partition_of(words);
  const auto broker = broker_of(words);
  const std::string where = broker ? fmt::format("broker {}", broker->value()) : "leader";
  ASSIGN_OR_RETURN(const auto found,
                   or_give_up(admin.producers({partition}, broker),
                              fmt::format("Failed to describe producers for partition {} on {}",
                                          partition.to_string(), where)));
  std::vector<Row> rows;
  for (const auto& each : found.at(partition))
    rows.push_back({std::to_string(each.producer_id), std::to_string(each.producer_epoch),
                    std::to_string(std::max(each.coordinator_epoch, -1)),
                    std::to_string(each.last_sequence), std::to_string(each.last_timestamp),
                    each.current_txn_start_offset < 0
                        ? "None"
                        : std::to_string(each.current_txn_start_offset)});
  print_table({"ProducerId", "ProducerEpoch", "LatestCoordinatorEpoch", "LastSequence",
               "LastTimestamp", "CurrentTransactionStartOffset"},
              rows);
  return {};
}

// The transaction that begins at --start-offset.
Attempt<TransactionAdmin::Abort> abort_at(TransactionAdmin& admin, const TopicPartition& partition,
                                          int64_t start) {
  ASSIGN_OR_RETURN(const auto found,
                   or_give_up(admin.producers({partition}, std::nullopt),
                              fmt::format("Failed to validate producer state for partition {}",
                                          partition.to_string())));
  for (const auto& each : found.at(partition))
    if (each.current_txn_start_offset >= 0 && each.current_txn_start_offset == start)
      return TransactionAdmin::Abort{.partition = partition,
                                     .producer_id = each.producer_id,
                                     .producer_epoch = static_cast<int16_t>(each.producer_epoch),
                                     .coordinator_epoch = std::max(each.coordinator_epoch, 0)};
  return give_up(
      fmt::format("Could not find any open transactions starting at offset {} on partition {}",
                  start, partition.to_string()));
}

Attempt<> abort(TransactionAdmin& admin, const Parsed& words) {
  const auto start = words.number("--start-offset"), producer = words.number("--producer-id");
  const auto epoch = words.number("--producer-epoch"),
             coordinator = words.number("--coordinator-epoch");
  if (!start && !producer)
    return give_up(
        "The transaction to abort must be identified either with --start-offset (for brokers on "
        "3.0 or above) or with --producer-id, --producer-epoch, and --coordinator-epoch (for "
        "older brokers)");
  if (!start && !epoch) return give_up("Missing required argument --producer-epoch");
  if (!start && !coordinator) return give_up("Missing required argument --coordinator-epoch");
  TransactionAdmin::Abort which{.partition = partition_of(words)};
  if (start) {
    ASSIGN_OR_RETURN(which, abort_at(admin, which.partition, *start));
  } else {
    which.producer_id = *producer;
    which.producer_epoch = static_cast<int16_t>(*epoch);
    which.coordinator_epoch = std::max(static_cast<int32_t>(*coordinator), 0);
  }
  return or_give_up(admin.abort(which),
                    fmt::format("Failed to abort transaction {}", which.to_string()));
}

Attempt<> force_terminate(TransactionAdmin& admin, const Parsed& words) {
  const std::string id = *words.value("--transactionalId");
  return or_give_up(admin.fence(id),
                    fmt::format("Failed to force terminate transactionalId `{}`", id));
}

struct Open {
  TopicPartition partition;
  TransactionAdmin::Producer producer;
};

// Those that the words tell of.
Attempt<std::vector<TopicPartition>> partitions_to_search(Admin& admin, const Parsed& words) {
  if (words.has("--partition")) return std::vector{partition_of(words)};
  std::vector<std::string> names;
  if (const auto topic = words.value("--topic")) {
    names.push_back(*topic);
  } else {
    ASSIGN_OR_RETURN(const auto all, or_give_up(admin.list_topics(), "Failed to list topics"));
    for (const auto& [name, listing] : all) names.push_back(name);
  }
  const auto broker = broker_of(words);
  std::vector<TopicPartition> partitions;
  for (size_t begin = 0; begin < names.size(); begin += kBatch) {
    const auto end = names.begin() + static_cast<ptrdiff_t>(std::min(begin + kBatch, names.size()));
    const std::vector batch(names.begin() + static_cast<ptrdiff_t>(begin), end);
    ASSIGN_OR_RETURN(const auto topics,
                     or_give_up(admin.describe_topics(batch),
                                fmt::format("Failed to describe {} topics", batch.size())));
    for (const auto& topic : topics)
      for (const auto& [index, replicas] : topic.partitions)
        if (!broker || is_in(replicas.replicas, broker->value()))
          partitions.push_back({topic.name, PartitionIndex(index)});
  }
  return partitions;
}

// Transactions that have been open for longer than they may.
Attempt<std::vector<Open>> candidates(TransactionAdmin& admin, const Parsed& words,
                                      const std::vector<TopicPartition>& partitions) {
  const auto broker = broker_of(words);
  const int64_t most =
      words.number("--max-transaction-timeout").value_or(kDefaultTimeoutMinutes) * kMinuteMs;
  std::vector<Open> open;
  for (size_t begin = 0; begin < partitions.size(); begin += kBatch) {
    std::set<TopicPartition> batch;
    for (size_t i = begin; i < std::min(begin + kBatch, partitions.size()); ++i)
      batch.insert(partitions[i]);
    const std::string who =
        broker ? fmt::format("Optional[{}]", broker->value()) : "Optional.empty";
    ASSIGN_OR_RETURN(
        const auto found,
        or_give_up(admin.producers(batch, broker),
                   fmt::format("Failed to describe producers for {} partitions on broker {}",
                               batch.size(), who)));
    const int64_t now = now_ms();
    for (const auto& [partition, producers] : found)
      for (const auto& each : producers)
        if (each.current_txn_start_offset >= 0 && now - each.last_timestamp > most)
          open.push_back({partition, each});
  }
  return open;
}

// Whether its coordinator knows nothing of it: nobody will end it.
Attempt<bool> hangs(TransactionAdmin& admin, const Open& open) {
  wire::ListTransactionsRequest filter;
  filter.producer_id_filters = {open.producer.producer_id};
  ASSIGN_OR_RETURN(const auto listings,
                   or_give_up(admin.list(filter), "Failed to list transactions for 1 producers"));
  for (const auto& [coordinator, some] : listings)
    for (const auto& each : some) {
      if (each.producer_id != open.producer.producer_id) continue;
      auto description = admin.describe(each.transactional_id);
      if (!description && description.error().is("TransactionalIdNotFoundException")) return true;
      ASSIGN_OR_RETURN(const auto known,
                       or_give_up(std::move(description), "Failed to describe 1 transactions"));
      return !is_in(known.partitions, open.partition);
    }
  return true;
}

Attempt<> find_hanging(Admin& cluster, TransactionAdmin& admin, const Parsed& words) {
  if (!words.has("--topic") && !words.has("--broker-id"))
    return give_up(
        "The `find-hanging` command requires either --topic or --broker-id to limit the scope of "
        "the search");
  if (words.has("--partition") && !words.has("--topic"))
    return give_up("The --partition argument requires --topic to be provided");
  ASSIGN_OR_RETURN(const auto partitions, partitions_to_search(cluster, words));
  ASSIGN_OR_RETURN(auto open, candidates(admin, words, partitions));
  sort_as_hash_map(open, [](const Open& each) { return each.producer.producer_id; });
  std::vector<Row> rows;
  for (const auto& [partition, producer] : open) {
    ASSIGN_OR_RETURN(const bool is_hanging, hangs(admin, {partition, producer}));
    if (!is_hanging) continue;
    rows.push_back({partition.topic, std::to_string(partition.partition.value()),
                    std::to_string(producer.producer_id), std::to_string(producer.producer_epoch),
                    std::to_string(std::max(producer.coordinator_epoch, -1)),
                    std::to_string(producer.current_txn_start_offset),
                    std::to_string(producer.last_timestamp),
                    std::to_string((now_ms() - producer.last_timestamp) / kMinuteMs)});
  }
  print_table({"Topic", "Partition", "ProducerId", "ProducerEpoch", "CoordinatorEpoch",
               "StartOffset", "LastTimestamp", "Duration(min)"},
              rows);
  return {};
}

Attempt<> act(const Words& all) {
  if (!all.empty() && (all[0] == "-v" || all[0] == "--version")) {
    fmt::print("{} (Commit:unknown)\n", kKafkaVersion);
    return {};
  }
  ASSIGN_OR_RETURN(const auto words, Parsed::parse(kProgram, all));
  Properties properties;
  if (const auto path = words.value("--command-config")) {
    ASSIGN_OR_RETURN(properties,
                     or_give_up(load_properties(*path), "Failed to load admin client properties"));
  }
  properties.insert_or_assign("bootstrap.servers", *words.value("--bootstrap-server"));
  ASSIGN_OR_RETURN(const auto cluster, Admin::open(properties));
  TransactionAdmin admin(*cluster);
  if (words.command() == "list") return list(admin, words);
  if (words.command() == "describe") return describe(admin, words);
  if (words.command() == "describe-producers") return describe_producers(admin, words);
  if (words.command() == "abort") return abort(admin, words);
  if (words.command() == "find-hanging") return find_hanging(*cluster, admin, words);
  return force_terminate(admin, words);
}

}  // namespace

int transactions(const Words& words) {
  const auto done = act(words);
  std::fflush(stdout);
  if (done) return 0;
  if (done.error().kind == Ending::Kind::kExit) return done.error().status;
  if (is_argument_error(done.error())) return tell_argument_error(kProgram, done.error());
  return uncaught(done.error());
}

}  // namespace millrace::app::kafka
