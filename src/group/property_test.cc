// Random lives of groups against the invariants GR1 to GR7 of the group coordinator, with a disk
// that is synced now and then and crashes that lose what was not. A failure prints the seed:
// PROPERTY_SEED=N runs that one alone.
//   GR1 two current members never own one partition.
//   GR2 a generation has one assignment, and generations that were synced never go back.
//   GR3 only current members, or anybody while the group is empty, change offsets, in their order,
//       and an acknowledged commit survives.
//   GR4 a fetch gives at least what was acknowledged.
//   GR5 who is gone is replaced in time.
//   GR6 a static member that comes back in time disturbs nobody.
//   GR7 what is read does not expire.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <set>

#include "group/testing/dice.h"
#include "group/testing/host.h"
#include "wire/group_records.h"

namespace millrace::group {
namespace {

using machine::KeyValueRecord;
using machine::Ticket;
using testing::Dice;
using testing::FakeTopics;
using testing::subscription;
using wire::ErrorCode;

constexpr int32_t kPartitions = 4;
constexpr int kClients = 8;
const std::string kGroups[] = {"g", "h"};

// A consumer as clients are: gives up what it owns before it joins again, assigns when it leads.
struct Client {
  enum class Phase { kOut, kJoining, kMustSync, kSyncing, kIn };
  std::string group;
  std::string topic;
  std::optional<std::string> instance;
  std::string id;
  int32_t generation = -1;
  std::optional<std::string> protocol;
  Phase phase = Phase::kOut;
  bool silent = false;
  Instant next_heartbeat;
  std::vector<std::string> led;  // the members that it has to assign to
  std::set<int32_t> owned;
};
using Phase = Client::Phase;

struct OffsetName {
  std::string group, topic;
  int32_t partition = 0;
  friend auto operator<=>(const OffsetName&, const OffsetName&) = default;
};

class World {
 public:
  explicit World(uint64_t seed) : dice_{seed} {
    config_.offsets_retention = seconds(60);
    config_.offsets_retention_check_interval = seconds(5);
    config_.max_size = 3;
    for (int i = 0; i < kClients; ++i) {
      Client& client = clients_.emplace_back();
      client.group = kGroups[i % 2];
      client.topic = i < 6 ? "t0" : "t1";
      if (i % 4 == 1) client.instance = fmt::format("i{}", i);
    }
    start();
  }

  void live(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) step();
  }

  // GR5, GR6: nobody disturbs any more; who is silent stays so.
  void settle() {
    for (const Instant until = now_ + seconds(120); now_ < until;) {
      pass(milliseconds(200));
      sync_disk();
      for (Client& client : clients_)
        if (!client.silent) act(client);
    }
    for (const std::string& group : kGroups) check_settled(group);
    for (Client& client : clients_)
      if (client.instance && !client.silent && client.phase == Phase::kIn)
        check_static_return(client);
  }

 private:
  using Handler = std::function<void(const Response&)>;
  struct Held {
    size_t needs;  // records that have to be durable
    Ticket ticket;
    Response response;
  };

  // --- The host.
  void start() {
    machine_ = std::make_unique<Coordinator>(config_);
    generations_.clear();
    committed_.clear();
    for (const KeyValueRecord& record : log_) ASSERT_TRUE(machine_->apply(record));
    for (const KeyValueRecord& record : log_) {
      note_generation(record);
      note_offset(record);
    }
    perform(machine_->on_loaded(now_, wall_, topics_));
  }

  void perform(Decision decision) {
    for (KeyValueRecord& record : decision.records) {
      check_record(record);
      ASSERT_TRUE(machine_->apply(record));
      note_generation(record);
      log_.push_back(std::move(record));
    }
    for (auto& reply : decision.replies) {
      ASSERT_TRUE(handlers_.contains(reply.ticket)) << "an answer that nobody waits for";
      ASSERT_TRUE(answered_.insert(reply.ticket).second) << "a second answer";
      note_generation(reply.response);
      held_.push_back({log_.size(), reply.ticket, std::move(reply.response)});
    }
    machine_->check_invariants();
  }

