// Text as the scripts take it apart and line it up.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "app/kafka/ending.h"
#include "library/text.h"

namespace millrace::app::kafka {

// Whether a range has a value (or one that `part` makes it of).
template <class Range, class Value, class Part = std::identity>
bool is_in(const Range& range, const Value& value, Part part = {}) {
  return std::ranges::find(range, value, part) != std::ranges::end(range);
}

// Those that come more than once, in the order in which they come again.
template <class T>
std::vector<T> duplicates(const std::vector<T>& values) {
  std::vector<T> seen, twice;
  for (const T& each : values)
    if (!is_in(seen, each))
      seen.push_back(each);
    else if (!is_in(twice, each))
      twice.push_back(each);
  return twice;
}

using library::lower_case;
using library::split;
using library::trimmed;
std::string upper_case(std::string_view text);

// As Java's Integer.parseInt and Long.parseLong: NumberFormatException.
Attempt<int32_t> parse_int(std::string_view text);
Attempt<int64_t> parse_long(std::string_view text);
// As Java's String of UTF-8: what is none is replaced by U+FFFD.
std::string java_text(std::string_view bytes);
// As Java prints a double: 10.0, 1.0E7.
std::string java_double(double value);
// As %.Nf of Java's printf.
std::string java_fixed(double value, int digits);

// A table whose columns begin where the longest cell of the one before has ended: %-Ns of Java,
// one blank between two.
class Columns {
 public:
  // The least width of each column; the last one is not filled up.
  explicit Columns(std::vector<size_t> least) : widths_(std::move(least)) {}
  void fit(const std::vector<std::string>& cells, std::initializer_list<size_t> which);
  std::string line(const std::vector<std::string>& cells) const;

 private:
  std::vector<size_t> widths_;
};

}  // namespace millrace::app::kafka
