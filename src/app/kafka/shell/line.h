// Lines that are typed at the shell: the words of one, and those that came before.
// Not here: what the words mean. No editing, no completion, no `!` expansions.
#pragma once

#include <cstdint>
#include <cstdio>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "app/kafka/options.h"

namespace millrace::app::kafka::shell {

// As JLine takes a line apart: blanks, quotes around whole words, backslashes.
Words split_line(std::string_view line);

// Up to its end; nothing: the input ended first.
std::optional<std::string> read_line(std::FILE* input);

// The last 500 lines, numbered from 0 on. Lines that begin with a blank, and repetitions, are left
// out.
class History {
 public:
  void add(std::string_view line);
  void print(int64_t newest) const;  // that many

 private:
  std::deque<std::string> lines_;
  int64_t first_ = 0;
};

}  // namespace millrace::app::kafka::shell
