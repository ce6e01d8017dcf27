#include "node/mender.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/probe.h"
#include "wire/codec.h"
#include "wire/fetch.h"

namespace millrace::node {
namespace {

constexpr wire::VersionRange kFetchVersions{13, 16};  // topics by id; brokers of 3.7 have it

wire::FetchRequest request_for(const Partition& partition, const storage::DamagedRange& range,
                               size_t max_bytes) {
  const auto bytes = static_cast<int32_t>(std::min<uint64_t>(range.size() + 1, max_bytes));
  wire::FetchRequest request{.max_wait_ms = 0, .min_bytes = 0, .max_bytes = bytes};
  auto& topic = request.topics.emplace_back();
  topic.topic_id = partition.topic_id();
  topic.partitions.push_back({.partition = partition.name().partition.value(),
                              .fetch_offset = range.from.value(),
                              .partition_max_bytes = bytes});
  return request;
}

// The whole batches of `records` that belong into the range, and how far they reach.
struct Usable {
  ByteView batches;
  Offset below;
};
Usable usable_of(ByteView records, const storage::DamagedRange& range) {
  record::BatchIterator batches(records);
  Usable usable{.batches = records.first(0), .below = range.from};
  for (;;) {
    auto batch = batches.next();
    if (!batch || !*batch) return usable;
    if ((*batch)->base_offset() >= range.below) {  // a compacted log has nothing up to there
      if (!usable.batches.empty()) usable.below = range.below;
      return usable;
    }
    const bool fits = (*batch)->verify_crc() && (*batch)->base_offset() >= usable.below &&
                      (*batch)->next_offset() <= range.below;
    if (!fits) return usable;
    usable = {.batches = records.first(batches.position()), .below = (*batch)->next_offset()};
  }
}

Result<Usable> usable_of(const wire::FetchResponse& response, const storage::DamagedRange& range) {
  const auto fail_with = [](int16_t code) {
    return fail(Errc::kNotFound, std::string(wire::error_name(static_cast<wire::ErrorCode>(code))));
  };
  if (response.error_code != 0) return fail_with(response.error_code);
  if (response.responses.empty() || response.responses[0].partitions.empty())
    return fail(Errc::kNotFound, "it answers nothing");
  const auto& data = response.responses[0].partitions[0];
  if (data.error_code != 0) return fail_with(data.error_code);
  const Usable usable = usable_of(data.records.bytes, range);
  if (usable.batches.empty()) return fail(Errc::kNotFound, "it has no good batches there");
  return usable;
}

}  // namespace

void Mender::wants(const HostedPartition& hosted) {
  shard().post([self = shared_from_this(), hosted] {
    Job& job = self->jobs_.try_emplace(hosted.partition->name(), Job{hosted}).first->second;
    if (job.hosted.partition != hosted.partition) job = {hosted};
    self->step();
  });
}

void Mender::close() {
  closed_ = true;
  shard().cancel(timer_);
  link_.reset();
  jobs_.clear();
}

std::vector<NodeId> Mender::peers_of(const HostedPartition& hosted) const {
  const metadata::Topic* topic = parts_.image()->find_topic(hosted.partition->topic_id());
  const auto index = static_cast<size_t>(hosted.partition->name().partition.value());
  if (!topic || index >= topic->partitions.size()) return {};
  const metadata::PartitionState& state = topic->partitions[index];
  std::vector<NodeId> peers = state.isr;
  for (NodeId replica : state.replicas)  // what is below its high watermark is committed too
    if (std::ranges::find(peers, replica) == peers.end()) peers.push_back(replica);
  if (auto leader = std::ranges::find(peers, state.leader); leader != peers.end())
    std::rotate(peers.begin(), leader, leader + 1);
  std::erase(peers, parts_.self);
  return peers;
}

// One after the other: damage is rare, and no reason to load anybody.
void Mender::step() {
  if (closed_ || busy_ || jobs_.empty()) return;
  shard().cancel(std::exchange(timer_, env::TimerId::kNone));
  const auto image = parts_.image();
  for (auto job = jobs_.begin(); job != jobs_.end();) {
    const auto damage = with_partition(*job->second.hosted.partition, [](PartitionState& state) {
      return state.is_offline() ? std::vector<storage::DamagedRange>{} : state.log().damage();
    });
    if (damage.empty()) {
      job = jobs_.erase(job);
      continue;
    }
    const auto peers = peers_of(job->second.hosted);
    const size_t attempt = job->second.attempts++;
    if (attempt == 0 && peers.empty())
      LOG_ERROR("{}: no other replica is there to mend it from; {} are lost",
                job->first.to_string(), damage.front().to_string());
    const metadata::Broker* peer =
        peers.empty() ? nullptr : image->find_broker(peers[attempt % peers.size()]);
    // Each range in turn: one that nobody has does not keep the others waiting.
    if (peer) return ask(job->second, damage[attempt / peers.size() % damage.size()], *peer);
    ++job;
  }
  timer_ = shard().after(kPause, [self = shared_from_this()] { self->step(); });
}

void Mender::ask(Job& job, const storage::DamagedRange& range, const metadata::Broker& peer) {
  const auto address = address_on(peer, parts_.listener);
  busy_ = true;
  const TopicPartition& name = job.hosted.partition->name();
  if (!address) return over(name, fail(Errc::kNotFound, "no address is known"));
  link_ = open_peer_link(*parts_.host, shard(),
                         {.address = *address,
                          .client_id = fmt::format("broker-{}-mender", parts_.self),
                          .connect_timeout = kConnectTimeout,
                          .request_timeout = parts_.request_timeout,
                          .owner = weak_from_this()});
  link_->submit(peer_call(request_for(*job.hosted.partition, range, kMaxBytes), kFetchVersions),
                [this, name, range](Result<client::core::Answer> answer) {
                  answered(name, range, std::move(answer));
                });
}

void Mender::answered(const TopicPartition& name, const storage::DamagedRange& range,
                      Result<client::core::Answer> answer) {
  auto job = jobs_.find(name);
  if (closed_ || job == jobs_.end()) return;
  auto response = answer ? wire::decode<wire::FetchResponse>(answer->body, answer->version)
                         : std::unexpected(std::move(answer).error());
  auto usable = response ? usable_of(*response, range)
                         : Result<Usable>(std::unexpected(std::move(response).error()));
  if (!usable) return over(name, std::unexpected(std::move(usable).error()));
  const ByteView batches = usable->batches;
  write(job->second.hosted, {.range = range,
                             .batches = ByteBuffer(batches.begin(), batches.end()),
                             .below = usable->below});
}

// First in place and durable, then served.
void Mender::write(const HostedPartition& hosted, Piece piece) {
  hosted.volume()->thread().run([self = shared_from_this(), hosted, piece = std::move(piece)] {
    const storage::Log::Mended mended{.batches = piece.batches, .below = piece.below};
    Result<> outcome = with_partition(*hosted.partition, [&](PartitionState& state) {
      return state.log().overwrite_damage(piece.range, mended);
    });
    if (outcome && !hosted.volume()->commit({hosted.partition}))
      outcome = fail(Errc::kIo, "it could not be synced");
    if (outcome)
      outcome = with_partition(*hosted.partition, [&](PartitionState& state) {
        return state.log().shrink_damage(piece.range, mended);
      });
    PROBE("mender.mended");
    self->shard().post([self, name = hosted.partition->name(), outcome]() mutable {
      self->over(name, std::move(outcome));
    });
  });
}

void Mender::over(const TopicPartition& name, Result<> outcome) {
  busy_ = false;
  auto job = jobs_.find(name);
  if (closed_ || job == jobs_.end()) return;
  if (outcome) {
    job->second.attempts = 0;
    return step();
  }
  if (job->second.attempts == 1)
    LOG_WARN("{} is not mended yet: {}; it goes on trying", name.to_string(),
             outcome.error().message);
  timer_ = shard().after(kPause, [self = shared_from_this()] { self->step(); });
}

}  // namespace millrace::node