  void sync_disk() {
    durable_ = log_.size();
    deliver();
  }
  void deliver() {
    while (!held_.empty() && held_.front().needs <= durable_) {
      Held held = std::move(held_.front());
      held_.pop_front();
      auto handler = handlers_.extract(held.ticket);
      handler.mapped()(held.response);
    }
  }

  void crash() {
    log_.resize(durable_ +
                static_cast<size_t>(dice_.below(static_cast<int64_t>(log_.size() - durable_) + 1)));
    durable_ = log_.size();
    held_.clear();
    handlers_.clear();
    for (Client& client : clients_)
      if (client.phase == Phase::kJoining || client.phase == Phase::kSyncing)
        client.phase = Phase::kOut;
    start();
    check_offsets();
  }

  RequestContext context(Handler handler, int16_t version) {
    const Ticket ticket{++tickets_};
    handlers_[ticket] = std::move(handler);
    const Uuid fresh_id = Uuid::of_words({dice_.next(), dice_.next()});
    return {ticket, "c", "/127.0.0.1", version, now_, wall_, fresh_id, &topics_};
  }

  void pass(Duration by) {
    const Instant until = now_ + by;
    while (machine_->next_deadline() <= until) {
      move_to(std::max(now_, machine_->next_deadline()));
      in_tick_ = true;
      perform(machine_->on_tick(now_, wall_, topics_));
      in_tick_ = false;
    }
    move_to(until);
  }
  void move_to(Instant to) {
    wall_ += std::chrono::duration_cast<milliseconds>(to - now_).count();
    now_ = to;
  }

