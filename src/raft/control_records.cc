#include "raft/control_records.h"

#include "record/record.h"
#include "wire/codec.h"
#include "wire/control_records.h"

namespace millrace::raft {
namespace {

constexpr size_t kMaxControlBatch = 1 << 20;

// Of our own data: what we encode always fits.
template <class Record>
ByteBuffer bytes_of(const Record& record) {
  return *wire::encode(record, 0);
}

VoterSet voters_of(const wire::VotersRecord& record) {
  VoterSet set;
  for (const auto& each : record.voters) {
    Voter& voter = set.voters[NodeId(each.voter_id)];
    voter.directory_id = each.voter_directory_id;
    voter.min_kraft_version = each.k_raft_version_feature.min_supported_version;
    voter.max_kraft_version = each.k_raft_version_feature.max_supported_version;
    for (const auto& e : each.endpoints) voter.endpoints.push_back({e.name, e.host, e.port});
  }
  return set;
}

Result<> read_record(const record::RecordView& record, ControlFacts& facts) {
  if (!record.key || !record.value)
    return fail(Errc::kCorrupt, "a control record without key or value");
  ASSIGN_OR_RETURN(const auto type, record::parse_control_key(*record.key));
  switch (type) {
    case record::ControlType::kKraftVersion: {
      ASSIGN_OR_RETURN(auto version, wire::decode<wire::KRaftVersionRecord>(*record.value, 0));
      facts.kraft_version = {record.offset, version.k_raft_version};
      return {};
    }
    case record::ControlType::kKraftVoters: {
      ASSIGN_OR_RETURN(auto voters, wire::decode<wire::VotersRecord>(*record.value, 0));
      facts.voters = {record.offset, voters_of(voters)};
      return {};
    }
    case record::ControlType::kSnapshotHeader: {
      ASSIGN_OR_RETURN(auto header, wire::decode<wire::SnapshotHeaderRecord>(*record.value, 0));
      facts.last_contained = TimestampMs(header.last_contained_log_timestamp);
      facts.has_snapshot_header = true;
      return {};
    }
    case record::ControlType::kSnapshotFooter: facts.has_snapshot_footer = true; return {};
    default: return {};  // leader changes, and types of later versions
  }
}

}  // namespace

// Version 0: Kafka writes no directory ids there, whatever the kraft.version.
ByteBuffer leader_change_record(NodeId leader, const VoterSet& voters,
                                const std::vector<NodeId>& granting) {
  wire::LeaderChangeMessage change;
  change.leader_id = leader.value();
  for (const auto& [id, voter] : voters.voters) change.voters.push_back({.voter_id = id.value()});
  for (NodeId id : granting) change.granting_voters.push_back({.voter_id = id.value()});
  return bytes_of(change);
}

ByteBuffer kraft_version_record(int16_t version) {
  wire::KRaftVersionRecord record;
  record.k_raft_version = version;
  return bytes_of(record);
}

ByteBuffer voters_record(const VoterSet& voters) {
  wire::VotersRecord record;
  for (const auto& [id, voter] : voters.voters) {
    auto& each = record.voters.emplace_back();
    each.voter_id = id.value();
    each.voter_directory_id = voter.directory_id;
    each.k_raft_version_feature = {.min_supported_version = voter.min_kraft_version,
                                   .max_supported_version = voter.max_kraft_version};
    for (const Endpoint& e : voter.endpoints)
      each.endpoints.push_back({.name = e.listener, .host = e.host, .port = e.port});
  }
  return bytes_of(record);
}

ByteBuffer snapshot_header_record(TimestampMs last_contained) {
  wire::SnapshotHeaderRecord record;
  record.last_contained_log_timestamp = last_contained.value();
  return bytes_of(record);
}

ByteBuffer snapshot_footer_record() { return bytes_of(wire::SnapshotFooterRecord{}); }

ByteBuffer control_batch(const ControlRecords& records, const record::BatchOptions& options,
                         TimestampMs now) {
  record::BatchOptions control = options;
  control.control = true;
  record::BatchBuilder builder(control);
  for (const auto& [type, value] : records) {
    const auto key = record::control_key(type);
    builder.append({.timestamp = now, .key = ByteView(key), .value = ByteView(value)});
  }
  return std::move(builder).build();
}

Result<ControlFacts> read_control_batch(const record::BatchView& batch) {
  ControlFacts facts;
  record::ReadScratch scratch;
  ASSIGN_OR_RETURN(auto reader, record::RecordReader::open(batch, scratch, kMaxControlBatch));
  record::RecordView record;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, reader.next(record));
    if (!more) return facts;
    RETURN_IF_ERROR(read_record(record, facts));
  }
}

Result<> note_batch(LogState& log, const record::BatchView& batch) {
  const record::BatchHeader& header = batch.header();
  ControlFacts facts;
  if (header.attributes.control()) {
    ASSIGN_OR_RETURN(facts, read_control_batch(batch));
  }
  log.note_batch(header.leader_epoch, header.base_offset, header.next_offset());
  if (facts.voters) log.note_voters(facts.voters->first, std::move(facts.voters->second));
  if (facts.kraft_version)
    log.note_kraft_version(facts.kraft_version->first, facts.kraft_version->second);
  return {};
}

}  // namespace millrace::raft
