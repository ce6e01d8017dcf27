// Whole quorums in one deterministic world: machines that exchange encoded messages over a network
// that loses, delays, reorders and cuts, on disks that forget what was not synced; nodes crash,
// voters come and go, snapshots are taken and fetched. An oracle holds RA1 to RA10 after every
// event.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <queue>
#include <random>

#include "raft/control_records.h"
#include "raft/machine.h"
#include "raft/wire_messages.h"
#include "record/record.h"
#include "wire/codec.h"
#include "wire/control_records.h"

namespace millrace::raft {
namespace {

const std::string kCluster = "JBnGmM1nQnKjv6nDT2mAzQ";

struct StoredBatch {
  LeaderEpoch epoch;
  Offset base;
  Offset end;
  ByteBuffer bytes;
  uint64_t sequence = 0;  // of the output that handed it over
  bool durable = false;
};

struct Snapshot {
  ByteBuffer bytes;  // the committed batches below its end, one behind the other
  VoterSet voters;
  int16_t kraft_version = 0;
};

struct Disk {
  ElectionState election;
  Offset start{0};
  std::vector<StoredBatch> log;
  std::map<LogPosition, Snapshot> snapshots;
  Offset end() const { return log.empty() ? start : log.back().end; }
  Offset durable_end() const {
    Offset durable = start;
    for (const auto& batch : log)
      if (batch.durable) durable = batch.end;
    return durable;
  }
};

struct Node {
  ReplicaKey key;
  Disk disk;
  std::unique_ptr<Machine> machine;  // none: it is down
  uint64_t incarnation = 0;
  Offset committed{0};
  ByteBuffer incoming;  // chunks of a snapshot
  uint64_t timers = 0;
};

struct Chaos {
  int loss_percent = 0;
  int crash_percent = 0;  // of each chaos step, every 200 ms
  int cut_percent = 0;
  int snapshot_percent = 0;
  int voter_change_percent = 0;
  int observers = 0;
  bool is_static = false;  // it begins with voters that the configuration names; upgraded meanwhile
};

class World {
 public:
  World(uint64_t seed, int voters, Chaos chaos) : random_(seed), chaos_(chaos) {
    for (int id = 1; id <= voters + chaos.observers; ++id) {
      const ReplicaKey key{NodeId(id), Uuid::of_words({7, static_cast<uint64_t>(id)})};
      if (id <= voters) bootstrap_.voters[key.id] = voter(key);
      if (id <= voters && chaos.is_static) bootstrap_.voters[key.id].directory_id = Uuid::zero();
      nodes_[key.id].key = key;
    }
    for (auto& [id, node] : nodes_) {
      if (!chaos.is_static) node.disk.snapshots[{}] = {.voters = bootstrap_, .kraft_version = 1};
      start(node);
    }
  }

  void run_for(Duration time) {
    const Instant until = now_ + time;
    while (!events_.empty() && events_.top().at <= until && !testing::Test::HasFatalFailure()) {
      Event event = std::move(const_cast<Event&>(events_.top()));
      events_.pop();
      now_ = event.at;
      event.run();
    }
    now_ = until;
  }

  void run_with_chaos(Duration time) {
    for (const Instant until = now_ + time; now_ < until;) {
      run_for(milliseconds(20));
      propose();
      if (++steps_ % 10 == 0) disturb();
      if (testing::Test::HasFatalFailure()) return;
    }
  }

  void heal() {
    chaos_ = {};
    cut_.clear();
    for (auto& [id, node] : nodes_)
      if (!node.machine) start(node);
  }

  void expect_agreement() {
    Node* leader = this->leader();
    ASSERT_NE(leader, nullptr) << describe();
    for (auto& [id, node] : nodes_) {
      EXPECT_EQ(node.machine->epoch(), leader->machine->epoch()) << describe();
      EXPECT_EQ(node.disk.end(), leader->disk.end()) << describe();
      EXPECT_EQ(node.committed, leader->disk.end()) << describe();
    }
  }

  Node* leader() {
    Node* best = nullptr;
    for (auto& [id, node] : nodes_)
      if (node.machine && node.machine->is_leader() &&
          (!best || best->machine->epoch() < node.machine->epoch()))
        best = &node;
    return best;
  }

