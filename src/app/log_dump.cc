#include "app/log_dump.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <charconv>

#include "app/failure.h"
#include "app/log_records.h"
#include "app/output.h"
#include "runtime/posix_disk.h"
#include "storage/checkpoint.h"
#include "storage/producer_state.h"
#include "storage/transaction_index.h"

namespace millrace::app {
namespace {

constexpr size_t kMaxUnpacked = size_t{1} << 30;

struct DumpOptions {
  std::vector<std::string> files;
  bool records = false;
  std::string as = "auto";
  std::string output = "table";
  OutputFormat format() const {
    return output == "json" ? OutputFormat::kJson : OutputFormat::kTable;
  }
};

struct FileName {
  std::string path;
  std::string directory;  // its last part
  std::string name;
  std::string suffix;                  // ".log", or the whole name
  std::optional<int64_t> base_offset;  // what the name begins with
};

FileName file_name(const std::string& path) {
  FileName file{.path = path, .directory = {}, .name = {}, .suffix = {}, .base_offset = {}};
  const size_t slash = path.rfind('/');
  file.name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (slash != std::string::npos && slash > 0) {
    const size_t before = path.rfind('/', slash - 1);
    const size_t begin = before == std::string::npos ? 0 : before + 1;
    file.directory = path.substr(begin, slash - begin);
  }
  constexpr size_t kDigits = 20;
  int64_t base = 0;
  const char* end = file.name.data() + std::min(kDigits, file.name.size());
  const auto [at, failed] = std::from_chars(file.name.data(), end, base);
  const bool numbered = failed == std::errc{} && at == end && file.name.size() > kDigits;
  if (numbered) file.base_offset = base;
  const size_t dot = file.name.find('.');
  file.suffix = numbered && dot != std::string::npos ? file.name.substr(dot) : file.name;
  return file;
}

RecordKind kind_of(const DumpOptions& options, const FileName& file) {
  if (options.as == "offsets") return RecordKind::kOffsets;
  if (options.as == "metadata") return RecordKind::kMetadata;
  if (options.as == "transactions") return RecordKind::kTransactions;
  if (options.as == "share-state") return RecordKind::kShareState;
  if (options.as == "plain") return RecordKind::kPlain;
  return kind_of_directory(file.directory);
}

// A run of batches: a segment, or a snapshot of the metadata log. Holds one batch in memory.
class BatchDump {
 public:
  BatchDump(const DumpOptions& options, RecordKind kind) : options_(options), kind_(kind) {}

  Outcome<> run(const FileName& file, env::Disk& disk) {
    auto opened = disk.open(file.path, env::OpenMode::kRead);
    if (!opened) return std::unexpected(Failure(opened.error()));
    auto size = (*opened)->size();
    if (!size) return std::unexpected(Failure(size.error()));
    uint64_t position = 0;
    while (position < *size) {
      auto next = dump_at(**opened, position, *size);
      if (!next)
        return std::unexpected(
            Failure(fmt::format("{} at position {}: {}", file.path, position, next.error().message),
                    "what comes before it is whole; a broker cuts a torn end off at its start"));
      if (*next == position) break;  // reserved and not written
      position = *next;
    }
    if (damaged_ == 0) return {};
    return std::unexpected(
        Failure(fmt::format("{}: {} batches have a wrong checksum", file.path, damaged_), ""));
  }

 private:
  // The position behind the batch at `position`; the same if zeros follow, which were reserved.
  Result<uint64_t> dump_at(env::File& file, uint64_t position, uint64_t size) {
    bytes_.resize(std::min<uint64_t>(record::kBatchHeaderSize, size - position));
    ASSIGN_OR_RETURN(const size_t got, file.read_at(bytes_, position));
    bytes_.resize(got);
    if (std::ranges::all_of(bytes_, [](uint8_t byte) { return byte == 0; })) return position;
    ASSIGN_OR_RETURN(const auto header, record::peek_header(bytes_));
    if (!header || static_cast<uint64_t>(header->size_in_bytes()) > size - position)
      return fail(Errc::kTruncated, "the file ends before the batch does");
    bytes_.resize(static_cast<size_t>(header->size_in_bytes()));
    ASSIGN_OR_RETURN(const size_t whole, file.read_at(bytes_, position));
    bytes_.resize(whole);
    ASSIGN_OR_RETURN(const auto batch, record::BatchView::parse(bytes_));
    RETURN_IF_ERROR(dump(batch, position));
    return position + whole;
  }

