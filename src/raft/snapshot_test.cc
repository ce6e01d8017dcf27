#include "raft/snapshot.h"

#include <gtest/gtest.h>

namespace millrace::raft {
namespace {

SnapshotHeader header() {
  Voter voter{.directory_id = Uuid::of_words({1, 2}), .endpoints = {{"CONTROLLER", "host", 9093}}};
  return {.epoch = LeaderEpoch(3),
          .last_contained = TimestampMs(77),
          .kraft_version = 1,
          .voters = VoterSet{.voters = {{NodeId(1), voter}}},
          .now = TimestampMs(99)};
}

ByteBuffer snapshot_of(const std::vector<std::string>& records) {
  SnapshotBuilder builder(header());
  for (const auto& record : records) builder.append(as_bytes(record));
  return std::move(builder).build();
}

Result<SnapshotContents> read(ByteView file, std::vector<std::string>* records = nullptr) {
  return read_snapshot(file, [&](ByteView record) -> Result<> {
    if (records) records->emplace_back(as_text(record));
    return {};
  });
}

TEST(Snapshot, gives_back_records_voters_and_version) {
  const std::string large(300'000, 'x');  // of several batches
  const std::vector<std::string> records{"a", large, large, large, "b"};
  std::vector<std::string> got;
  const auto contents = read(snapshot_of(records), &got);
  ASSERT_TRUE(contents.has_value()) << contents.error().message;
  EXPECT_EQ(got, records);
  EXPECT_EQ(contents->voters, header().voters);
  EXPECT_EQ(contents->kraft_version, 1);
  EXPECT_EQ(contents->last_contained, TimestampMs(77));
}

TEST(Snapshot, is_refused_when_cut_anywhere) {
  const ByteBuffer whole = snapshot_of({"a", "b"});
  for (size_t cut = 0; cut < whole.size(); ++cut)
    EXPECT_FALSE(read(ByteView(whole).first(cut)).has_value()) << cut;
}

TEST(Snapshot, is_refused_when_a_bit_of_a_batch_is_wrong) {
  const ByteBuffer whole = snapshot_of({"a", "b"});
  for (size_t at = 17; at < whole.size(); at += 7) {
    ByteBuffer broken = whole;
    broken[at] ^= 1;
    std::vector<std::string> records;
    const auto contents = read(broken, &records);
    // Offsets and epochs stand outside of the checksum and say nothing in a snapshot.
    if (contents) EXPECT_EQ(records, (std::vector<std::string>{"a", "b"})) << at;
  }
}

TEST(Snapshot, goes_by_the_name_that_kafka_gives_it) {
  const LogPosition id{LeaderEpoch(2), Offset(264)};
  EXPECT_EQ(snapshot_name(id), "00000000000000000264-0000000002.checkpoint");
  EXPECT_EQ(parse_snapshot_name(snapshot_name(id)), id);
  for (std::string_view other :
       {"00000000000000000264-0000000002.checkpoint.part", "bootstrap.checkpoint",
        "0000000000000000026x-0000000002.checkpoint", "99999999999999999999-0000000002.checkpoint"})
    EXPECT_FALSE(parse_snapshot_name(other)) << other;
}

}  // namespace
}  // namespace millrace::raft