  Node& node(int id) { return nodes_.at(NodeId(id)); }
  size_t upgrades() const { return upgrades_; }
  Offset committed() const { return committed_; }
  size_t voter_changes() const { return voter_changes_; }
  size_t restores() const { return restores_; }
  Instant now() const { return now_; }
  size_t leaders() const { return leaders_.size(); }

  void crash(Node& node) {
    node.machine.reset();
    ++node.incarnation;
    node.committed = Offset(0);
    node.incoming.clear();
    // Of what was not synced any prefix may have reached the medium.
    auto& log = node.disk.log;
    auto lost = std::ranges::find(log, false, &StoredBatch::durable);
    while (lost != log.end() && chance(50)) ++lost;
    log.erase(lost, log.end());
    for (auto& batch : log) batch.durable = true;
  }

  void start(Node& node) {
    node.machine = std::make_unique<Machine>(
        options_of(node), recover(node.disk), [this] { return random_(); }, time());
    settle(node);
  }

  void propose() {
    Node* leader = this->leader();
    if (!leader) return;
    record::BatchBuilder builder({});
    const std::string value = fmt::format("value {}", ++proposed_);
    builder.append({.timestamp = TimestampMs(1), .value = as_bytes(value)});
    ASSERT_TRUE(leader->machine->append(std::move(builder).build(), time()).has_value());
    settle(*leader);
  }

  // Swaps one replica's place in the voter set.
  void change_voters(NodeId id) {
    Node* leader = this->leader();
    if (!leader) return;
    VoterSet next = leader->machine->log().voters();
    if (!next.voters.erase(id)) next.voters[id] = voter(nodes_.at(id).key);
    if (leader->machine->change_voters(next, time()).has_value()) ++voter_changes_;
    settle(*leader);
  }

  // Some voters tell of themselves; when all have told one leader it is done.
  void upgrade() {
    Node* leader = this->leader();
    if (!leader) return;
    for (const auto& [id, voter] : bootstrap_.voters)
      if (chance(50)) (void)leader->machine->note_voter(id, World::voter(nodes_.at(id).key));
    if (leader->machine->upgrade_kraft_version(time())) ++upgrades_;
    settle(*leader);
  }

  void take_snapshot(Node& node) {
    const Offset end = node.committed;
    if (!node.machine || node.disk.durable_end() < end || end <= node.disk.start) return;
    const LogState& log = node.machine->log();
    const LogPosition id{log.epoch_below(end), end};
    if (node.disk.snapshots.contains(id)) return;
    node.disk.snapshots[id] = {.bytes = committed_bytes(end),
                               .voters = log.voters_below(end),
                               .kraft_version = log.kraft_version_below(end)};
    node.machine->on_snapshot_written(id);
    // The log and the snapshots in front of the one before the last go.
    while (node.disk.snapshots.size() > 2) {
      const LogPosition gone = node.disk.snapshots.begin()->first;
      node.disk.snapshots.erase(gone);
      node.machine->on_snapshot_removed(gone);
    }
    const Offset start = node.disk.snapshots.begin()->first.offset;
    std::erase_if(node.disk.log, [&](const auto& batch) { return batch.end <= start; });
    node.disk.start = std::max(node.disk.start, start);
    node.machine->on_log_start(node.disk.start);
  }

  std::string describe() const {
    std::string text = fmt::format("at {} ms", now_.since_start / milliseconds(1));
    for (const auto& [id, node] : nodes_)
      text += "\n  " + (node.machine ? node.machine->describe() : fmt::format("node {} down", id));
    return text;
  }

 private:
  struct Event {
    Instant at;
    uint64_t order;
    std::function<void()> run;
    bool operator<(const Event& other) const {
      return std::tie(at, order) > std::tie(other.at, other.order);
    }
  };

  static Voter voter(const ReplicaKey& key) {
    return {.directory_id = key.directory_id,
            .endpoints = {{"CONTROLLER", "host", static_cast<uint16_t>(9000 + key.id.value())}}};
  }

