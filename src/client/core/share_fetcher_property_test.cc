// A share fetcher against a model of two leaders, where any request may be lost before it is heard,
// or its answer afterwards, what may pass is refused at random, locks time out and partitions move.
// Whatever happens: what an acknowledgement is told is so (SF3), none is said twice (SF2), epochs
// follow each other (SF1), and in the end every record has been accepted.
#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "client/core/share_fetcher.h"
#include "client/core/testing/cluster.h"
#include "record/builder.h"

namespace millrace::client::core {
namespace {

using testing::cache_of;
using testing::id_of_topic;
using testing::metadata_of;
using wire::ErrorCode;

constexpr int32_t kPartitions = 3;
constexpr int64_t kRecords = 40;  // of a partition
constexpr int kSteps = 600;

class Chance {
 public:
  explicit Chance(uint64_t seed) : state_(seed * 2654435761U + 1) {}
  uint64_t below(uint64_t bound) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state_ >> 33) % bound;
  }
  bool one_in(uint64_t count) { return below(count) == 0; }

 private:
  uint64_t state_;
};

// What leaders know of the records of a partition, whoever leads it. Every seventh offset has none.
struct Record {
  bool is_acquired = false;
  bool is_done = false;
  int16_t deliveries = 0;
  int said = 0;  // acknowledgements but renewals that were heard since it was acquired
};
bool has_record(int64_t offset) { return offset % 7 != 3; }

class Model {
 public:
  explicit Model(uint64_t seed) : chance_(seed) {
    for (int32_t i = 0; i < kPartitions; ++i) records[i].resize(kRecords);
  }

  std::map<int32_t, std::vector<Record>> records;
  std::map<int32_t, int32_t> leaders{{0, 1}, {1, 2}, {2, 1}};
  std::vector<std::string> violations;

  // SF1. Of the session with a leader; an error if it is another.
  ErrorCode take_epoch(int32_t node, int32_t epoch) {
    auto& session = sessions_[node];
    if (epoch == 0) {
      session = 1;
      return ErrorCode::kNone;
    }
    if (session == 0) return ErrorCode::kShareSessionNotFound;
    if (epoch == -1) {
      session = 0;
      for (auto& [partition, all] : records)
        if (leaders[partition] == node)
          for (auto& each : all) each.is_acquired = false;
      return ErrorCode::kNone;
    }
    if (epoch != session) {
      violations.push_back(fmt::format("epoch {} instead of {}", epoch, session));
      return ErrorCode::kInvalidShareSessionEpoch;
    }
    ++session;
    return ErrorCode::kNone;
  }
  void forget_session(int32_t node) { sessions_[node] = 0; }

  template <class Batches>
  ErrorCode say(int32_t node, int32_t partition, const Batches& batches) {
    if (leaders[partition] != node) return ErrorCode::kNotLeaderOrFollower;
    bool fine = true;
    for (const auto& batch : batches)
      for (int64_t offset = batch.first_offset; offset <= batch.last_offset; ++offset) {
        const auto index = static_cast<size_t>(offset - batch.first_offset);
        const auto& types = batch.acknowledge_types;
        fine &= say_one(partition, offset, types.size() == 1 ? types[0] : types.at(index));
      }
    return fine ? ErrorCode::kNone : ErrorCode::kInvalidRecordState;
  }

  std::optional<wire::ShareFetchResponse::AcquiredRecords> acquire(int32_t partition) {
    auto& all = records[partition];
    for (int64_t offset = 0; offset < kRecords; ++offset) {
      if (all[offset].is_acquired || all[offset].is_done) continue;
      const int16_t count = ++all[offset].deliveries;
      all[offset].is_acquired = true;
      all[offset].said = 0;
      return wire::ShareFetchResponse::AcquiredRecords{offset, offset, count};
    }
    return std::nullopt;
  }

  // Once for each acknowledgement.
  bool has_taken(int32_t partition, int64_t offset) { return taken_[{partition, offset}]-- > 0; }

  void time_out_a_lock() {
    auto& all = records[static_cast<int32_t>(chance_.below(kPartitions))];
    all[chance_.below(kRecords)].is_acquired = false;
  }
  // The new leader knows of no locks.
  void move_a_partition() {
    const auto partition = static_cast<int32_t>(chance_.below(kPartitions));
    leaders[partition] = 3 - leaders[partition];
    for (auto& each : records[partition]) each.is_acquired = false;
  }

 private:
  bool say_one(int32_t partition, int64_t offset, int8_t type) {
    Record& record = records[partition].at(offset);
    if (!record.is_acquired) return false;
    const auto what = static_cast<AcknowledgeType>(type);
    ++taken_[{partition, offset}];
    if (what == AcknowledgeType::kRenew) return true;
    if (++record.said > 1) violations.push_back(fmt::format("{}@{} twice", partition, offset));
    record.is_acquired = false;
    record.is_done = what != AcknowledgeType::kRelease;
    return true;
  }

