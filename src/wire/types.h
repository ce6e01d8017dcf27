// The types of message fields that are not plain C++ ones.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace millrace::wire {

// A field of type `records`. Decoded: a view into the frame. To be encoded: either bytes that the
// writer copies, or an external piece of `external_size` bytes that the writer leaves out and notes
// (Writer::external_pieces), for the server to send straight from a file.
struct Records {
  bool null = true;
  ByteView bytes;
  uint32_t external_size = 0;
  uint32_t external_id = 0;

  static Records of(ByteView bytes) { return {.null = false, .bytes = bytes}; }
  static Records external(uint32_t id, size_t bytes_long) {
    return {.null = false,
            .bytes = {},
            .external_size = static_cast<uint32_t>(bytes_long),
            .external_id = id};
  }
  size_t size() const { return external_size ? external_size : bytes.size(); }
  friend bool operator==(const Records& a, const Records& b) {
    return a.null == b.null && as_text(a.bytes) == as_text(b.bytes) &&
           a.external_size == b.external_size && a.external_id == b.external_id;
  }
};

// A tagged field that this version of the schema does not know: kept, and written again as Kafka
// does.
struct RawTag {
  uint32_t tag = 0;
  ByteBuffer bytes;
  friend bool operator==(const RawTag&, const RawTag&) = default;
};
using UnknownTags = std::vector<RawTag>;

}  // namespace millrace::wire
