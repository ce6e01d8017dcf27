// The records of __transaction_state as Apache Kafka 4.3.1 wrote them: read, and written again.
#include <fstream>
#include <sstream>

#include "base/testing/golden.h"
#include "txn/records.h"
#include "txn/testing/host.h"

namespace millrace::txn {
namespace {

using namespace testing;

std::vector<KeyValueRecord> golden_records() {
  std::ifstream file(std::string(MILLRACE_SOURCE_DIR) + "/src/txn/testdata/transaction_state.txt");
  std::vector<KeyValueRecord> records;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream fields(line);
    std::string key, value;
    fields >> key >> value;
    records.push_back({millrace::testing::from_hex(key), millrace::testing::from_hex(value)});
  }
  EXPECT_FALSE(records.empty());
  return records;
}

TEST(Golden, every_record_is_written_again_byte_for_byte) {
  for (const KeyValueRecord& record : golden_records()) {
    auto parsed = parse_record(record);
    ASSERT_TRUE(parsed && *parsed && (*parsed)->transaction);
    EXPECT_EQ(transaction_record((*parsed)->transactional_id, *(*parsed)->transaction,
                                 TransactionVersion::kV2),
              record);
  }
}

TEST(Golden, every_prefix_of_a_log_can_be_replayed) {
  const auto records = golden_records();
  for (size_t count = 0; count <= records.size(); ++count) {
    Host host;
    host.log.assign(records.begin(), records.begin() + static_cast<ptrdiff_t>(count));
    host.start();
    if (count == records.size()) {
      EXPECT_EQ(host.state("tx-1"), "CompleteAbort");
    }
  }
}

// As Kafka shows it after the same requests of a librdkafka client.
TEST(Golden, the_same_requests_write_the_same_records) {
  Host host;
  host.client = TransactionVersion::kV0;
  const auto records = golden_records();
  const auto golden = [&](size_t i) { return *parse_record(records.at(i)); };
  const auto follow = [&](size_t i) { host.wall = golden(i)->transaction->last_update; };
  follow(0);
  wire::InitProducerIdRequest init;
  init.transactional_id = "tx-1";
  init.transaction_timeout_ms = 60'000;
  auto decision = host.machine->decide_init_producer_id(
      init, {.moment = host.moment(), .fresh_producer_id = ProducerId(4)});
  ASSERT_EQ(decision.records.size(), 1u);
  host.log = decision.records;
  host.start();
  const Producer producer{ProducerId(4), ProducerEpoch(0)};
  for (size_t i = 1; i < 19; i += 3) {
    follow(i);
    const Transaction ongoing = *golden(i)->transaction;
    host.add("tx-1", producer, ongoing.partitions);
    follow(i + 1);
    host.end("tx-1", producer,
             golden(i + 1)->transaction->state == TransactionState::kPrepareCommit);
    follow(i + 2);
    host.write_markers();
  }
  ASSERT_EQ(host.log.size(), 19u);
  for (size_t i = 0; i < host.log.size(); ++i) EXPECT_EQ(host.log[i], records[i]) << i;
}

TEST(Records, a_state_that_is_never_written_is_refused) {
  auto record = golden_records().at(0);
  constexpr size_t kStatusAt = 2 + 8 + 2 + 4;
  for (const uint8_t status : {6, 7, 8, 255}) {
    record.value->at(kStatusAt) = status;
    auto parsed = parse_record(record);
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().code, Errc::kCorrupt);
  }
}

TEST(Records, a_negative_epoch_is_refused) {
  auto record = golden_records().at(0);
  record.value->at(10) = 0x80;
  EXPECT_FALSE(parse_record(record));
}

TEST(Records, a_type_of_a_later_version_is_ignored) {
  auto record = golden_records().at(0);
  record.key.at(1) = 9;
  Host host;
  EXPECT_TRUE(host.machine->apply(record));
  EXPECT_EQ(host.state("tx-1"), "none");
}

}  // namespace
}  // namespace millrace::txn