  Chance chance_;
  std::map<int32_t, int32_t> sessions_;
  std::map<std::pair<int32_t, int64_t>, int> taken_;  // acknowledgements, not yet told of
};

class Trial {
 public:
  explicit Trial(uint64_t seed) : chance_(seed), model_(seed + 1), cache_(cache_of({topic()})) {
    ShareFetcher::Assign assign;
    for (int32_t i = 0; i < kPartitions; ++i)
      assign.partitions[{id_of_topic("t"), PartitionIndex(i)}] = "t";
    resume(std::move(assign));
  }

  void run() {
    for (int i = 0; i < kSteps; ++i) step();
    quiet_ = true;
    for (int i = 0; i < 100 * kSteps && !is_done(); ++i) step();
    EXPECT_TRUE(is_done()) << fetcher_.describe();
    resume(ShareFetcher::Close{});
    while (!closed_ && !sends_.empty()) answer();
    EXPECT_TRUE(closed_);
    EXPECT_EQ(model_.violations, std::vector<std::string>{});
    EXPECT_GE(told_, said_) << "SF3: each acknowledgement comes back";
    EXPECT_LE(told_, said_ + renewals_) << "SF3: and no more often";
  }

 private:
  testing::TestTopic topic() {
    testing::TestTopic described{.name = "t", .leaders = {}};
    for (const auto& [partition, leader] : model_.leaders) described.leaders.push_back(leader);
    return described;
  }
  bool is_done() const {
    for (const auto& [partition, all] : model_.records)
      for (const auto& each : all)
        if (!each.is_done) return false;
    return true;
  }

  void step() {
    now_ = now_ + milliseconds(chance_.below(60));
    if (!quiet_ && chance_.one_in(20)) model_.move_a_partition();
    if (chance_.one_in(quiet_ ? 50 : 10)) model_.time_out_a_lock();
    if (!quiet_ && chance_.one_in(30))
      model_.forget_session(static_cast<int32_t>(1 + chance_.below(2)));
    switch (chance_.below(4)) {
      case 0: return acknowledge();
      case 1: return resume(ShareFetcher::Tick{});
      default:
        if (!sends_.empty()) answer();
    }
  }

  void acknowledge() {
    ShareFetcher::Acknowledge event{.types = {}, .more = chance_.one_in(2) || quiet_};
    for (auto at = held_.begin(); at != held_.end();) {
      const bool speaks = quiet_ || chance_.one_in(2);
      if (!speaks) {
        ++at;
        continue;
      }
      constexpr AcknowledgeType kTypes[] = {AcknowledgeType::kAccept, AcknowledgeType::kAccept,
                                            AcknowledgeType::kRelease, AcknowledgeType::kRenew};
      const auto type = quiet_ ? AcknowledgeType::kAccept : kTypes[chance_.below(4)];
      event.types[at->first][at->second] = type;
      // A renewal may be overtaken, and comes back with what overtakes it.
      ++(type == AcknowledgeType::kRenew ? renewals_ : said_);
      at = type == AcknowledgeType::kRenew ? std::next(at) : held_.erase(at);
    }
    resume(std::move(event));
  }

  void resume(ShareFetcher::Event event) {
    auto action = fetcher_.resume(std::move(event), now_);
    for (auto& each : action.sends) sends_.push_back(std::move(each));
    for (const auto& each : action.records) {
      EXPECT_TRUE(has_record(each.offset.value()));
      held_.insert({each.partition, each.offset});
    }
    for (const auto& outcome : action.acknowledged) take(outcome);
    EXPECT_FALSE(action.failed);
    closed_ |= action.closed;
    if (!action.refresh.empty()) {
      cache_.update(metadata_of({topic()}));
      resume(ShareFetcher::MetadataRefreshed{});
    }
  }

  void take(const ShareFetcher::Outcome& outcome) {
    told_ += outcome.offsets.size();
    if (outcome.error != ErrorCode::kNone) return;
    for (const Offset offset : outcome.offsets)
      EXPECT_TRUE(model_.has_taken(outcome.partition.partition.value(), offset.value()))
          << "SF3: no leader has said so";
  }

  enum class Fate { kAnswered, kUnheard, kUnanswered };
  Fate fate() {
    if (quiet_ || !chance_.one_in(5)) return Fate::kAnswered;
    return chance_.one_in(2) ? Fate::kUnheard : Fate::kUnanswered;
  }

  void answer() {
    const auto at = sends_.begin() + static_cast<ptrdiff_t>(chance_.below(sends_.size()));
    const ShareFetcher::Send send = std::move(*at);
    sends_.erase(at);
    const Fate fate = this->fate();
    std::visit([&](const auto& request) { answer(send, request, fate); }, send.request);
  }

