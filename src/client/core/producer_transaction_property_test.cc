// A producer with transactions against a model of its broker and coordinator, where any question
// may be lost before it is heard, or its answer afterwards, and what may pass is refused at random.
// Whatever happens: what the producer is told of a transaction is so, and nothing it sends is
// refused for its sequence, its epoch or its partition.
#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "client/core/producer.h"
#include "client/core/testing/cluster.h"
#include "record/record.h"

namespace millrace::client::core {
namespace {

using wire::ErrorCode;

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

// The broker and coordinator, of one producer.
class Model {
 public:
  explicit Model(bool implicit) : implicit_(implicit) {}

  std::map<int32_t, std::vector<std::string>> committed;  // by partition
  std::vector<std::string> violations;

  wire::InitProducerIdResponse identify(const wire::InitProducerIdRequest& request) {
    const bool is_retry = request.producer_id >= 0 && request.producer_epoch == last_epoch_;
    const bool is_own = request.producer_id < 0 || request.producer_epoch == epoch_ || is_retry;
    if (!is_own) return {.error_code = wire::code_of(ErrorCode::kProducerFenced)};
    if (ongoing_) violations.emplace_back("an open transaction is not ended but fenced");
    if (!is_retry) {
      last_epoch_ = request.producer_id < 0 ? int16_t{-1} : epoch_;
      ++epoch_;
    }
    return {.producer_id = 7, .producer_epoch = epoch_};
  }

  void add(const std::set<int32_t>& partitions) {
    ongoing_ = true;
    partitions_.insert(partitions.begin(), partitions.end());
  }

  ErrorCode write(int32_t partition, const record::BatchHeader& header,
                  std::vector<std::string> values) {
    if (header.producer_epoch.value() != epoch_) return refuse(ErrorCode::kInvalidProducerEpoch);
    if (implicit_) add({partition});
    if (!partitions_.contains(partition)) return refuse(ErrorCode::kInvalidTxnState);
    Written& written = written_[partition];
    const bool is_new = written.epoch != epoch_;
    const int32_t base = header.base_sequence.value();
    if (!is_new && base == written.last_base) return ErrorCode::kNone;  // it is there
    if (base != (is_new ? 0 : written.next)) return refuse(ErrorCode::kOutOfOrderSequenceNumber);
    written = {.epoch = epoch_, .last_base = base, .next = base + header.record_count};
    auto& pending = pending_[partition];
    pending.insert(pending.end(), values.begin(), values.end());
    return ErrorCode::kNone;
  }

  wire::EndTxnResponse end(const wire::EndTxnRequest& request) {
    const bool is_repeated =
        implicit_ ? !ongoing_ && request.producer_epoch == epoch_ - 1 : !ongoing_ && decided_;
    if (is_repeated && decided_ == request.committed) return ended();
    if (request.producer_epoch != epoch_) {
      refuse(ErrorCode::kProducerFenced);
      return {.error_code = wire::code_of(ErrorCode::kProducerFenced)};
    }
    if (!ongoing_ && (request.committed || !implicit_))
      return {.error_code = wire::code_of(ErrorCode::kInvalidTxnState)};
    for (auto& [partition, values] : std::exchange(pending_, {}))
      if (request.committed)
        committed[partition].insert(committed[partition].end(), values.begin(), values.end());
    partitions_.clear();
    ongoing_ = false;
    decided_ = request.committed;
    if (implicit_) ++epoch_;
    return ended();
  }

 private:
  struct Written {
    int16_t epoch = -1;
    int32_t last_base = -1;
    int32_t next = 0;
  };

  wire::EndTxnResponse ended() const {
    if (!implicit_) return {};
    return {.producer_id = 7, .producer_epoch = epoch_};
  }
  ErrorCode refuse(ErrorCode error) {
    violations.emplace_back(wire::error_name(error));
    return error;
  }

  bool implicit_;
  int16_t epoch_ = -1;
  int16_t last_epoch_ = -1;
  bool ongoing_ = false;
  std::optional<bool> decided_;
  std::set<int32_t> partitions_;
  std::map<int32_t, Written> written_;
  std::map<int32_t, std::vector<std::string>> pending_;
};

class World {
 public:
  World(uint64_t seed, bool implicit)
      : implicit_(implicit),
        chance_(seed),
        cache_(testing::cache_of({{"t", {1, 2}}})),
        model_(implicit),
        producer_(cache_, options(chance_)) {}

