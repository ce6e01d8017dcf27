#include "sim/world.h"

#include <cmath>

#include "base/assert.h"

namespace millrace::sim {
namespace {

constexpr size_t kLinesKept = 1000;

World* g_world = nullptr;  // whose log lines they are

}  // namespace

// SplitMix64.
uint64_t Stream::next() {
  uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

bool Stream::chance(double probability) {
  return static_cast<double>(next() >> 11) * 0x1.0p-53 < probability;
}

int64_t Stream::between(Range range) {
  return range.least +
         static_cast<int64_t>(below(static_cast<uint64_t>(range.most - range.least) + 1));
}

Duration Stream::around(Duration mean) {
  const double unit = static_cast<double>((next() >> 11) + 1) * 0x1.0p-53;
  return Duration(static_cast<int64_t>(-std::log(unit) * static_cast<double>(mean.count())));
}

World::World(uint64_t seed)
    : schedule(seed * 8 + 1),
      network(seed * 8 + 2),
      disk(seed * 8 + 3),
      faults(seed * 8 + 4),
      workload(seed * 8 + 5),
      seed_(seed) {
  ASSERT(g_world == nullptr, "one world at a time");
  g_world = this;
  log::set_sink(take_log_line);
  log::set_level(log::Level::kInfo);
}

World::~World() {
  events_.clear();
  g_world = nullptr;
}

void World::take_log_line(log::Level level, std::string_view line) {
  if (g_world == nullptr) return;
  g_world->note(fmt::format("{} {}", log::level_name(level), line));
  if (level == log::Level::kError && !g_world->errors_expected_)
    g_world->violated("no error line", std::string(line));
}

void World::at(Instant when, Owner owner, env::Work work) {
  if (!is_alive(owner)) return;
  events_.emplace(Key{std::max(when, now_), schedule.next(), ++last_sequence_},
                  Event{owner, std::move(work)});
}

void World::drop(Owner owner) {
  const auto index = static_cast<size_t>(owner);
  if (dead_.size() <= index) dead_.resize(index + 1);
  dead_[index] = true;
  // Destroying one event may add others, which at() refuses by now.
  std::vector<env::Work> dropped;
  const auto held = paused_.extract(owner);
  for (auto event = events_.begin(); event != events_.end();) {
    if (event->second.owner == owner) {
      dropped.push_back(std::move(event->second.work));
      event = events_.erase(event);
    } else {
      ++event;
    }
  }
}

bool World::is_alive(Owner owner) const {
  const auto index = static_cast<size_t>(owner);
  return index >= dead_.size() || !dead_[index];
}

bool World::hold(const Key& key, Event& event) {
  auto paused = paused_.find(event.owner);
  if (paused == paused_.end()) return false;
  paused->second.emplace(key, std::move(event));
  return true;
}

void World::go_on(Owner owner) {
  auto held = paused_.extract(owner);
  if (held.empty()) return;
  for (auto& [key, event] : held.mapped())
    events_.emplace(Key{now_, key.tie, ++last_sequence_}, std::move(event));
}

void World::run_until(Instant until) {
  while (!has_failed() && !events_.empty() && events_.begin()->first.when <= until) {
    auto event = events_.extract(events_.begin());
    now_ = event.key().when;
    if (hold(event.key(), event.mapped())) continue;
    mix(static_cast<uint64_t>(now_.since_start.count()));
    mix(static_cast<uint64_t>(event.mapped().owner));
    event.mapped().work();
    if (++events_run_ > kMaxEvents) violated("ST5", "the seed does not come to rest");
  }
  if (!has_failed()) now_ = until;
}

void World::violated(const std::string& invariant, const std::string& detail) {
  if (has_failed()) return;
  failure_ = invariant + ": " + detail;
  note("VIOLATED " + failure_);
}

void World::note(std::string line) {
  for (char c : line) hash_ = (hash_ ^ static_cast<uint8_t>(c)) * 1099511628211ULL;
  const double seconds_now = std::chrono::duration<double>(now_.since_start).count();
  lines_.push_back(fmt::format("{:10.6f} {}", seconds_now, line));
  if (lines_.size() > kLinesKept) lines_.pop_front();
}

void World::mix(uint64_t value) { hash_ = (hash_ ^ value) * 1099511628211ULL; }

}  // namespace millrace::sim
