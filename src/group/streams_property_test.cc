// Random lives of a streams group (KIP-1071): members of several processes that come, go, fall
// silent and are slow to stop tasks, topics that are made late and grow, configs that change, a
// disk that is synced now and then and crashes that lose what was not. A failure prints the seed:
// PROPERTY_SEED=N runs that one alone.
//   TG1 the epochs of group and members do not go back.
//   TG2 no active task is two members' at once, whether they have it or still have to give it up,
//       and no member runs one that the group does not know to be its.
//   TG3 in the end each task is somebody's, and each has its standby at another process.
//   TG4 a replay gives the same state, whatever the order of the last records of each key.
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>

#include "group/streams_records.h"
#include "group/testing/dice.h"
#include "group/testing/streamer.h"

namespace millrace::group {
namespace {

using namespace testing;

constexpr int kClients = 6;

struct Client {
  std::string id;
  std::string process_id;
  int32_t epoch = -1;  // -1: not in the group
  OwnTasks wants;      // active ones, as it was told
  OwnTasks runs;       // the same, as far as it has come
  OwnTasks standby;
  bool waits = false;  // for an answer
  bool silent = false;
};

void unite(OwnTasks& tasks, const OwnTasks& more) {
  for (const auto& [subtopology, partitions] : more)
    tasks[subtopology].insert(partitions.begin(), partitions.end());
}

class World {
 public:
  explicit World(uint64_t seed) : dice_{seed} {
    for (int i = 0; i < kClients; ++i) {
      clients_.emplace_back().id = fmt::format("m{}", i);
      clients_.back().process_id = fmt::format("p{}", i % 3);
    }
    start();
  }

  void live(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) step();
  }

  void settle() {
    topics_.counts["store"] = topics_.partition_count("t0");
    add("store", topics_.partition_count("t0"));
    topics_.streams_settings["st"].standby_replicas = 1;
    for (Client& client : clients_) client.silent = false;
    for (int round = 0; round < 60; ++round) {
      pass(seconds(2));
      for (Client& client : clients_) beat(client, true);
      sync_disk();
    }
    check_end();
    check_replay();
  }

 private:
  struct Held {
    size_t needs;
    Ticket ticket;
    StreamsBeat answer;
  };

  void start() {
    machine_ = std::make_unique<Coordinator>(GroupConfig{});
    current_.clear();
    for (const KeyValueRecord& record : log_) {
      ASSERT_TRUE(machine_->apply(record));
      note(record);
    }
    perform(machine_->on_loaded(now_, wall_, topics_));
  }

  void perform(Decision decision) {
    for (KeyValueRecord& record : decision.records) {
      ASSERT_TRUE(machine_->apply(record));
      note(record);
      log_.push_back(std::move(record));
    }
    for (auto& reply : decision.replies)
      if (auto* answer = std::get_if<StreamsHeartbeatAnswer>(&reply.response))
        held_.push_back({log_.size(), reply.ticket, answer->response});
    machine_->check_invariants();
    check_group();
  }

  void sync_disk() {
    durable_ = log_.size();
    while (!held_.empty()) {
      Held held = std::move(held_.front());
      held_.pop_front();
      auto handler = handlers_.extract(held.ticket);
      if (!handler.empty()) handler.mapped()(held.answer);
    }
  }

  void crash() {
    const auto lost = static_cast<int64_t>(log_.size() - durable_);
    log_.resize(durable_ + static_cast<size_t>(dice_.below(lost + 1)));
    durable_ = log_.size();
    held_.clear();
    handlers_.clear();
    for (Client& client : clients_) client.waits = false;
    epoch_ = 0;
    start();
  }

  void pass(Duration by) {
    const Instant until = now_ + by;
    while (machine_->next_deadline() <= until) {
      move_to(std::max(now_, machine_->next_deadline()));
      perform(machine_->on_tick(now_, wall_, topics_));
    }
    move_to(until);
  }
  void move_to(Instant to) {
    wall_ += std::chrono::duration_cast<milliseconds>(to - now_).count();
    now_ = to;
  }

