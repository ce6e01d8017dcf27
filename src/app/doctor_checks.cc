#include "app/doctor_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace millrace::app {
namespace {

using client::core::TopicInfo;

constexpr size_t kSafeReplicas = 3;  // one may be down for repair when another fails
constexpr const char* kOwnTopics[] = {"__consumer_offsets", "__transaction_state",
                                      "__share_group_state"};

std::string value_of(const Configs& configs, const char* name) {
  const auto at = configs.find(name);
  return at == configs.end() ? "" : at->second;
}

int64_t number_of(const Configs& configs, const char* name) {
  return std::strtoll(value_of(configs, name).c_str(), nullptr, 10);
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

// "a, b, c and 4 more"
std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i)
    text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

size_t replicas_of(const TopicInfo& topic) {
  size_t least = topic.partitions.empty() ? 0 : SIZE_MAX;
  for (const auto& [index, partition] : topic.partitions)
    least = std::min(least, partition.replicas.size());
  return least;
}

class Doctor {
 public:
  explicit Doctor(const ClusterFacts& facts) : facts_(facts) {}

  std::vector<Finding> look() && {
    unreachable_addresses();
    addresses_of_this_machine();
    topics_of_one_replica();
    no_replica_to_spare();
    acknowledged_by_one();
    unclean_elections();
    own_topics();
    quorum();
    disks();
    endless_topics();
    requests_too_small();
    topics_by_mistake();
    return std::move(findings_);
  }

 private:
  template <class... Words>
  void add(const char* check, std::string mend, fmt::format_string<Words...> problem,
           Words&&... words) {
    findings_.push_back(
        {check, fmt::format(problem, std::forward<Words>(words)...), std::move(mend)});
  }
  size_t brokers() const { return facts_.known.brokers().size(); }

  // The topics, but for Kafka's own, of which `is_wrong` says so.
  template <class IsWrong>
  std::vector<std::string> topics_where(IsWrong is_wrong) const {
    std::vector<std::string> names;
    for (const auto& [name, topic] : facts_.known.topics()) {
      const auto configs = facts_.topics.find(name);
      if (!topic.internal && configs != facts_.topics.end() && is_wrong(topic, configs->second))
        names.push_back(name);
    }
    return names;
  }

  void unreachable_addresses() {
    for (const auto& [id, why] : facts_.unreachable) {
      const auto& at = facts_.known.brokers().at(id);
      add("unreachable", "advertised.listeners of that broker: an address that clients can reach",
          "broker {} says that it is at {}:{}, but {}", id.value(), at.host, at.port, why);
    }
  }

  void addresses_of_this_machine() {
    if (facts_.asked_on_loopback) return;
    for (const auto& [id, at] : facts_.known.brokers())
      if (is_loopback(at.host))
        add("loopback", "advertised.listeners of that broker: the name that other machines know",
            "broker {} says that it is at {}: clients on other machines look for it on their own",
            id.value(), at.host);
  }

  void topics_of_one_replica() {
    if (brokers() < 2) return;
    const auto names =
        topics_where([](const auto& topic, const auto&) { return replicas_of(topic) == 1; });
    if (!names.empty())
      add("one-replica",
          "kafka-reassign-partitions.sh with more replicas, then "
          "default.replication.factor=3",
          "{} topics have one replica, though there are {} brokers: {}. "
          "They are gone while their broker is, and lost with its disk",
          names.size(), brokers(), some_of(names));
  }

  void no_replica_to_spare() {
    const auto names = topics_where([](const TopicInfo& topic, const Configs& configs) {
      const auto least = number_of(configs, "min.insync.replicas");
      const size_t replicas = replicas_of(topic);
      return replicas > 0 && least > 1 && std::cmp_greater_equal(least, replicas);
    });
    if (!names.empty())
      add("no-spare",
          "millrace config alter topic NAME --set min.insync.replicas=2, with three replicas",
          "{} topics need all their replicas in sync: {}. One broker that is away stops those "
          "who produce with acks=all",
          names.size(), some_of(names));
  }

