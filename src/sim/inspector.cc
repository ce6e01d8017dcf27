#include "sim/inspector.h"

#include "record/batch.h"
#include "record/record.h"
#include "sim/hog.h"
#include "sim/stored_log.h"
#include "wire/metadata_record.h"

namespace millrace::sim {
namespace {

constexpr size_t kMaxUnpacked = 1 << 20;
constexpr size_t kMostConnections = 100;    // of the clients of a scenario, by far
constexpr size_t kLargestAnswer = 200'000;  // that one of them asks for
constexpr const char* kMetadataDirectory = "/data/__cluster_metadata-0";

std::string json_of(const metadata::Image& image) {
  std::string text;
  for (const auto& record : image.to_records())
    std::visit([&](const auto& r) { text += to_json(r.kMaxVersion, r) + "\n"; }, record);
  return text;
}

// Applies a batch of the metadata log to an image, up to and with `last`.
Result<> replay(const record::BatchView& batch, Offset last, metadata::Image& image) {
  if (batch.header().attributes.control()) return {};
  record::ReadScratch scratch;
  ASSIGN_OR_RETURN(auto reader, record::RecordReader::open(batch, scratch, kMaxUnpacked));
  record::RecordView record;
  for (;;) {
    ASSIGN_OR_RETURN(bool more, reader.next(record));
    if (!more || record.offset > last) return {};
    ASSIGN_OR_RETURN(auto decoded, wire::decode_metadata_record(*record.value));
    RETURN_IF_ERROR(image.apply(decoded, record.offset));
  }
}

}  // namespace

void Inspector::check_offsets(Broker& broker) {
  for (const auto& hosted : broker.node().partitions().all())
    with_partition(*hosted.partition, [&](node::PartitionState& state) {
      const Offset start = state.log().log_start();
      const Offset end = state.log().log_end();
      const Offset mark = state.high_watermark();
      if (start > mark || mark > end || state.last_stable_offset() > mark)
        world_->violated("IS12",
                         fmt::format("{}: log start {}, high watermark {}, log end {}, last "
                                     "stable offset {}",
                                     hosted.partition->name().to_string(), start, mark, end,
                                     state.last_stable_offset()));
    });
}

void Inspector::check_durable(const TopicPartition& partition, int64_t offset) {
  const Offset end =
      stored_end(*medium_, Broker::kDataDirectory + ("/" + partition.to_string()), View::kDurable);
  if (end.value() <= offset)
    world_->violated("ST1", fmt::format("{} at {} was acknowledged, but only what is below {} is "
                                        "on the medium",
                                        partition.to_string(), offset, end));
}

void Inspector::check_metadata(Broker& broker) {
  const Offset applied = broker.node().image()->last_offset();
  const Offset end = stored_end(*medium_, kMetadataDirectory, View::kDurable);
  if (applied >= end)
    world_->violated("MD2", fmt::format("metadata is published up to {}, but only what is below {} "
                                        "is on the medium",
                                        applied, end));
}

void Inspector::check_memory(const Broker& broker) {
  for (const server::InputMemory* memory : broker.server().input_memory()) {
    const size_t bound = memory->limit() + kMostConnections * server::InputMemory::kSmallTail +
                         2 * (4 + Hog::kLargestRequest);
    if (memory->most_held() > bound)
      world_->violated("ST4", fmt::format("{} bytes are held for requests, more than {}",
                                          memory->most_held(), bound));
  }
  const size_t backlog = broker.server().longest_backlog();
  if (backlog > server::Connection::kMaxUnsentBytes + kLargestAnswer)
    world_->violated("ST4", fmt::format("{} bytes wait for a client that does not read", backlog));
}

void Inspector::check_recovered(Broker& broker) {
  for (const auto& hosted : broker.node().partitions().all()) {
    const std::string name = hosted.partition->name().to_string();
    const std::string torn =
        torn_segment(*medium_, hosted.volume()->directory().path() + "/" + name);
    if (!torn.empty())
      world_->violated("ST3", torn + " is left with bytes that are no batch after a start");
  }
}

void Inspector::check_producers(Broker& broker) {
  for (const auto& hosted : broker.node().partitions().all())
    with_partition(*hosted.partition, [&](node::PartitionState& state) {
      storage::ProducerState replayed;
      auto walked = state.log().replay([&](const record::BatchHeader& header, ByteView, uint64_t) {
        if (header.has_producer_id() && !header.attributes.control())
          replayed.update(header, header.max_timestamp);
        return true;
      });
      if (!walked) return;
      for (const auto& [id, producer] : state.log().producers().producers()) {
        const auto* last = producer.last();
        if (last == nullptr || last->last_offset < state.log().log_start()) continue;
        auto found = replayed.producers().find(id);
        if (found == replayed.producers().end() || !found->second.last() ||
            found->second.last()->last_sequence != last->last_sequence ||
            found->second.last()->last_offset != last->last_offset)
          world_->violated(
              "ID3",
              fmt::format("{}: producer {} is known at sequence {} and offset {}, which is not "
                          "what the log from {} to {} holds",
                          hosted.partition->name().to_string(), id, last->last_sequence,
                          last->last_offset, state.log().log_start(), state.log().log_end()));
      }
      for (const auto& [id, producer] : replayed.producers())
        if (!state.log().producers().producers().contains(id))
          world_->violated("ID3", fmt::format("{}: producer {} is in the log and not known",
                                              hosted.partition->name().to_string(), id));
    });
}

// Only while the log still goes back to its beginning.
void Inspector::check_image(Broker& broker) {
  const auto published = broker.node().image();
  if (!medium_->find(std::string(kMetadataDirectory) + "/00000000000000000000.log")) return;
  metadata::Image replayed;
  for (const auto& path : medium_->files_below(kMetadataDirectory)) {
    if (!path.ends_with(".log")) continue;
    record::BatchIterator batches(medium_->find(path)->content);
    for (;;) {
      auto batch = batches.next();
      if (!batch || !*batch) break;
      if (auto applied = replay(**batch, published->last_offset(), replayed); !applied)
        return world_->violated("MD1",
                                "the metadata log cannot be replayed: " + applied.error().message);
    }
  }
  if (json_of(replayed) != json_of(*published))
    world_->violated("MD1", "the published image is not what its log holds");
}

}  // namespace millrace::sim
