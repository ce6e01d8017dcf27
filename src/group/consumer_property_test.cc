// Random lives of a consumer group (KIP-848): members that come, go, fall silent, change their
// minds and come back, topics that grow, a disk that is synced now and then and crashes that lose
// what was not. A failure prints the seed: PROPERTY_SEED=N runs that one alone.
//   GR1 no partition has two owners, neither in the records nor in what members were told.
//   GR2 the epochs of group and members do not go back.
//   GR5 in the end, everything is assigned, to those who are there, as evenly as can be.
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>

#include "group/testing/consumer.h"
#include "group/testing/dice.h"

namespace millrace::group {
namespace {

using namespace testing;

constexpr int kClients = 6;
constexpr Duration kSession = seconds(45);

using Owned = std::map<Uuid, std::set<int32_t>>;

struct Client {
  std::string id;
  std::optional<std::string> instance;
  std::vector<std::string> topics = {"t0"};
  std::optional<std::string> regex;
  int32_t epoch = -1;  // -1: not in the group
  Owned owned;
  Instant heard;       // when the newest request was sent that was answered
  bool waits = false;  // for an answer
  bool lost = false;   // one: it says all that it has to say again, as clients do
  bool silent = false;
};

class World {
 public:
  explicit World(uint64_t seed) : dice_{seed} {
    for (int i = 0; i < kClients; ++i) {
      Client& client = clients_.emplace_back();
      client.id = fmt::format("m{}", i);
      if (i % 3 == 1) client.instance = fmt::format("i{}", i);
      if (i == 5) client.regex = "t[01]";
    }
    start();
  }

  void live(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
      step();
      check_told();
    }
  }

  void settle() {
    for (Client& client : clients_) client.silent = false;
    for (int round = 0; round < 60; ++round) {
      pass(seconds(3));
      for (Client& client : clients_) beat(client);
      sync_disk();
      check_told();
    }
    const auto group = describe();
    EXPECT_EQ(group.group_state, "Stable");
    size_t sum = 0;
    for (const Client& client : clients_)
      for (const auto& [topic_id, partitions] : client.owned) sum += partitions.size();
    EXPECT_EQ(sum, wanted()) << "GR5";
    const std::string before = machine_->describe_replicated();
    start();
    EXPECT_EQ(machine_->describe_replicated(), before);
  }

 private:
  struct Held {
    size_t needs;
    Ticket ticket;
    Beat answer;
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
      held_.push_back({log_.size(), reply.ticket, std::get<Beat>(reply.response)});
    machine_->check_invariants();
    check_owners();
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
      case 9:
      case 10: return sync_disk();
      default: return beat(client);
    }
  }

  void grow() {
    const char* name = dice_.one_in(2) ? "t0" : "t1";
    const int32_t count = topics_.partition_count(name);
    if (count >= 12) return;
    topics_.counts[name] = count + 1;
    ++topics_.version_now;
    machine_->on_topics_changed({.names = {name}}, topics_);
  }

  wire::ConsumerGroupHeartbeatRequest request_of(const Client& client) const {
    wire::ConsumerGroupHeartbeatRequest request;
    request.group_id = "g";
    request.member_id = client.id;
    request.instance_id = client.instance;
    request.member_epoch = client.epoch;
    return request;
  }

  void say_all(const Client& client, wire::ConsumerGroupHeartbeatRequest& request) const {
    request.rebalance_timeout_ms = 60'000;
    request.subscribed_topic_names = client.topics;
    request.subscribed_topic_regex = client.regex.value_or("");
  }

  void subscribe(Client& client) {
    client.topics =
        dice_.one_in(2) ? std::vector<std::string>{"t0"} : std::vector<std::string>{"t0", "t1"};
    if (client.epoch > 0 && !client.waits) beat(client, true);
  }