  void run() {
    resume(Transaction::Event(Transaction::Init{}));
    for (int step = 0; step < 400; ++step) act();
    quiet_ = true;
    for (int step = 0; step < 2000 && !is_over(); ++step) act();
    ASSERT_TRUE(is_over()) << producer_.describe() << producer_.transaction()->describe();
    EXPECT_EQ(model_.violations, std::vector<std::string>());
    EXPECT_EQ(model_.committed, expected_);
    EXPECT_EQ(told_, last_tag_) << "PR1";
  }
  size_t commits() const { return commits_; }

 private:
  static ProducerOptions options(Chance& chance) {
    ProducerOptions options{.linger = milliseconds(static_cast<int64_t>(chance.below(20))),
                            .delivery_timeout = seconds(2)};
    options.batch_bytes = chance.one_in(2) ? 100 : 10000;
    options.transaction = TransactionOptions{.id = "tx", .patience = seconds(100'000)};
    return options;
  }
  bool is_over() const {
    return producer_.idle() && producer_.transaction()->is_ready() && !wished_ && quiet_;
  }

  void act() {
    now_ = now_ + milliseconds(static_cast<int64_t>(chance_.below(60)));
    if (chance_.one_in(quiet_ ? 1000 : 200)) now_ = now_ + seconds(2);
    const uint64_t choice = chance_.below(10);
    if (choice < 3 && !sends_.empty()) return answer_send();
    if (choice < 6 && question_) return answer_question();
    if (choice < 7) return resume(Producer::Tick{});
    if (choice < 8) return decide();
    if (!quiet_) produce();
  }

  void decide() {
    const Transaction& transaction = *producer_.transaction();
    if (wished_) return;
    if (transaction.is_ready()) {
      if (quiet_) return;
      transaction_ = {};
      return resume(Transaction::Event(Transaction::Begin{}));
    }
    if (!transaction.takes_records() && !transaction.failure()) return;
    const bool commits = !transaction.failure() && !chance_.one_in(3);
    wished_ = commits;
    resume(Transaction::Event(Transaction::End{commits}));
  }

  void produce() {
    OutgoingRecord record{.tag = ++last_tag_, .topic = "t"};
    const auto partition = static_cast<int32_t>(chance_.below(2));
    record.partition = PartitionIndex(partition);
    record.value = copy_of(as_bytes(std::to_string(last_tag_)));
    if (producer_.transaction()->takes_records())
      transaction_[partition].push_back(std::to_string(last_tag_));
    resume(Producer::Produce{std::move(record)});
  }

  void resume(Producer::Event event) {
    auto action = producer_.resume(std::move(event), now_);
    told_ += action.deliveries.size();
    for (auto& each : action.sends) sends_.push_back(std::move(each));
    if (action.ask) {
      ASSERT_FALSE(question_) << "one at a time";
      question_ = std::move(action.ask->question);
    }
    if (action.outcome) take(*action.outcome);
  }

  void take(const Transaction::Outcome& outcome) {
    const bool committed = std::exchange(wished_, std::nullopt).value_or(false);
    if (outcome.failure) {
      EXPECT_FALSE(outcome.failure->fatal) << outcome.failure->message;
      EXPECT_TRUE(committed) << "an abort fails: " << outcome.failure->message;
      return;
    }
    if (!committed) return;
    ++commits_;
    for (auto& [partition, values] : transaction_)
      expected_[partition].insert(expected_[partition].end(), values.begin(), values.end());
  }

  // What becomes of a request.
  enum class Fate { kAnswered, kUnheard, kUnanswered, kRefused };
  Fate fate() {
    if (quiet_ || !chance_.one_in(4)) return Fate::kAnswered;
    return static_cast<Fate>(1 + chance_.below(3));
  }

  void answer_send() {
    const auto at = sends_.begin() + static_cast<ptrdiff_t>(chance_.below(sends_.size()));
    const Producer::Send send = std::move(*at);
    sends_.erase(at);
    const Fate fate = this->fate();
    constexpr ErrorCode kErrors[] = {ErrorCode::kNotLeaderOrFollower, ErrorCode::kNotEnoughReplicas,
                                     ErrorCode::kConcurrentTransactions, ErrorCode::kInvalidRecord};
    const ErrorCode refusal = kErrors[chance_.below(std::size(kErrors))];
    wire::ProduceResponse response;
    for (const auto& topic : send.request.topic_data) {
      auto& results = response.responses.emplace_back();
      results.name = topic.name;
      for (const auto& each : topic.partition_data) {
        ErrorCode error = refusal;
        if (fate == Fate::kAnswered || fate == Fate::kUnanswered)
          error = write(each.index, each.records.bytes);
        results.partition_responses.push_back(
            {.index = each.index, .error_code = wire::code_of(error)});
      }
    }
    if (fate == Fate::kUnheard || fate == Fate::kUnanswered)
      return resume(Producer::Produced{send.id, fail(Errc::kClosed, "cut")});
    resume(Producer::Produced{send.id, std::move(response)});
  }

  ErrorCode write(int32_t partition, ByteView bytes) {
    const auto batch = record::BatchView::parse(bytes);
    EXPECT_TRUE(batch->header().attributes.transactional());
    std::vector<std::string> values;
    record::ReadScratch scratch;
    auto reader = record::RecordReader::open(*batch, scratch, 1 << 20);
    for (record::RecordView record; *reader->next(record);)
      values.emplace_back(as_text(*record.value));
    return model_.write(partition, batch->header(), std::move(values));
  }

  void answer_question() {
    auto question = *std::exchange(question_, std::nullopt);
    const Fate fate = this->fate();
    auto answer = std::visit([&](auto& each) { return answer_to(each, fate); }, question);
    if (fate == Fate::kUnheard || fate == Fate::kUnanswered)
      return resume(Transaction::Event(Transaction::Answered{fail(Errc::kClosed, "cut")}));
    resume(Transaction::Event(Transaction::Answered{std::move(answer)}));
  }

  int16_t refusal() {
    constexpr ErrorCode kErrors[] = {
        ErrorCode::kNotCoordinator, ErrorCode::kCoordinatorNotAvailable,
        ErrorCode::kCoordinatorLoadInProgress, ErrorCode::kConcurrentTransactions};
    return wire::code_of(kErrors[chance_.below(std::size(kErrors))]);
  }
  static bool is_heard(Fate fate) { return fate == Fate::kAnswered || fate == Fate::kUnanswered; }

  Transaction::Answer answer_to(const Transaction::FindCoordinator&, Fate fate) {
    if (!is_heard(fate)) return FoundCoordinator{.error = refusal()};
    return FoundCoordinator{.node = NodeId(3)};
  }
  Transaction::Answer answer_to(const Transaction::AskFeatures&, Fate) {
    wire::ApiVersionsResponse features;
    if (implicit_)
      features.finalized_features.push_back(
          {.name = "transaction.version", .max_version_level = 2});
    return features;
  }
  Transaction::Answer answer_to(const wire::InitProducerIdRequest& request, Fate fate) {
    if (!is_heard(fate)) return wire::InitProducerIdResponse{.error_code = refusal()};
    return model_.identify(request);
  }
  Transaction::Answer answer_to(const wire::AddPartitionsToTxnRequest& request, Fate fate) {
    wire::AddPartitionsToTxnResponse response;
    auto& results = response.results_by_topic_v3_and_below.emplace_back();
    results.name = "t";
    const int16_t error = is_heard(fate) ? int16_t{0} : refusal();
    std::set<int32_t> partitions;
    for (int32_t index : request.v3_and_below_topics.at(0).partitions) {
      partitions.insert(index);
      results.results_by_partition.push_back(
          {.partition_index = index, .partition_error_code = error});
    }
    if (is_heard(fate)) model_.add(partitions);
    return response;
  }
  Transaction::Answer answer_to(const wire::AddOffsetsToTxnRequest&, Fate) {
    return wire::AddOffsetsToTxnResponse{};
  }
  Transaction::Answer answer_to(const wire::TxnOffsetCommitRequest&, Fate) {
    return wire::TxnOffsetCommitResponse{};
  }
  Transaction::Answer answer_to(const wire::EndTxnRequest& request, Fate fate) {
    if (!is_heard(fate)) return wire::EndTxnResponse{.error_code = refusal()};
    return model_.end(request);
  }

  bool implicit_;
  Chance chance_;
  MetadataCache cache_;
  Model model_;
  Producer producer_;
  Instant now_{seconds(1)};
  bool quiet_ = false;  // nothing is lost or begun any more
  std::deque<Producer::Send> sends_;
  std::optional<Transaction::Question> question_;
  std::optional<bool> wished_;                               // a commit, or an abort
  std::map<int32_t, std::vector<std::string>> transaction_;  // what is in the open one
  std::map<int32_t, std::vector<std::string>> expected_;     // what is committed
  uint64_t last_tag_ = 0;
  size_t told_ = 0;
  size_t commits_ = 0;
};

class ProducerTransactionProperty : public ::testing::TestWithParam<bool> {};

TEST_P(ProducerTransactionProperty, what_is_told_is_so_and_nothing_sent_is_refused) {
  size_t commits = 0;
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed, GetParam());
    world.run();
    commits += world.commits();
    if (HasFailure()) break;
  }
  EXPECT_GT(commits, 1000);
}

INSTANTIATE_TEST_SUITE_P(Implicit, ProducerTransactionProperty, ::testing::Bool());

}  // namespace
}  // namespace millrace::client::core
