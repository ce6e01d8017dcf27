// Random lives of a share group (KIP-932): members that come, go, fall silent and change their
// minds, topics that grow, share coordinators that answer late, not at all or with errors, a disk
// that is synced now and then and crashes that lose what was not. A failure prints the seed:
// PROPERTY_SEED=N runs that one alone.
//   SG1 the epochs of group and members do not go back.
//   SG2 nobody is assigned what the share coordinators have not initialised.
//   SG3 in the end everything is assigned, and members that subscribe to the same have as many
//       partitions, but for one.
//   SG4 a replay gives the same state.
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>

#include "group/testing/dice.h"
#include "group/testing/sharer.h"

namespace millrace::group {
namespace {

using namespace testing;

constexpr int kClients = 7;

struct Client {
  std::string id;
  std::vector<std::string> topics = {"t0"};
  int32_t epoch = -1;  // -1: not in the group
  std::map<Uuid, std::set<int32_t>> has;
  bool waits = false;  // for an answer
  bool lost = false;   // one: it says all again
  bool silent = false;
};

class World {
 public:
  explicit World(uint64_t seed) : dice_{seed} {
    for (int i = 0; i < kClients; ++i) clients_.emplace_back().id = fmt::format("m{}", i);
    start();
  }

  void live(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) step();
  }

  void settle() {
    for (Client& client : clients_) {
      client.silent = false;
      client.topics = {"t0", "t1"};
    }
    for (int round = 0; round < 40; ++round) {
      pass(seconds(3));
      for (Client& client : clients_) beat(client, round < 2 || client.epoch < 0);
      sync_disk();
      while (!wishes_.empty()) answer(0, ErrorCode::kNone);
    }
    check_end();
    const std::string before = machine_->describe_replicated();
    start();
    EXPECT_EQ(machine_->describe_replicated(), before) << "SG4";
  }

 private:
  struct Held {
    size_t needs;
    Ticket ticket;
    ShareBeat answer;
  };

  void start() {
    machine_ = std::make_unique<Coordinator>(GroupConfig{});
    for (const KeyValueRecord& record : log_) ASSERT_TRUE(machine_->apply(record));
    perform(machine_->on_loaded(now_, wall_, topics_));
  }

  void perform(Decision decision) {
    for (KeyValueRecord& record : decision.records) {
      ASSERT_TRUE(machine_->apply(record));
      log_.push_back(std::move(record));
    }
    for (auto& reply : decision.replies)
      held_.push_back({log_.size(), reply.ticket, std::get<ShareBeat>(reply.response)});
    for (auto& wish : decision.share_wishes) wishes_.push_back(std::move(wish));
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
    for (Client& client : clients_) client.lost |= std::exchange(client.waits, false);
    epoch_ = 0;
    start();
  }

