#include "app/kafka/record_decoders.h"

#include <fmt/format.h>

#include <cctype>

#include "app/kafka/json_file.h"
#include "app/kafka/remote_log.h"
#include "app/kafka/text.h"
#include "wire/reader.h"

namespace millrace::app::kafka {
namespace {

using record::RecordView;

// Of a key or value that is there.
using BytesDecoder = std::function<Attempt<std::string>(ByteView bytes)>;

std::string text_of(const boost::json::value& value) { return std::string(value.as_string()); }

template <class T>
Attempt<std::string> number_of(ByteView bytes) {
  if (bytes.size() < sizeof(T)) return thrown("java.nio.BufferUnderflowException", "");
  return fmt::format("{}", load_big<T>(bytes.data()));
}

Attempt<BytesDecoder> decoder_of_class(std::string_view name) {
  constexpr std::string_view kPackage = "org.apache.kafka.tools.api.";
  const std::string_view simple =
      name.starts_with(kPackage) ? name.substr(kPackage.size()) : std::string_view();
  if (simple == "StringDecoder" || simple == "DefaultDecoder")
    return [](ByteView bytes) { return Attempt<std::string>(java_text(as_text(bytes))); };
  if (simple == "IntegerDecoder") return number_of<int32_t>;
  if (simple == "LongDecoder") return number_of<int64_t>;
  return thrown("java.lang.RuntimeException", "Failed to load decoder class");
}

Attempt<Decoded> decode_coordinator_record(RecordKind kind, const RecordView& record) {
  if (!record.key)
    return thrown("java.lang.RuntimeException",
                  fmt::format("Failed to decode message at offset {} using the specified decoder "
                              "(message had a missing key)",
                              record.offset));
  auto decoded = decode_record(kind, record);
  const int16_t type = record.key->size() < 2 ? 0 : load_big<int16_t>(record.key->data());
  if (!decoded && decoded.error().code == Errc::kNotFound)
    return Decoded{
        .key = fmt::format("Unknown record type {} at offset {}, skipping.", type, record.offset)};
  if (!decoded)
    return Decoded{.key = fmt::format("Error at offset {}, skipping. {}", record.offset,
                                      decoded.error().message)};
  Decoded shown{.key = java_json(boost::json::object{{"type", std::to_string(type)},
                                                     {"data", std::move(decoded->at("key"))}}),
                .value = "<DELETE>"};
  if (const auto* version = decoded->if_contains("version"))
    shown.value = java_json(boost::json::object{{"version", std::to_string(version->as_int64())},
                                                {"data", std::move(decoded->at("value"))}});
  return shown;
}

// TOPIC_RECORD of TopicRecord.
std::string constant_of(std::string_view name) {
  std::string constant;
  for (const char c : name) {
    if (std::isupper(static_cast<unsigned char>(c)) != 0 && !constant.empty()) constant += '_';
    constant += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return constant;
}

Attempt<Decoded> decode_metadata_record(const RecordView& record) {
  constexpr uint32_t kFrame = 1;
  const uint32_t frame = wire::Reader(record.value.value_or(ByteView())).uvarint("frame version");
  Result<boost::json::object> decoded =
      frame == kFrame ? decode_record(RecordKind::kMetadata, record)
                      : fail(Errc::kUnsupported,
                             fmt::format("Could not deserialize metadata record due to unknown "
                                         "frame version {}(only frame version {} is supported)",
                                         frame, kFrame));
  if (!decoded)
    return Decoded{
        .value = fmt::format("Error at {}, skipping. {}", record.offset, decoded.error().message)};
  return Decoded{
      .value = java_json(boost::json::object{{"type", constant_of(text_of(decoded->at("type")))},
                                             {"version", decoded->at("version")},
                                             {"data", std::move(decoded->at("value"))}})};
}

}  // namespace

Attempt<RecordDecoder> decoder_of_classes(std::string_view key, std::string_view value) {
  ASSIGN_OR_RETURN(auto of_values, decoder_of_class(value));
  ASSIGN_OR_RETURN(auto of_keys, decoder_of_class(key));
  return [of_keys, of_values](const RecordView& record) -> Attempt<Decoded> {
    Decoded decoded;
    if (record.key) {
      ASSIGN_OR_RETURN(decoded.key, of_keys(*record.key));
    }
    if (record.value) {
      ASSIGN_OR_RETURN(decoded.value, of_values(*record.value));
    }
    return decoded;
  };
}

RecordDecoder decoder_of_topic(RecordKind kind) {
  if (kind == RecordKind::kMetadata) return decode_metadata_record;
  return [kind](const RecordView& record) { return decode_coordinator_record(kind, record); };
}

RecordDecoder decoder_of_remote_log() {
  return [](const RecordView& record) -> Attempt<Decoded> {
    const auto shown = describe_remote_log_metadata(record.value.value_or(ByteView()));
    if (shown) return Decoded{.value = *shown};
    return Decoded{.value = fmt::format("Error at offset {}, skipping. {}", record.offset,
                                        shown.error().message)};
  };
}

std::string describe_control(const RecordView& record) {
  const auto described = describe_control_record(record);
  const std::string type = text_of(described.at("type"));
  const auto* value = described.if_contains("value");
  if (type == "ABORT" || type == "COMMIT") {
    const auto* marker = value->if_object();
    const int64_t epoch = marker == nullptr ? -1 : marker->at("coordinatorEpoch").as_int64();
    return fmt::format(" endTxnMarker: {} coordinatorEpoch: {}", type, epoch);
  }
  if (type == "LEADER_CHANGE") return fmt::format(" LeaderChange: {}", java_json(*value));
  if (type == "SNAPSHOT_HEADER") return fmt::format(" SnapshotHeader {}", java_json(*value));
  if (type == "SNAPSHOT_FOOTER") return fmt::format(" SnapshotFooter {}", java_json(*value));
  if (type == "KRAFT_VERSION") return fmt::format(" KRaftVersion {}", java_json(*value));
  if (type == "KRAFT_VOTERS") return fmt::format(" KRaftVoters {}", java_json(*value));
  const bool is_whole = record.key && record.key->size() >= 4;
  return fmt::format(" controlType: UNKNOWN({})",
                     is_whole ? load_big<int16_t>(record.key->data() + 2) : -1);
}

}  // namespace millrace::app::kafka
