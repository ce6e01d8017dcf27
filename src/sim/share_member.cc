#include "sim/share_member.h"

#include "wire/errors.h"

namespace millrace::sim {
namespace {

constexpr int16_t kHeartbeatVersion = 1;
constexpr int16_t kMetadataVersion = 12;
constexpr Duration kHeartbeatInterval = milliseconds(500);
constexpr Duration kSomeTime = seconds(2);  // then it asks who leads, whatever it knows
constexpr double kLeaveChance = 0.02;       // at each heartbeat
constexpr int32_t kLeavingEpoch = -1;

}  // namespace

ShareMember::ShareMember(const Site& site, ShareReading reading, std::string topic)
    : site_(site),
      host_(site.host),
      reading_(std::move(reading)),
      topic_(std::move(topic)),
      client_(site, "share-member"),
      dice_(host_->world().workload.next()),
      member_id_(fresh_id()) {}

std::string ShareMember::fresh_id() {
  return Uuid::of_words({dice_.next(), dice_.next()}).to_string();
}

void ShareMember::finish() {
  is_finishing_ = true;
  for (auto& [broker, session] : sessions_) session->finish();
}

// --- The group.

void ShareMember::join() {
  epoch_ = 0;
  tells_all_ = true;
  beat(++round_);
}

void ShareMember::beat(uint64_t round) {
  if (round != round_) return;
  if (epoch_ > 0 && !is_finishing_ && dice_.chance(kLeaveChance))
    return go(dice_.chance(0.5) ? ShareSession::Leaving::kSaysSo : ShareSession::Leaving::kIsGone);
  send(epoch_, round);
}

void ShareMember::send(int32_t epoch, uint64_t round) {
  wire::ShareGroupHeartbeatRequest request{
      .group_id = reading_.group, .member_id = member_id_, .member_epoch = epoch};
  if (tells_all_) request.subscribed_topic_names = {topic_};
  client_.call<Beat>(coordinator(), request, kHeartbeatVersion,
                     [this, round](const Result<Beat>& answer) {
                       if (round == round_) answered(answer, round);
                     });
}

void ShareMember::answered(const Result<Beat>& answer, uint64_t round) {
  using wire::ErrorCode;
  const auto code = answer ? static_cast<ErrorCode>(answer->error_code) : ErrorCode::kNone;
  const bool is_elsewhere = code == ErrorCode::kNotCoordinator ||
                            code == ErrorCode::kCoordinatorNotAvailable ||
                            code == ErrorCode::kCoordinatorLoadInProgress;
  if (is_elsewhere) client_.doubt(coordinator());
  if (!answer || is_elsewhere) {
    tells_all_ = true;
    host_->shard(0).after(milliseconds(dice_.between({50, 300})), [this, round] { beat(round); });
    return;
  }
  if (code != ErrorCode::kNone) return start_over(false);
  epoch_ = answer->member_epoch;
  tells_all_ = false;
  if (answer->assignment) take(*answer->assignment);
  host_->shard(0).after(kHeartbeatInterval, [this, round] { beat(round); });
}

void ShareMember::take(const Beat::Assignment& assignment) {
  assigned_.clear();
  for (const auto& topic : assignment.topic_partitions) {
    topic_id_ = topic.topic_id;
    assigned_.insert(topic.partitions.begin(), topic.partitions.end());
  }
  find_leaders();
}

void ShareMember::go(ShareSession::Leaving how) {
  stop_reading(how);
  if (how == ShareSession::Leaving::kSaysSo) send(kLeavingEpoch, ++round_);
  start_over(true);
}

// Fenced, it gives up what it reads.
void ShareMember::start_over(bool as_another) {
  stop_reading(ShareSession::Leaving::kIsGone);
  epoch_ = 0;
  if (as_another) member_id_ = fresh_id();
  host_->shard(0).after(milliseconds(dice_.between({10, as_another ? 2000 : 300})),
                        [this, round = ++round_] {
                          if (round == round_) join();
                        });
}

// --- Its sessions.

void ShareMember::stop_reading(ShareSession::Leaving how) {
  assigned_.clear();
  for (auto& [broker, session] : sessions_) session->stop(how);
}

void ShareMember::find_leaders() {
  if (assigned_.empty() || std::exchange(is_looking_, true)) return;
  wire::MetadataRequest request{.allow_auto_topic_creation = false};
  request.topics->push_back({.name = topic_});
  client_.call<wire::MetadataResponse>(
      Client::AnyBroker{}, request, kMetadataVersion,
      [this](const Result<wire::MetadataResponse>& answer) {
        if (answer) learn(*answer);
        // Who has answered may be behind.
        client_.doubt(Client::AnyBroker{});
        host_->shard(0).after(milliseconds(dice_.between({50, 300})), [this] {
          is_looking_ = false;
          host_->shard(0).after(kSomeTime, [this, look = ++looks_] {
            if (look == looks_) find_leaders();
          });
        });
      });
}

void ShareMember::learn(const wire::MetadataResponse& metadata) {
  std::map<NodeId, env::Address> addresses;
  for (const auto& broker : metadata.brokers)
    addresses[NodeId(broker.node_id)] = {broker.host, static_cast<uint16_t>(broker.port)};
  std::map<NodeId, std::set<int32_t>> led;
  for (const auto& topic : metadata.topics)
    for (const auto& partition : topic.partitions)
      if (assigned_.contains(partition.partition_index))
        led[NodeId(partition.leader_id)].insert(partition.partition_index);
  for (auto& [broker, session] : sessions_)
    if (!led.contains(broker)) session->read(member_id_, topic_id_, {});
  for (const auto& [broker, partitions] : led)
    if (const auto address = addresses.find(broker); address != addresses.end())
      session_with(broker, address->second).read(member_id_, topic_id_, partitions);
}

ShareSession& ShareMember::session_with(NodeId broker, const env::Address& address) {
  auto& session = sessions_[broker];
  if (session) return *session;
  session = std::make_unique<ShareSession>(site_, reading_, broker, address);
  session->on_doubt = [this] { find_leaders(); };
  if (is_finishing_) session->finish();
  return *session;
}

}  // namespace millrace::sim
