#include "client/consumer.h"

#include <utility>

namespace millrace::client {

using core::Fetcher;
using core::Membership;

Consumer::Consumer(Client& client, const core::FetcherOptions& options, ConsumerEvents& events)
    : client_(&client),
      events_(&events),
      options_(options),
      fetcher_(client.metadata(), options),
      alive_(std::make_shared<int>()) {}

Consumer::~Consumer() {
  client_->shard().cancel(fetch_timer_);
  client_->shard().cancel(group_timer_);
}

void Consumer::assign(std::map<TopicPartition, core::StartAt> partitions) {
  run(Fetcher::Event(Fetcher::Assign{std::move(partitions)}));
}

void Consumer::room(bool there) { run(Fetcher::Event(Fetcher::Room{there})); }

void Consumer::join(core::MembershipOptions options) {
  group_ = std::move(options);
  membership_ = std::make_unique<Membership>(group_);
  run(Membership::Event(Membership::Start{}));
}

void Consumer::commit(Membership::Offsets offsets) {
  run(Membership::Event(Membership::Commit{std::move(offsets)}));
}

void Consumer::done_revoking() { run(Membership::Event(Membership::Revoked{})); }

void Consumer::leave() { run(Membership::Event(Membership::Leave{})); }

void Consumer::run(Fetcher::Event event) {
  auto action = fetcher_.resume(std::move(event), client_->shard().clock().now());
  for (auto& each : action.sends) send(std::move(each));
  wanted_.merge(action.refresh);
  if (!wanted_.empty()) refresh();
  wake_at(fetch_timer_, action.wake, &Consumer::tick_fetcher);
  const std::weak_ptr alive(alive_);
  if (!action.records.empty()) events_->records(std::move(action.records));
  for (const auto& each : action.ended)
    if (!alive.expired()) events_->ended(each);
  for (const auto& each : action.problems)
    if (!alive.expired()) events_->problem(each);
}

void Consumer::send(Fetcher::Send send) {
  const auto id = send.id;
  if (auto* fetch = std::get_if<wire::FetchRequest>(&send.request))
    return client_->call(core::Destination::to(send.to, core::Lane::kFetch), std::move(*fetch),
                         while_alive<wire::FetchResponse>([this, id](auto response) {
                           run(Fetcher::Event(Fetcher::Fetched{id, std::move(response)}));
                         }));
  client_->call(core::Destination::to(send.to),
                std::move(std::get<wire::ListOffsetsRequest>(send.request)),
                while_alive<wire::ListOffsetsResponse>([this, id](auto response) {
                  run(Fetcher::Event(Fetcher::Listed{id, std::move(response)}));
                }));
}

void Consumer::refresh() {
  if (std::exchange(refreshing_, true)) return;
  const auto names = std::exchange(wanted_, {});
  client_->refresh({.names = {names.begin(), names.end()}},
                   while_alive<wire::MetadataResponse>([this](auto) {
                     refreshing_ = false;
                     run(Fetcher::Event(Fetcher::MetadataRefreshed{}));
                   }));
}

void Consumer::run(Membership::Event event) {
  if (membership_ == nullptr) return;
  auto action = membership_->resume(std::move(event), client_->shard().clock().now());
  handle(action);
}

void Consumer::handle(Membership::Action& action) {
  if (action.find_coordinator) find_coordinator();
  for (auto& each : action.requests) send(action.to, std::move(each));
  if (action.know) look_up(std::move(*action.know));
  wake_at(group_timer_, action.wake, &Consumer::tick_membership);
  if (!action.revoke.empty()) run(Fetcher::Event(Fetcher::Revoke{action.revoke}));
  if (!action.assigned.empty()) begin_reading(action.assigned);
  const std::weak_ptr alive(alive_);
  if (action.joined) events_->joined(membership_->owned());
  if (!action.revoke.empty() && !alive.expired()) events_->revoked(action.revoke, action.lost);
  if (action.committed && !alive.expired()) events_->committed(*action.committed);
  if (action.failed && !alive.expired()) events_->failed(*action.failed);
  if (action.left && !alive.expired()) events_->left();
}

void Consumer::begin_reading(const std::map<TopicPartition, std::optional<Offset>>& committed) {
  std::map<TopicPartition, core::StartAt> partitions;
  for (const auto& [partition, offset] : committed)
    partitions[partition] =
        offset ? core::StartAt::offset(*offset) : options_.reset.value_or(core::StartAt::latest());
  run(Fetcher::Event(Fetcher::Assign{std::move(partitions)}));
}

template <class Event, class Request>
void Consumer::ask(core::Destination to, Request request, Duration timeout) {
  using Response = core::ResponseOf<Request>;
  core::Call call = core::call_of(std::move(request));
  call.timeout = timeout;
  client_->send(to, std::move(call),
                Client::decoding<Request>(while_alive<Response>([this](Result<Response> response) {
                  run(Membership::Event(Event{std::move(response)}));
                })));
}

void Consumer::send(NodeId to, Membership::Request request) {
  const auto lane = core::Destination::to(to, core::Lane::kGroup);
  if (auto* join = std::get_if<wire::JoinGroupRequest>(&request))
    return ask<Membership::Joined>(lane, std::move(*join), group_.rebalance_timeout + seconds(10));
  if (auto* sync = std::get_if<wire::SyncGroupRequest>(&request))
    return ask<Membership::Synced>(lane, std::move(*sync), group_.rebalance_timeout + seconds(10));
  if (auto* beat = std::get_if<wire::HeartbeatRequest>(&request))
    return ask<Membership::Beaten>(lane, std::move(*beat), {});
  if (auto* fetch = std::get_if<wire::OffsetFetchRequest>(&request))
    return ask<Membership::OffsetsFetched>(lane, std::move(*fetch), {});
  if (auto* commit = std::get_if<wire::OffsetCommitRequest>(&request))
    return ask<Membership::Committed>(lane, std::move(*commit), {});
  // A join may be under way on the other connection, and would have to be waited for.
  client_->call(core::Destination::to(to), std::move(std::get<wire::LeaveGroupRequest>(request)),
                while_alive<wire::LeaveGroupResponse>(
                    [this](auto) { run(Membership::Event(Membership::Left{})); }));
}

void Consumer::find_coordinator() {
  client_->find_coordinator(group_.group, while_alive<core::FoundCoordinator>([this](auto found) {
                              run(Membership::Event(Membership::Coordinator{std::move(found)}));
                            }));
}

void Consumer::look_up(std::set<std::string> topics) {
  Client::Topics wanted{.names = {topics.begin(), topics.end()}};
  client_->refresh(wanted, while_alive<wire::MetadataResponse>([this, topics](auto) {
                     // What could not be asked for is as it was.
                     core::PartitionCounts counts;
                     for (const auto& name : topics) {
                       const auto* topic = client_->metadata().topic(name);
                       counts[name] = topic ? static_cast<int32_t>(topic->partitions.size()) : 0;
                     }
                     run(Membership::Event(Membership::PartitionsKnown{std::move(counts)}));
                   }));
}

void Consumer::wake_at(env::TimerId& timer, std::optional<Instant> when, void (Consumer::*tick)()) {
  env::Shard& shard = client_->shard();
  shard.cancel(std::exchange(timer, env::TimerId::kNone));
  if (!when) return;
  const Duration delay = std::max(Duration{}, *when - shard.clock().now());
  timer = shard.after(delay, [this, tick, weak = std::weak_ptr(alive_)] {
    if (!weak.expired()) (this->*tick)();
  });
}

}  // namespace millrace::client