  Result<> dump(const record::BatchView& batch, uint64_t position) {
    json::object row = describe(batch, position);
    if (options_.records) {
      ASSIGN_OR_RETURN(row["records"], records_of(batch));
    }
    if (options_.format() == OutputFormat::kJson)
      print_line(row);
    else
      print_text(row);
    return {};
  }

  json::object describe(const record::BatchView& batch, uint64_t position) {
    const auto& header = batch.header();
    const bool intact = batch.verify_crc();
    if (!intact) ++damaged_;
    const auto codec = header.attributes.codec();
    json::object row{{"base_offset", header.base_offset.value()},
                     {"last_offset", header.last_offset().value()},
                     {"count", header.record_count},
                     {"position", position},
                     {"size", header.size_in_bytes()},
                     {"magic", header.magic},
                     {"codec", codec ? record::codec_name(*codec) : "?"},
                     {"leader_epoch", header.leader_epoch.value()},
                     {"timestamp_type",
                      header.attributes.timestamp_type() == record::TimestampType::kLogAppendTime
                          ? "LogAppendTime"
                          : "CreateTime"},
                     {"base_timestamp", header.base_timestamp.value()},
                     {"max_timestamp", header.max_timestamp.value()},
                     {"producer_id", header.producer_id.value()},
                     {"producer_epoch", header.producer_epoch.value()},
                     {"base_sequence", header.base_sequence.value()},
                     {"transactional", header.attributes.transactional()},
                     {"control", header.attributes.control()},
                     {"crc", header.crc},
                     {"valid", intact}};
    if (auto horizon = header.delete_horizon()) row["delete_horizon"] = horizon->value();
    return row;
  }

  Result<json::array> records_of(const record::BatchView& batch) {
    json::array rows;
    if (batch.header().is_legacy()) return rows;  // of magic 0 and 1 the frame is shown
    ASSIGN_OR_RETURN(auto reader, record::RecordReader::open(batch, scratch_, kMaxUnpacked));
    record::RecordView record;
    while (true) {
      ASSIGN_OR_RETURN(const bool there, reader.next(record));
      if (!there) return rows;
      json::object row{{"offset", record.offset.value()}, {"timestamp", record.timestamp.value()}};
      const auto described = batch.header().attributes.control() ? describe_control_record(record)
                                                                 : describe_record(kind_, record);
      for (const auto& [name, value] : described) row[name] = value;
      json::array headers;
      for (const auto& header : record.headers)
        headers.push_back(json::object{
            {"name", json_text(header.key).text},
            {"value", header.value ? json::value(json_text(as_text(*header.value)).text)
                                   : json::value(nullptr)}});
      if (!headers.empty()) row["headers"] = std::move(headers);
      rows.push_back(std::move(row));
    }
  }

  static std::string text_of(const json::value& value) {
    return value.is_string() ? std::string(value.as_string()) : json::serialize(value);
  }

  void print_text(const json::object& row) {
    std::string line;
    for (const auto& [name, value] : row)
      if (name != "records" && !(value.is_bool() && !value.as_bool() && name != "valid"))
        line += fmt::format("{}{}: {}", line.empty() ? "" : "  ", std::string_view(name),
                            text_of(value));
    fmt::print("{}\n", line);
    if (!row.contains("records")) return;
    for (const auto& record : row.at("records").as_array()) {
      std::string text;
      for (const auto& [name, value] : record.as_object())
        text += fmt::format("  {}: {}", std::string_view(name), text_of(value));
      fmt::print("  {}\n", text);
    }
  }