  template <class Response>
  static auto& entry_of(Response& response, int32_t partition) {
    response.responses.push_back({.topic_id = id_of_topic("t")});
    auto& entry = response.responses.back().partitions.emplace_back();
    entry.partition_index = partition;
    return entry;
  }

  void answer(const ShareFetcher::Send& send, const wire::ShareFetchRequest& request, Fate fate) {
    const int32_t node = send.to.value();
    wire::ShareFetchResponse response;
    if (fate != Fate::kUnheard) {
      response.error_code = wire::code_of(model_.take_epoch(node, request.share_session_epoch));
      if (response.error_code == 0) fill(node, request, response);
    }
    if (fate == Fate::kAnswered) return resume(ShareFetcher::Fetched{send.id, std::move(response)});
    lose(node);
    resume(ShareFetcher::Fetched{send.id, fail(Errc::kClosed, "cut")});
  }

  void fill(int32_t node, const wire::ShareFetchRequest& request,
            wire::ShareFetchResponse& response) {
    auto& reads = reads_[node];
    if (request.share_session_epoch == 0) reads.clear();
    std::map<int32_t, ErrorCode> said;
    for (const auto& topic : request.topics)
      for (const auto& each : topic.partitions) {
        reads.insert(each.partition_index);
        said[each.partition_index] =
            model_.say(node, each.partition_index, each.acknowledgement_batches);
        EXPECT_TRUE(request.share_session_epoch != 0 || each.acknowledgement_batches.empty())
            << "SF2";
      }
    for (const auto& topic : request.forgotten_topics_data)
      for (const int32_t each : topic.partitions) reads.erase(each);
    for (const int32_t partition : reads) {
      auto& entry = entry_of(response, partition);
      entry.acknowledge_error_code = wire::code_of(said[partition]);
      if (model_.leaders[partition] != node) {
        entry.error_code = wire::code_of(ErrorCode::kNotLeaderOrFollower);
        continue;
      }
      if (const auto range = model_.acquire(partition)) {
        entry.acquired_records.push_back(*range);
        if (has_record(range->first_offset)) entry.records = records_of(range->first_offset);
      }
    }
  }

  wire::Records records_of(int64_t offset) {
    record::BatchBuilder builder({.base_offset = Offset(offset)});
    builder.append({.timestamp = TimestampMs(1), .value = as_bytes("x")});
    batches_.push_back(std::move(builder).build());
    return wire::Records::of(batches_.back());
  }

  void answer(const ShareFetcher::Send& send, const wire::ShareAcknowledgeRequest& request,
              Fate fate) {
    const int32_t node = send.to.value();
    wire::ShareAcknowledgeResponse response;
    if (fate != Fate::kUnheard) {
      std::map<int32_t, ErrorCode> said;
      const int32_t epoch = request.share_session_epoch;
      // What is said with the last request is heard before the session ends.
      if (epoch == -1) say_all(node, request, said);
      response.error_code = wire::code_of(model_.take_epoch(node, epoch));
      if (response.error_code == 0 && epoch != -1) say_all(node, request, said);
      for (const auto& [partition, error] : said)
        entry_of(response, partition).error_code = wire::code_of(error);
    }
    if (fate == Fate::kAnswered)
      return resume(ShareFetcher::Acknowledged{send.id, std::move(response)});
    lose(node);
    resume(ShareFetcher::Acknowledged{send.id, fail(Errc::kClosed, "cut")});
  }

  void say_all(int32_t node, const wire::ShareAcknowledgeRequest& request,
               std::map<int32_t, ErrorCode>& said) {
    for (const auto& topic : request.topics)
      for (const auto& each : topic.partitions)
        said[each.partition_index] =
            model_.say(node, each.partition_index, each.acknowledgement_batches);
  }

  // The connection is gone: what was acquired and not heard of is free again some time.
  void lose(int32_t node) {
    for (auto& [partition, all] : model_.records)
      if (model_.leaders[partition] == node)
        for (auto& each : all) each.is_acquired = false;
  }

  Chance chance_;
  Model model_;
  MetadataCache cache_;
  ShareFetcher fetcher_{cache_, {.group = "g", .member_id = "m"}};
  Instant now_{seconds(1)};
  std::deque<ShareFetcher::Send> sends_;
  std::deque<ByteBuffer> batches_;
  std::map<int32_t, std::set<int32_t>> reads_;  // by leader
  std::set<std::pair<TopicPartition, Offset>> held_;
  size_t said_ = 0, renewals_ = 0, told_ = 0;
  bool quiet_ = false, closed_ = false;
};

TEST(ShareFetcherProperty, what_is_told_of_acknowledgements_is_so) {
  for (uint64_t seed = 0; seed < 300 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Trial(seed).run();
  }
}

}  // namespace
}  // namespace millrace::client::core
