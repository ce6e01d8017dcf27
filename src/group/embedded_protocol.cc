#include "group/embedded_protocol.h"

#include <algorithm>

#include "wire/reader.h"
#include "wire/writer.h"

namespace millrace::group {
namespace {

template <class Value>
Result<Value> parse(ByteView bytes) {
  wire::Reader reader(bytes);
  const int16_t version = reader.int16("version");
  if (reader.ok() && version < 0) reader.fail(Errc::kInvalid, "version", "is below 0");
  Value value;
  if (reader.ok()) wire::read(reader, std::min(version, Value::kMaxVersion), value);
  RETURN_IF_ERROR(reader.status());
  return value;
}

}  // namespace

Result<wire::ConsumerProtocolSubscription> parse_subscription(ByteView bytes) {
  return parse<wire::ConsumerProtocolSubscription>(bytes);
}

Result<wire::ConsumerProtocolAssignment> parse_assignment(ByteView bytes) {
  return parse<wire::ConsumerProtocolAssignment>(bytes);
}

int16_t version_of(ByteView subscription) {
  wire::Reader reader(subscription);
  const int16_t version = reader.int16("version");
  const bool known = reader.ok() && version >= 0;
  return known ? std::min(version, wire::ConsumerProtocolAssignment::kMaxVersion) : int16_t{0};
}

ByteBuffer serialize_assignment(const TargetAssignment& assignment, const Topics& topics,
                                int16_t version) {
  wire::ConsumerProtocolAssignment value;
  for (const auto& [topic_id, partitions] : assignment)
    if (auto name = topics.name_of(topic_id))
      value.assigned_partitions.push_back({.topic = std::move(*name), .partitions = partitions});
  wire::Writer writer;
  writer.int16(version);
  wire::write(writer, version, value);
  return std::move(writer).take();
}

}  // namespace millrace::group
