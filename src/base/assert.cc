#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace millrace {

void assertion_failed(std::string_view condition, std::string_view place,
                      const std::string& detail) {
  fmt::print(stderr, "ASSERT failed: {} at {}{}{}\n", condition, place, detail.empty() ? "" : ": ",
             detail);
  std::fflush(stderr);
  std::abort();
}

}  // namespace millrace