  bool chance(int percent) { return static_cast<int>(random_() % 100) < percent; }
  Now time() const { return {now_, TimestampMs(1'700'000'000'000)}; }
  Duration between(int least_us, int most_us) {
    return std::chrono::microseconds(least_us +
                                     static_cast<int>(random_() % (most_us - least_us + 1)));
  }
  void after(Duration delay, std::function<void()> run) {
    events_.push({now_ + delay, ++order_, std::move(run)});
  }
  // Runs unless the node has been down in between.
  void after(Duration delay, Node& node, std::function<void()> run) {
    after(delay, [&node, incarnation = node.incarnation, run = std::move(run)] {
      if (node.machine && node.incarnation == incarnation) run();
    });
  }

  Options options_of(const Node& node) {
    Options options{.self = node.key, .endpoints = voter(node.key).endpoints};
    for (const auto& [id, each] : nodes_)
      if (id != node.key.id) options.bootstrap.push_back(id);
    options.max_fetch_bytes = 600;
    return options;
  }

  Recovered recover(const Disk& disk) const {
    Recovered recovered{.election = disk.election, .log = LogState(disk.start)};
    recovered.log.note_voters(Offset(-1), bootstrap_);
    for (const auto& [id, snapshot] : disk.snapshots) {
      recovered.log.note_snapshot(id);
      recovered.log.note_voters(id.offset - 1, snapshot.voters);
      recovered.log.note_kraft_version(id.offset - 1, snapshot.kraft_version);
    }
    for (const auto& batch : disk.log)
      EXPECT_TRUE(note_batch(recovered.log, *record::BatchView::parse(batch.bytes)).has_value());
    return recovered;
  }

  // Does what the machine wants, as a host does, and checks it.
  void settle(Node& node) {
    const bool led = node.machine->is_leader();
    Output output = node.machine->take_output();
    if (output.election) write_election(node, *output.election);
    if (output.truncate_to) truncate(node, *output.truncate_to);
    if (output.restore) restore(node, *output.restore);
    for (auto& bytes : output.append) append(node, std::move(bytes), output.sequence);
    if (led && node.machine->is_leader()) {
      ASSERT_FALSE(output.truncate_to || output.restore) << "RA7 " << describe();
    }
    if (output.snapshot_chunk) take_chunk(node, *output.snapshot_chunk);
    if (output.committed) commit(node, *output.committed);
    for (Envelope& envelope : output.send) send(node, std::move(envelope));
    if (output.changes_log()) schedule_sync(node, output.sequence);
    if (node.machine->is_leader()) check_leader(node);
    ASSERT_FALSE(node.machine->fault()) << node.machine->fault()->message << describe();
    node.machine->check_invariants();
    ASSERT_EQ(node.machine->log().end(), node.disk.end()) << describe();
    schedule_tick(node);
  }

  void schedule_tick(Node& node) {
    const Instant due = node.machine->next_deadline();
    if (due == Instant::never()) return;
    after(std::max(due - now_, Duration(0)), node, [this, &node, mine = ++node.timers] {
      if (node.timers != mine) return;
      node.machine->on_tick(time());
      settle(node);
    });
  }

  void schedule_sync(Node& node, uint64_t sequence) {
    after(between(100, 8000), node, [this, &node, sequence] {
      for (auto& batch : node.disk.log)
        if (batch.sequence <= sequence) batch.durable = true;
      node.machine->on_persisted(sequence, time());
      settle(node);
    });
  }

  void write_election(Node& node, const ElectionState& next) {
    const ElectionState& before = node.disk.election;
    ASSERT_GE(next.epoch, before.epoch) << "RA2";
    if (next.epoch == before.epoch && before.voted && next.voted) {
      ASSERT_EQ(next.voted, before.voted) << "RA2";
    }
    node.disk.election = next;
  }

  void truncate(Node& node, Offset to) {
    ASSERT_GE(to, node.committed) << "RA7 " << describe();
    std::erase_if(node.disk.log, [&](const auto& batch) { return batch.base >= to; });
    ASSERT_EQ(node.disk.end(), to) << "a batch was cut in two";
  }

