// What Apache Kafka 4.3.1's share coordinator answers and writes, question by question: the same
// here, byte for byte.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/testing/golden.h"
#include "share/testing/coordinator_host.h"

namespace millrace::share {
namespace {

using namespace testing;

std::vector<std::string> pieces(const std::string& text, char apart) {
  std::vector<std::string> found;
  std::istringstream stream(text);
  for (std::string piece; std::getline(stream, piece, apart);) found.push_back(piece);
  return found;
}

// "FIRST,LAST,STATE,COUNT".
StateBatch batch_of(const std::string& text) {
  const auto fields = pieces(text, ',');
  return batch({std::stoll(fields.at(0)), std::stoll(fields.at(1))},
               static_cast<DeliveryState>(std::stoi(fields.at(2))),
               static_cast<int16_t>(std::stoi(fields.at(3))));
}

std::vector<StateBatch> batches_of(const std::vector<std::string>& fields, size_t from) {
  std::vector<StateBatch> batches;
  for (size_t i = from; i < fields.size(); ++i) batches.push_back(batch_of(fields[i]));
  return batches;
}

struct Line {
  std::vector<std::string> asked, answered;
};

// WALL QUESTION > CODE STATE REDUNDANT_END RECORDS
std::vector<Line> golden() {
  std::ifstream file(std::string(MILLRACE_SOURCE_DIR) +
                     "/src/share/testdata/share_coordinator.txt");
  std::vector<Line> lines;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    const size_t middle = line.find(" > ");
    lines.push_back({pieces(line.substr(0, middle), ' '), pieces(line.substr(middle + 3), ' ')});
  }
  EXPECT_FALSE(lines.empty());
  return lines;
}

Question question_of(const std::vector<std::string>& asked) {
  const std::string& kind = asked.at(1);
  if (kind == "initialize")
    return InitializeState{std::stoi(asked.at(5)), Offset(std::stoll(asked.at(6)))};
  if (kind == "read") return ReadState{LeaderEpoch(std::stoi(asked.at(5)))};
  if (kind == "summary") return ReadStateSummary{};
  if (kind == "delete") return DeleteState{};
  const auto fields = pieces(asked.at(5), '/');
  return WriteState{{.state_epoch = std::stoi(fields.at(0)),
                     .leader_epoch = LeaderEpoch(std::stoi(fields.at(1))),
                     .start_offset = Offset(std::stoll(fields.at(2))),
                     .delivery_complete_count = std::stoi(fields.at(3)),
                     .batches = batches_of(fields, 4)}};
}

PersistedState state_of(const std::string& kind, const std::string& text) {
  if (text == "-") return {};
  const auto fields = pieces(text, '/');
  if (kind == "read")
    return {.state_epoch = std::stoi(fields.at(0)),
            .start_offset = Offset(std::stoll(fields.at(1))),
            .batches = batches_of(fields, 2)};
  return {.state_epoch = std::stoi(fields.at(0)),
          .leader_epoch = LeaderEpoch(std::stoi(fields.at(1))),
          .start_offset = Offset(std::stoll(fields.at(2))),
          .delivery_complete_count = std::stoi(fields.at(3))};
}

std::vector<KeyValueRecord> records_of(const std::vector<std::string>& answered) {
  std::vector<KeyValueRecord> records;
  for (size_t i = 3; i < answered.size(); ++i) {
    const auto parts = pieces(answered[i], '/');
    KeyValueRecord record{millrace::testing::from_hex(parts.at(0)), std::nullopt};
    if (parts.at(1) != "-") record.value = millrace::testing::from_hex(parts.at(1));
    records.push_back(std::move(record));
  }
  return records;
}

class Replay {
 public:
  Replay() { topics_.gone = {Uuid::of_words({7, 3})}; }
  void run(const Line& line) {
    const Moment moment{Instant{}, TimestampMs(std::stoll(line.asked.at(0)))};
    const std::string& kind = line.asked.at(1);
    const Decision decision = kind == "cold" ? cold(moment) : ask(line, moment);
    EXPECT_EQ(decision.records, records_of(line.answered));
    for (const auto& record : decision.records) {
      ASSERT_TRUE(machine_.apply(record, end_));
      ++end_;
    }
    machine_.check_invariants();
    const auto end = machine_.redundant_end();
    EXPECT_EQ(end ? std::to_string(end->value()) : "-", line.answered.at(2));
  }

 private:
  Decision ask(const Line& line, const Moment& moment) {
    const SharePartitionKey key{line.asked.at(2), *Uuid::parse(line.asked.at(3)),
                                PartitionIndex(std::stoi(line.asked.at(4)))};
    Decision decision =
        machine_.decide(key, question_of(line.asked), {.moment = moment, .topics = &topics_});
    const Answer& answer = decision.replies.at(0).response;
    EXPECT_EQ(std::to_string(static_cast<int>(answer.error)), line.answered.at(0));
    EXPECT_EQ(answer.state, state_of(line.asked.at(1), line.answered.at(1)));
    return decision;
  }
  // Where Kafka's timer says so: here at once.
  Decision cold(const Moment& moment) {
    ShareCoordinator now = machine_;
    (void)now.on_loaded({Instant(-seconds(300)), moment.wall}, topics_);
    return now.on_tick(moment);
  }

  FakeTopics topics_;
  ShareCoordinator machine_{{.updates_per_snapshot = 5}};
  Offset end_{0};
};

TEST(Golden, the_same_questions_get_the_same_answers_and_records) {
  Replay replay;
  for (const Line& line : golden()) {
    replay.run(line);
    if (::testing::Test::HasFailure()) {
      std::string asked;
      for (const auto& each : line.asked) asked += each + " ";
      FAIL() << asked;
    }
  }
}

TEST(Golden, every_record_is_written_again_byte_for_byte) {
  for (const Line& line : golden())
    for (const KeyValueRecord& record : records_of(line.answered)) {
      const auto parsed = parse_record(record);
      ASSERT_TRUE(parsed && *parsed);
      const SharePartitionKey& key = (*parsed)->key;
      const auto& content = (*parsed)->content;
      if (const auto* snapshot = std::get_if<Snapshot>(&content))
        EXPECT_EQ(snapshot_record(key, *snapshot), record);
      else if (const auto* update = std::get_if<Update>(&content))
        EXPECT_EQ(update_record(key, *update), record);
      else
        EXPECT_EQ(removal_record(key), record);
    }
}

}  // namespace
}  // namespace millrace::share
