#include "app/process_facts.h"

#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

namespace millrace::app {
namespace {

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

const auto kStart = std::chrono::system_clock::now();

}  // namespace

gateway::ProcessFacts process_facts() {
  gateway::ProcessFacts facts{.start_time_seconds =
                                  std::chrono::duration<double>(kStart.time_since_epoch()).count()};
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  facts.cpu_seconds = seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
  uint64_t virtual_pages = 0;
  uint64_t resident_pages = 0;
  std::ifstream("/proc/self/statm") >> virtual_pages >> resident_pages;
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  facts.virtual_bytes = virtual_pages * page;
  facts.resident_bytes = resident_pages * page;
  std::error_code none;
  for (const auto& file : std::filesystem::directory_iterator("/proc/self/fd", none)) {
    (void)file;
    ++facts.open_files;
  }
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  facts.open_files_limit = limit.rlim_cur;
  return facts;
}

}  // namespace millrace::app
