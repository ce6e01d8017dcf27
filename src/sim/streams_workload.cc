#include "sim/streams_workload.h"

#include <algorithm>

#include "base/probe.h"
#include "wire/errors.h"
#include "wire/incremental_alter_configs.h"

namespace millrace::sim {
namespace {

constexpr int16_t kDescribeVersion = 0;
constexpr Duration kPause = milliseconds(300);
constexpr Duration kSession = milliseconds(StreamsMember::kSessionMs);
constexpr int16_t kAlterVersion = 1;
constexpr int8_t kGroupResource = 32;
constexpr int8_t kSet = 0;
constexpr Range kBetweenChangesMs{1000, 6000};
constexpr Range kStandbys{0, 2};
constexpr const char* kStandbysConfig = "streams.num.standby.replicas";

using Member = wire::StreamsGroupDescribeResponse::Member;
using TaskIds = wire::StreamsGroupDescribeResponse::TaskIds;

bool has(const std::vector<TaskIds>& tasks, int32_t task) { return tasks_of(tasks).contains(task); }

}  // namespace

StreamsWorkload::StreamsWorkload(const Site& site, Oracle& records, FindImage image,
                                 StreamsWorkloadOptions options)
    : site_(site),
      records_(&records),
      image_(std::move(image)),
      options_(std::move(options)),
      oracle_(site.host->world(), StreamsMember::kRules),
      endpoints_(site.host->world(), options_.topology),
      dice_(~site.host->world().seed() + 5) {}

void StreamsWorkload::start() {
  if (options_.members == 0) return;
  StreamsMemberOptions member{.group = kGroup,
                              .topology = &options_.topology,
                              .endpoints = options_.has_endpoints ? &endpoints_ : nullptr,
                              .on_tasks = [this] { check_topics(); }};
  for (int i = 0; i < options_.members; ++i) {
    member.process = i % options_.processes;
    members_.push_back(std::make_unique<StreamsMember>(site_, *records_, oracle_, member));
  }
  client_ = std::make_unique<Client>(site_, "streams-admin");
  for (auto& each : members_) each->start();
  ask();
  if (options_.changes_standbys) change_standbys();
}

// Whether it was changed is seen in the end by what the cluster has.
void StreamsWorkload::change_standbys() {
  is_changing_ = true;
  wire::IncrementalAlterConfigsRequest request;
  request.resources.push_back({.resource_type = kGroupResource, .resource_name = kGroup});
  request.resources[0].configs.push_back({.name = kStandbysConfig,
                                          .config_operation = kSet,
                                          .value = std::to_string(dice_.between(kStandbys))});
  client_->call<wire::IncrementalAlterConfigsResponse>(
      Client::AnyBroker{}, request, kAlterVersion,
      [this](const Result<wire::IncrementalAlterConfigsResponse>& answer) {
        is_changing_ = false;
        if (!answer) client_->doubt(Client::AnyBroker{});
        if (answer && answer->responses.at(0).error_code == 0)
          PROBE("sim.streams_standbys_changed");
        site_.host->shard(0).after(milliseconds(dice_.between(kBetweenChangesMs)), [this] {
          if (!is_finishing_) change_standbys();
        });
      });
}

int64_t StreamsWorkload::standbys() const {
  if (!newest_) return options_.standbys;
  const auto& configs = newest_->configs({metadata::ConfigResourceType::kGroup, kGroup});
  const auto set = configs.find(kStandbysConfig);
  return set == configs.end() ? options_.standbys : std::stoll(set->second);
}

void StreamsWorkload::look() {
  if (members_.empty()) return;
  const auto image = image_();
  if (image && (!newest_ || image->last_offset() > newest_->last_offset())) newest_ = image;
}

void StreamsWorkload::check_topics() {
  look();
  if (!newest_) return;
  for (const auto& [name, partitions] : options_.topology.internal_topics()) {
    const metadata::Topic* topic = newest_->find_topic(name);
    const auto there = topic ? std::ssize(topic->partitions) : 0;
    if (there != partitions)
      world().violated("SG8", fmt::format("{} has {} partitions and not {}, and there are tasks",
                                          name, there, partitions));
  }
}

void StreamsWorkload::finish() {
  is_finishing_ = true;
  if (options_.changes_standbys && !members_.empty()) change_standbys();  // when nothing else does
  for (auto& member : members_) member->finish();
  finished_ = world().now();
  last_.reset();
}

void StreamsWorkload::ask() {
  wire::StreamsGroupDescribeRequest request{.group_ids = {kGroup}};
  if (std::exchange(life_, oracle_.life()) != oracle_.life()) epoch_ = 0;
  int32_t highest = epoch_;
  for (const auto& [id, standing] : oracle_.members()) highest = std::max(highest, standing.epoch);
  client_->call<wire::StreamsGroupDescribeResponse>(
      Client::CoordinatorOf{kGroup}, request, kDescribeVersion,
      [this, asked = Asked{life_, highest, world().now()}](
          const Result<wire::StreamsGroupDescribeResponse>& answer) {
        if (answer) described(asked, answer->groups.at(0));
        site_.host->shard(0).after(kPause, [this] { ask(); });
      });
}

void StreamsWorkload::described(const Asked& asked, const Described& group) {
  const auto code = static_cast<wire::ErrorCode>(group.error_code);
  const bool is_answer =
      code == wire::ErrorCode::kNone || code == wire::ErrorCode::kGroupIdNotFound;
  if (!is_answer) return client_->doubt(Client::CoordinatorOf{kGroup});
  if (code == wire::ErrorCode::kNone) check_tasks(group);
  if (asked.at >= finished_) last_ = group;
  if (asked.life != oracle_.life() || oracle_.may_be_gone()) return;
  PROBE("sim.streams_group_described");
  check_epochs(asked, group);
  epoch_ = std::max(epoch_, group.group_epoch);
}

void StreamsWorkload::check_epochs(const Asked& asked, const Described& group) {
  if (group.group_epoch < asked.epoch)
    world().violated("SG5", fmt::format("the group's epoch is {} after {} was known ({})",
                                        group.group_epoch, asked.epoch, group.error_code));
  for (const auto& [id, standing] : oracle_.members()) {
    if (standing.told >= asked.at || world().now() - standing.sent >= kSession) continue;
    const auto member = std::ranges::find(group.members, id, &Member::member_id);
    if (member == group.members.end())
      world().violated("SG5", fmt::format("{} is no member, which was told that it has epoch {}",
                                          id, standing.epoch));
    else if (member->member_epoch < standing.epoch)
      world().violated("SG5", fmt::format("{} has epoch {}, which was told that it has {}", id,
                                          member->member_epoch, standing.epoch));
  }
}

void StreamsWorkload::check_tasks(const Described& group) {
  if (group.assignment_epoch > group.group_epoch)
    world().violated("SG2", fmt::format("the target has epoch {}, the group {}",
                                        group.assignment_epoch, group.group_epoch));
  std::set<int32_t> active;
  std::set<std::pair<std::string, int32_t>> at_process;
  for (const Member& member : group.members) {
    if (member.member_epoch > group.group_epoch)
      world().violated("SG2", fmt::format("{} has epoch {}, the group {}", member.member_id,
                                          member.member_epoch, group.group_epoch));
    for (const int32_t task : options_.topology.tasks()) {
      const bool runs = has(member.assignment.active_tasks, task);
      if (runs && !active.insert(task).second)
        world().violated("SG1",
                         fmt::format("task {} is active twice, at {} too", task, member.member_id));
      const int times = int{runs} + int{has(member.assignment.standby_tasks, task)};
      if (times == 2 || (times == 1 && !at_process.emplace(member.process_id, task).second))
        world().violated("SG6", fmt::format("{} has task {} twice", member.process_id, task));
    }
  }
}

std::string StreamsWorkload::what_is_missing() const {
  if (members_.empty()) return "";
  if (!last_ || is_changing_) return "nobody says how it is";
  if (last_->group_state != "Stable") return fmt::format("it is {}", last_->group_state);
  std::string missing;
  for (const int32_t task : options_.topology.tasks()) missing += what_is_missing(task);
  return missing.empty() && options_.has_endpoints ? endpoints_.what_is_missing(*last_) : missing;
}

std::string StreamsWorkload::what_is_missing(int32_t task) const {
  std::set<std::string> processes;
  int64_t there = 0;
  bool runs = false;
  for (const Member& member : last_->members) {
    processes.insert(member.process_id);
    there += has(member.assignment.standby_tasks, task);
    runs |= has(member.assignment.active_tasks, task) &&
            std::ranges::any_of(members_, [&](const auto& each) {
              return each->id() == member.member_id && each->owned().contains(task);
            });
  }
  if (!runs) return fmt::format("task {} does not run; ", task);
  const int64_t wanted = std::min<int64_t>(standbys(), std::ssize(processes) - 1);
  if (there == wanted) return "";
  return fmt::format("task {} has {} standbys of {}; ", task, there, wanted);
}

}  // namespace millrace::sim
