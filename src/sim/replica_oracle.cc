#include "sim/replica_oracle.h"

#include <algorithm>

#include "base/probe.h"
#include "node/directory_assignments.h"

namespace millrace::sim {
namespace {

constexpr double kLastStableChance = 0.1;

// Where the first transaction begins that is open to whoever reads the log up to `end`, or `end`.
int64_t first_open(const StoredLog& log, int64_t end) {
  std::map<int64_t, int64_t> open;  // by producer
  for (const StoredBatch& batch : log.batches) {
    if (batch.first >= end || !batch.transactional) continue;
    if (batch.control)
      open.erase(batch.producer);
    else
      open.try_emplace(batch.producer, batch.first);
  }
  int64_t first = end;
  for (const auto& [producer, begin] : open) first = std::min(first, begin);
  return first;
}

bool contains(const std::vector<NodeId>& ids, NodeId id) {
  return std::ranges::find(ids, id) != ids.end();
}

std::string text_of(const std::vector<NodeId>& ids) {
  std::string text;
  for (NodeId id : ids) text += fmt::format("{}{}", text.empty() ? "" : ",", id);
  return "[" + text + "]";
}

// From where the log can be read as a whole: damage that was deleted is not mended, and hides what
// lies behind it in its segment.
int64_t readable_from(const StoredLog& log, int64_t log_start) {
  int64_t from = log_start;
  int64_t end = log.start();
  for (const StoredBatch& batch : log.batches) {
    if (batch.first > end && end < log_start) from = batch.first;
    end = batch.end;
  }
  return end < log_start ? INT64_MAX : from;
}

}  // namespace

ReplicaOracle::ReplicaOracle(World& world, Cluster& cluster, Options options)
    : world_(&world), cluster_(&cluster), options_(options), dice_(world.schedule.next()) {}

void ReplicaOracle::look() {
  if (auto newest = cluster_->newest_image(); newest && newest != image_) {
    if (!image_ || newest->last_offset() > image_->last_offset()) {
      image_ = newest;
      take_image(*newest);
    }
  }
  for (const auto& node : cluster_->nodes())
    if (node->is_broker && node->can_be_asked()) look_at(*node);
  check_one_partition();
}

void ReplicaOracle::take_image(const metadata::Image& image) {
  take_brokers(image);
  for (const auto& [name, topic] : image.topics())
    for (size_t i = 0; i < topic->partitions.size(); ++i) {
      const PartitionIndex index(static_cast<int32_t>(i));
      check_reborn({name, index}, known_[{topic->id, index}], topic->partitions[i]);
      if (const auto& states = known_[{topic->id, index}].states; !states.empty()) {
        const TopicPartition partition{name, index};
        const Change change{image, partition, states.rbegin()->second, topic->partitions[i]};
        check_election(change, known_[{topic->id, index}]);
        check_move(change);
      }
      take_state({name, index}, known_[{topic->id, index}], topic->partitions[i]);
      check_members(image, {name, index}, topic->partitions[i]);
    }
}

void ReplicaOracle::take_brokers(const metadata::Image& image) {
  reborn_.clear();
  for (const auto& [id, broker] : image.brokers()) {
    Cluster::Node* node = cluster_->find(id);
    BrokerEpoch& epoch = broker_epochs_[id];
    if (broker.epoch < epoch)
      world_->violated("MD5", fmt::format("the epoch of broker {} falls from {} to {}", id, epoch,
                                          broker.epoch));
    if (broker.epoch > epoch && node->can_be_asked() && !node->broker.follows_clean_stop() &&
        node->broker.node().broker_epoch() == broker.epoch) {
      auto emptied = emptied_.find(id);
      const bool has_disk = emptied == emptied_.end() || emptied->second < epoch;
      reborn_.emplace(id, options_.synced && has_disk);
    }
    epoch = broker.epoch;
  }
}

// To be taken out and in again takes two changes.
void ReplicaOracle::check_reborn(const TopicPartition& name, const Known& known,
                                 const metadata::PartitionState& state) {
  if (known.states.empty()) return;
  const metadata::PartitionState& before = known.states.rbegin()->second;
  if (state.partition_epoch.value() - before.partition_epoch.value() > 1) return;
  auto is_member = [](const metadata::PartitionState& of, NodeId id, bool has_all) {
    return contains(of.isr, id) || (!has_all && contains(of.elr, id));
  };
  for (const auto& [id, has_all] : reborn_)
    if (is_member(before, id, has_all) && is_member(state, id, has_all))
      world_->violated("IS7",
                       fmt::format("broker {} did not stop cleanly and is in ISR {} or ELR {} "
                                   "of {} when it registers; before {}, {}",
                                   id, text_of(state.isr), text_of(state.elr), name.to_string(),
                                   text_of(before.isr), text_of(before.elr)));
}

bool ReplicaOracle::Change::ends_move() const {
  const bool moved = !before.adding_replicas.empty() || !before.removing_replicas.empty();
  return moved && after.adding_replicas.empty() && after.removing_replicas.empty();
}

void ReplicaOracle::check_election(const Change& change, Known& known) {
  const auto& [image, name, before, after] = change;
  if (after.leader == before.leader || after.leader == kNoNode) return;
  for (const auto* eligible : {&before.isr, &*before.elr, &*before.last_known_elr})
    if (contains(*eligible, after.leader)) return;
  const auto& configs =
      image.configs({.type = metadata::ConfigResourceType::kTopic, .name = name.topic});
  auto allowed = configs.find("unclean.leader.election.enable");
  const bool is_allowed = allowed != configs.end() && allowed->second == "true";
  // The change of the ISR that ends a move may name a leader whom it has just taken in.
  if (change.ends_move() && after.recovery_state == 0 && (change.is_single() || !is_allowed))
    return;
  if (is_allowed) {
    world_->note(fmt::format("{} has {} for its leader, who was not eligible", name.to_string(),
                             after.leader));
    PROBE("sim.unclean_election");
    known.unclean_epoch = after.leader_epoch;
    known.high_watermark = Offset(0);
    if (on_unclean_election) on_unclean_election(name);
  } else if (change.is_single()) {
    world_->violated("IS1", fmt::format("{} has {} for its leader, and before it ISR {}, ELR {}",
                                        name.to_string(), after.leader, text_of(before.isr),
                                        text_of(before.elr)));
  }
}

void ReplicaOracle::check_move(const Change& change) {
  const auto& [image, name, before, after] = change;
  if (!change.ends_move() || !change.is_single()) return;
  PROBE("sim.partition_moved");
  // Who was to be added and is no replica now was taken back.
  const bool has_all = std::ranges::all_of(before.adding_replicas, [&](NodeId id) {
    return contains(after.isr, id) || !contains(after.replicas, id);
  });
  const size_t enough =
      std::min({static_cast<size_t>(options_.min_isr), before.isr.size(), after.replicas.size()});
  if (!has_all || after.isr.size() < enough)
    world_->violated("MD6", fmt::format("the move of {} that added {} and removed {} ends with "
                                        "ISR {}, which was {}",
                                        name.to_string(), text_of(before.adding_replicas),
                                        text_of(before.removing_replicas), text_of(after.isr),
                                        text_of(before.isr)));
}

void ReplicaOracle::take_state(const TopicPartition& name, Known& known,
                               const metadata::PartitionState& state) {
  auto [same, is_new] = known.states.emplace(state.partition_epoch, state);
  if (same->second != state)
    world_->violated("IS10",
                     fmt::format("{} in partition epoch {} is led by {} and by {}, ISR {} "
                                 "and {}",
                                 name.to_string(), state.partition_epoch, same->second.leader,
                                 state.leader, text_of(same->second.isr), text_of(state.isr)));
  if (state.partition_epoch < known.states.rbegin()->first)
    world_->violated("IS10", name.to_string() + ": the partition epoch falls");
  if (state.leader == kNoNode) return;
  auto [leader, is_first] = known.leaders.emplace(state.leader_epoch, state.leader);
  if (leader->second != state.leader)
    world_->violated("IS10", fmt::format("{} in epoch {} is led by {} and by {}", name.to_string(),
                                         state.leader_epoch, leader->second, state.leader));
}

void ReplicaOracle::check_members(const metadata::Image& image, const TopicPartition& name,
                                  const metadata::PartitionState& state) {
  auto wrong = [&](const char* what) {
    world_->violated("IS9", fmt::format("{}: {}; replicas {}, ISR {}, ELR {}, leader {}",
                                        name.to_string(), what, text_of(state.replicas),
                                        text_of(state.isr), text_of(state.elr), state.leader));
  };
  for (NodeId member : state.isr) {
    if (!contains(state.replicas, member)) wrong("a member of the ISR is no replica");
    if (contains(state.elr, member)) wrong("a replica is in both ISR and ELR");
    const metadata::Broker* broker = image.find_broker(member);
    const bool is_last = state.isr.size() == 1 && state.leader == kNoNode;
    if ((!broker || broker->fenced) && !is_last) wrong("a fenced broker is in the ISR");
  }
  for (NodeId member : state.elr)
    if (!contains(state.replicas, member)) wrong("a member of the ELR is no replica");
  if (state.isr.empty() && state.elr.empty() && state.last_known_elr.empty())
    world_->violated("IS8", name.to_string() + ": nobody is eligible or known to have been");
  const auto enough = std::min(static_cast<size_t>(options_.min_isr), state.replicas.size());
  if (!state.elr.empty() && state.isr.size() >= enough)
    wrong("there is an ELR though the ISR is large enough");
}

void ReplicaOracle::check_directories(Cluster::Node& node) {
  const node::PartitionHost& partitions = node.broker.node().partitions();
  std::vector<std::string> offline = partitions.failed_directories();
  for (const auto& volume : partitions.volumes())
    if (volume->is_offline()) offline.push_back(volume->directory().path());
  for (const std::string& path : offline)
    if (!node.medium.has_failed(path))
      world_->violated(
          "F9", fmt::format("{} of {} is offline, and its disk has not failed", path, node.name));
}

void ReplicaOracle::look_at(Cluster::Node& node) {
  check_directories(node);
  for (const auto& hosted : node.broker.node().partitions().all())
    with_partition(*hosted.partition, [&](node::PartitionState& state) {
      const TopicPartition& name = hosted.partition->name();
      const Offset start = state.log().log_start();
      const Offset end = state.log().log_end();
      const Offset mark = state.high_watermark();
      if (start > mark || mark > end || state.last_stable_offset() > mark)
        world_->violated("IS12", fmt::format("{} of {}: log start {}, high watermark {}, log end "
                                             "{}, last stable offset {}",
                                             name.to_string(), node.name, start, mark, end,
                                             state.last_stable_offset()));
      if (state.is_offline() && !hosted.volume()->is_offline())
        world_->violated("F9", fmt::format("{} of {} is offline, and {} is not", name.to_string(),
                                           node.name, hosted.volume()->directory().path()));
      if (state.leadership().leader == node.id && !state.is_offline())
        take_leader(node, {hosted.partition->topic_id(), name.partition}, state);
      if (!state.is_leader()) return;
      state.leader().check_invariants();
      check_counted(node, name, state.leader());
    });
}

void ReplicaOracle::take_leader(Cluster::Node& node, const TopicIdPartition& id,
                                node::PartitionState& state) {
  Known& known = known_[id];
  const LeaderEpoch epoch = state.leadership().epoch;
  auto [claim, is_new] = known.claims.emplace(epoch, node.id);
  if (claim->second != node.id)
    world_->violated(
        "IS10", fmt::format("partition {} of topic {}: {} and {} both take themselves "
                            "for its leader in epoch {}",
                            id.partition, id.topic_id.to_string(), claim->second, node.id, epoch));
  Marked& marked = known.marks[node.id];
  const auto never_falls = [&](const char* invariant, const char* what, Offset before, Offset now) {
    if (marked.epoch == epoch && now < before)
      world_->violated(invariant, fmt::format("partition {} of topic {}: in epoch {} the {} of {} "
                                              "falls from {} to {}",
                                              id.partition, id.topic_id.to_string(), epoch, what,
                                              node.name, before, now));
  };
  const Offset mark = state.high_watermark();
  const Offset stable = state.last_stable_offset();
  never_falls("IS6", "high watermark", marked.high_watermark, mark);
  never_falls("TX3", "last stable offset", marked.last_stable, stable);
  marked = {epoch, mark, stable};
  if (epoch >= known.unclean_epoch) known.high_watermark = std::max(known.high_watermark, mark);
}

void ReplicaOracle::check_counted(Cluster::Node& node, const TopicPartition& name,
                                  const replica::Leader& leader) {
  const metadata::Topic* topic = image_ ? image_->find_topic(name.topic) : nullptr;
  if (!topic || !leader.has_min_isr()) return;
  const auto& state = topic->partitions.at(static_cast<size_t>(name.partition.value()));
  if (state.leader != node.id || state.leader_epoch != leader.epoch()) return;
  // Who answered the leader may have died since, and with it the image that knows of it.
  if (state.partition_epoch < leader.partition_epoch()) return;
  std::set<NodeId> counted{node.id};
  for (const auto& follower : leader.followers())
    if (follower.in_isr || follower.is_joining) counted.insert(follower.id);
  for (const auto& members : {state.isr, *state.elr})
    for (NodeId member : members)
      if (!counted.contains(member))
        world_->violated("IS2", fmt::format("{} leads {} and does not count {}; ISR {}, ELR {}; {}",
                                            node.name, name.to_string(), member, text_of(state.isr),
                                            text_of(state.elr), leader.describe()));
}

bool ReplicaOracle::is_excused(const metadata::Image& image, NodeId node) {
  auto wiped = wiped_.find(node);
  if (wiped == wiped_.end()) return false;
  const metadata::Broker* broker = image.find_broker(node);
  if (broker && broker->epoch > wiped->second) wiped_.erase(wiped);
  return wiped_.contains(node);
}

void ReplicaOracle::disk_was_wiped(NodeId node) {
  const metadata::Broker* broker = image_ ? image_->find_broker(node) : nullptr;
  emptied_[node] = wiped_[node] = broker ? broker->epoch : BrokerEpoch(-1);
}

// Of what was deleted it needs nothing; a log that was started over has no file yet.
bool ReplicaOracle::begins_at(Cluster::Node& node, const TopicPartition& name, Offset end) {
  if (!node.can_be_asked()) return false;
  const auto hosted = node.broker.node().partitions().find(name);
  return hosted && with_partition(*hosted.partition, [&](node::PartitionState& state) {
           return state.log().log_start() >= end;
         });
}

void ReplicaOracle::check_members_have(const TopicPartition& name, Offset end,
                                       std::string_view why) {
  const metadata::Topic* topic = image_ ? image_->find_topic(name.topic) : nullptr;
  if (!topic) return;
  const auto& state = topic->partitions.at(static_cast<size_t>(name.partition.value()));
  std::vector<NodeId> members = state.isr;
  members.insert(members.end(), state.elr.begin(), state.elr.end());
  for (NodeId member : members) {
    Cluster::Node* node = cluster_->find(member);
    if (!node || is_excused(*image_, member) || damaged_.contains({member, name})) continue;
    const Offset has = stored_end(node->medium, node->directory_of(name),
                                  options_.synced ? View::kDurable : View::kWritten);
    if (has < end && !begins_at(*node, name, end))
      world_->violated("IS1",
                       fmt::format("{} of {} ends at {}, below {} that {}; ISR {}, ELR {}, "
                                   "leader {} in epoch {}",
                                   name.to_string(), node->name, has, end, why, text_of(state.isr),
                                   text_of(state.elr), state.leader, state.leader_epoch));
  }
}

void ReplicaOracle::check_acknowledged(const TopicPartition& partition, int64_t offset) {
  look();
  check_members_have(partition, Offset(offset + 1), "was acknowledged");
}

// One at a time, by turns of chance: reading logs costs.
void ReplicaOracle::check_one_partition() {
  if (!image_ || image_->topics().empty()) return;
  auto topic = std::next(image_->topics().begin(),
                         static_cast<ptrdiff_t>(dice_.below(image_->topics().size())));
  if (topic->second->partitions.empty()) return;
  const PartitionIndex index(static_cast<int32_t>(dice_.below(topic->second->partitions.size())));
  const TopicPartition name{topic->first, index};
  check_members_have(name, known_[{topic->second->id, index}].high_watermark,
                     "was a high watermark");
  if (!dice_.chance(kLastStableChance)) return;
  const auto& node = cluster_->nodes()[dice_.below(cluster_->nodes().size())];
  if (!node->is_broker || !node->can_be_asked() || damaged_.contains({node->id, name})) return;
  const auto hosted = node->broker.node().partitions().find(name);
  const auto log = read_stored_log(node->medium, node->directory_of(name), View::kWritten);
  if (hosted && log) check_last_stable(*node, hosted, *log);
}

// A transaction whose marker is not replicated yet counts as open; but a start knows nothing of
// those that ended before its snapshot of producers. Its end is decided all the same.
void ReplicaOracle::check_last_stable(Cluster::Node& node, const node::HostedPartition& hosted,
                                      const StoredLog& log) {
  with_partition(*hosted.partition, [&](node::PartitionState& state) {
    const int64_t mark = state.high_watermark().value();
    if (state.is_offline() || log.end() < mark) return;
    const int64_t least = first_open(log, mark), most = std::min(mark, first_open(log, log.end()));
    if (least < state.log().log_start().value()) return;  // deleted, as if it had ended
    const int64_t stable = state.last_stable_offset().value();
    if (stable < least || stable > most)
      world_->violated(
          "TX3", fmt::format("{} of {}: the last stable offset is {}, by its log {} "
                             "to {}",
                             hosted.partition->name().to_string(), node.name, stable, least, most));
  });
}

void ReplicaOracle::compare_logs() {
  look();
  if (!image_) return;
  for (const auto& [name, topic] : image_->topics())
    for (size_t i = 0; i < topic->partitions.size(); ++i)
      compare_replicas({name, PartitionIndex(static_cast<int32_t>(i))}, topic->partitions[i]);
  for (const auto& node : cluster_->nodes())
    if (node->is_broker && node->can_be_asked()) check_epochs(*node);
}

namespace {

// Each replica compacts by itself: what one has and the other has not is gone from that, and what
// stays of a batch may be more or less.
bool are_alike_compacted(const std::vector<StoredBatch>& a, const std::vector<StoredBatch>& b) {
  std::map<int64_t, StoredBatch> by_offset;
  for (StoredBatch batch : a) {
    batch.fingerprint = 0;
    by_offset[batch.first] = batch;
  }
  return std::ranges::all_of(b, [&](StoredBatch batch) {
    batch.fingerprint = 0;
    auto other = by_offset.find(batch.first);
    return other == by_offset.end() || other->second == batch;
  });
}

}  // namespace

// Below the lowest high watermark, from where all of them have begun.
void ReplicaOracle::compare_replicas(const TopicPartition& name,
                                     const metadata::PartitionState& state) {
  std::map<NodeId, StoredLog> logs;
  int64_t from = 0, below = INT64_MAX;
  for (NodeId replica : state.replicas) {
    Cluster::Node* node = cluster_->find(replica);
    if (!node || !node->can_be_asked()) continue;
    const auto hosted = node->broker.node().partitions().find(name);
    auto log = read_stored_log(node->medium, node->directory_of(name), View::kWritten);
    if (!hosted.partition || !log) continue;
    with_partition(*hosted.partition, [&](node::PartitionState& partition) {
      below = std::min(below, partition.high_watermark().value());
      from = std::max(from, readable_from(*log, partition.log().log_start().value()));
    });
    logs.emplace(replica, std::move(*log));
  }
  const StoredLog* first = nullptr;
  for (auto& [replica, log] : logs) {
    std::erase_if(log.batches,
                  [&](const StoredBatch& batch) { return batch.end <= from || batch.end > below; });
    const bool is_compacted = options_.takes_away(name.topic);
    const bool are_alike =
        !first || (is_compacted ? are_alike_compacted(first->batches, log.batches)
                                : first->batches == log.batches);
    if (!are_alike)
      world_->violated("IS4",
                       fmt::format("the replicas of {} on {} and {} differ between {} and {}",
                                   name.to_string(), logs.begin()->first, replica, from, below));
    if (!first) first = &log;
  }
}

void ReplicaOracle::check_epochs(Cluster::Node& node) {
  for (const auto& hosted : node.broker.node().partitions().all()) {
    const TopicPartition& name = hosted.partition->name();
    const auto log = read_stored_log(node.medium, node.directory_of(name), View::kWritten);
    if (!log) continue;
    check_last_stable(node, hosted, *log);
    with_partition(*hosted.partition, [&](node::PartitionState& state) {
      for (const StoredBatch& batch : log->batches) {
        if (batch.first < state.log().log_start().value()) continue;
        const auto epoch = state.log().epoch_of(Offset(batch.first));
        if (epoch != LeaderEpoch(batch.epoch))
          return world_->violated(
              "IS11", fmt::format("{} of {}: the batch at {} is of epoch {}, "
                                  "and the log says {}",
                                  name.to_string(), node.name, batch.first, batch.epoch, epoch));
      }
    });
  }
}

std::string ReplicaOracle::what_waits(const TopicPartition& name, NodeId leader) {
  Cluster::Node* node = cluster_->find(leader);
  const auto hosted = node->broker.node().partitions().find(name);
  if (!hosted)
    return fmt::format("{} does not know {}, which it leads", node->name, name.to_string());
  return with_partition(*hosted.partition, [&](node::PartitionState& state) -> std::string {
    if (state.high_watermark() == state.log().log_end()) return "";
    return fmt::format("{} is not committed to its end{}", name.to_string(),
                       state.is_leader() ? ", " + state.leader().describe() : "");
  });
}

std::string ReplicaOracle::what_they_say(const TopicPartition& name) {
  std::string text;
  for (const auto& node : cluster_->nodes()) {
    if (!node->is_broker || !node->can_be_asked()) continue;
    const auto hosted = node->broker.node().partitions().find(name);
    if (!hosted) continue;
    with_partition(*hosted.partition, [&](node::PartitionState& state) {
      text +=
          fmt::format("; {} follows {} in epoch {}, high watermark {}, log end {}{}", node->name,
                      state.leadership().leader, state.leadership().epoch, state.high_watermark(),
                      state.log().log_end(), state.is_offline() ? ", offline" : "");
      if (state.is_leader()) text += ", " + state.leader().describe();
    });
  }
  return text;
}

std::string ReplicaOracle::what_is_elsewhere(const TopicPartition& name,
                                             const metadata::PartitionState& state) {
  for (NodeId replica : state.replicas) {
    Cluster::Node* node = cluster_->find(replica);
    const auto hosted = node->broker.node().partitions().find(name);
    if (!hosted) return fmt::format("{} has no {}", node->name, name.to_string());
    const storage::LogDirectory& lies_in = hosted.volume()->directory();
    const auto assigned = node::assigned_directory(state, replica);
    if (assigned && *assigned != lies_in.id())
      return fmt::format("{} of {} lies in {}, directory {}, and the metadata say {}",
                         name.to_string(), node->name, lies_in.path(), lies_in.id().to_string(),
                         assigned->to_string());
    const bool moves = with_partition(*hosted.partition, [](node::PartitionState& partition) {
      return partition.future() != nullptr;
    });
    if (moves) return fmt::format("{} of {} moves still", name.to_string(), node->name);
  }
  return "";
}

std::string ReplicaOracle::what_is_missing() {
  const auto image = cluster_->newest_image();
  if (!image) return "no node runs";
  for (const auto& node : cluster_->nodes()) {
    if (!node->can_be_asked()) return node->name + " does not run";
    const auto own = node->broker.node().image();
    // What only says that time goes on (NoOpRecord) makes no other image.
    if (!own || !own->same_state(*image))
      return fmt::format("{} knows the metadata up to {}, another node up to {}", node->name,
                         own ? own->last_offset() : Offset(-1), image->last_offset());
    const metadata::Broker* broker = image->find_broker(node->id);
    if (node->is_broker && (!broker || broker->fenced)) return node->name + " is fenced";
  }
  for (const auto& [name, topic] : image->topics())
    for (size_t i = 0; i < topic->partitions.size(); ++i) {
      const auto& state = topic->partitions[i];
      if (!state.adding_replicas.empty() || !state.removing_replicas.empty())
        return fmt::format("{}-{} moves still, adding {}, removing {}, ISR {}{}", name, i,
                           text_of(state.adding_replicas), text_of(state.removing_replicas),
                           text_of(state.isr),
                           what_they_say({name, PartitionIndex(static_cast<int32_t>(i))}));
      if (state.leader == kNoNode || state.isr.size() != state.replicas.size())
        return fmt::format("{}-{} has leader {}, replicas {}, ISR {}, ELR {}{}", name, i,
                           state.leader, text_of(state.replicas), text_of(state.isr),
                           text_of(state.elr),
                           what_they_say({name, PartitionIndex(static_cast<int32_t>(i))}));
      const TopicPartition partition{name, PartitionIndex(static_cast<int32_t>(i))};
      if (auto elsewhere = what_is_elsewhere(partition, state); !elsewhere.empty())
        return elsewhere;
      const auto waiting = what_waits(partition, state.leader);
      if (!name.starts_with("__") && !waiting.empty()) return waiting;
    }
  return "";
}

}  // namespace millrace::sim