  void restore(Node& node, const LogPosition& id) {
    ASSERT_TRUE(node.disk.snapshots.contains(id));
    node.disk.log.clear();
    node.disk.start = id.offset;
    std::erase_if(node.disk.snapshots, [&](const auto& each) { return each.first < id; });
    ++restores_;
  }

  void append(Node& node, ByteBuffer bytes, uint64_t sequence) {
    const auto header = record::BatchView::parse(bytes)->header();
    ASSERT_EQ(header.base_offset, node.disk.end());
    node.disk.log.push_back({header.leader_epoch, header.base_offset, header.next_offset(),
                             std::move(bytes), sequence, false});
  }

  void take_chunk(Node& node, SnapshotChunk& chunk) {
    if (chunk.position == 0) node.incoming.clear();
    ASSERT_EQ(node.incoming.size(), chunk.position);
    node.incoming.insert(node.incoming.end(), chunk.bytes.begin(), chunk.bytes.end());
    if (!chunk.last) return;
    const Snapshot& original = oracle_snapshots_.at(chunk.snapshot);
    ASSERT_EQ(node.incoming, original.bytes) << "RA8";
    node.disk.snapshots[chunk.snapshot] = original;
    after(between(100, 5000), node, [this, &node, id = chunk.snapshot] {
      const Snapshot& loaded = node.disk.snapshots.at(id);
      node.machine->on_snapshot_restored({id, loaded.voters, loaded.kraft_version}, time());
      settle(node);
    });
  }

  // RA1, RA4.
  void check_leader(Node& node) {
    auto [known, fresh] = leaders_.try_emplace(node.machine->epoch(), node.key.id);
    ASSERT_EQ(known->second, node.key.id) << "RA1 " << describe();
    if (!fresh) return;
    size_t oracle = 0;
    for (const auto& batch : node.disk.log) {
      while (oracle < oracle_.size() && oracle_[oracle].base < batch.base) ++oracle;
      if (oracle == oracle_.size()) break;
      ASSERT_EQ(oracle_[oracle].bytes, batch.bytes) << "RA3 at " << batch.base.value();
    }
    ASSERT_GE(node.disk.end(), committed_) << "RA4 " << describe();
    check_granted(node);
  }

  // RA10: those whose votes the new leader writes down are a majority of its voters.
  void check_granted(Node& node) {
    const auto view = record::BatchView::parse(node.disk.log.back().bytes);
    record::ReadScratch scratch;
    auto reader = record::RecordReader::open(*view, scratch, 1 << 20);
    record::RecordView first;
    ASSERT_TRUE(*reader->next(first));
    const auto change = wire::decode<wire::LeaderChangeMessage>(*first.value, 0);
    const VoterSet& voters = node.machine->log().voters();
    for (const auto& each : change->granting_voters)
      ASSERT_TRUE(voters.contains(NodeId(each.voter_id))) << "RA10 " << describe();
    ASSERT_GE(change->granting_voters.size(), voters.majority()) << "RA10 " << describe();
  }

  // RA3, RA5, RA6.
  void commit(Node& node, Offset to) {
    ASSERT_GT(to, node.committed) << "RA5";
    node.committed = to;
    for (const auto& batch : node.disk.log) {
      if (batch.end > to) break;
      if (batch.end <= committed_) {
        auto same = std::ranges::lower_bound(oracle_, batch.base, {}, &StoredBatch::base);
        ASSERT_EQ(same->bytes, batch.bytes) << "RA3 at " << batch.base.value();
      } else {
        ASSERT_EQ(batch.base, committed_) << "committed with a gap " << describe();
        oracle_.push_back(batch);
        committed_ = batch.end;
        check_majority(node, batch.end);
        check_voters(batch);
      }
    }
  }

  void check_majority(Node& node, Offset end) {
    const VoterSet& voters = node.machine->log().voters();
    size_t have = 0;
    for (const auto& [id, voter] : voters.voters) {
      const Disk& disk = nodes_.at(id).disk;
      const Uuid own = nodes_.at(id).key.directory_id;
      const bool is_it = voter.directory_id.is_zero() || voter.directory_id == own;
      if (is_it && disk.durable_end() >= end) ++have;
    }
    ASSERT_GE(have, voters.majority()) << "RA6 at " << end.value() << describe();
  }

