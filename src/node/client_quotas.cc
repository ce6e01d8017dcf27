#include "node/client_quotas.h"

namespace millrace::node {
namespace {

int64_t ms_of(Instant now) { return now.since_start / milliseconds(1); }

constexpr int64_t kMsPerSecond = 1000;

quota::Windows windows_of_mutations(const config::NodeProperties& properties) {
  return {.count = properties.number("controller.quota.window.num"),
          .length_ms = properties.number("controller.quota.window.size.seconds") * kMsPerSecond};
}

quota::Windows windows_of_rates(const config::NodeProperties& properties) {
  return {.count = properties.number("quota.window.num"),
          .length_ms = properties.number("quota.window.size.seconds") * kMsPerSecond};
}

}  // namespace

ClientQuotas::ClientQuotas(const config::NodeProperties& properties)
    : mutations_(windows_of_mutations(properties)), exempt_(windows_of_rates(properties)) {
  for (auto& each : rates_) each = std::make_unique<RateMeters>(windows_of_rates(properties));
}

void ClientQuotas::follow(const metadata::ClientQuotas* quotas) {
  for (size_t i = 0; i < quota::kKinds; ++i) {
    const auto kind = static_cast<Kind>(i);
    quota::Limits limits = quotas ? quota::Limits(*quotas, kind) : quota::Limits();
    const bool enabled = !limits.empty();
    if (kind == Kind::kControllerMutation) {
      std::lock_guard lock(mutations_.mutex);
      mutations_.meters.set_limits(std::move(limits));
    } else {
      std::lock_guard lock(rates(kind).mutex);
      rates(kind).meters.set_limits(std::move(limits));
    }
    enabled_[i].store(enabled, std::memory_order_relaxed);
  }
}

// A request's time is charged after the fact: who uses too much waits for one window at most.
Duration ClientQuotas::charge(Kind kind, const Client& client, double value, Instant now) {
  if (!has(kind)) return {};
  RateMeters& here = rates(kind);
  std::lock_guard lock(here.mutex);
  auto& meter = here.meters.of(client, ms_of(now));
  meter.count.record(value, ms_of(now));
  const int64_t wait = meter.count.throttle_ms(meter.bound, ms_of(now));
  return milliseconds(kind == Kind::kRequest ? std::min(wait, here.meters.windows().length_ms)
                                             : wait);
}

void ClientQuotas::refund(Kind kind, const Client& client, double value, Instant now) {
  RateMeters& here = rates(kind);
  std::lock_guard lock(here.mutex);
  here.meters.of(client, ms_of(now)).count.record(-value, ms_of(now));
}

std::optional<double> ClientQuotas::most_at_once(Kind kind, const Client& client, Instant now) {
  if (!has(kind)) return std::nullopt;
  RateMeters& here = rates(kind);
  std::lock_guard lock(here.mutex);
  const quota::Windows& windows = here.meters.windows();
  const double bound = here.meters.of(client, ms_of(now)).bound;
  return bound * static_cast<double>(windows.count - 1) *
         (static_cast<double>(windows.length_ms) / kMsPerSecond);
}

void ClientQuotas::note_exempt_time(double percents, Instant now) {
  std::lock_guard lock(exempt_mutex_);
  exempt_.record(percents, ms_of(now));
}

double ClientQuotas::exempt_time(Instant now) {
  std::lock_guard lock(exempt_mutex_);
  return exempt_.measure(ms_of(now));
}

ClientQuotas::Mutation ClientQuotas::charge_mutation(const Client& client, double partitions,
                                                     bool strict, Instant now) {
  if (!has(Kind::kControllerMutation)) return {};
  std::lock_guard lock(mutations_.mutex);
  auto& meter = mutations_.meters.of(client, ms_of(now));
  if (strict && meter.count.measure(meter.bound, ms_of(now)) < 0)
    return {.is_allowed = false,
            .wait = milliseconds(meter.count.throttle_ms(meter.bound, ms_of(now)))};
  meter.count.take(partitions, meter.bound, ms_of(now));
  if (strict) return {};
  return {.wait = milliseconds(meter.count.throttle_ms(meter.bound, ms_of(now)))};
}

void ClientQuotas::note_throttle(Kind kind, const Client& client, Duration wait, Instant now) {
  if (!has(kind)) return;
  const auto told = static_cast<double>(wait / milliseconds(1));
  auto note = [&](auto& here) {
    std::lock_guard lock(here.mutex);
    here.meters.of(client, ms_of(now)).throttles.record(told, ms_of(now));
  };
  if (kind == Kind::kControllerMutation) return note(mutations_);
  note(rates(kind));
}

std::vector<ClientQuotas::Reading> ClientQuotas::readings(Instant now) {
  std::vector<Reading> readings;
  const int64_t now_ms = ms_of(now);
  auto add = [&](Kind kind, const quota::Tags& tags, double value, quota::Samples& throttles) {
    readings.push_back({.kind = kind,
                        .tags = tags,
                        .value = value,
                        .average_throttle_ms = throttles.average(now_ms)});
  };
  for (size_t i = 0; i < rates_.size(); ++i) {
    std::lock_guard lock(rates_[i]->mutex);
    rates_[i]->meters.each([&](const quota::Tags& tags, auto& meter) {
      add(static_cast<Kind>(i), tags, meter.count.measure(now_ms), meter.throttles);
    });
  }
  std::lock_guard lock(mutations_.mutex);
  mutations_.meters.each([&](const quota::Tags& tags, auto& meter) {
    add(Kind::kControllerMutation, tags, meter.count.measure(meter.bound, now_ms), meter.throttles);
  });
  return readings;
}

}  // namespace millrace::node
