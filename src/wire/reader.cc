#include "wire/reader.h"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

namespace millrace::wire {

Reader::Reader(ByteView bytes, const Limits& limits)
    : begin_(bytes.data()),
      at_(begin_),
      end_(begin_ + bytes.size()),
      budget_(std::min(limits.most_bytes,
                       limits.base_bytes + limits.bytes_per_input_byte * bytes.size())) {}

Result<> Reader::status() const {
  if (!failed_) return {};
  return millrace::fail(code_, fmt::format("{} {} (at byte {})", field_, problem_, failed_at_));
}

void Reader::fail(Errc code, const char* field, const char* problem) {
  if (failed_) return;
  failed_ = true;
  code_ = code;
  field_ = field;
  problem_ = problem;
  failed_at_ = position();
  at_ = end_;
}

ByteView Reader::take(size_t count) {
  ByteView taken(at_, count);
  at_ += count;
  return taken;
}

double Reader::float64(const char* field) { return std::bit_cast<double>(fixed<int64_t>(field)); }

Uuid Reader::uuid(const char* field) {
  Uuid id;
  if (remaining() < id.bytes.size()) {
    fail(Errc::kTruncated, field, "ends before the uuid does");
    return id;
  }
  std::copy_n(take(id.bytes.size()).data(), id.bytes.size(), id.bytes.data());
  return id;
}

uint32_t Reader::uvarint(const char* field) {
  uint32_t value = 0;
  for (int shift = 0; shift < 35; shift += 7) {
    const uint8_t byte = fixed<uint8_t>(field);
    if (failed_) return 0;
    if (shift == 28 && byte > 0x0F) break;
    value |= static_cast<uint32_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  fail(Errc::kCorrupt, field, "has a varint of more than 32 bits");
  return 0;
}

std::optional<size_t> Reader::checked_length(const char* field, int64_t length, bool allow_null) {
  if (failed_) return 0;
  if (length == -1 && allow_null) return std::nullopt;
  if (length < 0)
    fail(Errc::kCorrupt, field, length == -1 ? "is null but must not be" : "has a negative length");
  else if (static_cast<uint64_t>(length) > remaining())
    fail(Errc::kTruncated, field, "is longer than the bytes that are left");
  return failed_ ? 0 : static_cast<size_t>(length);
}

// A string whose length is compact might be longer than one in the key of a record may be, whose
// length is not: what was written of it nobody could read.
std::optional<size_t> Reader::length16(const char* field, bool compact, bool allow_null) {
  const int64_t length = compact ? static_cast<int64_t>(uvarint(field)) - 1 : int16(field);
  if (!failed_ && length > INT16_MAX) fail(Errc::kCorrupt, field, "is longer than 32767 bytes");
  return checked_length(field, length, allow_null);
}

std::optional<size_t> Reader::length32(const char* field, bool compact, bool allow_null) {
  const int64_t length = compact ? static_cast<int64_t>(uvarint(field)) - 1 : int32(field);
  return checked_length(field, length, allow_null);
}

std::optional<std::string> Reader::nullable_string(const char* field, bool compact,
                                                   bool allow_null) {
  auto length = length16(field, compact, allow_null);
  if (!length) return std::nullopt;
  return std::string(as_text(take(*length)));
}

std::string Reader::string(const char* field, bool compact) {
  return std::string(as_text(take(*length16(field, compact, false))));
}

std::optional<ByteBuffer> Reader::nullable_bytes(const char* field, bool compact, bool allow_null) {
  auto length = length32(field, compact, allow_null);
  if (!length) return std::nullopt;
  return copy_of(take(*length));
}

ByteBuffer Reader::bytes(const char* field, bool compact) {
  return copy_of(take(*length32(field, compact, false)));
}

Records Reader::records(const char* field, bool compact, bool allow_null) {
  auto length = length32(field, compact, allow_null);
  return length ? Records::of(take(*length)) : Records{};
}

std::optional<size_t> Reader::array(const char* field, bool compact, bool allow_null,
                                    size_t element_size) {
  auto count = length32(field, compact, allow_null);
  if (!count) return count;
  if (*count > budget_ / element_size) {
    fail(Errc::kLimit, field, "would take more memory than a message of this size may");
    return 0;
  }
  budget_ -= *count * element_size;
  return count;
}

bool Reader::present(const char* field, bool allow_null) {
  const int8_t mark = int8(field);
  if (failed_) return false;
  if (mark == 1) return true;
  if (mark != -1 || !allow_null)
    fail(Errc::kCorrupt, field, "is a struct that is neither there nor null");
  return false;
}

TagReader::TagReader(Reader& reader, const char* owner)
    : reader_(reader), owner_(owner), outer_end_(reader.end_), left_(reader.uvarint(owner)) {
  if (left_ > reader.remaining())  // each takes two bytes at least
    reader.fail(Errc::kCorrupt, owner, "declares more tagged fields than it has bytes");
}

bool TagReader::next() {
  if (inside_) {
    if (reader_.ok() && reader_.at_ != reader_.end_)
      reader_.fail(Errc::kCorrupt, owner_, "has a tagged field that is shorter than it says");
    reader_.end_ = outer_end_;
    if (!reader_.ok()) reader_.at_ = outer_end_;
    inside_ = false;
  }
  if (!reader_.ok() || left_ == 0) return false;
  --left_;
  tag_ = reader_.uvarint(owner_);
  const uint32_t size = reader_.uvarint(owner_);
  if (size > reader_.remaining()) reader_.fail(Errc::kTruncated, owner_, "has a tag cut short");
  if (!reader_.ok()) return false;
  reader_.end_ = reader_.at_ + size;
  inside_ = true;
  return true;
}

void TagReader::keep(UnknownTags& unknown) {
  unknown.push_back({tag_, copy_of(reader_.take(reader_.remaining()))});
}

}  // namespace millrace::wire