  void acknowledged_by_one() {
    const auto names = topics_where([](const TopicInfo& topic, const Configs& configs) {
      return number_of(configs, "min.insync.replicas") <= 1 && replicas_of(topic) >= kSafeReplicas;
    });
    if (!names.empty())
      add("acknowledged-by-one", "millrace config alter topic NAME --set min.insync.replicas=2",
          "{} topics of three replicas take a record that only one has: {}. It is lost with that "
          "one",
          names.size(), some_of(names));
  }

  void unclean_elections() {
    const auto names = topics_where([](const TopicInfo&, const Configs& configs) {
      return value_of(configs, "unclean.leader.election.enable") == "true";
    });
    if (!names.empty())
      add("unclean", "millrace config alter topic NAME --set unclean.leader.election.enable=false",
          "{} topics may be led by a replica that was not in sync: {}. What it has not got is "
          "lost, "
          "acknowledged or not",
          names.size(), some_of(names));
  }

  void own_topics() {
    if (brokers() < 2) return;
    const size_t wanted = std::min(brokers(), kSafeReplicas);
    for (const char* name : kOwnTopics)
      if (const TopicInfo* topic = facts_.known.topic(name);
          topic != nullptr && replicas_of(*topic) < wanted)
        add("own-topics",
            "kafka-reassign-partitions.sh with more replicas; "
            "offsets.topic.replication.factor and its like are for new clusters",
            "{} has {} replicas, though there are {} brokers: without it no group or transaction "
            "goes on",
            name, replicas_of(*topic), brokers());
  }

  void quorum() {
    const size_t voters = facts_.quorum.partition.current_voters.size();
    if (voters == 1 && brokers() >= kSafeReplicas)
      add("one-controller", "millrace cluster add-voter, until there are three",
          "one controller decides for {} brokers: without it no leader is elected", brokers());
    else if (voters % 2 == 0 && voters > 0)
      add("even-voters", "millrace cluster add-voter or remove-voter: three or five",
          "{} controllers vote: as many may fail as with {}", voters, voters - 1);
  }

  void disks() {
    constexpr int64_t kLeastPercent = 10;
    for (const auto& [id, answer] : facts_.log_dirs)
      for (const auto& dir : answer.results)
        if (dir.total_bytes > 0 && dir.usable_bytes * 100 < dir.total_bytes * kLeastPercent)
          add("disk",
              "a larger disk, or less retention: millrace config alter topic NAME --set "
              "retention.bytes=N",
              "broker {} has {}% of {} left: when nothing is left, its "
              "replicas stop",
              id.value(), dir.usable_bytes * 100 / dir.total_bytes, dir.log_dir);
  }

  void endless_topics() {
    const auto names = topics_where([](const TopicInfo&, const Configs& configs) {
      return value_of(configs, "cleanup.policy") == "delete" &&
             number_of(configs, "retention.ms") == -1 &&
             number_of(configs, "retention.bytes") == -1;
    });
    if (!names.empty())
      add("endless", "millrace config alter topic NAME --set retention.bytes=N, or retention.ms=N",
          "{} topics keep everything: {}. They grow until the disk is full", names.size(),
          some_of(names));
  }

  void requests_too_small() {
    int64_t request = INT64_MAX;
    for (const auto& [id, configs] : facts_.brokers)
      if (const int64_t its = number_of(configs, "socket.request.max.bytes"); its > 0)
        request = std::min(request, its);
    const auto names = topics_where([&](const TopicInfo&, const Configs& configs) {
      return number_of(configs, "max.message.bytes") >= request;
    });
    if (!names.empty())
      add("request-size", "socket.request.max.bytes above the largest max.message.bytes",
          "{} topics take batches that no request can carry ({} bytes): {}", names.size(), request,
          some_of(names));
  }

  void topics_by_mistake() {
    if (brokers() < 2) return;
    for (const auto& [id, configs] : facts_.brokers) {
      const bool is_safe = number_of(configs, "default.replication.factor") > 1;
      if (value_of(configs, "auto.create.topics.enable") != "true" || is_safe) continue;
      return add("auto-create", "auto.create.topics.enable=false, or default.replication.factor=3",
                 "a misspelt topic is made, with one replica, by whoever asks for it");
    }
  }

  const ClusterFacts& facts_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> findings_in(const ClusterFacts& facts) { return Doctor(facts).look(); }

}  // namespace millrace::app
