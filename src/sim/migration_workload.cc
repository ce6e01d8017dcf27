#include "sim/migration_workload.h"

#include <algorithm>
#include <ranges>

#include "base/probe.h"
#include "wire/errors.h"

namespace millrace::sim {
namespace {

using wire::ErrorCode;

constexpr int16_t kDescribeConsumersVersion = 1;
constexpr int16_t kDescribeClassicsVersion = 6;
constexpr int8_t kClassicMember = 0;  // as a description says it
constexpr Duration kPause = milliseconds(300);
constexpr Duration kSession = milliseconds(MigratingMember::kSessionMs);

const char* name_of(GroupProtocol protocol) {
  return protocol == GroupProtocol::kClassic ? "classic" : "consumer";
}

bool is(int16_t code, ErrorCode error) { return code == wire::code_of(error); }

}  // namespace

MigrationWorkload::MigrationWorkload(const Site& site, MigrationOptions options)
    : site_(site),
      options_(std::move(options)),
      oracle_(site.host->world()),
      dice_(~site.host->world().seed() + 4) {}

bool MigrationWorkload::upgrades() const {
  return options_.policy == MigrationPolicy::kUpgrade ||
         options_.policy == MigrationPolicy::kBidirectional;
}

bool MigrationWorkload::downgrades() const {
  return options_.policy == MigrationPolicy::kDowngrade ||
         options_.policy == MigrationPolicy::kBidirectional;
}

void MigrationWorkload::start() {
  if (options_.members == 0) return;
  MigratingMemberOptions member{.group = kGroup,
                                .topic = options_.topic,
                                .partitions = options_.partitions,
                                .instance_id = {},
                                .is_cooperative = options_.is_cooperative};
  member.first = dice_.chance(0.5) ? GroupProtocol::kClassic : GroupProtocol::kConsumer;
  for (int i = 0; i < options_.members; ++i) {
    if (i == 0 && options_.has_static) member.instance_id = "instance";
    members_.push_back(std::make_unique<MigratingMember>(site_, oracle_, member));
    member.instance_id.reset();
  }
  client_ = std::make_unique<Client>(site_, "migration-admin");
  for (auto& each : members_) each->start();
  ask();
}

// Where a consumer is not let in among classic members, all end as the same.
void MigrationWorkload::finish() {
  const auto any = [&] {
    return dice_.chance(0.5) ? GroupProtocol::kClassic : GroupProtocol::kConsumer;
  };
  const GroupProtocol all = any();
  const bool is_mixed = upgrades() && dice_.chance(0.4);
  for (auto& member : members_) member->finish(is_mixed ? any() : all);
  finished_ = world().now();
  last_.reset();
}

void MigrationWorkload::ask() {
  if (std::exchange(life_, oracle_.life()) != oracle_.life()) epoch_ = 0;
  Asked asked{life_, epoch_, world().now()};
  for (const auto& [id, standing] : oracle_.members())
    asked.epoch = std::max(asked.epoch, standing.epoch);
  const wire::ConsumerGroupDescribeRequest request{.group_ids = {kGroup}};
  client_->call<wire::ConsumerGroupDescribeResponse>(
      Client::CoordinatorOf{kGroup}, request, kDescribeConsumersVersion,
      [this, asked](const Result<wire::ConsumerGroupDescribeResponse>& answer) {
        const bool is_other =
            answer && is(answer->groups.at(0).error_code, ErrorCode::kGroupIdNotFound);
        if (is_other) return ask_as_classic({asked.life, asked.epoch, world().now()});
        if (answer) take(asked, answer->groups.at(0));
        site_.host->shard(0).after(kPause, [this] { ask(); });
      });
}

void MigrationWorkload::ask_as_classic(const Asked& asked) {
  const wire::DescribeGroupsRequest request{.groups = {kGroup}};
  client_->call<wire::DescribeGroupsResponse>(
      Client::CoordinatorOf{kGroup}, request, kDescribeClassicsVersion,
      [this, asked](const Result<wire::DescribeGroupsResponse>& answer) {
        if (answer) take(asked, answer->groups.at(0));
        site_.host->shard(0).after(kPause, [this] { ask(); });
      });
}

void MigrationWorkload::take(const Asked& asked, const OfConsumers& group) {
  if (group.error_code != 0) return client_->doubt(Client::CoordinatorOf{kGroup});
  Described seen{.type = GroupProtocol::kConsumer,
                 .state = group.group_state,
                 .epoch = group.group_epoch,
                 .members = {}};
  for (const auto& member : group.members) {
    const bool is_classic = member.member_type == kClassicMember;
    Seen& each = seen.members[member.member_id];
    each.speaks = is_classic ? GroupProtocol::kClassic : GroupProtocol::kConsumer;
    each.epoch = member.member_epoch;
    for (const auto& topic : member.assignment.topic_partitions)
      each.partitions.insert(topic.partitions.begin(), topic.partitions.end());
  }
  described(asked, seen);
}

// One that is not found may have become one of consumers since that was asked.
void MigrationWorkload::take(const Asked& asked, const OfClassics& group) {
  if (is(group.error_code, ErrorCode::kGroupIdNotFound)) return;
  if (group.error_code != 0) return client_->doubt(Client::CoordinatorOf{kGroup});
  Described seen{.type = GroupProtocol::kClassic, .state = group.group_state, .members = {}};
  for (const auto& member : group.members) {
    Seen& each = seen.members[member.member_id];
    each.speaks = GroupProtocol::kClassic;
    const auto share =
        wire::decode_value<wire::ConsumerProtocolAssignment>(member.member_assignment);
    if (member.member_assignment.empty() || !share) continue;
    for (const auto& topic : share->assigned_partitions)
      each.partitions.insert(topic.partitions.begin(), topic.partitions.end());
  }
  described(asked, seen);
}

void MigrationWorkload::described(const Asked& asked, const Described& group) {
  if (asked.at >= finished_) last_ = group;
  check_type(group);
  check_partitions(group);
  if (asked.life != oracle_.life() || oracle_.may_be_gone()) return;
  PROBE(group.type == GroupProtocol::kClassic ? "sim.migrating_group_was_classic"
                                              : "sim.migrating_group_was_of_consumers");
  check_members(asked, group);
  if (group.type == GroupProtocol::kConsumer) epoch_ = std::max(epoch_, group.epoch);
}

// One that was removed may be a new member under its id, of a group made anew: as long as it was
// told all the time that it is one, it is the same.
void MigrationWorkload::check_is_not_taken_along(const std::string& id, const Described& group) {
  const bool may = group.type == GroupProtocol::kConsumer ? upgrades() : downgrades();
  const auto before = seen_.find(id);
  const auto standing = oracle_.members().find(id);
  const bool is_same = before != seen_.end() && standing != oracle_.members().end() &&
                       before->second.at >= standing->second.since;
  if (is_same && before->second.type != group.type && !may)
    world().violated("GR8",
                     fmt::format("{} was taken along to a {} group", id, name_of(group.type)));
  seen_[id] = {group.type, world().now()};
}

void MigrationWorkload::check_type(const Described& group) {
  int classics = 0, others = 0;
  for (const auto& [id, member] : group.members) {
    const bool is_classic = member.speaks == GroupProtocol::kClassic;
    ++(is_classic ? classics : others);
    if (is_classic) check_is_not_taken_along(id, group);
  }
  if (group.type == GroupProtocol::kClassic) return;
  if (classics > 0 && others > 0) PROBE("sim.migrating_group_was_mixed");
  if (classics > 0 && others == 0 && downgrades())
    world().violated("GR8",
                     fmt::format("{} classic members are alone in a consumer group", classics));
  if (classics > 0 && others > 0 && options_.policy == MigrationPolicy::kDisabled)
    world().violated("GR8", "members of both protocols are in a group that may not migrate");
}

void MigrationWorkload::check_partitions(const Described& group) {
  std::map<int32_t, std::string> owners;
  for (const auto& [id, member] : group.members)
    for (const int32_t partition : member.partitions)
      if (const auto [at, is_first] = owners.emplace(partition, id); !is_first)
        world().violated("GR1", fmt::format("the {} group says that {} is at {} and at {}",
                                            name_of(group.type), partition, at->second, id));
}

void MigrationWorkload::check_members(const Asked& asked, const Described& group) {
  if (group.type == GroupProtocol::kConsumer && group.epoch < asked.epoch)
    world().violated(
        "GR9", fmt::format("the group's epoch is {} after {} was known", group.epoch, asked.epoch));
  for (const auto& [id, standing] : oracle_.members()) {
    if (standing.told >= asked.at || world().now() - standing.sent >= kSession) continue;
    const auto member = group.members.find(id);
    if (member == group.members.end())
      world().violated("GR9", fmt::format("{} is no member of the {} group, which was told that it "
                                          "has epoch {}",
                                          id, name_of(group.type), standing.epoch));
    else if (member->second.epoch && *member->second.epoch < standing.epoch)
      world().violated("GR9", fmt::format("{} has epoch {}, which was told that it has {}", id,
                                          *member->second.epoch, standing.epoch));
  }
}

std::string MigrationWorkload::what_is_missing() const {
  if (members_.empty()) return "";
  if (!last_) return "nobody says how it is";
  if (last_->state != "Stable") return "it is " + last_->state;
  if (const std::string missing = what_is_missing_of_the_members(); !missing.empty())
    return missing;
  const bool has_consumers = std::ranges::any_of(
      members_, [](const auto& each) { return each->protocol() == GroupProtocol::kConsumer; });
  if (has_consumers && last_->type == GroupProtocol::kClassic)
    return "it is classic, and has members of the consumer protocol";
  if (!has_consumers && last_->type == GroupProtocol::kConsumer && downgrades())
    return "it is of the consumer protocol, and has no member of it";
  return "";
}

std::string MigrationWorkload::what_is_missing_of_the_members() const {
  std::map<int32_t, int> owners;
  for (const auto& member : members_) {
    if (!member->is_settled()) return member->id() + " has not settled";
    for (const auto& [partition, tenure] : member->owned()) ++owners[partition];
    const auto known = last_->members.find(member->id());
    if (known == last_->members.end()) return member->id() + " is not known";
    const auto keys = std::views::keys(member->owned());
    if (known->second.partitions != std::set<int32_t>(keys.begin(), keys.end()))
      return member->id() + " has not what the group says";
  }
  if (last_->members.size() != members_.size()) return "it has members that are gone";
  for (int32_t partition = 0; partition < options_.partitions; ++partition)
    if (owners[partition] != 1)
      return fmt::format("partition {} is at {} members", partition, owners[partition]);
  return "";
}

}  // namespace millrace::sim
