// Compacts a log of keyed records, half of which have a newer one, as a broker does, and says what
// it cost: `bench_compaction directory=D gigabytes=1 record_bytes=1024 batch_bytes=16384`. The last
// line of its output is JSON. The log is in the page cache: it is the processor that is measured.
#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "runtime/posix_disk.h"
#include "storage/testing/keyed_log.h"

namespace millrace::bench {
namespace {

constexpr TimestampMs kNow{1'700'000'000'000};

using Words = std::map<std::string, std::string>;

double number_of(const Words& words, const std::string& name, double otherwise) {
  auto found = words.find(name);
  return found == words.end() ? otherwise : std::atof(found->second.c_str());
}

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

double resident_megabytes() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_maxrss) / 1024;
}

// Each key comes twice: all of them, and all of them again.
Result<> fill(storage::Log& log, const Words& words) {
  const auto record_bytes = static_cast<size_t>(number_of(words, "record_bytes", 1024));
  const auto per_batch =
      static_cast<size_t>(number_of(words, "batch_bytes", 16'384)) / record_bytes;
  const auto records = static_cast<size_t>(number_of(words, "gigabytes", 1) * 1e9) / record_bytes;
  const std::string value(record_bytes, 'v');
  for (size_t done = 0; done < records; done += per_batch) {
    std::vector<storage::testing::Keyed> batch;
    for (size_t i = done; i < done + per_batch; ++i)
      batch.push_back({fmt::format("key-{:012}", i % (records / 2)), value});
    RETURN_IF_ERROR(
        storage::testing::append(log, storage::testing::keyed_batch(batch, kNow), kNow));
  }
  return {};
}

struct Cost {
  double cpu = cpu_seconds();
  std::chrono::steady_clock::time_point wall = std::chrono::steady_clock::now();
};

Result<storage::CleanerStatistics> run(storage::Log& log, env::Disk& disk) {
  ASSIGN_OR_RETURN(const auto found, log.cleanable(log.log_end(), kNow));
  ASSIGN_OR_RETURN(auto plan, log.plan_compaction(*found, kNow));
  ASSIGN_OR_RETURN(auto cleaner, storage::LogCleaner::open(disk, std::move(plan), {}));
  while (!cleaner->is_done()) {
    ASSIGN_OR_RETURN(const auto state, cleaner->step());
    if (state == storage::LogCleaner::State::kGroupCleaned)
      RETURN_IF_ERROR(storage::testing::exchange(disk, log, cleaner->take_group()));
  }
  return cleaner->statistics();
}

Result<> measure(const Words& words) {
  runtime::PosixDisk disk;
  const std::string directory = words.at("directory") + "/compaction-0";
  RETURN_IF_ERROR(disk.make_directories(directory));
  storage::LogOptions options{.segment_bytes = 256 << 20, .delete_old = false, .compacts = true};
  ASSIGN_OR_RETURN(auto log, storage::Log::open(disk, directory, options, {}));
  RETURN_IF_ERROR(fill(*log, words));
  RETURN_IF_ERROR(log->close());
  const double before = resident_megabytes();
  const Cost begun;
  ASSIGN_OR_RETURN(const auto did, run(*log, disk));
  const double cpu = cpu_seconds() - begun.cpu;
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begun.wall;
  fmt::print(
      "{{\"read_mb\": {:.1f}, \"written_mb\": {:.1f}, \"cpu_seconds\": {:.3f}, \"seconds\": "
      "{:.3f}, "
      "\"memory_mb\": {:.1f}, \"keys\": {}}}\n",
      static_cast<double>(did.bytes_read) / 1e6, static_cast<double>(did.bytes_written) / 1e6, cpu,
      wall.count(), resident_megabytes() - before, did.keys);
  return {};
}

}  // namespace
}  // namespace millrace::bench

int main(int count, char** arguments) {
  millrace::bench::Words words;
  for (int i = 1; i < count; ++i) {
    const std::string word = arguments[i];
    const size_t equals = word.find('=');
    if (equals == std::string::npos) return 2;
    words[word.substr(0, equals)] = word.substr(equals + 1);
  }
  if (!words.contains("directory")) return 2;
  if (auto measured = millrace::bench::measure(words); !measured) {
    fmt::print(stderr, "{}\n", measured.error().message);
    return 1;
  }
  return 0;
}
