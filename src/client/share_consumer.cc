#include "client/share_consumer.h"

#include <utility>

#include "env/random_uuid.h"

namespace millrace::client {

using core::ShareFetcher;
using core::ShareMembership;

namespace {

ShareConsumer::Options completed(Client& client, ShareConsumer::Options options) {
  if (options.member.member_id.empty())
    options.member.member_id = env::random_uuid(client.shard().random()).to_string();
  options.reading.group = options.member.group;
  options.reading.member_id = options.member.member_id;
  return options;
}

}  // namespace

ShareConsumer::ShareConsumer(Client& client, Options options, ShareConsumerEvents& events)
    : ShareConsumer(client, completed(client, std::move(options)), &events) {
  tell(ShareMembership::Start{});
}

ShareConsumer::ShareConsumer(Client& client, const Options& options, ShareConsumerEvents* events)
    : client_(&client),
      events_(events),
      group_(options.member.group),
      membership_(options.member),
      fetcher_(client.metadata(), options.reading),
      alive_(std::make_shared<int>()) {}

ShareConsumer::~ShareConsumer() {
  client_->shard().cancel(fetch_timer_);
  client_->shard().cancel(group_timer_);
}

void ShareConsumer::acknowledge(ShareFetcher::Acknowledge acknowledgements) {
  run(std::move(acknowledgements));
}

void ShareConsumer::more() { run(ShareFetcher::More{}); }

void ShareConsumer::leave() { run(ShareFetcher::Close{}); }

void ShareConsumer::run(ShareFetcher::Event event) {
  auto action = fetcher_.resume(std::move(event), client_->shard().clock().now());
  for (auto& each : action.sends) send(std::move(each));
  wanted_.merge(action.refresh);
  if (!wanted_.empty()) refresh();
  wake_at(fetch_timer_, action.wake, &ShareConsumer::tick_fetcher);
  const std::weak_ptr alive(alive_);
  for (const auto& each : action.acknowledged)
    if (!alive.expired()) events_->acknowledged(each);
  if (!action.records.empty() && !alive.expired()) events_->records(std::move(action.records));
  for (const auto& each : action.problems)
    if (!alive.expired()) events_->problem(each);
  if (action.failed && !alive.expired()) events_->failed(*action.failed);
  if (action.closed && !alive.expired()) tell(ShareMembership::Leave{});
}

void ShareConsumer::tell(ShareMembership::Event event) {
  auto action = membership_.resume(std::move(event), client_->shard().clock().now());
  if (action.find_coordinator)
    client_->find_coordinator(group_, while_alive<core::FoundCoordinator>([this](auto found) {
                                tell(ShareMembership::Coordinator{std::move(found)});
                              }));
  if (action.request) beat(action.to, std::move(*action.request));
  if (!action.resolve.empty()) look_up(action.resolve);
  wake_at(group_timer_, action.wake, &ShareConsumer::tick_member);
  const std::weak_ptr alive(alive_);
  if (action.assignment) run(ShareFetcher::Assign{std::move(*action.assignment)});
  if (action.failed && !alive.expired()) events_->failed(*action.failed);
  if (action.left && !alive.expired()) events_->left();
}

void ShareConsumer::beat(NodeId to, wire::ShareGroupHeartbeatRequest request) {
  client_->call(core::Destination::to(to, core::Lane::kGroup), std::move(request),
                while_alive<wire::ShareGroupHeartbeatResponse>(
                    [this](auto response) { tell(ShareMembership::Beaten{std::move(response)}); }));
}

template <class Event, class Request>
void ShareConsumer::ask(const ShareFetcher::Send& send, Request request) {
  client_->call(core::Destination::to(send.to, core::Lane::kFetch), std::move(request),
                while_alive<core::ResponseOf<Request>>(
                    [this, id = send.id](auto response) { run(Event{id, std::move(response)}); }));
}

// All on one connection: a session's requests are answered in their order.
void ShareConsumer::send(ShareFetcher::Send send) {
  if (auto* fetch = std::get_if<wire::ShareFetchRequest>(&send.request))
    return ask<ShareFetcher::Fetched>(send, std::move(*fetch));
  ask<ShareFetcher::Acknowledged>(send,
                                  std::move(std::get<wire::ShareAcknowledgeRequest>(send.request)));
}

void ShareConsumer::look_up(const std::set<Uuid>& topics) {
  Client::Topics wanted{.ids = {topics.begin(), topics.end()}};
  client_->refresh(wanted, while_alive<wire::MetadataResponse>([this, topics](auto) {
                     tell(ShareMembership::NamesKnown{client_->metadata().names_of(topics)});
                   }));
}

void ShareConsumer::refresh() {
  if (std::exchange(refreshing_, true)) return;
  const auto names = std::exchange(wanted_, {});
  client_->refresh({.names = {names.begin(), names.end()}},
                   while_alive<wire::MetadataResponse>([this](auto) {
                     refreshing_ = false;
                     run(ShareFetcher::MetadataRefreshed{});
                   }));
}

void ShareConsumer::wake_at(env::TimerId& timer, std::optional<Instant> when,
                            void (ShareConsumer::*tick)()) {
  env::Shard& shard = client_->shard();
  shard.cancel(std::exchange(timer, env::TimerId::kNone));
  if (!when) return;
  const Duration delay = std::max(Duration{}, *when - shard.clock().now());
  timer = shard.after(delay, [this, tick, weak = std::weak_ptr(alive_)] {
    if (!weak.expired()) (this->*tick)();
  });
}

}  // namespace millrace::client
