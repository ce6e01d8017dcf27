#include "server/connection_rates.h"

#include <algorithm>
#include <charconv>

#include "base/log.h"

namespace millrace::server {
namespace {

constexpr const char* kRate = "max.connection.creation.rate";
constexpr const char* kAddressRate = "connection_creation_rate";
constexpr double kNoLimit = INT32_MAX;
constexpr size_t kManyAddresses = 1024;

double broker_bound(const config::NodeProperties& settings) {
  return static_cast<double>(settings.number(kRate));
}

// Of a listener: its own, else the broker's.
double listener_bound(const config::NodeProperties& settings, std::string_view listener) {
  std::string name = "listener.name.";
  std::ranges::transform(listener, std::back_inserter(name),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto own = settings.values().find(name + "." + kRate);
  int64_t value = 0;
  if (own != settings.values().end()) {
    const std::string& text = own->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && value > 0)
      return static_cast<double>(value);
  }
  return broker_bound(settings);
}

quota::Windows windows_of(const config::NodeProperties& properties) {
  return {.count = properties.number("quota.window.num"),
          .length_ms = properties.number("quota.window.size.seconds") * 1000};
}

}  // namespace

ConnectionRates::ConnectionRates(const config::NodeProperties& properties)
    : windows_(windows_of(properties)),
      inter_broker_listener_(properties.text("inter.broker.listener.name")),
      has_several_listeners_(properties.list("listeners").size() > 1),
      broker_(windows_) {}

ConnectionRates::Verdict ConnectionRates::take(const Arrival& arrival, Instant now) {
  std::lock_guard lock(mutex_);
  follow(arrival.quotas);
  const bool has_rate = broker_bound(arrival.settings) < kNoLimit ||
                        listener_bound(arrival.settings, arrival.listener) < kNoLimit;
  if (!has_rate && !followed_) return {};
  const Millis now_ms = now.since_start / milliseconds(1);
  auto found = listeners_.find(arrival.listener);
  if (found == listeners_.end())
    found = listeners_.emplace(arrival.listener, Listener(windows_)).first;
  Listener& listener = found->second;
  // One after the other: it is looked at when the listener lets the next one in.
  Millis at = std::max(now_ms, listener.open_at);
  if (has_rate) at += wait_for_listener(arrival, listener, at);
  listener.open_at = at;
  const auto address = parse_ip_address(arrival.address);
  if (const auto bound = bound_of(address)) {
    if (addresses_.size() >= kManyAddresses) forget_idle(at);
    quota::Rate& rate = addresses_.try_emplace(*address, windows_).first->second;
    if (const Millis wait = charge(rate, *bound, at); wait > 0) {
      rate.record(-1, at);
      if (has_rate) {
        broker_.record(-1, at);
        listener.rate.record(-1, at);
      }
      return {.wait = milliseconds(at + wait - now_ms), .is_refused = true};
    }
  }
  return {.wait = milliseconds(at - now_ms)};
}

void ConnectionRates::follow(const std::shared_ptr<const metadata::ClientQuotas>& quotas) {
  if (followed_ == quotas) return;
  followed_ = quotas;
  bounds_.clear();
  default_bound_.reset();
  if (!quotas) return addresses_.clear();
  for (const auto& [entity, values] : quotas->all()) {
    const auto whose = entity.find(metadata::kQuotaIp);
    const auto value = values.find(kAddressRate);
    if (whose == entity.end() || value == values.end()) continue;
    if (!whose->second)
      default_bound_ = value->second;
    else if (const auto address = parse_ip_address(*whose->second))
      bounds_[*address] = value->second;
    else
      LOG_WARN("the quota of the address {} has no effect: names are not looked up",
               *whose->second);
  }
}

ConnectionRates::Millis ConnectionRates::charge(quota::Rate& rate, double bound, Millis now) const {
  rate.record(1, now);
  return std::min(rate.throttle_ms(bound, now), windows_.length_ms);
}

// The listener of the brokers is not held to the broker's rate, where clients have another.
ConnectionRates::Millis ConnectionRates::wait_for_listener(const Arrival& arrival,
                                                           Listener& listener, Millis at) {
  const bool is_protected = has_several_listeners_ && arrival.listener == inter_broker_listener_;
  Millis wait = 0;
  if (!is_protected) wait = charge(broker_, broker_bound(arrival.settings), at);
  return std::max(wait,
                  charge(listener.rate, listener_bound(arrival.settings, arrival.listener), at));
}

std::optional<double> ConnectionRates::bound_of(const std::optional<IpAddress>& address) const {
  if (!address) return std::nullopt;
  const auto own = bounds_.find(*address);
  return own == bounds_.end() ? default_bound_ : own->second;
}

void ConnectionRates::forget_idle(Millis now) {
  std::erase_if(addresses_, [now](const auto& each) { return each.second.is_idle(0, now); });
}

}  // namespace millrace::server
