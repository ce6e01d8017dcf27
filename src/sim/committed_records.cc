#include "sim/committed_records.h"

#include <utility>

#include "base/assert.h"
#include "node/controller_host.h"
#include "record/record.h"

namespace millrace::sim {
namespace {

constexpr size_t kMaxUnpacked = 1 << 20;

}  // namespace

void CommittedRecords::look() {
  const Cluster::Node* source = nullptr;
  Offset below = next_;
  for (const auto& node : cluster_->nodes()) {
    if (!node->can_be_asked()) continue;
    const Offset end = node->broker.node().controller().driver().applied_end();
    if (end <= below) continue;
    below = end;
    source = node.get();
  }
  if (source && !read(*source, below)) skip();
}

bool CommittedRecords::read(const Cluster::Node& source, Offset below) {
  while (next_ < below)
    if (!read_segment(source, below)) return false;
  return true;
}

// False: it does not have the next record.
bool CommittedRecords::read_segment(const Cluster::Node& source, Offset below) {
  const std::string segment = segment_with(source.medium, source.metadata_directory, next_);
  if (segment.empty()) return false;
  const ByteBuffer& content = source.medium.find(segment)->content;
  const bool goes_on = place_.node == source.id && place_.segment == segment;
  if (!goes_on || place_.position > content.size()) place_ = {source.id, segment};
  record::BatchIterator batches(ByteView(content).subspan(place_.position));
  const Offset before = next_;
  while (next_ < below) {
    const auto batch = batches.next();
    if (!batch || !*batch || (*batch)->base_offset() > next_) break;
    if ((*batch)->next_offset() > next_) take(**batch);
  }
  place_.position += batches.position();
  return next_ > before;
}

void CommittedRecords::take(const record::BatchView& batch) {
  if (on_batch) on_batch(stored_batch(batch));
  const Offset from = std::exchange(next_, batch.next_offset());
  if (batch.header().attributes.control()) return;
  record::ReadScratch scratch;
  auto reader = record::RecordReader::open(batch, scratch, kMaxUnpacked);
  ASSERT(reader.has_value(), "committed at {}: {}", from, reader.error().message);
  record::RecordView record;
  while (reader->next(record).value_or(false)) {
    if (record.offset < from || !record.value) continue;
    const auto decoded = wire::decode_metadata_record(*record.value);
    ASSERT(decoded.has_value(), "committed at {}: {}", record.offset, decoded.error().message);
    if (on_record) on_record({image_, *decoded, record.offset});
    const auto applied = image_.apply(*decoded, record.offset);
    ASSERT(applied.has_value(), "committed at {}: {}", record.offset, applied.error().message);
  }
}

void CommittedRecords::skip() {
  const auto newest = cluster_->newest_image();
  if (!newest || newest->last_offset() < next_) return;
  image_ = *newest;
  next_ = newest->last_offset() + 1;
}

}  // namespace millrace::sim
