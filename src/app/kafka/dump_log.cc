// kafka-dump-log: what the files of a log directory hold; no broker is asked.
// Not here: millrace log dump, which knows more files (app/log_dump.cc).
#include <fmt/format.h>

#include <cstdio>

#include "app/kafka/log_file.h"
#include "app/kafka/log_files_dump.h"
#include "app/kafka/record_decoders.h"
#include "app/kafka/script.h"
#include "app/kafka/scripts.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka {
namespace {

using record::BatchView;
using record::RecordView;
using record::TimestampType;

constexpr size_t kMaxUnpacked = size_t{1} << 30;
constexpr size_t kFlushAt = 1 << 16;
constexpr std::string_view kStringDecoder = "org.apache.kafka.tools.api.StringDecoder";
constexpr std::string_view kMostBytes = "2147483647";

constexpr Option kOptions[] = {
    flag("print-data-log", "Prints keys and values, too; every decoder does so, too."),
    flag("verify-index-only", "Checks an index and does not print it."),
    flag("index-sanity-check", "Checks of an index what a broker checks when it starts."),
    text("files", "The files, several between commas. Needed."),
    integer("max-message-size", "Bytes of the largest batch.", "5242880"),
    integer("max-bytes", "So many bytes of a log at most.", kMostBytes),
    flag("deep-iteration", "Prints records, too; --print-data-log does so, too."),
    {.name = "value-decoder-class",
     .takes = Option::Takes::kOptionalText,
     .help = "Class that reads values: the StringDecoder, IntegerDecoder or LongDecoder.",
     .fallback = kStringDecoder},
    {.name = "key-decoder-class",
     .takes = Option::Takes::kOptionalText,
     .help = "Class that reads keys.",
     .fallback = kStringDecoder},
    flag("offsets-decoder", "The records are those of __consumer_offsets."),
    flag("transaction-log-decoder", "The records are those of __transaction_state."),
    flag("cluster-metadata-decoder", "The records are those of __cluster_metadata."),
    flag("remote-log-metadata-decoder", "The records are those of __remote_log_metadata."),
    flag("share-group-state-decoder", "The records are those of __share_group_state."),
    flag("skip-record-metadata", "Prints keys and values only, nothing of control records."),
};

struct DecoderOption {
  std::string_view name;
  RecordKind kind;
};
constexpr DecoderOption kBefore[] = {{"offsets-decoder", RecordKind::kOffsets},
                                     {"transaction-log-decoder", RecordKind::kTransactions},
                                     {"cluster-metadata-decoder", RecordKind::kMetadata}};

Attempt<RecordDecoder> decoder_of(const Options& options) {
  for (const auto& [name, kind] : kBefore)
    if (options.has(name)) return decoder_of_topic(kind);
  if (options.has("remote-log-metadata-decoder")) return decoder_of_remote_log();
  if (options.has("share-group-state-decoder")) return decoder_of_topic(RecordKind::kShareState);
  const auto class_of = [&](std::string_view name) {
    return options.value(name).value_or(std::string(kStringDecoder));
  };
  return decoder_of_classes(class_of("key-decoder-class"), class_of("value-decoder-class"));
}

bool prints_records(const Options& options) {
  for (const auto name : {"print-data-log", "offsets-decoder", "transaction-log-decoder",
                          "cluster-metadata-decoder", "remote-log-metadata-decoder",
                          "value-decoder-class", "key-decoder-class", "share-group-state-decoder"})
    if (options.has(name)) return true;
  return false;
}

std::string_view type_of(TimestampType type) {
  if (type == TimestampType::kNone) return "NoTimestampType";
  return type == TimestampType::kLogAppendTime ? "LogAppendTime" : "CreateTime";
}

// A segment, or a snapshot of the metadata log.
class LogDump {
 public:
  LogDump(const Options& options, Findings& findings, const DumpedFile& file)
      : findings_(findings),
        file_(file),
        prints_(prints_records(options)),
        deep_(prints_ || options.has("deep-iteration")),
        bare_(options.has("skip-record-metadata")),
        most_bytes_(*options.number("max-bytes")) {}
  ~LogDump() { flush(); }