  void check_voters(const StoredBatch& batch) {
    const auto view = record::BatchView::parse(batch.bytes);
    if (!view->header().attributes.control()) return;
    auto facts = read_control_batch(*view);
    if (!facts->voters) return;
    ASSERT_TRUE(committed_voters_.voters.empty() ||
                committed_voters_.overlaps(facts->voters->second))
        << "RA9";
    committed_voters_ = facts->voters->second;
  }

  ByteBuffer committed_bytes(Offset end) {
    ByteBuffer bytes;
    for (const auto& batch : oracle_)
      if (batch.end <= end) bytes.insert(bytes.end(), batch.bytes.begin(), batch.bytes.end());
    return bytes;
  }

  // Through the bytes of the protocol's newest version, and back.
  template <class Wire, class Plain>
  static Wire through_wire(const Plain& plain, ByteBuffer& frame) {
    frame = *wire::encode(plain, Wire::kMaxVersion);
    return *wire::decode<Wire>(frame, Wire::kMaxVersion);
  }

  Message recoded(const Message& message) {
    ByteBuffer frame;
    return std::visit(
        [&]<class M>(const M& m) -> Message {
          if constexpr (requires { m.standing; }) {
            const auto out = to_wire(m);
            return from_wire(through_wire<std::decay_t<decltype(out)>>(out, frame));
          } else {
            const auto out = to_wire(m, kCluster);
            return *from_wire(through_wire<std::decay_t<decltype(out)>>(out, frame), kCluster);
          }
        },
        message);
  }

  // What the host puts into answers from its files.
  void fill(Node& node, Message& message) {
    if (auto* fetch = std::get_if<FetchResponse>(&message)) {
      if (fetch->high_watermark >= Offset(0)) {
        ASSERT_LE(fetch->high_watermark, committed_) << "RA5";
      }
      for (const auto& batch : node.disk.log) {
        if (batch.base < fetch->read_from) continue;
        const size_t size = fetch->records.size() + batch.bytes.size();
        if (batch.end > fetch->read_below || (!fetch->records.empty() && size > fetch->max_bytes))
          break;
        fetch->records.insert(fetch->records.end(), batch.bytes.begin(), batch.bytes.end());
      }
    }
    if (auto* chunk = std::get_if<FetchSnapshotResponse>(&message);
        chunk && chunk->standing.error == ErrorCode::kNone) {
      const Snapshot& snapshot = node.disk.snapshots.at(chunk->snapshot);
      oracle_snapshots_[chunk->snapshot] = snapshot;
      ASSERT_EQ(snapshot.bytes, committed_bytes(chunk->snapshot.offset)) << "RA8";
      chunk->size = snapshot.bytes.size();
      const size_t take = std::min<size_t>(chunk->max_bytes, chunk->size - chunk->position);
      chunk->bytes.assign(snapshot.bytes.begin() + static_cast<ptrdiff_t>(chunk->position),
                          snapshot.bytes.begin() + static_cast<ptrdiff_t>(chunk->position + take));
    }
  }

  // Nobody listens there, or something between says so.
  void refuse(Node& from, NodeId to, uint64_t correlation) {
    if (!from.machine) return;
    after(between(200, 2000), from, [this, &from, to, correlation] {
      from.machine->on_send_failed({.peer = to, .correlation = correlation, .gone = true}, time());
      settle(from);
    });
  }

  void send(Node& from, Envelope envelope) {
    fill(from, envelope.message);
    const NodeId to = envelope.peer;
    const bool asks = is_request(envelope.message);
    if (cut_.contains({from.key.id, to})) {
      if (asks && chance(20)) refuse(from, to, envelope.correlation);
      return;
    }
    if (chance(chaos_.loss_percent)) return;
    Envelope delivered{.peer = from.key.id,
                       .correlation = envelope.correlation,
                       .message = recoded(envelope.message)};
    const Duration delay = chance(2) ? between(1000, 900'000) : between(200, 12'000);
    after(delay, [this, to, asks, delivered = std::move(delivered)]() mutable {
      Node& node = nodes_.at(to);
      if (!node.machine) {
        if (asks) refuse(nodes_.at(delivered.peer), to, delivered.correlation);
        return;
      }
      node.machine->on_message(std::move(delivered), time());
      settle(node);
    });
  }

