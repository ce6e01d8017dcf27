// Golden vectors for tests: bytes that Apache Kafka made, one JSON object a line. Header only, so
// that zlib is linked by tests alone.
#pragma once

#include <zlib.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/assert.h"

namespace millrace::testing {

// The lines of `name` ("messages/wire.jsonl"): from the directory GOLDEN_DIR when that is set, else
// from the repository's compressed copy (tests/golden/NAME.gz). zlib reads plain files as they are.
inline std::vector<std::string> golden_lines(const std::string& name) {
  const char* folder = std::getenv("GOLDEN_DIR");
  const std::string path = folder
                               ? std::string(folder) + "/" + name
                               : std::string(MILLRACE_SOURCE_DIR) + "/tests/golden/" + name + ".gz";
  gzFile file = gzopen(path.c_str(), "rb");
  ASSERT(file != nullptr, "cannot open {}", path);
  std::vector<std::string> lines;
  std::string line;
  char piece[65536];
  while (gzgets(file, piece, sizeof piece) != nullptr) {
    line += piece;
    if (!line.ends_with('\n')) continue;
    line.pop_back();
    lines.push_back(std::move(line));
    line.clear();
  }
  if (!line.empty()) lines.push_back(std::move(line));
  gzclose(file);
  ASSERT(!lines.empty(), "{} is empty", path);
  return lines;
}

// The bytes that hexadecimal text stands for.
inline std::vector<uint8_t> from_hex(std::string_view hex) {
  auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::vector<uint8_t> bytes(hex.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<uint8_t>(digit(hex[2 * i]) * 16 + digit(hex[2 * i + 1]));
  return bytes;
}

inline std::string to_hex(const std::vector<uint8_t>& bytes) {
  std::string text;
  for (uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace millrace::testing
