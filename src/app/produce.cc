#include "app/produce.h"

#include <atomic>
#include <iostream>

#include "app/connect.h"
#include "app/feeder.h"
#include "app/record_format.h"
#include "app/transactional_feed.h"

namespace millrace::app {
namespace {

using client::core::Delivery;
using client::core::OutgoingRecord;

constexpr size_t kHandOver = 512;  // lines, at most, that go to the event loop together
constexpr size_t kToldFailures = 10;
constexpr int64_t kTransactionSeconds = 60;
constexpr int64_t kMostTransactionSeconds = INT32_MAX / 1000;  // milliseconds in the protocol

struct ProduceOptions {
  Target target;
  std::string topic;
  std::string format = "%v";
  std::optional<std::string> key;
  std::optional<int64_t> partition;
  std::string acks = "all";
  std::string compression = "none";
  std::vector<std::string> headers;
  bool null_empty = false;
  bool quiet = false;
  std::optional<std::string> transactional_id;
  std::optional<int64_t> transaction_every;
  std::optional<int64_t> transaction_timeout;  // seconds
};

// Tells what became of the records, of those of a transaction once it is committed. Lives on the
// event loop.
class Report {
 public:
  explicit Report(const ProduceOptions& options) : options_(options) {}

  void take(const Delivery& delivery) {
    if (delivery.error != wire::ErrorCode::kNone) return take_failure(delivery);
    ++delivered_;
    if (options_.quiet) return;
    const Written written{delivery.partition.partition, delivery.offset};
    if (options_.transactional_id)
      uncommitted_.push_back(written);
    else
      print(written);
  }

  void committed() {
    for (const Written& each : std::exchange(uncommitted_, {})) print(each);
    std::fflush(stdout);
  }
  bool has_failure() const { return failed_ > 0; }
  Failure first_failure() const { return first_failure_; }

  Outcome<> finish() const {
    std::fflush(stdout);
    if (failed_ == 0) return {};
    if (failed_ > kToldFailures) fmt::print(stderr, "millrace: ... and so on\n");
    return std::unexpected(Failure(
        fmt::format("{} of {} records were not produced", failed_.load(), failed_ + delivered_),
        ""));
  }

 private:
  struct Written {
    PartitionIndex partition;
    Offset offset;
  };

  void print(const Written& written) const {
    const int32_t partition = written.partition.value();
    if (options_.target.format() == OutputFormat::kJson)
      print_line(json::object{
          {"topic", options_.topic}, {"partition", partition}, {"offset", written.offset.value()}});
    else
      fmt::print("{}  {}  {}\n", options_.topic, partition, written.offset);
  }

  void take_failure(const Delivery& delivery) {
    const auto& topic = delivery.partition.topic;
    Failure failure =
        refusal({fmt::format("produce record {} to topic '{}'", delivery.tag, topic), topic, {}},
                wire::code_of(delivery.error), delivery.message);
    if (options_.transactional_id) {  // the others fail because of it
      if (failed_ == 0) first_failure_ = std::move(failure);
    } else if (failed_ < kToldFailures) {
      tell(failure);
    }
    ++failed_;
  }

  const ProduceOptions& options_;
  size_t delivered_ = 0;
  std::atomic<size_t> failed_ = 0;
  Failure first_failure_;
  std::vector<Written> uncommitted_;
};

class LineReader {
 public:
  static Outcome<LineReader> make(const ProduceOptions& options) {
    auto format = RecordFormat::parse(options.format);
    if (format) {
      if (auto readable = format->check_readable(); !readable)
        format = std::unexpected(readable.error());
    }
    if (!format)
      return std::unexpected(
          Failure(fmt::format("--format '{}': {}", options.format, format.error().message),
                  "--format '%k %v' takes the key up to the first blank"));
    return LineReader(options, std::move(*format));
  }

  // The record of the next line.
  Outcome<OutgoingRecord> read(std::string_view line) {
    OutgoingRecord record = defaults_;
    record.tag = ++line_number_;
    if (auto read = format_.read(line, record); !read)
      return std::unexpected(
          Failure(fmt::format("line {} does not fit the format '{}': {}", line_number_,
                              format_text_, read.error().message),
                  "every line needs what the format has; see millrace produce --help"));
    if (null_empty_ && record.key && record.key->empty()) record.key.reset();
    if (null_empty_ && record.value && record.value->empty()) record.value.reset();
    return record;
  }

 private:
  LineReader(const ProduceOptions& options, RecordFormat format)
      : format_(std::move(format)), format_text_(options.format), null_empty_(options.null_empty) {
    defaults_.topic = options.topic;
    if (options.partition)
      defaults_.partition = PartitionIndex(static_cast<int32_t>(*options.partition));
    if (options.key) defaults_.key = copy_of(as_bytes(*options.key));
    for (const auto& header : options.headers) defaults_.headers.push_back(parse_header(header));
  }

