#include "node/broker_lifecycle.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "env/random_uuid.h"
#include "metadata/features.h"

namespace millrace::node {
namespace {

using wire::ErrorCode;

constexpr Duration kRegisterAgain = milliseconds(200);
constexpr Duration kSoon = milliseconds(20);        // while something is expected to change
constexpr Duration kLastWord = milliseconds(1500);  // for an active controller to be found

// What another attempt would not change.
bool is_final(ErrorCode code) {
  return code == ErrorCode::kInconsistentClusterId || code == ErrorCode::kUnsupportedVersion ||
         code == ErrorCode::kInvalidRegistration || code == ErrorCode::kBrokerIdNotRegistered ||
         code == ErrorCode::kClusterAuthorizationFailed;
}

}  // namespace

wire::BrokerRegistrationRequest BrokerLifecycle::registration() const {
  const BrokerIdentity& identity = parts_.identity;
  wire::BrokerRegistrationRequest request{.broker_id = identity.id.value(),
                                          .cluster_id = identity.cluster_id,
                                          .incarnation_id = incarnation_,
                                          .rack = identity.rack,
                                          .log_dirs = identity.log_dirs};
  request.previous_broker_epoch = epoch_ >= 0 ? epoch_.load() : identity.previous_epoch.value();
  for (const auto& e : identity.listeners)
    request.listeners.push_back({.name = e.listener,
                                 .host = e.host,
                                 .port = e.port,
                                 .security_protocol = e.security_protocol});
  for (const auto& f : metadata::supported_features())
    request.features.push_back(
        {.name = f.name, .min_supported_version = f.least, .max_supported_version = f.most});
  return request;
}

wire::BrokerHeartbeatRequest BrokerLifecycle::heartbeat() const {
  wire::BrokerHeartbeatRequest request{
      .broker_id = parts_.identity.id.value(),
      .broker_epoch = epoch_,
      .current_metadata_offset = parts_.metadata_end().value() - 1};
  request.want_fence = state_ == State::kRegistered;
  request.want_shut_down = state_ == State::kLeaving;
  request.offline_log_dirs = parts_.offline_log_dirs();
  return request;
}

void BrokerLifecycle::start() {
  incarnation_ = random_uuid(parts_.shard->random());
  do_register();
}

void BrokerLifecycle::do_register() {
  if (state_ == State::kNew) state_ = State::kRegistering;
  parts_.channel->ask(registration(), parts_.session_timeout,
                      [this](auto response) { registered(std::move(response)); });
}

void BrokerLifecycle::register_later(const std::string& why) {
  if (complaint_ != why) LOG_WARN("this broker is not registered: {}", why);
  complaint_ = why;
  parts_.shard->after(kRegisterAgain, [this] {
    if (state_ != State::kLeft) do_register();
  });
}

void BrokerLifecycle::registered(Result<wire::BrokerRegistrationResponse> response) {
  if (state_ == State::kLeft) return;
  if (!response) return register_later(response.error().message);
  const auto code = static_cast<ErrorCode>(response->error_code);
  if (code != ErrorCode::kNone) {
    std::string why =
        fmt::format("the controller refuses to register this broker: {}", wire::error_name(code));
    if (code == ErrorCode::kDuplicateBrokerRegistration)
      why += fmt::format(
          "; another one runs with node.id={}: give this one another id, or stop that "
          "one; it is tried again until then",
          parts_.identity.id);
    if (is_final(code) && state_ == State::kRegistering)
      return events_.refused({Errc::kInvalid, why});
    return register_later(why);
  }
  complaint_.clear();
  epoch_ = response->broker_epoch;
  events_.accepted(BrokerEpoch(epoch_));
  if (state_ != State::kRegistering) return beat();
  state_ = State::kRegistered;
  beat_later(parts_.heartbeat_interval);
  follow(*parts_.image());
}

// Its own record says that the image is at least as new as the registration.
void BrokerLifecycle::follow(const metadata::Image& image) {
  const metadata::Broker* self = image.find_broker(parts_.identity.id);
  if (self == nullptr || self->epoch.value() < epoch_) return;
  if (state_ == State::kRegistered) {
    state_ = State::kServing;
    events_.registered();
    return beat();
  }
  if (state_ == State::kServing && !self->fenced && !std::exchange(was_unfenced_, true))
    events_.unfenced();
  if (state_ == State::kServing) speak_for_leavers(image);
}

// A broker that leaves is let go when all others have said, by a heartbeat, that they know who
// leads in its place: that does not wait for the next one's time.
void BrokerLifecycle::speak_for_leavers(const metadata::Image& image) {
  const auto leavers =
      static_cast<size_t>(std::ranges::count_if(image.brokers(), [](const auto& each) {
        return each.second.in_controlled_shutdown && !each.second.fenced;
      }));
  if (std::exchange(leavers_, leavers) < leavers) speak();
}

void BrokerLifecycle::speak() {
  if (beating_)
    owes_beat_ = true;
  else
    beat();
}

void BrokerLifecycle::beat_later(Duration pause) {
  parts_.shard->cancel(next_beat_);
  next_beat_ = parts_.shard->after(pause, [this] { beat(); });
}

void BrokerLifecycle::beat() {
  if (beating_ || state_ == State::kLeft || epoch_ < 0) return;
  beating_ = true;
  parts_.shard->cancel(next_beat_);
  const Duration timeout = state_ == State::kLeaving ? kLastWord : parts_.session_timeout;
  parts_.channel->ask(heartbeat(), timeout, [this, beat = ++last_beat_](auto response) {
    if (beat != last_beat_ || state_ == State::kLeft) return;
    beating_ = false;
    beaten(std::move(response));
  });
}

void BrokerLifecycle::beaten(Result<wire::BrokerHeartbeatResponse> response) {
  if (!response && state_ == State::kLeaving) {
    LOG_WARN("this broker goes unnoticed: {}", response.error().message);
    return finish_leaving();
  }
  if (!response) {
    LOG_WARN("no heartbeat reached the controller: {}", response.error().message);
    return beat_later(kSoon);
  }
  const auto code = static_cast<ErrorCode>(response->error_code);
  if (code == ErrorCode::kStaleBrokerEpoch || code == ErrorCode::kBrokerIdNotRegistered)
    return do_register();  // somebody unregistered this broker, or registered another in its place
  if (code != ErrorCode::kNone) {
    LOG_WARN("heartbeat: {}", wire::error_name(code));
    return beat_later(parts_.heartbeat_interval);
  }
  if (state_ == State::kLeaving)
    return response->should_shut_down ? finish_leaving() : beat_later(kSoon);
  if (std::exchange(owes_beat_, false)) return beat();
  beat_later(response->is_fenced ? kSoon : parts_.heartbeat_interval);
}

void BrokerLifecycle::leave(Duration at_most, std::function<void()> left) {
  left_ = std::move(left);
  if (epoch_ < 0) return finish_leaving();
  state_ = State::kLeaving;
  beating_ = false;  // what is under way was said by a broker that stays
  deadline_ = parts_.shard->after(at_most, [this] {
    LOG_WARN("the controller has not let this broker go in time: it goes all the same");
    finish_leaving();
  });
  beat();
}

void BrokerLifecycle::finish_leaving() {
  if (state_ == State::kLeft) return;
  state_ = State::kLeft;
  parts_.shard->cancel(deadline_);
  parts_.shard->cancel(next_beat_);
  left_();
}

}  // namespace millrace::node