  Attempt<> run(RecordDecoder decoder) {
    decoder_ = std::move(decoder);
    RETURN_IF_ERROR(tell_start());
    ASSIGN_OR_RETURN(const auto log, LogFile::open(file_.path));
    ASSIGN_OR_RETURN(auto batches, log.batches({.most = most_bytes_}));
    for (;;) {
      ASSIGN_OR_RETURN(const auto batch, batches.next());
      if (!batch) break;
      RETURN_IF_ERROR(tell(*batch));
      if (deep_) {
        RETURN_IF_ERROR(tell_records(*batch));
      }
      position_ += static_cast<int64_t>(batch->size_in_bytes());
    }
    if (log.size() > position_ && most_bytes_ == INT32_MAX)
      add("Found {} invalid bytes at the end of {}\n", log.size() - position_, file_.name);
    return {};
  }

 private:
  template <class... Values>
  void add(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Values>(values)...);
    if (text_.size() >= kFlushAt) flush();
  }
  void flush() {
    std::fwrite(text_.data(), 1, text_.size(), stdout);
    text_.clear();
  }

  Attempt<> tell_start() {
    if (file_.name.ends_with(".log")) {
      ASSIGN_OR_RETURN(const int64_t start, parse_long(file_.name.substr(0, file_.name.find('.'))));
      add("Log starting offset: {}\n", start);
    } else if (file_.name == "bootstrap.checkpoint") {
      add("KRaft bootstrap snapshot\n");
    } else {
      constexpr size_t kOffsetDigits = 20, kEpochDigits = 10;
      if (file_.name.size() <= kOffsetDigits + kEpochDigits)
        return thrown("java.lang.StringIndexOutOfBoundsException",
                      fmt::format("begin 0, end {}, length {}", kOffsetDigits, file_.name.size()));
      ASSIGN_OR_RETURN(const int64_t offset, parse_long(file_.name.substr(0, kOffsetDigits)));
      ASSIGN_OR_RETURN(const int32_t epoch,
                       parse_int(file_.name.substr(kOffsetDigits + 1, kEpochDigits)));
      add("Snapshot end offset: {}, epoch: {}\n", offset, epoch);
    }
    return {};
  }

  Attempt<> tell(const BatchView& batch) {
    const auto& header = batch.header();
    const auto codec = header.attributes.codec();
    if (!codec)
      return illegal_argument(
          fmt::format("Unknown compression type id: {}", header.attributes.codec_id()));
    if (header.is_legacy()) {
      add("offset: {}", header.last_offset());
    } else {
      const auto horizon = header.delete_horizon();
      add("baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: "
          "{} producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} "
          "deleteHorizonMs: {}",
          header.base_offset, header.last_offset(), header.record_count, header.base_sequence,
          header.last_sequence(), header.producer_id, header.producer_epoch, header.leader_epoch,
          header.attributes.transactional(), header.attributes.control(),
          horizon ? fmt::format("OptionalLong[{}]", horizon->value()) : "OptionalLong.empty");
    }
    add(" position: {} {}: {} size: {} magic: {} compresscodec: {} crc: {} isvalid: {}\n",
        position_, type_of(header.timestamp_type()), header.max_timestamp.value(),
        header.size_in_bytes(), header.magic, record::codec_name(*codec), header.crc,
        batch.verify_crc());
    return {};
  }

  Attempt<> tell_records(const BatchView& batch) {
    auto reader = record::RecordReader::open(batch, scratch_, kMaxUnpacked);
    if (!reader) return thrown("org.apache.kafka.common.KafkaException", reader.error().message);
    for (RecordView record;;) {
      const auto there = reader->next(record);
      if (!there)
        return thrown("org.apache.kafka.common.InvalidRecordException", there.error().message);
      if (!*there) return {};
      const int64_t offset = record.offset.value();
      if (offset != last_offset_ + 1)
        findings_.not_consecutive(file_.absolute(), {last_offset_, offset});
      last_offset_ = offset;
      if (!bare_) tell_metadata(batch, record);
      if (prints_ && !batch.header().attributes.control()) {
        RETURN_IF_ERROR(tell_contents(record));
      }
      add("\n");
    }
  }

