// One partition on three brokers under chaos: leaders and followers with logs in memory, a
// controller, power losses, elections, lost and late messages, metadata that some hear of late.
// What was committed is durable on every replica of the ISR, always (IS1, IS3, IS5, IS6); when all
// is well again the logs are the same and the ISR is whole (IS4, IS13).
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <random>

#include "replica/fetcher.h"
#include "replica/leader.h"
#include "replica/testing/brokers.h"

namespace millrace::replica {
namespace {

using wire::ErrorCode;

const TopicIdPartition kPartition{Uuid::of_words({1, 1}), PartitionIndex(0)};
constexpr Duration kLag = seconds(30);

struct Entry {
  int32_t epoch = 0;
  int32_t value = 0;
  friend bool operator==(const Entry&, const Entry&) = default;
};
using Log = std::vector<Entry>;

Offset end_of(const Log& log) { return Offset(static_cast<int64_t>(log.size())); }

// As storage::Log::end_of_epoch.
EpochEnd end_of_epoch(const Log& log, LeaderEpoch epoch) {
  if (log.empty() || epoch.value() > log.back().epoch) return {};
  size_t end = 0;
  while (end < log.size() && log[end].epoch <= epoch.value()) ++end;
  const LeaderEpoch largest = end == 0 ? epoch : LeaderEpoch(log[end - 1].epoch);
  return {largest, Offset(static_cast<int64_t>(end))};
}

struct Node {
  NodeId id;
  Log log;
  Offset durable;
  Offset high_watermark;
  bool is_up = true;
  metadata::PartitionState known;
  std::deque<metadata::PartitionState> news;
  std::optional<Leader> leader;
  std::optional<Fetcher> fetcher;
  bool reports = false;  // the fetcher waits for the log to be durable
  std::optional<wire::FetchResponse> fetched;
  ByteBuffer fetched_bytes;
  std::optional<IsrChange> asked;
  std::optional<IsrAnswer> answered;
};

class World {
 public:
  World(uint32_t seed, int32_t min_isr) : random_(seed), min_isr_(min_isr) {
    for (int32_t id : {0, 1, 2}) {
      nodes_.push_back({.id = NodeId(id)});
      brokers_.add(NodeId(id));
      brokers_.unfence(NodeId(id));
      state_.replicas.emplace_back(id);
    }
    state_.isr = state_.replicas;
    elect(NodeId(0));
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step(nodes_[below(3)]);
      check();
    }
  }
  // Everything arrives, nothing fails.
  void heal() {
    for (Node& node : nodes_)
      if (!node.is_up) restart(node);
    for (int i = 0; i < 400; ++i) {
      for (Node& node : nodes_) {
        hear(node);
        sync(node);
        fetch(node);
        take_fetched(node);
        ask_controller(node);
        take_answer(node);
      }
      pass_time(milliseconds(500));
      check();
    }
  }
  bool has_converged() const {
    for (const Node& node : nodes_)
      if (node.log != nodes_[0].log) return false;
    return state_.isr.size() == nodes_.size();
  }
  size_t committed() const { return committed_.size(); }
  std::string describe() const {
    std::string text;
    for (const Node& node : nodes_)
      text += fmt::format("\n{}: [{}, durable {}] {} {}", node.id, node.log.size(), node.durable,
                          node.leader ? node.leader->describe() : "",
                          node.fetcher ? node.fetcher->describe() : "");
    return text;
  }

 private:
  size_t below(size_t bound) { return random_() % bound; }

