#include "record/control.h"

namespace millrace::record {

std::array<uint8_t, 4> control_key(ControlType type) {
  std::array<uint8_t, 4> key{};
  store_big(key.data() + 2, static_cast<int16_t>(type));
  return key;
}

Result<ControlType> parse_control_key(ByteView key) {
  if (key.size() < 4) return fail(Errc::kCorrupt, "the key of a control record is too short");
  if (load_big<int16_t>(key.data()) < 0)
    return fail(Errc::kCorrupt, "the key of a control record has a negative version");
  const auto type = load_big<int16_t>(key.data() + 2);
  if (type < 0 || type > static_cast<int16_t>(ControlType::kKraftVoters))
    return ControlType::kUnknown;
  return static_cast<ControlType>(type);
}

ByteBuffer build_control_batch(BatchOptions options, const ControlRecord& record) {
  options.control = true;
  BatchBuilder builder(options);
  const auto key = control_key(record.type);
  builder.append({.timestamp = record.timestamp, .key = ByteView(key), .value = record.value});
  return std::move(builder).build();
}

}  // namespace millrace::record
