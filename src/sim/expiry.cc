#include "sim/expiry.h"

#include "base/probe.h"
#include "wire/consumer_protocol.h"
#include "wire/create_topics.h"
#include "wire/errors.h"
#include "wire/join_group.h"
#include "wire/leave_group.h"
#include "wire/offset_commit.h"
#include "wire/offset_fetch.h"
#include "wire/sync_group.h"

namespace millrace::sim {
namespace {

template <class Request>
constexpr int16_t kVersion = 0;
template <>
constexpr int16_t kVersion<wire::CreateTopicsRequest> = 7;
template <>
constexpr int16_t kVersion<wire::JoinGroupRequest> = 3;
template <>
constexpr int16_t kVersion<wire::SyncGroupRequest> = 1;
template <>
constexpr int16_t kVersion<wire::LeaveGroupRequest> = 1;
template <>
constexpr int16_t kVersion<wire::OffsetCommitRequest> = 7;
template <>
constexpr int16_t kVersion<wire::OffsetFetchRequest> = 5;
constexpr const char* kGroup = "expiring";
constexpr const char* kSimpleGroup = "simple";
constexpr const char* kOtherTopic = "unread";
constexpr int64_t kOffset = 7;
constexpr Duration kPause = milliseconds(100);
constexpr int32_t kSessionMs = 120'000;  // no heartbeat is needed meanwhile

}  // namespace

Expiry::Expiry(const Site& site, std::string topic)
    : host_(site.host), client_(site, "expiry"), topic_(std::move(topic)) {}

void Expiry::await_check(const Stage& stage, const std::string& when, Expected expected) {
  if (host_->world().has_failed()) return;
  bool done = false;
  check(when, expected, [&] { done = true; });
  stage.await("committed offsets cannot be read", [&] { return done; });
}

void Expiry::run(const Stage& stage) {
  bool done = false;
  commit([&] { done = true; });
  stage.await("offsets cannot be committed", [&] { return done; });
  stage.age();
  await_check(stage, "before the retention is over", {true, true, true});
  stage.age();
  await_check(stage, "while there is a member", {true, false, false});
  if (host_->world().has_failed()) return;
  done = false;
  leave([&] { done = true; });
  stage.await("a group cannot be left", [&] { return done; });
  if (host_->world().has_failed()) return;
  stage.restart();
  await_check(stage, "after a restart", {true, false, false});
  stage.age();
  await_check(stage, "soon after the last member left", {true, false, false});
  stage.age();
  await_check(stage, "when the retention is over", {false, false, false});
  PROBE("sim.offsets_expired");
}

template <class Response, class Request>
void Expiry::ask(const Client::Place& place, const Request& request,
                 std::function<bool(const Response&)> taken) {
  client_.call<Response>(
      place, request, kVersion<Request>, [this, place, request, taken](Result<Response> response) {
        if (response && taken(*response)) return;
        client_.doubt(place);
        host_->shard(0).after(kPause, [=, this] { ask<Response>(place, request, taken); });
      });
}

void Expiry::commit(Done done) {
  make_other_topic([=, this] {
    join([=, this] {
      sync([=, this] {
        commit_to(kGroup, topic_, [=, this] {
          commit_to(kGroup, kOtherTopic, [=, this] { commit_to(kSimpleGroup, topic_, done); });
        });
      });
    });
  });
}

void Expiry::make_other_topic(Done done) {
  wire::CreateTopicsRequest request;
  request.topics.push_back({.name = kOtherTopic, .num_partitions = 1, .replication_factor = 1});
  ask<wire::CreateTopicsResponse>(Client::AnyBroker{}, request, [done](const auto& response) {
    const auto code = static_cast<wire::ErrorCode>(response.topics.at(0).error_code);
    if (code != wire::ErrorCode::kNone && code != wire::ErrorCode::kTopicAlreadyExists)
      return false;
    done();
    return true;
  });
}

void Expiry::join(Done done) {
  wire::JoinGroupRequest request{.group_id = kGroup,
                                 .session_timeout_ms = kSessionMs,
                                 .rebalance_timeout_ms = 5000,
                                 .protocol_type = "consumer"};
  wire::ConsumerProtocolSubscription subscription{.topics = {topic_}};
  request.protocols.push_back({.name = "range", .metadata = wire::encode_value(subscription, 0)});
  ask<wire::JoinGroupResponse>(Client::CoordinatorOf{kGroup}, request,
                               [this, done](const auto& response) {
                                 if (response.error_code != 0) return false;
                                 member_id_ = response.member_id;
                                 generation_ = response.generation_id;
                                 done();
                                 return true;
                               });
}

void Expiry::sync(Done done) {
  wire::SyncGroupRequest request{
      .group_id = kGroup, .generation_id = generation_, .member_id = member_id_};
  request.assignments.push_back(
      {.member_id = member_id_,
       .assignment = wire::encode_value(wire::ConsumerProtocolAssignment{}, 0)});
  ask<wire::SyncGroupResponse>(Client::CoordinatorOf{kGroup}, request,
                               [done](const auto& response) {
                                 if (response.error_code != 0) return false;
                                 done();
                                 return true;
                               });
}

void Expiry::commit_to(const std::string& group, const std::string& topic, Done done) {
  wire::OffsetCommitRequest request{.group_id = group};
  if (group == kGroup) {
    request.generation_id_or_member_epoch = generation_;
    request.member_id = member_id_;
  }
  request.topics.push_back({.name = topic});
  request.topics[0].partitions.push_back({.partition_index = 0, .committed_offset = kOffset});
  ask<wire::OffsetCommitResponse>(Client::CoordinatorOf{group}, request,
                                  [done](const auto& response) {
                                    if (response.topics.at(0).partitions.at(0).error_code != 0)
                                      return false;
                                    done();
                                    return true;
                                  });
}

void Expiry::leave(Done done) {
  wire::LeaveGroupRequest request{.group_id = kGroup, .member_id = member_id_};
  ask<wire::LeaveGroupResponse>(
      Client::CoordinatorOf{kGroup}, request, [done](const auto& response) {
        const auto code = static_cast<wire::ErrorCode>(response.error_code);
        if (code != wire::ErrorCode::kNone && code != wire::ErrorCode::kUnknownMemberId)
          return false;
        done();
        return true;
      });
}

void Expiry::check(const std::string& when, Expected expected, Done done) {
  check_one(kGroup, topic_, expected.subscribed, [=, this] {
    check_one(kGroup, kOtherTopic, expected.unsubscribed, [=, this] {
      check_one(kSimpleGroup, topic_, expected.simple, [=, this] {
        host_->world().note("offsets are as they should be " + when);
        done();
      });
    });
  });
}

void Expiry::check_one(const std::string& group, const std::string& topic, bool expected,
                       Done done) {
  wire::OffsetFetchRequest request{.group_id = group};
  request.topics->push_back({.name = topic, .partition_indexes = {0}});
  ask<wire::OffsetFetchResponse>(
      Client::CoordinatorOf{group}, request, [=, this](const auto& response) {
        if (response.error_code != 0) return false;
        const int64_t found = response.topics.at(0).partitions.at(0).committed_offset;
        if (found != (expected ? kOffset : -1))
          host_->world().violated(
              "GR7", fmt::format("the offset of group {} in {} is {}, though it {}", group, topic,
                                 found, expected ? "must not expire yet" : "has expired"));
        done();
        return true;
      });
}

}  // namespace millrace::sim