  void step(Node& node) {
    switch (below(14)) {
      case 0:
      case 1: return append(node);
      case 2:
      case 3: return sync(node);
      case 4:
      case 5: return fetch(node);
      case 6:
      case 7: return take_fetched(node);
      case 8:
      case 9: return hear(node);
      case 10: return ask_controller(node);
      case 11: return take_answer(node);
      case 12: return pass_time(milliseconds(1 + below(below(20) == 0 ? 20'000 : 300)));
      default: return misfortune(node);
    }
  }

  void misfortune(Node& node) {
    switch (below(12)) {
      case 0: return node.is_up ? lose_power(node) : restart(node);
      case 1:
      case 2:
        if (!node.is_up) restart(node);
        return;
      case 3:
        if (is_in_isr(node.id) && node.is_up && state_.leader != node.id) elect(node.id);
        return;
      case 4:
        if (!node.fetched) return;
        node.fetched.reset();
        return node.fetcher->on_disconnected(now_);
      case 5:
        if (node.answered) node.answered = IsrAnswer{.error = ErrorCode::kNetworkException};
        return;
      default: return;
    }
  }

  // --- the controller
  bool is_in_isr(NodeId id) const { return std::ranges::find(state_.isr, id) != state_.isr.end(); }
  void changed() {
    ++state_.partition_epoch;
    for (Node& node : nodes_)
      if (node.is_up) node.news.push_back(state_);
  }
  void elect(NodeId leader) {
    state_.leader = leader;
    ++state_.leader_epoch;
    changed();
  }
  void elect_any() {
    for (NodeId id : state_.isr)
      if (nodes_[static_cast<size_t>(id.value())].is_up) return elect(id);
    elect(kNoNode);
  }
  IsrAnswer decide(const IsrChange& change) {
    if (change.leader_epoch < state_.leader_epoch) return {.error = ErrorCode::kFencedLeaderEpoch};
    if (change.partition_epoch < state_.partition_epoch)
      return {.error = ErrorCode::kInvalidUpdateVersion};
    std::vector<NodeId> isr;
    for (const auto& [id, epoch] : change.isr) {
      const bool stale = epoch.value() != -1 && epoch != brokers_.epoch(id);
      if (brokers_.image().find_broker(id)->fenced || stale)
        return {.error = ErrorCode::kIneligibleReplica};
      isr.push_back(id);
    }
    state_.isr = isr;
    changed();
    return {
        .leader_epoch = state_.leader_epoch, .partition_epoch = state_.partition_epoch, .isr = isr};
  }

  // --- the brokers
  void lose_power(Node& node) {
    const auto kept = static_cast<size_t>(node.durable.value());
    node.log.resize(kept + below(node.log.size() - kept + 1));
    node = {.id = node.id, .log = std::move(node.log), .is_up = false};
    node.durable = end_of(node.log);
    brokers_.fence(node.id);
    if (!is_in_isr(node.id)) return;
    if (state_.isr.size() > 1) std::erase(state_.isr, node.id);
    state_.leader == node.id ? elect_any() : changed();
  }
  void restart(Node& node) {
    node.is_up = true;
    brokers_.add(node.id);
    brokers_.unfence(node.id);
    node.news.push_back(state_);
    if (state_.leader == kNoNode && is_in_isr(node.id)) elect(node.id);
  }
  void hear(Node& node) {
    if (node.news.empty()) return;
    const auto before = std::exchange(node.known, node.news.front());
    node.news.pop_front();
    const bool leads = node.known.leader == node.id;
    if (leads && node.leader && before.leader_epoch == node.known.leader_epoch) {
      node.leader->on_metadata(node.known, now_);
    } else if (leads) {
      node.fetcher.reset();
      node.fetched.reset();
      node.leader.emplace(
          LeaderOptions{.self = node.id, .lag_max = kLag, .min_insync_replicas = min_isr_},
          node.known, LeaderLog{node.high_watermark, node.durable, end_of(node.log)}, now_);
    } else if (before.leader_epoch != node.known.leader_epoch) {
      follow(node, before.leader);
    }
    note_commits(node);
  }
  void follow(Node& node, NodeId former_leader) {
    node.leader.reset();
    if (former_leader != node.known.leader) node.fetcher.reset();
    if (former_leader != node.known.leader) node.fetched.reset();
    if (node.known.leader == kNoNode) return;
    if (!node.fetcher) node.fetcher.emplace(FetcherOptions{.self = node.id});
    node.fetcher->add({kPartition, {"t", PartitionIndex(0)}, node.known.leader_epoch});
    report(node);
  }
  void append(Node& node) {
    if (!node.leader || !node.leader->has_min_isr()) return;
    node.log.push_back({node.leader->epoch().value(), ++last_value_});
  }
  void sync(Node& node) {
    if (!node.is_up) return;
    node.durable = end_of(node.log);
    if (node.leader) node.leader->on_durable(node.durable);
    if (node.reports) report(node);
    note_commits(node);
  }
  void report(Node& node) {
    node.reports = node.durable < end_of(node.log);
    if (node.reports || !node.fetcher) return;
    const LeaderEpoch last = node.log.empty() ? kNoLeaderEpoch : LeaderEpoch(node.log.back().epoch);
    node.fetcher->on_log(kPartition, node.known.leader_epoch, {Offset(0), node.durable, last});
  }
  Node* leader_of(const Node& node) {
    if (node.known.leader == kNoNode) return nullptr;
    Node& leader = nodes_[static_cast<size_t>(node.known.leader.value())];
    return leader.is_up ? &leader : nullptr;
  }
  void fetch(Node& node) {
    if (!node.fetcher || node.fetched) return;
    look_up(node);
    node.fetcher->set_broker_epoch(brokers_.epoch(node.id));
    const auto request = node.fetcher->next_fetch(now_);
    if (!request || request->topics.empty()) return;
    Node* leader = leader_of(node);
    if (!leader) return node.fetcher->on_disconnected(now_);
    node.fetched.emplace();
    auto& topic = node.fetched->responses.emplace_back();
    topic.topic_id = kPartition.topic_id;
    topic.partitions.push_back(serve(*leader, node, request->topics[0].partitions[0]));
    note_commits(*leader);
  }
  wire::FetchResponse::PartitionData serve(Node& leader, Node& follower,
                                           const wire::FetchRequest::FetchPartition& wanted) {
    wire::FetchResponse::PartitionData data;
    const Offset from(wanted.fetch_offset);
    const LeaderEpoch epoch = leader.leader ? leader.leader->epoch() : kNoLeaderEpoch;
    if (LeaderEpoch(wanted.current_leader_epoch) != epoch) {
      const bool fenced = LeaderEpoch(wanted.current_leader_epoch) < leader.known.leader_epoch;
      data.error_code =
          wire::code_of(fenced ? ErrorCode::kFencedLeaderEpoch : ErrorCode::kUnknownLeaderEpoch);
      return data;
    }
    if (wanted.last_fetched_epoch >= 0) {
      auto end = end_of_epoch(leader.log, LeaderEpoch(wanted.last_fetched_epoch));
      if (end.end.value() < 0)  // nothing was written since
        end = {leader.log.empty() ? kNoLeaderEpoch : LeaderEpoch(leader.log.back().epoch),
               end_of(leader.log)};
      if (end.epoch.value() != wanted.last_fetched_epoch || end.end < from) {
        data.diverging_epoch = {.epoch = end.epoch.value(), .end_offset = end.end.value()};
        return data;
      }
    }
    if (from > end_of(leader.log)) {
      data.error_code = wire::code_of(ErrorCode::kOffsetOutOfRange);
      return data;
    }
    EXPECT_EQ(leader.leader->on_fetch({follower.id, brokers_.epoch(follower.id), from, Offset(0)},
                                      end_of(leader.log), brokers_.image(), now_),
              ErrorCode::kNone);
    const size_t count = std::min<size_t>(3, leader.log.size() - static_cast<size_t>(from.value()));
    follower.fetched_bytes.resize(count * sizeof(Entry));
    if (count)
      std::memcpy(follower.fetched_bytes.data(), &leader.log[static_cast<size_t>(from.value())],
                  follower.fetched_bytes.size());
    data.records = wire::Records::of(follower.fetched_bytes);
    data.high_watermark = leader.leader->high_watermark().value();
    return data;
  }
  void look_up(Node& node) {
    const auto request = node.fetcher->next_lookup(now_);
    if (!request) return;
    const Node* leader = leader_of(node);
    if (!leader || !leader->leader) return node.fetcher->on_disconnected(now_);
    const bool for_end = request->topics[0].partitions[0].timestamp == -1;
    wire::ListOffsetsResponse response;
    response.topics.push_back(
        {.name = "t", .partitions = {{.offset = for_end ? end_of(leader->log).value() : 0}}});
    carry_out(node, node.fetcher->on_looked_up(response, now_));
  }
  void take_fetched(Node& node) {
    if (!node.fetched) return;
    const auto response = *std::exchange(node.fetched, std::nullopt);
    carry_out(node, node.fetcher->on_fetched(response, now_));
    node.fetcher->check_invariants();
  }
  void carry_out(Node& node, const std::vector<LogAction>& actions) {
    for (const LogAction& action : actions) {
      if (const auto* append = std::get_if<Append>(&action)) take_records(node, *append);
      if (const auto* cut = std::get_if<Truncate>(&action)) {
        const Offset target = truncation_target(
            {cut->leader_end, end_of_epoch(node.log, cut->leader_end.epoch)}, end_of(node.log));
        node.log.resize(static_cast<size_t>(target.value()));
        node.durable = std::min(node.durable, target);
        node.high_watermark = std::min(node.high_watermark, target);
      }
      report(node);
    }
  }
  static void take_records(Node& node, const Append& append) {
    ASSERT_EQ(append.at, end_of(node.log));
    for (size_t at = 0; at + sizeof(Entry) <= append.records.size(); at += sizeof(Entry))
      std::memcpy(&node.log.emplace_back(), append.records.data() + at, sizeof(Entry));
    node.high_watermark =
        std::max(node.high_watermark, std::min(append.high_watermark, end_of(node.log)));
  }
  void ask_controller(Node& node) {
    if (!node.leader || node.asked) return;
    node.asked = node.leader->take_change();
    if (node.asked) node.answered = decide(*node.asked);
  }
  void take_answer(Node& node) {
    if (!node.answered) return;
    const IsrChange asked = *std::exchange(node.asked, std::nullopt);
    const IsrAnswer answer = *std::exchange(node.answered, std::nullopt);
    if (!node.leader || node.leader->epoch() != asked.leader_epoch) return;
    node.leader->on_answer(asked.partition_epoch, answer);
    note_commits(node);
  }
  void pass_time(Duration time) {
    now_ = now_ + time;
    for (Node& node : nodes_) {
      if (!node.leader) continue;
      node.leader->on_tick(end_of(node.log), brokers_.image(), now_);
      note_commits(node);
    }
  }

  // --- what must hold
  void note_commits(Node& node) {
    if (!node.leader) return;
    node.leader->check_invariants();
    EXPECT_GE(node.leader->high_watermark(), node.high_watermark) << "IS6: it fell";
    node.high_watermark = node.leader->high_watermark();
    ASSERT_LE(node.high_watermark, node.durable);
    for (size_t i = committed_.size(); i < static_cast<size_t>(node.high_watermark.value()); ++i)
      committed_.push_back(node.log[i]);
  }
  void check() const {
    for (NodeId id : state_.isr) {
      const Node& node = nodes_[static_cast<size_t>(id.value())];
      ASSERT_GE(node.durable.value(), static_cast<int64_t>(committed_.size()))
          << "IS1: " << id.value() << describe();
      ASSERT_TRUE(std::equal(committed_.begin(), committed_.end(), node.log.begin()))
          << "IS3: " << id.value() << describe();
    }
  }

  std::mt19937 random_;
  const int32_t min_isr_;
  Instant now_{seconds(1)};
  testing::Brokers brokers_;
  metadata::PartitionState state_;
  std::vector<Node> nodes_;
  Log committed_;
  int32_t last_value_ = 0;
};

TEST(Replication, loses_nothing_that_was_committed_and_heals) {
  size_t committed = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    World world(seed, /*min_isr=*/1 + static_cast<int32_t>(seed % 2));
    world.run(2500);
    if (::testing::Test::HasFatalFailure()) FAIL() << "seed " << seed;
    world.heal();
    ASSERT_TRUE(world.has_converged()) << "IS13: seed " << seed << world.describe();
    committed += world.committed();
  }
  EXPECT_GT(committed, 5'000U) << "the chaos lets work be done";
}

}  // namespace
}  // namespace millrace::replica
