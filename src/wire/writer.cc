#include "wire/writer.h"

#include <array>

#include <fmt/format.h>

namespace millrace::wire {
namespace {

constexpr size_t kMaxUvarint = 5;

size_t put_uvarint(uint8_t* at, uint32_t value) {
  size_t count = 0;
  for (; value >= 0x80; value >>= 7) at[count++] = static_cast<uint8_t>(value | 0x80);
  at[count++] = static_cast<uint8_t>(value);
  return count;
}

}  // namespace

Result<> Writer::status() const {
  if (bad_field_ == nullptr) return {};
  return fail(Errc::kUnsupported,
              fmt::format("{} {}", bad_field_,
                          bad_null_ ? "is null, which this version cannot say"
                                    : "has a value, but this version has no such field"));
}

void Writer::no_place_for(const char* field) {
  if (bad_field_ == nullptr) bad_field_ = field;
}

void Writer::null_of(const char* field, bool allow_null) {
  if (allow_null || bad_field_ != nullptr) return;
  bad_field_ = field;
  bad_null_ = true;
}

void Writer::float64(double value) { fixed(std::bit_cast<int64_t>(value)); }

void Writer::uvarint(uint32_t value) {
  std::array<uint8_t, kMaxUvarint> bytes;
  raw(ByteView(bytes).subspan(0, put_uvarint(bytes.data(), value)));
}

void Writer::string(std::string_view text, bool compact) {
  if (compact)
    uvarint(static_cast<uint32_t>(text.size() + 1));
  else
    int16(static_cast<int16_t>(text.size()));
  raw(as_bytes(text));
}

void Writer::nullable_string(const std::optional<std::string>& text, bool compact, bool allow_null,
                             const char* field) {
  if (text) return string(*text, compact);
  null_of(field, allow_null);
  if (compact)
    uvarint(0);
  else
    int16(-1);
}

void Writer::length32(size_t length, bool compact) {
  if (compact)
    uvarint(static_cast<uint32_t>(length + 1));
  else
    int32(static_cast<int32_t>(length));
}

void Writer::bytes(ByteView value, bool compact) {
  length32(value.size(), compact);
  raw(value);
}

void Writer::nullable_bytes(const std::optional<ByteBuffer>& value, bool compact, bool allow_null,
                            const char* field) {
  if (value) return bytes(*value, compact);
  null_array(compact, allow_null, field);
}

void Writer::records(const Records& value, bool compact, bool allow_null, const char* field) {
  if (value.null) return null_array(compact, allow_null, field);
  if (value.external_size == 0) return bytes(value.bytes, compact);
  length32(value.external_size, compact);
  external_.push_back({buffer_.size(), value.external_id, value.external_size});
  external_bytes_ += value.external_size;
}

void Writer::array(size_t count, bool compact) { length32(count, compact); }

void Writer::null_array(bool compact, bool allow_null, const char* field) {
  null_of(field, allow_null);
  if (compact)
    uvarint(0);
  else
    int32(-1);
}

void Writer::null_struct(bool allow_null, const char* field) {
  null_of(field, allow_null);
  int8(-1);
}

size_t Writer::begin_tag(uint32_t tag) {
  uvarint(tag);
  return buffer_.size();
}

// The size is known only now: it is put in front of the value.
void Writer::end_tag(size_t mark) {
  std::array<uint8_t, kMaxUvarint> bytes;
  const size_t count = put_uvarint(bytes.data(), static_cast<uint32_t>(buffer_.size() - mark));
  buffer_.insert(buffer_.begin() + static_cast<ptrdiff_t>(mark), bytes.data(),
                 bytes.data() + count);
}

void Writer::unknown_tags(const UnknownTags& unknown, TagRange range) {
  for (const RawTag& raw_tag : unknown) {
    const bool is_last = range.below == UINT32_MAX;  // the range to the end, which has no beyond
    if (raw_tag.tag < range.from || (raw_tag.tag >= range.below && !is_last)) continue;
    uvarint(raw_tag.tag);
    uvarint(static_cast<uint32_t>(raw_tag.bytes.size()));
    raw(raw_tag.bytes);
  }
}

}  // namespace millrace::wire
