// The log facade: LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG("format {}", values...). Where lines go
// is the sink's business: app sets one that writes to the terminal or a file, sim one that keeps
// the last lines of a seed, tests one that fails on an error line. Arguments are not evaluated when
// the level is off.
// Threads: any; the sink is set once before threads start and must itself be safe to call from any
// of them.
#pragma once

#include <string_view>

#include <fmt/format.h>

namespace millrace::log {

enum class Level { kDebug, kInfo, kWarn, kError, kOff };

using Sink = void (*)(Level level, std::string_view line);

void set_sink(Sink sink);
void set_level(Level least);  // at any time
Level level();
bool enabled(Level level);
void write(Level level, std::string_view line);
std::string_view level_name(Level level);

}  // namespace millrace::log

#define MILLRACE_LOG(level, ...)                                                                  \
  do {                                                                                            \
    if (::millrace::log::enabled(level)) ::millrace::log::write(level, fmt::format(__VA_ARGS__)); \
  } while (0)
#define LOG_DEBUG(...) MILLRACE_LOG(::millrace::log::Level::kDebug, __VA_ARGS__)
#define LOG_INFO(...) MILLRACE_LOG(::millrace::log::Level::kInfo, __VA_ARGS__)
#define LOG_WARN(...) MILLRACE_LOG(::millrace::log::Level::kWarn, __VA_ARGS__)
#define LOG_ERROR(...) MILLRACE_LOG(::millrace::log::Level::kError, __VA_ARGS__)
