// Reads the primitives of Kafka's protocol from bytes that nobody has checked. Used by the
// generated readers; hand-written code reads whole messages through wire/codec.h.
//
// Errors are sticky: the first one is kept with the field it happened in, every later read gives
// zero values, and the caller looks once, at the end. Nothing is allocated from a length before the
// bytes for it are known to be there, and what arrays may take in memory is bounded by a budget
// (Limits), so that a small hostile request cannot become a large heap.
//
// Lifetime: views (Records) point into the bytes given to the constructor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/error.h"
#include "base/uuid.h"
#include "wire/types.h"

namespace millrace::wire {

struct Limits {
  size_t base_bytes = 64 * 1024;             // decoded memory allowed to any message
  size_t bytes_per_input_byte = 64;          // and this much more for each byte of it
  size_t most_bytes = 1024UL * 1024 * 1024;  // but never more than this
};

class Reader {
 public:
  explicit Reader(ByteView bytes, const Limits& limits = {});

  bool ok() const { return !failed_; }
  Result<> status() const;  // the first error, naming the field
  size_t remaining() const { return static_cast<size_t>(end_ - at_); }
  size_t position() const { return static_cast<size_t>(at_ - begin_); }

  int8_t int8(const char* field) { return fixed<int8_t>(field); }
  int16_t int16(const char* field) { return fixed<int16_t>(field); }
  uint16_t uint16(const char* field) { return fixed<uint16_t>(field); }
  int32_t int32(const char* field) { return fixed<int32_t>(field); }
  uint32_t uint32(const char* field) { return fixed<uint32_t>(field); }
  int64_t int64(const char* field) { return fixed<int64_t>(field); }
  double float64(const char* field);
  bool boolean(const char* field) { return int8(field) != 0; }
  Uuid uuid(const char* field);
  uint32_t uvarint(const char* field);

  std::string string(const char* field, bool compact);
  std::optional<std::string> nullable_string(const char* field, bool compact, bool allow_null);
  ByteBuffer bytes(const char* field, bool compact);
  std::optional<ByteBuffer> nullable_bytes(const char* field, bool compact, bool allow_null);
  Records records(const char* field, bool compact, bool allow_null);

  // The count of an array whose elements take `element_size` bytes in memory, or nothing for null.
  // The count is at most the number of bytes left, and its memory is within the budget.
  std::optional<size_t> array(const char* field, bool compact, bool allow_null,
                              size_t element_size);
  // True when a nullable struct is there.
  bool present(const char* field, bool allow_null);

  void fail(Errc code, const char* field, const char* problem);

 private:
  friend class TagReader;

  template <class T>
  T fixed(const char* field) {
    if (remaining() < sizeof(T)) [[unlikely]] {
      fail(Errc::kTruncated, field, "ends before the value does");
      return 0;
    }
    T value;
    if constexpr (sizeof(T) == 1)
      value = static_cast<T>(*at_);
    else
      value = load_big<T>(at_);
    at_ += sizeof(T);
    return value;
  }
  // The length of a string (16) or byte string; nothing: null. Sticky failure gives 0.
  std::optional<size_t> length16(const char* field, bool compact, bool allow_null);
  std::optional<size_t> length32(const char* field, bool compact, bool allow_null);
  std::optional<size_t> checked_length(const char* field, int64_t length, bool allow_null);
  ByteView take(size_t count);

  const uint8_t* begin_;
  const uint8_t* at_;
  const uint8_t* end_;
  size_t budget_;
  bool failed_ = false;
  Errc code_{};
  const char* field_ = "";
  const char* problem_ = "";
  size_t failed_at_ = 0;
};

// Walks the tagged fields at the end of a flexible struct:
//   for (TagReader tags(reader, "X"); tags.next();)
//     switch (tags.tag()) { case 0: ...; default: tags.keep(unknown); }
// Each field must use exactly the bytes it declared.
class TagReader {
 public:
  TagReader(Reader& reader, const char* owner);
  bool next();
  uint32_t tag() const { return tag_; }
  void keep(UnknownTags& unknown);

 private:
  Reader& reader_;
  const char* owner_;
  const uint8_t* outer_end_;
  uint32_t left_;
  uint32_t tag_ = 0;
  bool inside_ = false;
};

}  // namespace millrace::wire