  const DumpOptions& options_;
  RecordKind kind_;
  ByteBuffer bytes_;
  record::ReadScratch scratch_;
  size_t damaged_ = 0;
};

// Offset index: relative offset and position, both int32; time index: int64 timestamp and relative
// offset. Reserved entries at the end are zeros.
Outcome<> dump_index(const DumpOptions& options, const FileName& file, ByteView bytes) {
  const bool times = file.suffix == ".timeindex";
  const size_t entry = times ? 12 : 8;
  if (bytes.size() % entry != 0)
    return std::unexpected(Failure(
        fmt::format("{}: its {} bytes are no whole entries of {}", file.path, bytes.size(), entry),
        "a broker rebuilds an index that is missing or wrong"));
  json::array rows;
  for (; !bytes.empty(); bytes = bytes.subspan(entry)) {
    const auto relative = load_big<int32_t>(bytes.data() + (times ? 8 : 0));
    const bool reserved = std::ranges::all_of(bytes.first(entry), [](uint8_t b) { return b == 0; });
    if (reserved && !rows.empty()) break;
    json::object row{{"offset", *file.base_offset + relative}};
    if (times)
      row["timestamp"] = load_big<int64_t>(bytes.data());
    else
      row["position"] = load_big<int32_t>(bytes.data() + 4);
    const std::string_view order = times ? "timestamp" : "position";
    if (!rows.empty() && (rows.back().at("offset").as_int64() > row["offset"].as_int64() ||
                          rows.back().at(order).as_int64() > row[order].as_int64()))
      return std::unexpected(
          Failure(fmt::format("{}: entry {} does not ascend", file.path, rows.size()),
                  "a broker rebuilds an index that is missing or wrong"));
    rows.push_back(std::move(row));
  }
  constexpr std::string_view kOffsets[] = {"offset", "position"};
  constexpr std::string_view kTimes[] = {"offset", "timestamp"};
  print_rows(options.format(), rows, times ? Columns(kTimes) : Columns(kOffsets));
  return {};
}

Outcome<> dump_transactions(const DumpOptions& options, ByteView bytes) {
  storage::TransactionIndex index;
  if (auto parsed = index.parse(bytes); !parsed) return std::unexpected(Failure(parsed.error()));
  json::array rows;
  for (const auto& each : index.overlapping({Offset(INT64_MIN), Offset(INT64_MAX)}))
    rows.push_back(json::object{{"producer_id", each.producer_id.value()},
                                {"first_offset", each.first_offset.value()},
                                {"last_offset", each.last_offset.value()},
                                {"last_stable_offset", each.last_stable_offset.value()}});
  constexpr std::string_view kColumns[] = {"producer_id", "first_offset", "last_offset",
                                           "last_stable_offset"};
  print_rows(options.format(), rows, kColumns);
  return {};
}

Outcome<> dump_producers(const DumpOptions& options, ByteView bytes) {
  auto state = storage::ProducerState::parse_snapshot(bytes);
  if (!state) return std::unexpected(Failure(state.error()));
  json::array rows;
  for (const auto& [id, entry] : state->producers()) {
    json::object row{{"producer_id", id.value()},
                     {"epoch", entry.epoch.value()},
                     {"last_sequence", nullptr},
                     {"last_offset", nullptr},
                     {"last_timestamp", entry.last_timestamp.value()},
                     {"coordinator_epoch", entry.coordinator_epoch},
                     {"transaction_start", nullptr}};
    if (const auto* last = entry.last()) {
      row["last_sequence"] = last->last_sequence.value();
      row["last_offset"] = last->last_offset.value();
    }
    if (entry.transaction_start) row["transaction_start"] = entry.transaction_start->value();
    rows.push_back(std::move(row));
  }
  constexpr std::string_view kColumns[] = {"producer_id", "epoch",          "last_sequence",
                                           "last_offset", "last_timestamp", "transaction_start"};
  print_rows(options.format(), rows, kColumns);
  return {};
}

Outcome<> dump_checkpoint(const DumpOptions& options, std::string_view text) {
  auto offsets = storage::parse_offset_checkpoint(text);
  if (!offsets) return std::unexpected(Failure(offsets.error()));
  json::array rows;
  for (const auto& [partition, offset] : *offsets)
    rows.push_back(json::object{{"topic", partition.topic},
                                {"partition", partition.partition.value()},
                                {"offset", offset.value()}});
  constexpr std::string_view kColumns[] = {"topic", "partition", "offset"};
  print_rows(options.format(), rows, kColumns);
  return {};
}

Outcome<> dump_epochs(const DumpOptions& options, std::string_view text) {
  auto epochs = storage::parse_epoch_checkpoint(text);
  if (!epochs) return std::unexpected(Failure(epochs.error()));
  json::array rows;
  for (const auto& each : *epochs)
    rows.push_back(
        json::object{{"leader_epoch", each.epoch.value()}, {"start_offset", each.start.value()}});
  constexpr std::string_view kColumns[] = {"leader_epoch", "start_offset"};
  print_rows(options.format(), rows, kColumns);
  return {};
}

Outcome<> dump_identity(const DumpOptions& options, const FileName& file, std::string_view text) {
  if (file.name == "partition.metadata") {
    auto id = storage::parse_partition_metadata(text);
    if (!id) return std::unexpected(Failure(id.error()));
    print_object(options.format(), {{"topic_id", id->to_string()}});
    return {};
  }
  auto identity = storage::parse_meta_properties(text);
  if (!identity) return std::unexpected(Failure(identity.error()));
  json::object object{{"cluster_id", identity->cluster_id},
                      {"node_id", identity->node_id.value()},
                      {"directory_id", nullptr}};
  if (identity->directory_id) object["directory_id"] = identity->directory_id->to_string();
  print_object(options.format(), object);
  return {};
}

Outcome<> dump_small(const DumpOptions& options, const FileName& file, env::Disk& disk) {
  auto bytes = env::read_file(disk, file.path);
  if (!bytes) return std::unexpected(Failure(bytes.error()));
  const std::string_view text = as_text(*bytes);
  if (file.suffix == ".index" || file.suffix == ".timeindex")
    return dump_index(options, file, *bytes);
  if (file.suffix == ".txnindex") return dump_transactions(options, *bytes);
  if (file.suffix == ".snapshot") return dump_producers(options, *bytes);
  if (file.name.ends_with("-offset-checkpoint")) return dump_checkpoint(options, text);
  if (file.name == "leader-epoch-checkpoint") return dump_epochs(options, text);
  if (file.name == "partition.metadata" || file.name == "meta.properties")
    return dump_identity(options, file, text);
  if (file.name == "quorum-state") {
    fmt::print("{}\n", text);
    return {};
  }
  return std::unexpected(
      Failure(fmt::format("{}: no file of a log directory has such a name", file.path),
              "*.log *.index *.timeindex *.txnindex *.snapshot *.checkpoint, the *-checkpoint "
              "files, partition.metadata, meta.properties, quorum-state"));
}

int dump(const DumpOptions& options) {
  runtime::PosixDisk disk;
  int status = kExitOk;
  for (const auto& path : options.files) {
    const FileName file = file_name(path);
    if (options.files.size() > 1 && options.format() == OutputFormat::kTable)
      fmt::print("{}{}:\n", &path == options.files.data() ? "" : "\n", path);
    const bool batches = file.suffix == ".log" || file.suffix == ".checkpoint";
    const auto outcome = batches ? BatchDump(options, kind_of(options, file)).run(file, disk)
                                 : dump_small(options, file, disk);
    std::fflush(stdout);
    status = std::max(status, exit_status(outcome));
  }
  return status;
}

}  // namespace

void add_log_commands(Command& root) {
  auto log = root.add("log", {"Looks into the files of a log directory.", ""});
  auto command =
      log.add("dump", {"Prints what files of a log directory hold: segments, indexes, snapshots, "
                       "checkpoints. The broker need not run.",
                       "millrace log dump data/orders-0/00000000000000000000.log --records\n"
                       "millrace log dump data/__cluster_metadata-0/*.log --records -o json"});
  auto options = std::make_shared<DumpOptions>();
  command.argument("FILE", options->files, "Files, of Apache Kafka's or of Millrace's");
  command.flag("-r,--records", options->records,
               "The records of each batch; those of Kafka's own topics are decoded");
  command.option("--as", options->as,
                 "What the records are, when the folder's name does not say it",
                 {.values = {"auto", "plain", "offsets", "metadata", "transactions", "share-state"},
                  .variable = {}});
  command.option("-o,--output", options->output, "How to print: table or json",
                 {.values = {"table", "json"}, .variable = {}});
  command.runs([options] { return dump(*options); });
}

}  // namespace millrace::app
