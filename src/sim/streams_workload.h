// A streams group in a simulation (KIP-1071): one application (sim/streams_topology) that keeps
// state in topics that the broker makes for it; somebody who asks how the group is, and compares
// what is said with what the members were told; and an administrator who changes how many standbys
// a task has.
//
//   SG1  no two members have an active task, as the group says
//   SG2  no epoch of a member or a target is above the group's
//   SG3  in the end the group is stable, each task runs at one member, which knows it, and has as
//        many standbys as the group's config says and there are other processes for
//   SG5  whoever is a member, by what it was told, is there, and neither its epoch nor the group's
//        goes back, whoever coordinates the group
//   SG6  a process has a task once, active or as a standby
//   SG8  when a member is told of tasks, the application's own topics are there, with as many
//        partitions as it says, or as what their writers read has
// Not here: what members do, and what they were told of their tasks (sim/streams_member).
// Threads: one.
#pragma once

#include <memory>
#include <vector>

#include "metadata/image.h"
#include "sim/streams_member.h"
#include "wire/streams_group_describe.h"

namespace millrace::sim {

struct StreamsWorkloadOptions {
  StreamsTopology topology;
  int members = 0;  // 0: there is no group
  int processes = 1;
  int64_t standbys = 0;  // where the group has no config of its own
  bool changes_standbys = false;
  bool has_endpoints = false;
};

class StreamsWorkload {
 public:
  static constexpr const char* kGroup = "streamers";
  // The newest image that anybody has; null: nobody runs.
  using FindImage = std::function<std::shared_ptr<const metadata::Image>()>;
  StreamsWorkload(const Site& site, Oracle& records, FindImage image,
                  StreamsWorkloadOptions options);
  void start();
  // Nobody goes any more; what is missing is looked for from now on.
  void finish();
  // Looks at what anybody knows of the cluster, often: who knows more may die.
  void look();
  // Whether the group is as it shall be in the end: what is missing; empty: nothing.
  std::string what_is_missing() const;

 private:
  using Described = wire::StreamsGroupDescribeResponse::DescribedGroup;
  // When the question was sent.
  struct Asked {
    uint64_t life;
    int32_t epoch;
    Instant at;
  };
  void ask();
  void described(const Asked& asked, const Described& group);
  void check_epochs(const Asked& asked, const Described& group);
  void check_tasks(const Described& group);
  std::string what_is_missing(int32_t task) const;
  void change_standbys();
  int64_t standbys() const;
  void check_topics();
  World& world() const { return site_.host->world(); }

  Site site_;
  Oracle* records_;
  FindImage image_;
  StreamsWorkloadOptions options_;
  ConsumerOracle oracle_;
  StreamsEndpoints endpoints_;
  Stream dice_;
  std::shared_ptr<const metadata::Image> newest_;
  bool is_finishing_ = false;
  bool is_changing_ = false;
  std::unique_ptr<Client> client_;
  std::vector<std::unique_ptr<StreamsMember>> members_;
  int32_t epoch_ = 0;  // of the group, in this life of it
  uint64_t life_ = 0;  // that it is of
  Instant finished_;
  std::optional<Described> last_;  // since then
};

}  // namespace millrace::sim