  void beat(Client& client, bool all = false) {
    if (client.silent || client.waits) return;
    if (client.epoch < 0) {  // joins, with nothing
      client.epoch = 0;
      client.owned.clear();
    }
    auto request = request_of(client);
    if (client.epoch == 0 || all || client.lost) say_all(client, request);
    client.lost = false;
    request.topic_partitions.emplace();
    for (const auto& [topic_id, partitions] : client.owned)
      request.topic_partitions->push_back(
          {.topic_id = topic_id, .partitions = {partitions.begin(), partitions.end()}});
    send(client, request, [&client, sent = now_](const Beat& answer) {
      if (answer.error_code != 0) return out(client);
      EXPECT_GE(answer.member_epoch, client.epoch) << "GR2";
      client.epoch = answer.member_epoch;
      client.heard = sent;
      if (!answer.assignment) return;
      client.owned.clear();
      for (const auto& topic : answer.assignment->topic_partitions)
        client.owned[topic.topic_id].insert(topic.partitions.begin(), topic.partitions.end());
    });
  }

  static void out(Client& client) {
    client.epoch = -1;
    client.owned.clear();
  }

  void leave(Client& client) {
    if (client.epoch <= 0 || client.waits) return;
    client.owned.clear();
    client.epoch = client.instance && dice_.one_in(2) ? -2 : -1;
    send(client, request_of(client), [&client](const Beat&) { out(client); });
  }

  void send(Client& client, const wire::ConsumerGroupHeartbeatRequest& request,
            std::function<void(const Beat&)> handler) {
    const Ticket ticket{++tickets_};
    client.waits = true;
    handlers_[ticket] = [&client, handler = std::move(handler)](const Beat& answer) {
      client.waits = false;
      handler(answer);
    };
    perform(machine_->decide_consumer_heartbeat(
        request, {.ticket = ticket,
                  .client_id = "c",
                  .client_host = "/127.0.0.1",
                  .api_version = 1,
                  .now = now_,
                  .wall = wall_,
                  .fresh_id = Uuid::of_words({dice_.next(), dice_.next()}),
                  .topics = &topics_}));
  }

  // --- What has to hold.
  wire::ConsumerGroupDescribeResponse::DescribedGroup describe() const {
    return machine_->describe_consumer_group("g", topics_);
  }

  void check_owners() {
    const auto group = describe();
    EXPECT_GE(group.group_epoch, epoch_) << "GR2";
    epoch_ = group.group_epoch;
    std::map<std::pair<Uuid, int32_t>, std::string> owners;
    for (const auto& member : group.members)
      for (const auto& topic : member.assignment.topic_partitions)
        for (const int32_t partition : topic.partitions) {
          const auto [at, first] =
              owners.emplace(std::pair(topic.topic_id, partition), member.member_id);
          EXPECT_TRUE(first) << "GR1 " << topic.topic_name << "-" << partition << ": " << at->second
                             << " and " << member.member_id;
        }
  }

  void check_told() const {
    std::map<std::pair<Uuid, int32_t>, std::string> owners;
    for (const Client& client : clients_) {
      // It knows itself that its session is over.
      if (client.epoch <= 0 || now_ - client.heard >= kSession) continue;
      for (const auto& [topic_id, partitions] : client.owned)
        for (const int32_t partition : partitions) {
          const auto [at, first] = owners.emplace(std::pair(topic_id, partition), client.id);
          EXPECT_TRUE(first) << "GR1 told " << partition << ": " << at->second << " and "
                             << client.id;
        }
    }
  }

  size_t wanted() const {
    std::set<std::string> names;
    for (const Client& client : clients_) {
      names.insert(client.topics.begin(), client.topics.end());
      if (client.regex) names.insert({"t0", "t1"});
    }
    size_t sum = 0;
    for (const std::string& name : names) sum += static_cast<size_t>(topics_.partition_count(name));
    return sum;
  }

  Dice dice_;
  FakeTopics topics_;
  std::deque<Client> clients_;
  std::unique_ptr<Coordinator> machine_;
  std::vector<KeyValueRecord> log_;
  size_t durable_ = 0;
  std::deque<Held> held_;
  std::map<Ticket, std::function<void(const Beat&)>> handlers_;
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

TEST(ConsumerGroupProperty, random_lives_keep_every_invariant) {
  if (const char* seed = std::getenv("PROPERTY_SEED")) return run(std::strtoull(seed, nullptr, 10));
  for (uint64_t seed = 1; seed <= 150 && !::testing::Test::HasFailure(); ++seed) run(seed);
}

}  // namespace
}  // namespace millrace::group
