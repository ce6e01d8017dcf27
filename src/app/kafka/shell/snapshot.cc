#include "app/kafka/shell/snapshot.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "app/kafka/log_file.h"
#include "app/releases.h"
#include "config/definition.h"
#include "metadata/features.h"
#include "record/record.h"
#include "wire/metadata_record.h"

namespace millrace::app::kafka::shell {
namespace {

// Configs that Apache Kafka does not know are not in its image.
bool is_supported(const wire::ConfigRecord& record) {
  using enum metadata::ConfigResourceType;
  using config::Scope;
  const auto known = [&](Scope scope) {
    return config::find_definition(scope, record.name) != nullptr;
  };
  switch (static_cast<metadata::ConfigResourceType>(record.resource_type)) {
    case kBroker: return true;
    case kTopic: return known(Scope::kTopic);
    case kClientMetrics: return known(Scope::kClientMetrics);
    case kGroup: return known(Scope::kGroup);
    default: return false;
  }
}

void tell_unread(int64_t offset, const Error& error) {
  log_line("ERROR",
           fmt::format("unable to read metadata record at offset {}: {}", offset, error.message),
           "org.apache.kafka.metadata.util.SnapshotFileReader");
}

void tell_not_applied(int64_t offset, const Error& error) {
  log_line("ERROR",
           fmt::format("Encountered shell fault: Error loading metadata log record from offset "
                       "{}: {}",
                       offset, error.message),
           "org.apache.kafka.server.fault.LoggingFaultHandler");
}

class Loader {
 public:
  Attempt<> take(const record::BatchView& batch) {
    if (batch.header().attributes.control()) return {};
    constexpr size_t kMaxBatch = size_t{1} << 30;
    batch_ = {.epoch = batch.header().leader_epoch.value(),
              .time_ms = batch.header().max_timestamp.value()};
    int64_t next = batch.base_offset().value();
    record::ReadScratch scratch;
    record::RecordView record;
    auto reader = record::RecordReader::open(batch, scratch, kMaxBatch);
    for (;;) {
      const auto there = reader ? reader->next(record) : std::unexpected(reader.error());
      if (!there)
        return thrown("org.apache.kafka.common.InvalidRecordException", there.error().message);
      if (!*there) break;
      const Offsets offsets{.record = record.offset.value(), .counted = next};
      if (take(record.value.value_or(ByteView{}), offsets)) ++next;
    }
    batch_.offset = next - 1;
    if (!loading_.image.in_transaction()) loading_.provenance = batch_;
    return {};
  }

  Attempt<Snapshot> finish(const std::string& path) && {
    if (!seen_)
      return thrown("java.io.IOException", fmt::format("{} has no records of metadata", path));
    Snapshot& last = loading_.image.in_transaction() ? *before_transaction_ : loading_;
    const int16_t level = last.image.feature_level(metadata::kMetadataVersion);
    if (release_of_level(level) == nullptr)
      return thrown(
          "java.lang.IllegalStateException",
          fmt::format("{} has no metadata.version that is known here: level {}", path, level));
    return std::move(last);
  }

 private:
  struct Offsets {
    int64_t record = 0;
    int64_t counted = 0;  // Apache Kafka counts those that it could read
  };

  // Whether it could be read.
  bool take(ByteView framed, Offsets offsets) {
    const auto record = wire::decode_metadata_record(framed);
    if (!record) {
      tell_unread(offsets.record, record.error());
      return false;
    }
    if (const auto* config = std::get_if<wire::ConfigRecord>(&*record))
      if (!is_supported(*config)) return true;
    if (std::holds_alternative<wire::BeginTransactionRecord>(*record)) note_transaction(offsets);
    if (std::holds_alternative<wire::ProducerIdsRecord>(*record))
      loading_.tells_producer_ids = true;
    seen_ = true;
    const auto applied = loading_.image.apply(*record, Offset(offsets.counted));
    if (!applied) tell_not_applied(offsets.counted, applied.error());
    return true;
  }

  void note_transaction(Offsets offsets) {
    if (loading_.image.in_transaction()) return;
    before_transaction_ = loading_;
    if (offsets.counted <= loading_.provenance.offset + 1) return;
    before_transaction_->provenance = batch_;
    before_transaction_->provenance.offset = offsets.counted - 1;
  }

  Snapshot loading_;
  std::optional<Snapshot> before_transaction_;
  Provenance batch_;
  bool seen_ = false;
};

}  // namespace

Attempt<Snapshot> load_snapshot(const std::string& path) {
  auto file = LogFile::open(path);
  if (!file) return std::unexpected(executed(file.error()));
  ASSIGN_OR_RETURN(auto batches, file->batches({}));
  Loader loader;
  int64_t position = 0;
  for (;;) {
    auto batch = batches.next();
    Attempt<> taken;
    if (!batch) taken = std::unexpected(batch.error());
    if (batch && *batch) {
      if (!(*batch)->verify_crc())
        fmt::print(stderr, "{}: the checksum of the batch at byte {} is wrong\n", path, position);
      taken = loader.take(**batch);
    }
    if (!taken)
      return thrown(taken.error().type,
                    fmt::format("{}: at byte {}: {}", path, position, taken.error().message));
    if (!*batch) break;
    position += static_cast<int64_t>((*batch)->size_in_bytes());
  }
  if (position < file->size())
    fmt::print(stderr, "{}: the batch at byte {} is incomplete, and left out\n", path, position);
  return std::move(loader).finish(path);
}

}  // namespace millrace::app::kafka::shell