  // --- What clients do.
  void step() {
    Client& client = clients_[static_cast<size_t>(dice_.below(kClients))];
    switch (dice_.below(24)) {
      case 0: return pass(milliseconds(dice_.below(30'000)));
      case 1: return crash();
      case 2: return leave(client);
      case 3: client.silent = dice_.one_in(2); return;
      case 4: return come_back_as_another(client);
      case 5: return commit(client, client.generation - 1, client.id);
      case 6: return commit(client, -1, "");
      case 7: return commit(client, client.generation, "somebody");
      case 8: return delete_something(client);
      case 9: return compare_with_replay();
      case 10:
      case 11:
      case 12: return pass(milliseconds(dice_.below(3'000)));
      case 13:
      case 14:
      case 15: return sync_disk();
      default:
        if (!client.silent) act(client);
    }
    check_offsets();
  }

  void act(Client& client) {
    switch (client.phase) {
      case Phase::kOut: return join(client);
      case Phase::kMustSync: return sync(client);
      case Phase::kIn:
        if (now_ >= client.next_heartbeat) heartbeat(client);
        if (client.phase == Phase::kIn) commit(client, client.generation, client.id);
        return;
      default: return;
    }
  }

  void join(Client& client) {
    client.owned.clear();
    client.phase = Phase::kJoining;
    wire::JoinGroupRequest request;
    request.group_id = client.group;
    request.member_id = client.id;
    request.group_instance_id = client.instance;
    request.session_timeout_ms = 10'000;
    request.rebalance_timeout_ms = 20'000;
    request.protocol_type = "consumer";
    request.protocols = {{.name = "range", .metadata = subscription({client.topic})}};
    perform(machine_->decide_join_group(
        request, context([this, &client](const Response& r) { joined(client, r); }, 9)));
  }

  void joined(Client& client, const Response& response) {
    const auto& answer = std::get<wire::JoinGroupResponse>(response);
    const auto error = static_cast<ErrorCode>(answer.error_code);
    if (client.phase != Phase::kJoining) return;
    client.phase = Phase::kOut;
    if (error == ErrorCode::kMemberIdRequired) client.id = answer.member_id;
    if (error == ErrorCode::kUnknownMemberId || error == ErrorCode::kFencedInstanceId)
      client.id = "";
    if (error != ErrorCode::kNone) return;
    client.id = answer.member_id;
    client.generation = answer.generation_id;
    client.protocol = answer.protocol_name;
    client.next_heartbeat = now_ + seconds(3);
    client.phase = Phase::kMustSync;
    client.led.clear();
    if (answer.leader == client.id && !answer.skip_assignment)
      for (const auto& member : answer.members) client.led.push_back(member.member_id);
  }

  void sync(Client& client) {
    client.phase = Phase::kSyncing;
    wire::SyncGroupRequest request;
    request.group_id = client.group;
    request.generation_id = client.generation;
    request.member_id = client.id;
    request.group_instance_id = client.instance;
    request.protocol_type = "consumer";
    request.protocol_name = client.protocol;
    std::vector<ByteBuffer> shares(client.led.size());
    const auto first = static_cast<size_t>(dice_.below(kPartitions));
    for (uint8_t p = 0; p < kPartitions && !shares.empty(); ++p)
      shares[(first + p) % shares.size()].push_back(p);
    for (size_t i = 0; i < shares.size(); ++i)
      request.assignments.push_back({.member_id = client.led[i], .assignment = shares[i]});
    perform(machine_->decide_sync_group(
        request, context([this, &client](const Response& r) { synced(client, r); }, 5)));
  }

  void synced(Client& client, const Response& response) {
    const auto& answer = std::get<wire::SyncGroupResponse>(response);
    if (client.phase != Phase::kSyncing) return;
    client.phase = Phase::kOut;
    refused(client, static_cast<ErrorCode>(answer.error_code));
    if (answer.error_code != 0) return;
    client.phase = Phase::kIn;
    client.owned = {answer.assignment.begin(), answer.assignment.end()};
    check_assignment(client, answer.assignment);
  }

  // What a client makes of an error.
  void refused(Client& client, ErrorCode error) {
    if (error == ErrorCode::kUnknownMemberId || error == ErrorCode::kFencedInstanceId)
      client.id = "";
    if (error != ErrorCode::kNone && client.phase == Phase::kIn) {
      client.phase = Phase::kOut;
      client.owned.clear();
    }
  }

  void heartbeat(Client& client) {
    client.next_heartbeat = now_ + seconds(1);
    wire::HeartbeatRequest request;
    request.group_id = client.group;
    request.generation_id = client.generation;
    request.member_id = client.id;
    request.group_instance_id = client.instance;
    const std::string id = client.id;
    auto done = [this, &client, id](const Response& r) {
      const auto code = std::get<wire::HeartbeatResponse>(r).error_code;
      if (client.id == id) refused(client, static_cast<ErrorCode>(code));
    };
    perform(machine_->decide_heartbeat(request, context(done, 4)));
  }

  void commit(Client& client, int32_t generation, const std::string& member_id) {
    const OffsetName name{client.group, client.topic,
                          static_cast<int32_t>(dice_.below(kPartitions))};
    wire::OffsetCommitRequest request;
    request.group_id = client.group;
    request.generation_id_or_member_epoch = generation;
    request.member_id = member_id;
    if (!member_id.empty()) request.group_instance_id = client.instance;
    const int64_t value = ++commits_;
    request.topics = {
        {.name = name.topic,
         .partitions = {{.partition_index = name.partition, .committed_offset = value}}}};
    const bool allowed = may_commit(client.group, generation, member_id);
    auto done = [this, name, value](const Response& r) {
      const auto& answer = std::get<wire::OffsetCommitResponse>(r);
      if (answer.topics.at(0).partitions.at(0).error_code == 0 && !deleted_after(name, value))
        acknowledged_[name] = std::max(acknowledged_[name], value);
    };
    const size_t before = log_.size();
    perform(machine_->decide_offset_commit(request, topics_, context(done, 9)));
    if (log_.size() > before) EXPECT_TRUE(allowed) << "GR3: a commit that was not its to make";
    deliver();
  }

  void leave(Client& client) {
    if (client.id.empty() || client.phase != Phase::kIn) return;
    wire::LeaveGroupRequest request;
    request.group_id = client.group;
    request.members = {{.member_id = client.id, .group_instance_id = client.instance}};
    perform(machine_->decide_leave_group(request, context([](const Response&) {}, 5)));
    client.phase = Phase::kOut;
    client.owned.clear();
    client.id = "";
  }

  // The process was restarted: it knows nothing of its former self.
  void come_back_as_another(Client& client) {
    client.id = "";
    client.owned.clear();
    client.phase = Phase::kOut;
  }

  void delete_something(Client& client) {
    if (dice_.one_in(2)) {
      wire::DeleteGroupsRequest request;
      request.groups_names = {client.group};
      perform(machine_->decide_delete_groups(request, context([](const Response&) {}, 2)));
    } else {
      const DeletedTopic topic{client.topic, *topics_.id_of(client.topic)};
      perform(machine_->on_topics_deleted({&topic, 1}, topics_));
    }
  }

  // --- What has to hold.
  bool may_commit(const std::string& group, int32_t generation,
                  const std::string& member_id) const {
    const auto told = machine_->describe_group(group, 5);
    if (generation < 0) return told.members.empty();
    const auto known = generations_.find(group);  // not there: nobody ever joined
    return (known == generations_.end() ? 0 : known->second) == generation &&
           std::ranges::any_of(told.members,
                               [&](const auto& m) { return m.member_id == member_id; });
  }

  void note_generation(const KeyValueRecord& record) {
    const auto key = wire::decode_key<wire::GroupMetadataKey>(record.key);
    if (!key) return;
    if (!record.value) {
      generations_.erase(key->group);
      std::erase_if(assignments_,
                    [&](const auto& e) { return std::get<0>(e.first) == key->group; });
      delivered_.erase(key->group);
      return;
    }
    const auto value = wire::decode_value<wire::GroupMetadataValue>(*record.value);
    generations_[key->group] = value->generation;
  }
  void note_generation(const Response& response) {
    const auto* joined = std::get_if<wire::JoinGroupResponse>(&response);
    if (joined == nullptr || joined->error_code != 0) return;
    for (const Client& client : clients_)
      if (client.phase == Phase::kJoining && joined->member_id.size() > 0)
        for (const auto& member : machine_->describe_group(client.group, 5).members)
          if (member.member_id == joined->member_id)
            generations_[client.group] = joined->generation_id;
  }

  void check_assignment(const Client& client, const ByteBuffer& assignment) {
    const auto key = std::tuple(client.group, client.generation);
    auto& shares = assignments_[key];
    const auto [at, is_new] = shares.emplace(client.instance.value_or(client.id), assignment);
    EXPECT_EQ(at->second, assignment) << "GR2: another assignment in the same generation";
    EXPECT_GE(client.generation, delivered_[client.group]) << "GR2: a generation went back";
    delivered_[client.group] = client.generation;
    std::set<int32_t> seen;
    for (const auto& [member, share] : shares)
      for (uint8_t partition : share)
        EXPECT_TRUE(seen.insert(partition).second)
            << "GR1: partition " << int(partition) << " twice";
  }

  // Before it is applied.
  void check_record(const KeyValueRecord& record) {
    const auto key = wire::decode_key<wire::OffsetCommitKey>(record.key);
    if (!key) return;
    const OffsetName name{key->group, key->topic, key->partition};
    if (!record.value) {
      if (in_tick_) check_expiry(name);
      acknowledged_.erase(name);
      deletions_[name] = commits_;
    } else if (committed_.contains(name)) {
      EXPECT_GT(wire::decode_value<wire::OffsetCommitValue>(*record.value)->offset,
                committed_[name])
          << "GR3: out of the order of commits";
    }
    note_offset(record);
  }

  void note_offset(const KeyValueRecord& record) {
    const auto key = wire::decode_key<wire::OffsetCommitKey>(record.key);
    if (!key) return;
    int64_t& offset = committed_[{key->group, key->topic, key->partition}];
    offset = record.value ? wire::decode_value<wire::OffsetCommitValue>(*record.value)->offset : -1;
  }

  void check_expiry(const OffsetName& name) {
    const auto told = machine_->describe_group(name.group, 5);
    EXPECT_TRUE(told.group_state == "Empty" || told.group_state == "Stable") << "GR7";
    for (const auto& member : told.members)
      EXPECT_NE(member.member_metadata, subscription({name.topic})) << "GR7: it is read";
    const auto offset =
        machine_->committed(name.group, {name.topic, PartitionIndex(name.partition)});
    ASSERT_TRUE(offset);
    EXPECT_GE(wall_.value() - offset->commit_timestamp.value(), config_.offsets_retention.count())
        << "GR7";
  }

  // A commit before the deletion of what it committed to is no promise any more.
  bool deleted_after(const OffsetName& name, int64_t value) const {
    const auto at = deletions_.find(name);
    return at != deletions_.end() && at->second >= value;
  }

  int64_t fetched(const OffsetName& name) const {
    wire::OffsetFetchRequest::OffsetFetchRequestGroup request;
    request.group_id = name.group;
    request.topics = {{.name = name.topic, .partition_indexes = {name.partition}}};
    const auto answer = machine_->fetch_offsets(request, topics_, {.api_version = 9});
    return answer.topics.at(0).partitions.at(0).committed_offset;
  }

  void check_offsets() const {
    for (const auto& [name, offset] : committed_)
      EXPECT_EQ(fetched(name), offset) << "GR3: not what the log says: " << name.group;
    for (const auto& [name, least] : acknowledged_)
      EXPECT_GE(fetched(name), least) << "GR3, GR4: an acknowledged commit is lost: " << name.group;
  }

  void compare_with_replay() {
    const std::string live = machine_->describe_replicated();
    if (live.find(" rebalancing\n") != std::string::npos) return;
    Coordinator again(config_);
    for (const KeyValueRecord& record : log_) ASSERT_TRUE(again.apply(record));
    EXPECT_EQ(again.describe_replicated(), live);
  }

  void check_settled(const std::string& group) {
    std::set<std::string> in;
    std::set<int32_t> owned;
    size_t wanting = 0;
    for (const Client& client : clients_) {
      if (client.group != group || client.silent) continue;
      ++wanting;
      if (client.phase != Phase::kIn) continue;
      in.insert(client.id);
      for (int32_t partition : client.owned)
        EXPECT_TRUE(owned.insert(partition).second) << "GR1: " << partition;
    }
    const auto told = machine_->describe_group(group, 5);
    std::set<std::string> members;
    for (const auto& member : told.members) members.insert(member.member_id);
    EXPECT_EQ(members, in) << "GR5: " << group << " " << told.group_state;
    EXPECT_EQ(in.size(), std::min<size_t>(wanting, static_cast<size_t>(config_.max_size))) << "GR5";
    if (wanting > 0) EXPECT_EQ(owned.size(), size_t{kPartitions}) << "GR5: " << group;
  }

  void check_static_return(Client& client) {
    const int32_t generation = client.generation;
    const auto owned = client.owned;
    const std::string former = client.id;
    come_back_as_another(client);
    for (int i = 0; i < 2; ++i) {
      act(client);
      sync_disk();
    }
    EXPECT_EQ(client.phase, Phase::kIn) << "GR6";
    EXPECT_EQ(client.generation, generation) << "GR6";
    EXPECT_EQ(client.owned, owned) << "GR6";
    EXPECT_NE(client.id, former);
    EXPECT_FALSE(may_commit(client.group, generation, former))
        << "GR1: the former self is not fenced";
  }

  Dice dice_;
  GroupConfig config_;
  FakeTopics topics_;
  std::unique_ptr<Coordinator> machine_;
  std::vector<KeyValueRecord> log_;
  size_t durable_ = 0;
  std::deque<Held> held_;
  std::map<Ticket, Handler> handlers_;
  std::set<Ticket> answered_;
  uint64_t tickets_ = 0;
  Instant now_{seconds(100)};
  TimestampMs wall_{1'700'000'000'000};
  bool in_tick_ = false;
  std::deque<Client> clients_;

  // What the checks remember.
  int64_t commits_ = 0;
  std::map<OffsetName, int64_t> committed_;     // by the records of the log; -1: a tombstone
  std::map<OffsetName, int64_t> acknowledged_;  // to a client, and not deleted since
  std::map<OffsetName, int64_t> deletions_;     // the last commit before them
  std::map<std::string, int32_t> generations_;  // that commits are held to
  std::map<std::string, int32_t> delivered_;    // the newest that a member has synced
  std::map<std::tuple<std::string, int32_t>, std::map<std::string, ByteBuffer>> assignments_;
};

TEST(Properties, hold_in_random_lives_with_crashes) {
  const char* one = std::getenv("PROPERTY_SEED");
  const uint64_t first = one ? std::strtoull(one, nullptr, 10) : 1;
  const uint64_t last = one ? first : 60;
  for (uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE(fmt::format("PROPERTY_SEED={}", seed));
    World world(seed);
    world.live(600);
    world.settle();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace millrace::group
