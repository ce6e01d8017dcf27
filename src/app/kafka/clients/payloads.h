// What kafka-producer-perf-test sends: random letters, lines of a file, or numbers.
// Threads: one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/kafka/ending.h"
#include "base/bytes.h"

namespace millrace::app::kafka::clients {

class Payloads {
 public:
  struct Wish {
    std::optional<int64_t> size;  // of random letters
    std::vector<std::string> lines;
    bool numbers = false;
  };
  explicit Payloads(Wish wish) : wish_(std::move(wish)) {}

  // Of the record `index`. IllegalArgumentException: nothing is wished for.
  Attempt<ByteBuffer> next(int64_t index);

 private:
  uint64_t random();

  Wish wish_;
  uint64_t state_ = 0;
};

// What stands between delimiters (regular expressions), as Java's Scanner takes it; it is said on
// standard output.
Attempt<std::vector<std::string>> read_payloads(const std::string& path,
                                                const std::string& delimiter);

}  // namespace millrace::app::kafka::clients
