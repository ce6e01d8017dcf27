#include "node/controller_channel.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "wire/envelope.h"

namespace millrace::node {
namespace {

constexpr Duration kPause = milliseconds(50);  // before the next attempt

}  // namespace

ControllerChannel::ControllerChannel(env::Host& host, const config::NodeProperties& properties,
                                     ControllerHost& controller)
    : host_(&host), properties_(&properties), controller_(&controller) {
  controller.when_moved([this] { moved(); });
}

ControllerChannel::Lane ControllerChannel::lane_of(wire::ApiKey api) {
  switch (api) {
    case wire::ApiKey::kBrokerRegistration:
    case wire::ApiKey::kBrokerHeartbeat: return Lane::kLife;
    case wire::ApiKey::kAlterPartition:
    case wire::ApiKey::kAssignReplicasToDirs: return Lane::kPartitions;
    default: return Lane::kOthers;
  }
}

void ControllerChannel::begin(Question question, Duration timeout) {
  auto shared = std::make_shared<Question>(std::move(question));
  open_.push_back(shared);
  shared->timeout =
      host_->shard(0).after(timeout, [this, weak = std::weak_ptr<void>(alive_), shared, timeout] {
        if (weak.expired()) return;
        std::string why = controller_->driver().what_is_missing();
        if (why.empty()) why = shared->last_failure;
        end(shared, fail(Errc::kTimedOut,
                         fmt::format("no answer of an active controller within {} ms{}",
                                     std::chrono::duration_cast<milliseconds>(timeout).count(),
                                     why.empty() ? "" : ": " + why)));
      });
  attempt(shared);
}

void ControllerChannel::end(const std::shared_ptr<Question>& question, Result<> outcome) {
  if (std::erase(open_, question) == 0) return;
  host_->shard(0).cancel(question->timeout);
  host_->shard(0).post([finish = std::move(question->finish),
                        outcome = std::move(outcome)]() mutable { finish(std::move(outcome)); });
}

// Whoever waits for a controller that is one no more need not wait until its timeout.
void ControllerChannel::moved() {
  const RaftDriver& driver = controller_->driver();
  const Leader now{driver.leader(), driver.epoch(), controller_->is_active()};
  if (now == leader_) return;
  leader_ = now;
  links_.clear();
  controller_versions_.store(nullptr);
  for (const auto& question : Open(open_)) attempt(question);
}

void ControllerChannel::attempt(const std::shared_ptr<Question>& question) {
  question->attempt = ++last_attempt_;
  if (controller_->is_active() && question->decide) return decide_here(question);
  ask_leader(question);
}

void ControllerChannel::decide_here(const std::shared_ptr<Question>& question) {
  controller_->submit({.decide =
                           [this, question](controller::Controller& controller) {
                             return question->decide(controller, controller_->position());
                           },
                       .done =
                           [this, weak = std::weak_ptr<void>(alive_), question,
                            attempt = question->attempt](Result<> committed) {
                             if (weak.expired() || attempt != question->attempt) return;
                             if (committed) return end(question, {});
                             try_later(question, committed.error().message);
                           },
                       .shard = &host_->shard(0)});
}

std::shared_ptr<client::Link> ControllerChannel::link_to(const env::Address& address, Lane lane) {
  LinkTo& to = links_[lane];
  if (to.link && !to.link->over() && to.address == address) return to.link;
  const Duration timeout = milliseconds(properties_->number("controller.socket.timeout.ms"));
  to = {address, open_peer_link(*host_, host_->shard(0),
                                {.address = address,
                                 .client_id = fmt::format("broker-{}-to-controller",
                                                          properties_->number("node.id")),
                                 .connect_timeout = timeout,
                                 .request_timeout = timeout,
                                 .owner = alive_})};
  to.link->when_ready([this, weak = std::weak_ptr(to.link), lane](Result<> ready) {
    const auto link = weak.lock();
    if (ready && link && links_[lane].link == link)
      controller_versions_.store(std::make_shared<const wire::ApiVersionsResponse>(link->broker()));
  });
  return to.link;
}

void ControllerChannel::ask_leader(const std::shared_ptr<Question>& question) {
  const RaftDriver& driver = controller_->driver();
  const NodeId leader = driver.leader();
  if (leader == kNoNode) return try_later(question, "the quorum has no leader");
  const auto address = driver.address_of(leader);
  if (!address)
    return try_later(question, fmt::format("the address of controller {} is not known", leader));
  link_to(*address, question->lane)
      ->submit(question->call(),
               [this, question, attempt = question->attempt](Result<client::core::Answer> answer) {
                 if (attempt == question->attempt) answered(question, std::move(answer));
               });
}

void ControllerChannel::answered(const std::shared_ptr<Question>& question,
                                 Result<client::core::Answer> answer) {
  if (!answer) return try_later(question, answer.error().message);
  auto code = question->take(*answer);
  if (!code) return end(question, std::unexpected(std::move(code).error()));
  if (*code == wire::ErrorCode::kNotController)
    return try_later(question, "the controller has moved");
  end(question, {});
}

void ControllerChannel::try_later(const std::shared_ptr<Question>& question, std::string why) {
  question->last_failure = std::move(why);
  host_->shard(0).after(
      kPause, [this, weak = std::weak_ptr<void>(alive_), question, attempt = question->attempt] {
        if (weak.expired() || attempt != question->attempt) return;
        if (std::ranges::find(open_, question) != open_.end()) this->attempt(question);
      });
}

void ControllerChannel::forward(ForwardedRequest request, Duration timeout,
                                client::Done<ByteBuffer> done) {
  struct Exchange {
    ForwardedRequest request;
    ByteBuffer body;
  };
  auto exchange = std::make_shared<Exchange>(Exchange{std::move(request), {}});
  begin({.lane = Lane::kOthers,
         .call =
             [exchange] {
               wire::EnvelopeRequest envelope;
               envelope.request_data = exchange->request.frame;
               envelope.request_principal = exchange->request.principal;
               envelope.client_host_address = exchange->request.client_address;
               return peer_call(std::move(envelope), {0, 0});
             },
         .decide = {},
         .take = [exchange](const client::core::Answer& answer) -> Result<wire::ErrorCode> {
           ASSIGN_OR_RETURN(auto envelope,
                            wire::decode<wire::EnvelopeResponse>(answer.body, answer.version));
           const auto code = static_cast<wire::ErrorCode>(envelope.error_code);
           if (code == wire::ErrorCode::kNotController) return code;
           if (code == wire::ErrorCode::kUnsupportedVersion)
             return fail(Errc::kUnsupported, "the controller cannot read the request");
           if (code != wire::ErrorCode::kNone || !envelope.response_data)
             return fail(Errc::kInvalid, fmt::format("the controller refuses to answer: {}",
                                                     wire::error_name(code)));
           exchange->body = std::move(*envelope.response_data);
           return code;
         },
         .finish =
             [exchange, done = std::move(done)](Result<> outcome) mutable {
               if (!outcome) return done(std::unexpected(std::move(outcome).error()));
               done(std::move(exchange->body));
             }},
        timeout);
}

}  // namespace millrace::node
