#include "client/consumer.h"

#include <concepts>
#include <utility>

#include "env/random_uuid.h"

namespace millrace::client {

using core::ConsumerMembership;
using core::Fetcher;
using core::GroupVocabulary;
using core::Membership;

template <class Member, class Event>
concept Knows = std::constructible_from<typename Member::Event, Event>;

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

void Consumer::unassign(std::vector<TopicPartition> partitions) {
  run(Fetcher::Event(Fetcher::Revoke{std::move(partitions)}));
}

void Consumer::seek(const TopicPartition& partition, core::StartAt start) {
  const bool in_group = !std::holds_alternative<std::monostate>(member_);
  if (in_group && !fetcher_.reads(partition)) {
    if (!owned().contains(partition)) return;
    sought_.insert(partition);
  }
  assign({{partition, start}});
}

void Consumer::pause(std::vector<TopicPartition> partitions, bool paused) {
  run(Fetcher::Event(Fetcher::Pause{std::move(partitions), paused}));
}

void Consumer::room(bool there) { run(Fetcher::Event(Fetcher::Room{there})); }

void Consumer::join(core::MembershipOptions options) {
  group_ = options.group;
  join_patience_ = options.rebalance_timeout + seconds(10);
  member_.emplace<Membership>(std::move(options));
  tell(GroupVocabulary::Start{});
}

void Consumer::join(core::ConsumerMembershipOptions options) {
  group_ = options.group;
  if (options.member_id.empty())
    options.member_id = env::random_uuid(client_->shard().random()).to_string();
  member_.emplace<ConsumerMembership>(std::move(options));
  tell(GroupVocabulary::Start{});
}

void Consumer::commit(GroupVocabulary::Offsets offsets) {
  tell(GroupVocabulary::Commit{std::move(offsets)});
}

void Consumer::done_revoking() { tell(GroupVocabulary::Revoked{}); }

void Consumer::leave() {
  const std::weak_ptr alive(alive_);
  stop_reading();
  if (!alive.expired()) tell(GroupVocabulary::Leave{});
}

void Consumer::tick_member() { tell(GroupVocabulary::Tick{}); }

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

template <class Event>
void Consumer::tell(Event event) {
  std::visit(
      [&]<class Member>(Member& member) {
        if constexpr (Knows<Member, Event>) {
          auto action = member.resume(std::move(event), client_->shard().clock().now());
          follow(action);
        }
      },
      member_);
}

void Consumer::follow(Membership::Action& action) {
  if (action.find_coordinator) find_coordinator();
  for (auto& each : action.requests) send<Membership>(action.to, std::move(each));
  if (action.know) look_up(std::move(*action.know));
  spread(action);
}

void Consumer::follow(ConsumerMembership::Action& action) {
  if (action.find_coordinator) find_coordinator();
  for (auto& each : action.requests) send<ConsumerMembership>(action.to, std::move(each));
  if (!action.resolve.empty()) look_up(action.resolve);
  spread(action);
}

void Consumer::spread(const GroupVocabulary::News& news) {
  wake_at(group_timer_, news.wake, &Consumer::tick_member);
  for (const auto& each : news.revoke) sought_.erase(each);
  if (!news.revoke.empty()) run(Fetcher::Event(Fetcher::Revoke{news.revoke}));
  if (!news.assigned.empty()) begin_reading(news.assigned);
  if (news.failed) stop_reading();
  const std::weak_ptr alive(alive_);
  if (news.joined) events_->joined(owned());
  if (!news.revoke.empty() && !alive.expired()) events_->revoked(news.revoke, news.lost);
  if (news.committed && !alive.expired()) events_->committed(*news.committed);
  if (news.failed && !alive.expired()) events_->failed(*news.failed);
  if (news.left && !alive.expired()) events_->left();
}

std::set<TopicPartition> Consumer::owned() const {
  if (const auto* classic = std::get_if<Membership>(&member_)) return classic->owned();
  if (const auto* member = std::get_if<ConsumerMembership>(&member_)) return member->owned();
  return {};
}

Consumer::Identity Consumer::identity() const {
  if (const auto* classic = std::get_if<Membership>(&member_))
    return {classic->member_id(), classic->generation().value()};
  if (const auto* member = std::get_if<ConsumerMembership>(&member_))
    return {member->member_id(), member->epoch()};
  return {};
}

void Consumer::stop_reading() {
  const auto partitions = owned();
  if (!partitions.empty())
    run(Fetcher::Event(Fetcher::Revoke{{partitions.begin(), partitions.end()}}));
}

void Consumer::begin_reading(const std::map<TopicPartition, std::optional<Offset>>& committed) {
  std::map<TopicPartition, core::StartAt> partitions;
  std::vector<core::Fetcher::Problem> problems;
  for (const auto& [partition, offset] : committed) {
    if (sought_.erase(partition) > 0) continue;
    if (offset)
      partitions[partition] = core::StartAt::offset(*offset);
    else if (options_.reset)
      partitions[partition] = *options_.reset;
    else
      problems.push_back(
          {partition,
           {Errc::kNotFound,
            fmt::format("group '{}' has no committed offset of {}, and nothing says where to begin",
                        group_, partition.to_string())},
           wire::ErrorCode::kOffsetOutOfRange});
  }
  const std::weak_ptr alive(alive_);
  run(Fetcher::Event(Fetcher::Assign{std::move(partitions)}));
  for (const auto& each : problems)
    if (!alive.expired()) events_->problem(each);
}

template <class Event, class Request>
void Consumer::ask(core::Destination to, Request request, Duration timeout) {
  using Response = core::ResponseOf<Request>;
  core::Call call = core::call_of(std::move(request));
  call.timeout = timeout;
  client_->send(to, std::move(call),
                Client::decoding<Request>(while_alive<Response>(
                    [this](Result<Response> response) { tell(Event{std::move(response)}); })));
}

template <class Member>
void Consumer::send(NodeId to, typename Member::Request request) {
  const auto lane = core::Destination::to(to, core::Lane::kGroup);
  std::visit(
      [&]<class Request>(Request& each) {
        if constexpr (std::same_as<Request, wire::JoinGroupRequest>)
          ask<Membership::Joined>(lane, std::move(each), join_patience_);
        else if constexpr (std::same_as<Request, wire::SyncGroupRequest>)
          ask<Membership::Synced>(lane, std::move(each), join_patience_);
        else if constexpr (std::same_as<Request, wire::OffsetFetchRequest>)
          ask<GroupVocabulary::OffsetsFetched>(lane, std::move(each), {});
        else if constexpr (std::same_as<Request, wire::OffsetCommitRequest>)
          ask<GroupVocabulary::Committed>(lane, std::move(each), {});
        else if constexpr (std::same_as<Request, wire::LeaveGroupRequest>)
          // A join may be under way on the other connection, and would have to be waited for.
          client_->call(
              core::Destination::to(to), std::move(each),
              while_alive<wire::LeaveGroupResponse>([this](auto) { tell(Membership::Left{}); }));
        else
          ask<typename Member::Beaten>(lane, std::move(each), {});
      },
      request);
}

void Consumer::find_coordinator() {
  client_->find_coordinator(group_, while_alive<core::FoundCoordinator>([this](auto found) {
                              tell(GroupVocabulary::Coordinator{std::move(found)});
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
                     tell(Membership::PartitionsKnown{std::move(counts)});
                   }));
}

void Consumer::look_up(const std::set<Uuid>& topics) {
  Client::Topics wanted{.ids = {topics.begin(), topics.end()}};
  client_->refresh(wanted, while_alive<wire::MetadataResponse>([this, topics](auto) {
                     tell(ConsumerMembership::NamesKnown{client_->metadata().names_of(topics)});
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