  RecordFormat format_;
  std::string format_text_;
  bool null_empty_;
  OutgoingRecord defaults_;
  uint64_t line_number_ = 0;
};

using Feed = std::function<Outcome<>(std::vector<OutgoingRecord>)>;

// Lines that are there already go together; one that is typed goes at once.
Outcome<> feed_lines(LineReader& reader, const Feed& feed) {
  std::vector<OutgoingRecord> records;
  std::string line;
  while (std::getline(std::cin, line)) {
    auto record = reader.read(line);
    if (!record) {
      if (auto fed = feed(std::move(records)); !fed) return fed;
      return std::unexpected(record.error());
    }
    records.push_back(std::move(*record));
    if (records.size() < kHandOver && std::cin.rdbuf()->in_avail() > 0) continue;
    if (auto fed = feed(std::exchange(records, {})); !fed) return fed;
  }
  return feed(std::move(records));
}

Outcome<> feed_plainly(LineReader& reader, Feeder& feeder, const Report& report) {
  const auto fed = feed_lines(reader, [&](std::vector<OutgoingRecord> records) -> Outcome<> {
    feeder.feed(std::move(records));
    return {};
  });
  feeder.finish();
  const auto finished = report.finish();
  return fed ? finished : fed;
}

Outcome<> feed_transactions(LineReader& reader, TransactionalFeed& transactions) {
  if (auto begun = transactions.begin(); !begun) return begun;
  const auto fed = feed_lines(reader, [&](std::vector<OutgoingRecord> records) {
    return transactions.feed(std::move(records));
  });
  if (!fed) return std::unexpected(transactions.abandon(fed.error()));
  return transactions.finish();
}

client::core::ProducerOptions producer_options(const ProduceOptions& options) {
  client::core::ProducerOptions producer{.codec = codec_of(options.compression)};
  producer.acks = static_cast<int16_t>(options.acks == "all" ? -1 : std::stoi(options.acks));
  if (options.transactional_id)
    producer.transaction = {
        .id = *options.transactional_id,
        .timeout = seconds(options.transaction_timeout.value_or(kTransactionSeconds))};
  return producer;
}

Outcome<> produce(const ProduceOptions& options, Session& session) {
  std::ios::sync_with_stdio(false);
  auto reader = LineReader::make(options);
  if (!reader) return std::unexpected(reader.error());
  // Said before anything is read: nobody there.
  if (auto reached = session.look_up({}); !reached)
    return std::unexpected(Failure(reached.error()));
  Report report(options);
  Feeder feeder(session, producer_options(options),
                [&](const Delivery& delivery) { report.take(delivery); });
  if (!options.transactional_id) return feed_plainly(*reader, feeder, report);
  TransactionalFeed transactions(feeder, {.every = options.transaction_every,
                                          .committed = [&] { report.committed(); },
                                          .record_failed = [&] { return report.has_failure(); },
                                          .why_record = [&] { return report.first_failure(); }});
  return feed_transactions(*reader, transactions);
}

// What makes no sense together; nothing: all does.
std::string_view contradiction(const ProduceOptions& options) {
  const auto is_no_count = [](const std::optional<int64_t>& count, int64_t most) {
    return count && (*count < 1 || *count > most);
  };
  if (!options.transactional_id)
    return options.transaction_every || options.transaction_timeout
               ? "--transaction-every and --transaction-timeout need --transactional-id"
               : "";
  if (options.transactional_id->empty()) return "--transactional-id is empty";
  if (options.acks != "all" && options.acks != "-1") return "transactions need --acks all";
  if (is_no_count(options.transaction_every, INT64_MAX))
    return "--transaction-every is less than 1";
  if (is_no_count(options.transaction_timeout, kMostTransactionSeconds))
    return "--transaction-timeout is not among 1 to 2147483 seconds";
  return "";
}

}  // namespace

void add_produce_command(Command& root) {
  auto command = root.add(
      "produce",
      {"Produces a record for each line of standard input, and prints its topic, partition and "
       "offset.",
       "echo hello | millrace produce orders\n"
       "millrace produce orders --format '%k:%v' --compression zstd < records.txt\n"
       "millrace produce orders --transactional-id import --transaction-every 1000 < records.txt"});
  auto options = std::make_shared<ProduceOptions>();
  command.argument("TOPIC", options->topic, "Where the records go");
  command.option("-f,--format", options->format,
                 "What a line looks like: %k key, %v value, %h headers (NAME=VALUE,...), %p "
                 "partition, %T timestamp in ms",
                 {});
  command.option("-k,--key", options->key, "Key of all records");
  command.option("-p,--partition", options->partition,
                 "Partition of all records (without: by key, else one after the other)");
  command.option("--acks", options->acks, "Who must have a record: all (-1), 1 or 0 replicas",
                 {.values = {"all", "-1", "1", "0"}, .variable = {}});
  command.option("-z,--compression", options->compression,
                 "Of batches: none, gzip, snappy, lz4 or zstd",
                 {.values = {"none", "gzip", "snappy", "lz4", "zstd"}, .variable = {}});
  command.option("-H,--header", options->headers, "NAME=VALUE, of all records; repeatable");
  command.flag("-Z,--null-empty", options->null_empty,
               "Empty keys and values are sent as null (a tombstone)");
  command.flag("-q,--quiet", options->quiet, "Prints failures only");
  command.option("--transactional-id", options->transactional_id,
                 "Records go in transactions of this id; another producer that had it is fenced");
  command.option("--transaction-every", options->transaction_every,
                 "Commits after so many records (without: at the end of input)");
  command.option("--transaction-timeout", options->transaction_timeout,
                 "Seconds after which the broker aborts a transaction (default 60)");
  add_target(command, options->target);
  command.runs([options] {
    if (const auto wrong = contradiction(*options); !wrong.empty())
      return usage_error(wrong, "produce");
    return with_session(options->target, [&](Session& s) { return produce(*options, s); });
  });
}

}  // namespace millrace::app
