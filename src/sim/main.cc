// millrace-sim: runs seeds, the odd ones of one broker, the even ones of a cluster; `--brokers` and
// `--clusters` make all of them so. `--seed N` runs one and prints its last lines if it fails;
// `--seeds N` runs N seeds from --from on, and some of them twice (ST6); `--jobs` of them at a
// time; with `--stop-early` the first failure ends the run. The summary says how often which fault
// struck, `--probes` which rare places were reached.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include <fmt/format.h>

#include "base/assert.h"
#include "base/probe.h"
#include "sim/cluster_scenario.h"
#include "sim/scenario.h"
#include "sim/swarm.h"

namespace millrace::sim {
namespace {

// A tenth of the seeds, of both kinds alike: an odd and an even one of every twenty.
bool runs_twice(uint64_t seed) { return seed / 2 % 10 == 0; }

struct Options {
  uint64_t from = 1;
  uint64_t seeds = 1;
  int jobs = 1;
  bool brokers = false;
  bool clusters = false;
  bool trace = false;
  bool probes = false;
  bool stop_early = false;
};

uint64_t g_seed = 0;
std::map<std::string, uint64_t> g_probes;

void report_abort(int) {
  fmt::print(stderr, "seed {} aborted\n", g_seed);
  std::_Exit(3);
}

// Shared by the processes.
std::atomic<int64_t>* g_virtual_ms = nullptr;

Outcome run(uint64_t seed, const Options& options) {
  const bool is_cluster = options.clusters || (!options.brokers && seed % 2 == 0);
  Outcome outcome = is_cluster ? run_cluster_scenario(seed) : run_scenario(seed);
  *g_virtual_ms += std::chrono::duration_cast<milliseconds>(outcome.virtual_time).count();
  return outcome;
}

bool run_seed(uint64_t seed, const Options& options) {
  g_seed = seed;
  const Outcome outcome = run(seed, options);
  std::string failure = outcome.failure;
  if (failure.empty() && runs_twice(seed) && run(seed, options).trace_hash != outcome.trace_hash)
    failure = "ST6: two runs of the seed differ";
  if (!failure.empty() || options.trace)
    for (const auto& line : outcome.last_lines) fmt::print("  {}\n", line);
  if (!failure.empty())
    fmt::print("seed {} FAILED: {}\n  {}\n  again: ./dev sim --seed {}\n", seed, failure,
               outcome.knobs, seed);
  else if (options.seeds == 1)
    fmt::print(
        "seed {} ok: {} events, {:.1f} virtual s, {} records acknowledged, {} lives, hash "
        "{:016x}\n  {}\n",
        seed, outcome.events, std::chrono::duration<double>(outcome.virtual_time).count(),
        outcome.acknowledged, outcome.lives, outcome.trace_hash, outcome.knobs);
  std::fflush(stdout);
  return failure.empty();
}

// The seeds of one of several processes: every jobs-th.
int run_share(int share, const Options& options) {
  uint64_t failed = 0;
  for (uint64_t i = static_cast<uint64_t>(share); i < options.seeds;
       i += static_cast<uint64_t>(options.jobs)) {
    failed += !run_seed(options.from + i, options);
    if (failed > 0 && options.stop_early) break;
  }
  return failed > 0 ? 1 : 0;
}

// What the processes saw is added up by way of a pipe, which takes that much without a reader.
void tell_probes(int pipe) {
  std::string text;
  for (const auto& [name, count] : g_probes) text += fmt::format("{} {}\n", name, count);
  ASSERT(::write(pipe, text.data(), text.size()) == std::ssize(text), "the pipe is full");
}

void gather_probes(int pipe) {
  std::string text;
  std::array<char, 4096> piece;
  for (ssize_t got = 0; (got = ::read(pipe, piece.data(), piece.size())) > 0;)
    text.append(piece.data(), static_cast<size_t>(got));
  std::istringstream lines(text);
  std::string name;
  uint64_t count = 0;
  while (lines >> name >> count) g_probes[name] += count;
}

// How often each fault struck, and in how many seeds it was drawn; what came of it.
void print_coverage(const Options& options) {
  std::string faults, seen;
  for (const auto& [name, count] : g_probes) {
    if (options.probes) fmt::print("probe {} {}\n", name, count);
    const std::string_view whole = name;
    if (whole.starts_with(kDrawnPrefix)) {
      const std::string fault(whole.substr(kDrawnPrefix.size()));
      faults +=
          fmt::format(" {} {}/{}", fault, g_probes[std::string(kStruckPrefix) + fault], count);
    } else if (whole.starts_with("sim.")) {
      seen += fmt::format(" {} {}", whole.substr(4), count);
    }
  }
  fmt::print("faults, struck/seeds:{}\nseen:{}\n", faults, seen);
}

void share_virtual_time() {
  void* page = ::mmap(nullptr, sizeof *g_virtual_ms, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) std::abort();
  g_virtual_ms = new (page) std::atomic<int64_t>(0);
}

int run_all(const Options& options) {
  const auto began = std::chrono::steady_clock::now();
  std::array<int, 2> pipe;
  if (::pipe(pipe.data()) != 0) std::abort();
  std::set<pid_t> children;
  for (int share = 0; share < options.jobs; ++share) {
    const pid_t child = ::fork();
    if (child == 0) {
      const int status = run_share(share, options);
      tell_probes(pipe[1]);
      std::exit(status);
    }
    children.insert(child);
  }
  bool failed = false;
  while (!children.empty()) {
    int status = 0;
    children.erase(::waitpid(-1, &status, 0));
    failed |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    if (failed && options.stop_early)
      for (pid_t child : children) ::kill(child, SIGKILL);
  }
  ::close(pipe[1]);
  gather_probes(pipe[0]);
  print_coverage(options);
  const std::chrono::duration<double> real = std::chrono::steady_clock::now() - began;
  const double virtual_time = static_cast<double>(*g_virtual_ms) / 1000;
  fmt::print("{} seeds from {}: {}; {:.0f} virtual s in {:.0f} s, {:.0f}:1\n", options.seeds,
             options.from, failed ? "an invariant was violated" : "every invariant held",
             virtual_time, real.count(), virtual_time / real.count());
  return failed ? 1 : 0;
}

bool parse(int count, char** words, Options& options) {
  auto number = [&](int& i, auto& into) {
    if (++i >= count) return false;
    const char* end = words[i] + std::strlen(words[i]);
    return std::from_chars(words[i], end, into).ptr == end;
  };
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    if (word == "--trace") {
      options.trace = true;
    } else if (word == "--brokers") {
      options.brokers = true;
    } else if (word == "--clusters") {
      options.clusters = true;
    } else if (word == "--probes") {
      options.probes = true;
    } else if (word == "--stop-early") {
      options.stop_early = true;
    } else if (word == "--seed" || word == "--from") {
      if (!number(i, options.from)) return false;
    } else if (word == "--seeds") {
      if (!number(i, options.seeds)) return false;
    } else if (word == "--jobs") {
      if (!number(i, options.jobs) || options.jobs < 1) return false;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace
}  // namespace millrace::sim

int main(int count, char** words) {
  using namespace millrace;
  sim::Options options;
  if (!sim::parse(count, words, options)) {
    fmt::print(stderr,
               "usage: millrace-sim [--seed N | --seeds COUNT [--from N] [--jobs N]] "
               "[--brokers | --clusters] [--stop-early] [--trace] [--probes]\n");
    return 2;
  }
  std::signal(SIGABRT, sim::report_abort);
  g_probe_listener = [](const char* name) { ++sim::g_probes[name]; };
  sim::share_virtual_time();
  if (options.seeds > 1) return sim::run_all(options);
  const int status = sim::run_share(0, options);
  if (options.probes) sim::print_coverage(options);
  return status;
}
