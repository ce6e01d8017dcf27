#include "sim/replays.h"

#include <algorithm>

#include "wire/reader.h"

namespace millrace::sim {
namespace {

constexpr size_t kRemembered = 1000;
constexpr double kRememberChance = 0.2;
constexpr size_t kLargest = 20'000;
constexpr Duration kHeld = seconds(10);  // until the connection is closed, answered or not
constexpr size_t kLengthBytes = 4;
constexpr int16_t kProduce = 0;
// Fetch, ListOffsets, InitProducerId, OffsetForLeaderEpoch, Vote, BeginQuorumEpoch, EndQuorumEpoch,
// AlterPartition, FetchSnapshot, BrokerHeartbeat, AllocateProducerIds, AssignReplicasToDirs.
constexpr int16_t kRepeated[] = {kProduce, 1, 2, 22, 23, 52, 53, 54, 56, 59, 63, 67, 73};
constexpr std::string_view kPlainProducer = "p1";

bool may_be_repeated(ByteView frame) {
  wire::Reader header(frame);
  const int16_t key = header.int16("api key");
  header.int16("version");
  header.int32("correlation");
  const auto client = header.nullable_string("client id", false, true);
  return header.ok() && std::ranges::find(kRepeated, key) != std::end(kRepeated) &&
         !(key == kProduce && client == kPlainProducer);
}

}  // namespace

Replays::Replays(Network& network)
    : network_(&network),
      world_(&network.world()),
      dice_(world_->faults.next()),
      medium_(*world_),
      host_(network, medium_, {.name = "replays"}) {
  network.tap = [this](const Network::Piece& piece) { take(piece); };
}

void Replays::take(const Network::Piece& piece) {
  if (piece.from == host_.name()) return;
  ByteBuffer& bytes = unfinished_[piece.connection];
  bytes.insert(bytes.end(), piece.bytes.begin(), piece.bytes.end());
  size_t at = 0;
  while (bytes.size() - at >= kLengthBytes) {
    const size_t size = kLengthBytes + load_big<uint32_t>(bytes.data() + at);
    if (bytes.size() - at < size) break;
    remember(piece.to, ByteView(bytes).subspan(at, size));
    at += size;
  }
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(at));
  if (bytes.empty() || piece.bytes.empty()) unfinished_.erase(piece.connection);
}

void Replays::remember(const env::Address& to, ByteView frame) {
  if (!dice_.chance(kRememberChance) || frame.size() > kLargest ||
      !may_be_repeated(frame.subspan(kLengthBytes)))
    return;
  sent_.push_back({to, ByteBuffer(frame.begin(), frame.end())});
  if (sent_.size() > kRemembered) sent_.pop_front();
}

void Replays::repeat_one() {
  if (sent_.empty()) return;
  const Sent& sent = sent_[dice_.below(sent_.size())];
  host_.connect(host_.shard(0), sent.to,
                [this, frame = sent.frame](Result<std::unique_ptr<env::Connection>> stream) {
                  if (!stream) return;
                  const ByteView whole = frame;
                  if (!(*stream)->write({&whole, 1}, false)) return;
                  world_->after(kHeld, host_.owner(), [held = std::move(*stream)] {});
                });
}

}  // namespace millrace::sim
