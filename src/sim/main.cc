// millrace-sim: runs seeds. `--seed N` runs one and prints its last lines if it fails; `--seeds N`
// runs N seeds from --from on, and every tenth twice (ST6); `--jobs` of them at a time; with
// `--stop-early` the first failure ends the run.
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>

#include "base/probe.h"
#include "sim/scenario.h"

namespace millrace::sim {
namespace {

constexpr uint64_t kTwiceEvery = 10;

struct Options {
  uint64_t from = 1;
  uint64_t seeds = 1;
  int jobs = 1;
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

bool run_seed(uint64_t seed, const Options& options) {
  g_seed = seed;
  const Outcome outcome = run_scenario(seed);
  std::string failure = outcome.failure;
  if (failure.empty() && seed % kTwiceEvery == 0 &&
      run_scenario(seed).trace_hash != outcome.trace_hash)
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
  if (options.probes)
    for (const auto& [name, count] : g_probes) fmt::print("probe {} {}\n", name, count);
  return failed > 0 ? 1 : 0;
}

int run_all(const Options& options) {
  std::set<pid_t> children;
  for (int share = 0; share < options.jobs; ++share) {
    const pid_t child = ::fork();
    if (child == 0) std::exit(run_share(share, options));
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
  fmt::print("{} seeds from {}: {}\n", options.seeds, options.from,
             failed ? "an invariant was violated" : "every invariant held");
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
               "[--stop-early] [--trace] [--probes]\n");
    return 2;
  }
  std::signal(SIGABRT, sim::report_abort);
  g_probe_listener = [](const char* name) { ++sim::g_probes[name]; };
  return options.jobs > 1 ? sim::run_all(options) : sim::run_share(0, options);
}
