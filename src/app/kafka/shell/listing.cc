#include "app/kafka/shell/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace millrace::app::kafka::shell {
namespace {

constexpr size_t kGap = 2;

struct Columns {
  std::vector<size_t> widths;
  size_t height = 0;
};

Columns columns_of(const std::vector<std::string>& names, size_t count) {
  Columns columns{.widths = std::vector<size_t>(count, 0),
                  .height = (names.size() + count - 1) / count};
  for (size_t i = 0; i < names.size(); ++i) {
    size_t& width = columns.widths[i / columns.height];
    width = std::max(width, names[i].size() + kGap);
  }
  return columns;
}

// The most columns that fit and of which none is empty.
Columns fitting(const std::vector<std::string>& names, size_t screen_width) {
  constexpr size_t kLeast = 4;  // wide
  for (size_t count = std::min(screen_width / kLeast, names.size()); count > 1; --count) {
    Columns columns = columns_of(names, count);
    const size_t total = std::reduce(columns.widths.begin(), columns.widths.end());
    if (columns.widths.back() != 0 && total <= screen_width) return columns;
  }
  return columns_of(names, 1);
}

}  // namespace

void print_columns(const std::vector<std::string>& names, int screen_width) {
  const Columns columns = fitting(names, static_cast<size_t>(std::max(screen_width, 0)));
  for (size_t line = 0; line < columns.height; ++line) {
    std::string text;
    for (size_t column = 0; column < columns.widths.size(); ++column) {
      const size_t at = line + column * columns.height;
      if (at >= names.size()) continue;
      const bool last = column + 1 == columns.widths.size();
      text += fmt::format("{:<{}}", names[at], last ? 0 : columns.widths[column]);
    }
    fmt::print("{}\n", text);
  }
}

}  // namespace millrace::app::kafka::shell