  void step() {
    Client& client = clients_[static_cast<size_t>(dice_.below(kClients))];
    switch (dice_.below(22)) {
      case 0: return pass(milliseconds(dice_.below(30'000)));
      case 1: return dice_.one_in(3) ? crash() : sync_disk();
      case 2: return leave(client);
      case 3: client.silent = dice_.one_in(2); return;
      case 4: return grow();
      case 5:
        topics_.streams_settings["st"].standby_replicas = static_cast<int32_t>(dice_.below(3));
        return;
      case 6:
      case 7: return pass(milliseconds(dice_.below(1500)));
      case 8:
      case 9:
      case 10: return sync_disk();
      default: return beat(client, dice_.one_in(2));
    }
  }

  // A topic of the application's own is made late, or never fits for a while.
  void grow() {
    if (dice_.one_in(2)) return add("store", topics_.partition_count("t0"));
    const int32_t count = topics_.partition_count("t0");
    if (count < 7) add("t0", count + 1);
  }
  void add(const std::string& name, int32_t partitions) {
    topics_.ids[name] = Uuid::of_words({9, name.size()});
    topics_.counts[name] = partitions;
    ++topics_.version_now;
    machine_->on_topics_changed({.names = {name}, .any_created = true}, topics_);
  }

  RequestContext context(Ticket ticket) {
    return {.ticket = ticket,
            .client_id = "c",
            .client_host = "/127.0.0.1",
            .now = now_,
            .wall = wall_,
            .topics = &topics_};
  }

  void send(const StreamsRequest& request, std::function<void(const StreamsBeat&)> then) {
    const Ticket ticket{++tickets_};
    handlers_[ticket] = std::move(then);
    perform(machine_->decide_streams_heartbeat(request, context(ticket)));
  }

  // `stops`: it has stopped what is not its any more.
  void beat(Client& client, bool stops) {
    if (client.silent || client.waits) return;
    if (client.epoch < 0) rejoin(client);
    if (stops) client.runs = client.wants;
    StreamsRequest request;
    request.group_id = "st";
    request.member_id = client.id;
    request.member_epoch = client.epoch;
    request.active_tasks = ids_of(client.runs);
    request.standby_tasks = ids_of(client.standby);
    request.warmup_tasks.emplace();
    if (client.epoch == 0) {
      request.rebalance_timeout_ms = 20'000;
      request.topology = counting();
      request.process_id = client.process_id;
    }
    client.waits = true;
    const bool loses = dice_.one_in(12);
    send(request, [this, &client, loses, asked = client.epoch](const StreamsBeat& answer) {
      client.waits = false;
      if (!loses) take(client, asked, answer);
    });
  }

  static void rejoin(Client& client) {
    client.epoch = 0;
    client.wants.clear();
    client.runs.clear();
    client.standby.clear();
  }

  void take(Client& client, int32_t asked, const StreamsBeat& answer) {
    const ErrorCode error = error_of(answer);
    if (error == ErrorCode::kInvalidRequest) return;  // of a topology that has shrunk
    if (error != ErrorCode::kNone) return rejoin(client);
    EXPECT_GE(answer.member_epoch, asked) << "TG1";
    client.epoch = answer.member_epoch;
    if (!answer.active_tasks) return;
    client.wants = tasks_of(answer.active_tasks);
    client.standby = tasks_of(answer.standby_tasks);
    unite(client.runs, client.wants);
  }

  void leave(Client& client) {
    if (client.epoch <= 0 || client.waits || client.silent) return;
    StreamsRequest request;
    request.group_id = "st";
    request.member_id = client.id;
    request.member_epoch = -1;
    rejoin(client);
    client.epoch = -1;
    send(request, [](const StreamsBeat&) {});
  }

  void note(const KeyValueRecord& record) {
    using Key = wire::StreamsGroupCurrentMemberAssignmentKey;
    if (load_big<int16_t>(record.key.data()) != Key::kApiKey) return;
    const auto key = wire::decode_key<Key>(record.key);
    ASSERT_TRUE(key);
    current_.erase(key->member_id);
    if (!record.value) return;
    const auto value =
        wire::decode_value<wire::StreamsGroupCurrentMemberAssignmentValue>(*record.value);
    ASSERT_TRUE(value);
    current_[key->member_id] = current_of(*value);
  }

  // What the records say that a member has, or has to give up.
  std::map<std::string, OwnTasks> known_tasks() const {
    std::map<std::string, OwnTasks> tasks;
    for (const auto& [id, each] : current_)
      for (const auto* owned : {&each.assigned, &each.revoking})
        for (const auto& [subtopology, partitions] : owned->active)
          for (const auto& [partition, epoch] : partitions)
            tasks[id][subtopology].insert(partition);
    return tasks;
  }

  void check_group() {
    const auto group = machine_->describe_streams_group("st");
    if (group.error_code != 0) return;
    EXPECT_GE(group.group_epoch, epoch_) << "TG1";
    epoch_ = group.group_epoch;
    auto known = known_tasks();
    std::map<std::pair<std::string, int32_t>, std::string> owners;
    for (const auto& [id, tasks] : known)
      for (const auto& [subtopology, partitions] : tasks)
        for (const int32_t partition : partitions) {
          const auto [at, is_new] = owners.try_emplace({subtopology, partition}, id);
          EXPECT_TRUE(is_new) << "TG2 " << subtopology << "_" << partition << ": " << at->second
                              << " and " << id;
        }
    for (const auto& member : group.members)
      for (const Client& client : clients_)
        if (client.id == member.member_id && client.epoch > 0 && is_current(client, member))
          for (const auto& [subtopology, partitions] : client.runs)
            for (const int32_t partition : partitions)
              EXPECT_TRUE(known[client.id][subtopology].contains(partition))
                  << "TG2 " << client.id << " runs " << subtopology << "_" << partition;
  }
  // One that was fenced, and made anew by a join whose answer it does not know, is not what the
  // group knows: it sent its tasks away when it joined.
  static bool is_current(const Client& client,
                         const wire::StreamsGroupDescribeResponse::Member& member) {
    return member.member_epoch >= client.epoch;
  }

  void check_end() {
    const auto group = machine_->describe_streams_group("st");
    EXPECT_EQ(group.group_state, "Stable") << "TG3";
    std::map<int32_t, std::string> active, standby;
    for (const auto& member : group.members) {
      for (const auto& ids : member.assignment.active_tasks)
        for (const int32_t partition : ids.partitions)
          EXPECT_TRUE(active.emplace(partition, member.process_id).second) << "TG3";
      for (const auto& ids : member.assignment.standby_tasks)
        for (const int32_t partition : ids.partitions)
          EXPECT_TRUE(standby.emplace(partition, member.process_id).second) << "TG3";
    }
    EXPECT_EQ(group.members.size(), static_cast<size_t>(kClients)) << "TG3";
    EXPECT_EQ(active.size(), static_cast<size_t>(topics_.partition_count("t0"))) << "TG3";
    EXPECT_EQ(standby.size(), active.size()) << "TG3";
    for (const auto& [partition, process] : active) EXPECT_NE(standby[partition], process) << "TG3";
  }

  void check_replay() {
    const std::string before = machine_->describe_replicated();
    start();
    EXPECT_EQ(machine_->describe_replicated(), before) << "TG4";
    std::map<ByteBuffer, KeyValueRecord> last;
    for (const KeyValueRecord& record : log_) last[record.key] = record;
    log_.clear();
    for (auto& [key, record] : last)
      if (record.value)
        log_.insert(log_.begin() + dice_.below(static_cast<int64_t>(log_.size()) + 1), record);
    epoch_ = 0;
    start();
    EXPECT_EQ(machine_->describe_replicated(), before) << "TG4";
  }

  Dice dice_;
  FakeTopics topics_;
  std::unique_ptr<Coordinator> machine_;
  std::vector<KeyValueRecord> log_;
  std::map<std::string, streams::CurrentTasks> current_;  // as its last records say
  size_t durable_ = 0;
  std::deque<Held> held_;
  std::map<Ticket, std::function<void(const StreamsBeat&)>> handlers_;
  std::vector<Client> clients_;
  Instant now_{seconds(100)};
  TimestampMs wall_{1'700'000'000'000};
  uint64_t tickets_ = 0;
  int32_t epoch_ = 0;
};

void live_once(uint64_t seed) {
  World world(seed);
  world.live(250);
  if (!::testing::Test::HasFailure()) world.settle();
}

TEST(StreamsProperty, random_lives_keep_the_invariants) {
  if (const char* seed = std::getenv("PROPERTY_SEED")) {
    live_once(std::strtoull(seed, nullptr, 10));
    return;
  }
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    live_once(seed);
    ASSERT_FALSE(HasFailure()) << "PROPERTY_SEED=" << seed;
  }
}

}  // namespace
}  // namespace millrace::group
