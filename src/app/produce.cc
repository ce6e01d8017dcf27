#include "app/produce.h"

#include <iostream>

#include "app/connect.h"
#include "app/feeder.h"
#include "app/record_format.h"

namespace millrace::app {
namespace {

using client::core::Delivery;
using client::core::OutgoingRecord;

constexpr size_t kHandOver = 512;  // lines, at most, that go to the event loop together
constexpr size_t kToldFailures = 10;

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
};

// Tells what became of the records; lives on the event loop.
class Report {
 public:
  explicit Report(const ProduceOptions& options) : options_(options) {}

  void take(const Delivery& delivery) {
    if (delivery.error != wire::ErrorCode::kNone) return take_failure(delivery);
    ++delivered_;
    if (options_.quiet) return;
    const int32_t partition = delivery.partition.partition.value();
    if (options_.target.format() == OutputFormat::kJson)
      print_line(json::object{{"topic", delivery.partition.topic},
                              {"partition", partition},
                              {"offset", delivery.offset.value()}});
    else
      fmt::print("{}  {}  {}\n", delivery.partition.topic, partition, delivery.offset);
  }

  Outcome<> finish() const {
    std::fflush(stdout);
    if (failed_ == 0) return {};
    if (failed_ > kToldFailures) fmt::print(stderr, "millrace: ... and so on\n");
    return std::unexpected(Failure(
        fmt::format("{} of {} records were not produced", failed_, failed_ + delivered_), ""));
  }

 private:
  void take_failure(const Delivery& delivery) {
    if (++failed_ > kToldFailures) return;
    const auto& topic = delivery.partition.topic;
    tell(refusal({fmt::format("produce record {} to topic '{}'", delivery.tag, topic), topic, {}},
                 wire::code_of(delivery.error), delivery.message));
  }

  const ProduceOptions& options_;
  size_t delivered_ = 0;
  size_t failed_ = 0;
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

// Lines that are there already go together; one that is typed goes at once.
Outcome<> feed_lines(LineReader& reader, Feeder& feeder) {
  std::vector<OutgoingRecord> records;
  std::string line;
  while (std::getline(std::cin, line)) {
    auto record = reader.read(line);
    if (!record) {
      feeder.feed(std::move(records));
      return std::unexpected(record.error());
    }
    records.push_back(std::move(*record));
    if (records.size() < kHandOver && std::cin.rdbuf()->in_avail() > 0) continue;
    feeder.feed(std::exchange(records, {}));
  }
  feeder.feed(std::move(records));
  return {};
}

Outcome<> produce(const ProduceOptions& options, Session& session) {
  std::ios::sync_with_stdio(false);
  auto reader = LineReader::make(options);
  if (!reader) return std::unexpected(reader.error());
  // Said before anything is read: nobody there.
  if (auto reached = session.look_up({}); !reached)
    return std::unexpected(Failure(reached.error()));
  client::core::ProducerOptions producer{.codec = codec_of(options.compression)};
  producer.acks = static_cast<int16_t>(options.acks == "all" ? -1 : std::stoi(options.acks));
  Report report(options);
  Feeder feeder(session, producer, [&](const Delivery& delivery) { report.take(delivery); });
  const auto fed = feed_lines(*reader, feeder);
  feeder.finish();
  const auto finished = report.finish();
  return fed ? finished : fed;
}

}  // namespace

void add_produce_command(Command& root) {
  auto command = root.add(
      "produce",
      {"Produces a record for each line of standard input, and prints its topic, partition and "
       "offset.",
       "echo hello | millrace produce orders\n"
       "millrace produce orders --format '%k:%v' --compression zstd < records.txt"});
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
  add_target(command, options->target);
  command.runs([options] {
    return with_session(options->target, [&](Session& s) { return produce(*options, s); });
  });
}

}  // namespace millrace::app