  // What a share coordinator does with a wish; it may reach it after who wished is gone.
  void answer(size_t at, ErrorCode error) {
    ShareStateOutcome outcome{.wish = wishes_[at], .errors = {}};
    wishes_.erase(wishes_.begin() + static_cast<ptrdiff_t>(at));
    for (const auto& partition : outcome.wish.partitions) {
      outcome.errors.push_back(error);
      if (error == ErrorCode::kNone)
        initialized_.emplace(partition.topic_id, partition.index.value());
    }
    perform(machine_->finish_share_state(outcome, context({})));
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
    switch (dice_.below(20)) {
      case 0: return pass(milliseconds(dice_.below(20'000)));
      case 1: return dice_.one_in(3) ? crash() : sync_disk();
      case 2: return leave(client);
      case 3: client.silent = dice_.one_in(2); return;
      case 4: return subscribe(client);
      case 5: return grow();
      case 6:
      case 7: return pass(milliseconds(dice_.below(1500)));
      case 8:
      case 9: return sync_disk();
      case 10:
      case 11: return answer_any();
      default: return beat(client, false);
    }
  }

  void answer_any() {
    if (wishes_.empty()) return;
    const auto at = static_cast<size_t>(dice_.below(static_cast<int64_t>(wishes_.size())));
    if (dice_.one_in(8)) {
      wishes_.erase(wishes_.begin() + static_cast<ptrdiff_t>(at));
      return;
    }
    answer(at, dice_.one_in(4) ? ErrorCode::kCoordinatorNotAvailable : ErrorCode::kNone);
  }

  void grow() {
    const char* name = dice_.one_in(2) ? "t0" : "t1";
    const int32_t count = topics_.partition_count(name);
    if (count >= 9) return;
    topics_.counts[name] = count + 1;
    ++topics_.version_now;
    machine_->on_topics_changed({.names = {name}}, topics_);
  }

  RequestContext context(Ticket ticket) {
    return {.ticket = ticket,
            .client_id = "c",
            .client_host = "/127.0.0.1",
            .api_version = 1,
            .now = now_,
            .wall = wall_,
            .topics = &topics_};
  }

  wire::ShareGroupHeartbeatRequest request_of(const Client& client) const {
    wire::ShareGroupHeartbeatRequest request;
    request.group_id = "s";
    request.member_id = client.id;
    request.member_epoch = client.epoch;
    return request;
  }

  void subscribe(Client& client) {
    client.topics =
        dice_.one_in(2) ? std::vector<std::string>{"t0"} : std::vector<std::string>{"t0", "t1"};
    if (client.epoch > 0) beat(client, true);
  }

  void beat(Client& client, bool all) {
    if (client.silent || client.waits) return;
    if (client.epoch < 0) client.epoch = 0;
    auto request = request_of(client);
    if (client.epoch == 0 || all || std::exchange(client.lost, false))
      request.subscribed_topic_names = client.topics;
    send(client, request, [&client](const ShareBeat& answer) {
      if (answer.error_code != 0) return out(client);
      EXPECT_GE(answer.member_epoch, client.epoch) << "SG1";
      client.epoch = answer.member_epoch;
      if (!answer.assignment) return;
      client.has.clear();
      for (const auto& topic : answer.assignment->topic_partitions)
        client.has[topic.topic_id].insert(topic.partitions.begin(), topic.partitions.end());
    });
  }

  static void out(Client& client) {
    client.epoch = -1;
    client.has.clear();
  }

  void leave(Client& client) {
    if (client.epoch <= 0 || client.waits) return;
    client.epoch = -1;
    send(client, request_of(client), [&client](const ShareBeat&) { out(client); });
  }

  void send(Client& client, const wire::ShareGroupHeartbeatRequest& request,
            std::function<void(const ShareBeat&)> handler) {
    const Ticket ticket{++tickets_};
    client.waits = true;
    handlers_[ticket] = [&client, handler = std::move(handler)](const ShareBeat& answer) {
      client.waits = false;
      handler(answer);
    };
    perform(machine_->decide_share_heartbeat(request, context(ticket)));
  }

  // --- What has to hold.
  void check_group() {
    const auto group = machine_->describe_share_group("s", topics_);
    EXPECT_GE(group.group_epoch, epoch_) << "SG1";
    epoch_ = group.group_epoch;
    for (const auto& member : group.members)
      for (const auto& topic : member.assignment.topic_partitions)
        for (const int32_t partition : topic.partitions)
          EXPECT_TRUE(initialized_.contains({topic.topic_id, partition}))
              << "SG2 " << member.member_id << " " << topic.topic_name << "-" << partition;
  }

  void check_end() {
    std::set<std::pair<Uuid, int32_t>> assigned;
    size_t least = SIZE_MAX, most = 0;
    for (const Client& client : clients_) {
      size_t count = 0;
      for (const auto& [topic_id, partitions] : client.has)
        for (const int32_t partition : partitions) assigned.emplace(topic_id, partition), ++count;
      least = std::min(least, count);
      most = std::max(most, count);
    }
    const int32_t wanted = topics_.partition_count("t0") + topics_.partition_count("t1");
    EXPECT_EQ(assigned.size(), static_cast<size_t>(wanted)) << "SG3";
    EXPECT_LE(most - least, 1u) << "SG3";
  }

  Dice dice_;
  FakeTopics topics_;
  std::deque<Client> clients_;
  std::unique_ptr<Coordinator> machine_;
  std::vector<KeyValueRecord> log_;
  size_t durable_ = 0;
  std::deque<Held> held_;
  std::map<Ticket, std::function<void(const ShareBeat&)>> handlers_;
  std::vector<ShareStateWish> wishes_;
  std::set<std::pair<Uuid, int32_t>> initialized_;  // by the share coordinators
  uint64_t tickets_ = 0;
  int32_t epoch_ = 0;
  Instant now_{seconds(100)};
  TimestampMs wall_{1'700'000'000'000};
};

void run(uint64_t seed) {
  SCOPED_TRACE(fmt::format("PROPERTY_SEED={}", seed));
  World world(seed);
  world.live(400);
  if (!::testing::Test::HasFailure()) world.settle();
}

TEST(ShareGroupProperty, random_lives_keep_every_invariant) {
  if (const char* seed = std::getenv("PROPERTY_SEED")) return run(std::strtoull(seed, nullptr, 10));
  for (uint64_t seed = 1; seed <= 100 && !::testing::Test::HasFailure(); ++seed) run(seed);
}

}  // namespace
}  // namespace millrace::group
