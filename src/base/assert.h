// ASSERT(condition) and ASSERT(condition, "format {}", values...): on in every build; a failed one
// prints the condition, the values and the place, flushes the log and aborts. For bugs only: what a
// peer, a file or a user sent is never asserted on.
#pragma once

#include <string>
#include <string_view>

#include <fmt/format.h>

namespace millrace {

[[noreturn]] void assertion_failed(std::string_view condition, std::string_view place,
                                   const std::string& detail);

inline std::string assertion_detail() { return {}; }
template <class... Args>
std::string assertion_detail(fmt::format_string<Args...> format, Args&&... args) {
  return fmt::format(format, std::forward<Args>(args)...);
}

}  // namespace millrace

#define MILLRACE_STRINGIFY_(x) #x
#define MILLRACE_STRINGIFY(x) MILLRACE_STRINGIFY_(x)
#define ASSERT(condition, ...)                                                            \
  do {                                                                                    \
    if (!(condition)) [[unlikely]]                                                        \
      ::millrace::assertion_failed(#condition, __FILE__ ":" MILLRACE_STRINGIFY(__LINE__), \
                                   ::millrace::assertion_detail(__VA_ARGS__));            \
  } while (0)
