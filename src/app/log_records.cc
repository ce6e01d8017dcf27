#include "app/log_records.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <tuple>

#include "app/output.h"
#include "record/control.h"
#include "wire/codec.h"
#include "wire/consumer_protocol.h"
#include "wire/control_records.h"
#include "wire/group_records.h"
#include "wire/metadata_record.h"
#include "wire/share_records.h"
#include "wire/transaction_records.h"

namespace millrace::app {
namespace {

using record::ControlType;
using record::RecordView;

json::value parsed(const std::string& text) {
  boost::system::error_code failed;
  auto value = json::parse(text, failed);
  return failed ? json::value(text) : value;
}

void add_plain(json::object& to, const RecordView& record) {
  auto add = [&](const char* name, const std::optional<ByteView>& bytes) {
    if (!bytes) {
      to[name] = nullptr;
      return;
    }
    auto text = json_text(as_text(*bytes));
    to[text.encoded ? std::string(name) + "_base64" : std::string(name)] = std::move(text.text);
  };
  add("key", record.key);
  add("value", record.value);
}

// Bytes with their int16 version in front, as JSON; nothing if they are none of these.
template <class Message>
std::optional<json::value> versioned(const ByteBuffer& bytes) {
  auto message = wire::decode_value<Message>(bytes);
  if (!message) return std::nullopt;
  return parsed(wire::to_json(load_big<int16_t>(bytes.data()), *message));
}

// What consumers say to each other inside of a group's record.
void open_members(const wire::GroupMetadataValue& group, json::object& shown) {
  if (group.protocol_type != "consumer") return;
  auto& members = shown["members"].as_array();
  for (size_t i = 0; i < group.members.size(); ++i) {
    auto& member = members[i].as_object();
    if (auto said = versioned<wire::ConsumerProtocolSubscription>(group.members[i].subscription))
      member["subscription"] = std::move(*said);
    if (auto got = versioned<wire::ConsumerProtocolAssignment>(group.members[i].assignment))
      member["assignment"] = std::move(*got);
  }
}

template <class Key, class Value>
struct Pair {
  // The record if its key is of this type; an error if it is, and cannot be read.
  static std::optional<Result<json::object>> read(int16_t type, const RecordView& record) {
    if (type != Key::kApiKey) return std::nullopt;
    return decode(record);
  }
  static Result<json::object> decode(const RecordView& record) {
    ASSIGN_OR_RETURN(const auto key, wire::decode_key<Key>(*record.key));
    std::string_view name = Key::kName;
    name.remove_suffix(3);  // "Key"
    json::object object{{"type", name}, {"key", parsed(wire::to_json(0, key))}, {"value", nullptr}};
    if (!record.value) return object;  // a tombstone
    ASSIGN_OR_RETURN(const auto value, wire::decode_value<Value>(*record.value));
    object["version"] = load_big<int16_t>(record.value->data());
    auto& shown = object["value"];
    shown = parsed(wire::to_json(load_big<int16_t>(record.value->data()), value));
    if constexpr (std::is_same_v<Value, wire::GroupMetadataValue>)
      if (shown.is_object()) open_members(value, shown.as_object());
    return object;
  }
};

#define MILLRACE_PAIR(name) Pair<wire::name##Key, wire::name##Value>
using GroupRecords = std::tuple<
    MILLRACE_PAIR(LegacyOffsetCommit), MILLRACE_PAIR(OffsetCommit), MILLRACE_PAIR(GroupMetadata),
    MILLRACE_PAIR(ConsumerGroupMetadata), MILLRACE_PAIR(ConsumerGroupPartitionMetadata),
    MILLRACE_PAIR(ConsumerGroupMemberMetadata),
    MILLRACE_PAIR(ConsumerGroupTargetAssignmentMetadata),
    MILLRACE_PAIR(ConsumerGroupTargetAssignmentMember),
    MILLRACE_PAIR(ConsumerGroupCurrentMemberAssignment), MILLRACE_PAIR(ShareGroupMemberMetadata),
    MILLRACE_PAIR(ShareGroupMetadata), MILLRACE_PAIR(ShareGroupTargetAssignmentMetadata),
    MILLRACE_PAIR(ShareGroupTargetAssignmentMember),
    MILLRACE_PAIR(ShareGroupCurrentMemberAssignment),
    MILLRACE_PAIR(ShareGroupStatePartitionMetadata), MILLRACE_PAIR(ConsumerGroupRegularExpression),
    MILLRACE_PAIR(StreamsGroupMetadata), MILLRACE_PAIR(StreamsGroupMemberMetadata),
    MILLRACE_PAIR(StreamsGroupTargetAssignmentMetadata),
    MILLRACE_PAIR(StreamsGroupTargetAssignmentMember),
    MILLRACE_PAIR(StreamsGroupCurrentMemberAssignment), MILLRACE_PAIR(StreamsGroupTopology)>;
using TransactionRecords = std::tuple<MILLRACE_PAIR(TransactionLog)>;
using ShareRecords = std::tuple<MILLRACE_PAIR(ShareSnapshot), MILLRACE_PAIR(ShareUpdate)>;
#undef MILLRACE_PAIR

template <class Pairs>
Result<json::object> read_coordinator_record(const RecordView& record) {
  if (!record.key || record.key->size() < 2) return fail(Errc::kCorrupt, "the key has no type");
  const auto type = load_big<int16_t>(record.key->data());
  std::optional<Result<json::object>> found;
  auto try_each = [&]<class... Each>(std::tuple<Each...>*) {
    ((found = found ? std::move(found) : Each::read(type, record)), ...);
  };
  try_each(static_cast<Pairs*>(nullptr));
  if (!found) return fail(Errc::kNotFound, fmt::format("the key has the unknown type {}", type));
  return std::move(*found);
}

Result<json::object> read_metadata_record(const RecordView& record) {
  if (!record.value) return fail(Errc::kCorrupt, "there is no value");
  ASSIGN_OR_RETURN(const auto decoded, wire::decode_metadata_record(*record.value));
  wire::Reader frame(*record.value);
  frame.uvarint("frame version");
  frame.uvarint("type");
  const auto version = static_cast<int16_t>(frame.uvarint("version"));
  return json::object{{"type", wire::record_name(decoded)},
                      {"version", version},
                      {"value", parsed(wire::to_json(decoded, version))}};
}

// Written at version 0; some say in a field which version they are meant as.
template <class Message>
json::value control_value(ByteView bytes) {
  auto message = wire::decode<Message>(bytes, 0);
  if (!message) return nullptr;
  int16_t version = 0;
  if constexpr (requires { message->version; }) version = message->version;
  return parsed(wire::to_json(version, *message));
}

// Markers have their int16 version in front.
template <class Message>
json::value versioned_value(ByteView bytes) {
  return bytes.size() < 2 ? json::value(nullptr) : control_value<Message>(bytes.subspan(2));
}

}  // namespace

RecordKind kind_of_directory(std::string_view directory) {
  if (directory.starts_with("__consumer_offsets-")) return RecordKind::kOffsets;
  if (directory.starts_with("__cluster_metadata-")) return RecordKind::kMetadata;
  if (directory.starts_with("__transaction_state-")) return RecordKind::kTransactions;
  if (directory.starts_with("__share_group_state-")) return RecordKind::kShareState;
  return RecordKind::kPlain;
}

Result<json::object> decode_record(RecordKind kind, const RecordView& record) {
  switch (kind) {
    case RecordKind::kPlain: break;
    case RecordKind::kOffsets: return read_coordinator_record<GroupRecords>(record);
    case RecordKind::kTransactions: return read_coordinator_record<TransactionRecords>(record);
    case RecordKind::kShareState: return read_coordinator_record<ShareRecords>(record);
    case RecordKind::kMetadata: return read_metadata_record(record);
  }
  return fail(Errc::kInvalid, "plain records are not decoded");
}

json::object describe_record(RecordKind kind, const RecordView& record) {
  json::object plain;
  if (kind != RecordKind::kPlain) {
    auto decoded = decode_record(kind, record);
    if (decoded) return std::move(*decoded);
    plain["error"] = decoded.error().message;
  }
  add_plain(plain, record);
  return plain;
}

json::object describe_control_record(const RecordView& record) {
  const auto type = record::parse_control_key(record.key.value_or(ByteView()));
  const ByteView value = record.value.value_or(ByteView());
  if (!type) return {{"type", "?"}, {"error", type.error().message}};
  switch (*type) {
    case ControlType::kAbort:
      return {{"type", "ABORT"}, {"value", versioned_value<wire::EndTxnMarker>(value)}};
    case ControlType::kCommit:
      return {{"type", "COMMIT"}, {"value", versioned_value<wire::EndTxnMarker>(value)}};
    case ControlType::kLeaderChange:
      return {{"type", "LEADER_CHANGE"},
              {"value", control_value<wire::LeaderChangeMessage>(value)}};
    case ControlType::kSnapshotHeader:
      return {{"type", "SNAPSHOT_HEADER"},
              {"value", control_value<wire::SnapshotHeaderRecord>(value)}};
    case ControlType::kSnapshotFooter:
      return {{"type", "SNAPSHOT_FOOTER"},
              {"value", control_value<wire::SnapshotFooterRecord>(value)}};
    case ControlType::kKraftVersion:
      return {{"type", "KRAFT_VERSION"}, {"value", control_value<wire::KRaftVersionRecord>(value)}};
    case ControlType::kKraftVoters:
      return {{"type", "KRAFT_VOTERS"}, {"value", control_value<wire::VotersRecord>(value)}};
    case ControlType::kUnknown: break;
  }
  return {{"type", "?"}};
}

}  // namespace millrace::app