  void tell_metadata(const BatchView& batch, const RecordView& record) {
    const auto& header = batch.header();
    const auto size_of = [](const std::optional<ByteView>& bytes) {
      return bytes ? static_cast<int64_t>(bytes->size()) : -1;
    };
    const bool numbered = header.base_sequence != record::kNoSequence;
    const auto delta = static_cast<int32_t>((record.offset.value() - header.base_offset.value()));
    add("| offset: {} {}: {} keySize: {} valueSize: {} sequence: {} headerKeys: [", record.offset,
        type_of(header.timestamp_type()), record.timestamp.value(), size_of(record.key),
        size_of(record.value),
        numbered ? record::advance_sequence(header.base_sequence, delta) : record::kNoSequence);
    bool first = true;
    for (const auto& each : record.headers) {
      add("{}{}", first ? "" : ",", each.key);
      first = false;
    }
    add("]");
    if (header.attributes.control()) add("{}", describe_control(record));
  }

  Attempt<> tell_contents(const RecordView& record) {
    ASSIGN_OR_RETURN(const auto decoded, decoder_(record));
    std::string_view before = bare_ ? "| " : " ";
    if (decoded.key) {
      add("{}key: {}", before, *decoded.key);
      before = " ";
    }
    if (decoded.value) add("{}payload: {}", before, *decoded.value);
    return {};
  }

  Findings& findings_;
  const DumpedFile& file_;
  bool prints_;
  bool deep_;
  bool bare_;
  int64_t most_bytes_;
  RecordDecoder decoder_;
  std::string text_;
  record::ReadScratch scratch_;
  int64_t position_ = 0;
  int64_t last_offset_ = -1;
};

// As Java's File has it: without doubled and trailing slashes.
DumpedFile file_of(const std::string& word) {
  DumpedFile file;
  for (const char c : word)
    if (c != '/' || !file.path.ends_with('/')) file.path += c;
  if (file.path.size() > 1 && file.path.ends_with('/')) file.path.pop_back();
  file.name = file.path.substr(file.path.rfind('/') + 1);
  return file;
}

Attempt<> dump(const Options& options, const DumpedFile& file, Findings& findings) {
  const size_t dot = file.name.rfind('.');
  const std::string suffix = dot == std::string::npos ? "" : file.name.substr(dot);
  const IndexWish wish{.sanity_only = options.has("index-sanity-check"),
                       .verify_only = options.has("verify-index-only"),
                       .most_bytes = *options.number("max-message-size")};
  if (suffix == ".log" || suffix == ".checkpoint") {
    ASSIGN_OR_RETURN(auto decoder, decoder_of(options));
    RETURN_IF_ERROR(options.check_values());
    return LogDump(options, findings, file).run(std::move(decoder));
  }
  if (suffix == ".index") {
    RETURN_IF_ERROR(options.check_values());
    return dump_offset_index(file, wish, findings);
  }
  if (suffix == ".timeindex") return dump_time_index(file, wish, findings);
  if (suffix == ".snapshot") return dump_producer_snapshot(file);
  if (suffix == ".txnindex") return dump_transaction_index(file);
  fmt::print(stderr, "Ignoring unknown file {}\n", file.path);
  return {};
}

Attempt<> run_dump_log(const Options& options) {
  RETURN_IF_ERROR(options.require({"files"}));
  if (options.values("files").size() > 1) return options.check_values();
  Findings findings;
  for (const auto& word : split(*options.value("files"), ',')) {
    const DumpedFile file = file_of(word);
    fmt::print("Dumping {}\n", file.path);
    RETURN_IF_ERROR(dump(options, file, findings));
  }
  std::fflush(stdout);
  findings.tell();
  return {};
}

}  // namespace

int dump_log(const Words& words) {
  return run({.about = "This tool helps to parse a log file and dump its contents to the console, "
                       "useful for debugging a seemingly corrupt log segment.",
              .options = kOptions,
              .run = run_dump_log},
             words);
}

}  // namespace millrace::app::kafka
