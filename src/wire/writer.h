// Writes the primitives of Kafka's protocol. Used by the generated writers; hand-written code
// writes whole messages through wire/codec.h.
//
// A field that has no place in the version being written is left out when the schema says it may be
// ignored, or when it has its default value; else it is an error (as Kafka's
// UnsupportedVersionException), kept with the field's name.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/uuid.h"
#include "wire/types.h"

namespace millrace::wire {

// Where in the buffer a Records::external belongs: `size` bytes are to be sent at `position`, which
// the buffer lacks.
struct ExternalPiece {
  size_t position;
  uint32_t id;
  uint32_t size;
};

class Writer {
 public:
  explicit Writer(size_t reserve = 256) { buffer_.reserve(reserve); }

  Result<> status() const;
  const ByteBuffer& buffer() const { return buffer_; }
  ByteBuffer take() && { return std::move(buffer_); }
  std::span<const ExternalPiece> external_pieces() const { return external_; }
  size_t total_size() const { return buffer_.size() + external_bytes_; }

  void int8(int8_t value) { buffer_.push_back(static_cast<uint8_t>(value)); }
  void int16(int16_t value) { fixed(value); }
  void uint16(uint16_t value) { fixed(value); }
  void int32(int32_t value) { fixed(value); }
  void uint32(uint32_t value) { fixed(value); }
  void int64(int64_t value) { fixed(value); }
  void float64(double value);
  void boolean(bool value) { int8(value ? 1 : 0); }
  void uuid(const Uuid& id) { raw(id.bytes); }
  void uvarint(uint32_t value);
  void raw(ByteView bytes) { buffer_.insert(buffer_.end(), bytes.begin(), bytes.end()); }

  void string(std::string_view text, bool compact);
  void nullable_string(const std::optional<std::string>& text, bool compact, bool allow_null,
                       const char* field);
  void bytes(ByteView value, bool compact);
  void nullable_bytes(const std::optional<ByteBuffer>& value, bool compact, bool allow_null,
                      const char* field);
  void records(const Records& value, bool compact, bool allow_null, const char* field);
  void array(size_t count, bool compact);
  void null_array(bool compact, bool allow_null, const char* field);
  void present() { int8(1); }
  void null_struct(bool allow_null, const char* field);

  // A tagged field: begin, write the value, end. Unknown ones are merged in by their number.
  size_t begin_tag(uint32_t tag);
  void end_tag(size_t mark);
  struct TagRange {
    uint32_t from;
    uint32_t below;
  };
  void unknown_tags(const UnknownTags& unknown, TagRange range);

  // The big-endian int32 at `position`, once it is known (frame sizes).
  void patch_int32(size_t position, int32_t value) { store_big(buffer_.data() + position, value); }

  void no_place_for(const char* field);

 private:
  template <class T>
  void fixed(T value) {
    const size_t at = buffer_.size();
    buffer_.resize(at + sizeof(T));
    store_big(buffer_.data() + at, value);
  }
  void length32(size_t length, bool compact);
  void null_of(const char* field, bool allow_null);

  ByteBuffer buffer_;
  std::vector<ExternalPiece> external_;
  size_t external_bytes_ = 0;
  const char* bad_field_ = nullptr;
  bool bad_null_ = false;
};

}  // namespace millrace::wire