  void disturb() {
    for (auto& [id, node] : nodes_) {
      if (!node.machine) {
        if (chance(30)) start(node);
      } else if (chance(chaos_.crash_percent)) {
        crash(node);
      } else if (chance(chaos_.snapshot_percent)) {
        take_snapshot(node);
      }
      for (auto& [other, unused] : nodes_)
        if (chance(chaos_.cut_percent)) cut_.insert({id, other});
    }
    if (chance(20)) cut_.clear();
    if (chance(chaos_.voter_change_percent)) {
      auto any = nodes_.begin();
      std::advance(any, random_() % nodes_.size());
      change_voters(any->first);
    }
    if (chaos_.is_static && chance(10)) upgrade();
  }

  std::mt19937_64 random_;
  Chaos chaos_;
  Instant now_;
  std::map<NodeId, Node> nodes_;
  VoterSet bootstrap_;
  std::priority_queue<Event> events_;
  std::set<std::pair<NodeId, NodeId>> cut_;
  uint64_t order_ = 0;
  uint64_t steps_ = 0;
  uint64_t proposed_ = 0;
  size_t voter_changes_ = 0;
  size_t restores_ = 0;
  size_t upgrades_ = 0;
  // The oracle.
  std::map<LeaderEpoch, NodeId> leaders_;
  std::vector<StoredBatch> oracle_;
  Offset committed_{0};
  VoterSet committed_voters_;
  std::map<LogPosition, Snapshot> oracle_snapshots_;
};

TEST(Quorum, three_nodes_elect_one_leader_and_commit_what_it_appends) {
  World world(1, 3, {});
  world.run_for(seconds(5));
  ASSERT_NE(world.leader(), nullptr) << world.describe();
  for (int i = 0; i < 10; ++i) world.propose();
  world.run_for(seconds(2));
  world.expect_agreement();
  EXPECT_EQ(world.leaders(), 1U);
}

TEST(Quorum, a_dead_leader_is_replaced_and_its_log_agrees_when_it_comes_back) {
  World world(2, 3, {});
  world.run_for(seconds(5));
  Node& old = *world.leader();
  world.crash(old);
  world.run_for(seconds(4));
  ASSERT_NE(world.leader(), nullptr) << world.describe();
  EXPECT_NE(world.leader(), &old);
  world.propose();
  world.start(old);
  world.run_for(seconds(5));
  world.expect_agreement();
}

class Seeds : public testing::TestWithParam<int> {};

// Each seed another mixture.
TEST_P(Seeds, safety_holds_under_chaos_and_all_agree_after_it) {
  size_t upgraded = 0;
  for (uint64_t seed = static_cast<uint64_t>(GetParam()) * 50;
       seed < static_cast<uint64_t>(GetParam() + 1) * 50; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937_64 mix(seed ^ 0x9E3779B97F4A7C15ULL);
    const Chaos chaos{.loss_percent = static_cast<int>(mix() % 10),
                      .crash_percent = static_cast<int>(mix() % 5),
                      .cut_percent = static_cast<int>(mix() % 5),
                      .snapshot_percent = static_cast<int>(mix() % 8),
                      .voter_change_percent = static_cast<int>(mix() % 20),
                      .observers = static_cast<int>(mix() % 3),
                      .is_static = seed % 3 == 0};
    World world(seed, 1 + static_cast<int>(mix() % 5), chaos);
    world.run_with_chaos(seconds(10));
    if (HasFatalFailure()) return;
    world.heal();
    world.run_for(seconds(20));
    if (HasFatalFailure()) return;
    world.expect_agreement();
    EXPECT_GT(world.committed(), Offset(0));
    if (HasFailure()) return;
    upgraded += world.upgrades();
  }
  EXPECT_GT(upgraded, 3U);
}
INSTANTIATE_TEST_SUITE_P(Mixtures, Seeds, testing::Range(0, 6));

}  // namespace
}  // namespace millrace::raft
