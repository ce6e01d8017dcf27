// What the fuzz targets of files share: an input as the files of one directory.
#pragma once

#include <algorithm>
#include <span>
#include <string>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "env/disk.h"

namespace millrace::storage::testing {

// Chance never finds a right checksum, so the batches of `file` are given theirs.
inline void put_checksums_right(ByteBuffer& file) {
  constexpr size_t kSizeAt = 8, kCrcAt = 17, kCoveredAt = 21, kOverhead = 12;
  constexpr int32_t kLeastSize = 50;
  for (size_t at = 0; at + kCoveredAt < file.size();) {
    const auto size = load_big<int32_t>(file.data() + at + kSizeAt);
    if (size < kLeastSize || at + kOverhead + static_cast<size_t>(size) > file.size()) return;
    const size_t end = at + kOverhead + static_cast<size_t>(size);
    store_big(file.data() + at + kCrcAt,
              crc32c(ByteView(file).subspan(at + kCoveredAt, end - at - kCoveredAt)));
    at = end;
  }
}

// The input is files, one after the other: uint8 which of `names`, its high bit saying that it gets
// the checksums of its batches put right; uint16 length; bytes.
inline void write_fuzzed_files(env::Disk& disk, const std::string& directory,
                               std::span<const char* const> names, ByteView input) {
  ASSERT(disk.make_directories(directory).has_value());
  for (size_t at = 0; at + 3 <= input.size();) {
    const uint8_t which = input[at];
    const size_t length =
        std::min<size_t>(load_big<uint16_t>(input.data() + at + 1), input.size() - at - 3);
    ByteBuffer content = copy_of(input.subspan(at + 3, length));
    if (which & 0x80) put_checksums_right(content);
    auto file =
        disk.open(directory + "/" + names[(which & 0x7F) % names.size()], env::OpenMode::kReplace);
    ASSERT(file.has_value() && (*file)->write_at(content, 0).has_value());
    at += 3 + length;
  }
}

}  // namespace millrace::storage::testing
