#include "base/log.h"

#include <atomic>
#include <cstdio>

namespace millrace::log {
namespace {

void write_to_stderr(Level level, std::string_view line) {
  fmt::print(stderr, "{} {}\n", level_name(level), line);
}

Sink g_sink = write_to_stderr;
std::atomic<Level> g_least = Level::kInfo;

}  // namespace

void set_sink(Sink sink) { g_sink = sink; }
void set_level(Level least) { g_least.store(least, std::memory_order_relaxed); }
Level level() { return g_least.load(std::memory_order_relaxed); }
bool enabled(Level line) { return line >= level(); }
void write(Level level, std::string_view line) { g_sink(level, line); }

std::string_view level_name(Level level) {
  switch (level) {
    case Level::kDebug: return "DEBUG";
    case Level::kInfo: return "INFO";
    case Level::kWarn: return "WARN";
    case Level::kError: return "ERROR";
    case Level::kOff: return "OFF";
  }
  return "?";
}

}  // namespace millrace::log
