#include "client/core/rebalance.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace millrace::client::core {
namespace {

bool contains(const Replicas& replicas, int32_t broker) {
  return std::ranges::find(replicas, broker) != replicas.end();
}

class Balancer {
 public:
  Balancer(Assignment now, const BrokerRacks& brokers)
      : assignment_(std::move(now)), brokers_(brokers) {
    for (const auto& [broker, rack] : brokers_) carried_[broker] = led_[broker] = 0;
    for (const auto& [partition, replicas] : assignment_)
      for (const int32_t each : replicas)
        if (brokers_.contains(each)) ++carried_[each];
  }

  Assignment run() {
    for (auto& [partition, replicas] : assignment_) leave_the_barred(replicas);
    while (move_one()) {
    }
    for (const auto& [partition, replicas] : assignment_)
      if (!replicas.empty()) ++led_[replicas.front()];
    while (swap_one_leader()) {
    }
    return std::move(assignment_);
  }

 private:
  const std::string& rack_of(int32_t broker) const { return brokers_.at(broker); }

  size_t racks_of(const Replicas& replicas) const {
    std::set<std::string> racks;
    for (const int32_t each : replicas)
      if (auto found = brokers_.find(each); found != brokers_.end()) racks.insert(found->second);
    return racks.size();
  }

  // Of the brokers without a replica of the partition: in a rack that has none before one that has,
  // then the one that carries least.
  std::optional<int32_t> substitute(const Replicas& replicas) const {
    std::set<std::string> used;
    for (const int32_t each : replicas)
      if (auto found = brokers_.find(each); found != brokers_.end()) used.insert(found->second);
    std::optional<int32_t> best;
    const auto cost = [&](int32_t broker) {
      return std::pair(used.contains(rack_of(broker)), carried_.at(broker));
    };
    for (const auto& [broker, rack] : brokers_)
      if (!contains(replicas, broker) && (!best || cost(broker) < cost(*best))) best = broker;
    return best;
  }

  void leave_the_barred(Replicas& replicas) {
    for (size_t i = 0; i < replicas.size();) {
      if (brokers_.contains(replicas[i])) {
        ++i;
      } else if (const auto other = substitute(replicas)) {
        ++carried_[*other];
        replicas[i++] = *other;
      } else {
        replicas.erase(replicas.begin() + static_cast<ptrdiff_t>(i));
      }
    }
  }

  std::vector<int32_t> by_load(const std::map<int32_t, int>& load) const {
    std::vector<int32_t> order;
    for (const auto& [broker, count] : load) order.push_back(broker);
    std::ranges::sort(order, {},
                      [&](int32_t broker) { return std::pair(load.at(broker), broker); });
    return order;
  }

  // From one that carries much to one that carries at least two less. False: there is no such move.
  bool move_one() {
    const auto order = by_load(carried_);
    for (auto from = order.rbegin(); from != order.rend(); ++from)
      for (const int32_t to : order) {
        if (carried_[*from] - carried_[to] < 2) break;
        if (move_between(*from, to)) return true;
      }
    return false;
  }

  bool move_between(int32_t from, int32_t to) {
    for (auto& [partition, replicas] : assignment_) {
      if (!contains(replicas, from) || contains(replicas, to)) continue;
      Replicas moved = replicas;
      std::ranges::replace(moved, from, to);
      if (racks_of(moved) < racks_of(replicas)) continue;
      replicas = std::move(moved);
      --carried_[from];
      ++carried_[to];
      return true;
    }
    return false;
  }

  // The order of replicas costs nothing to change.
  bool swap_one_leader() {
    const auto order = by_load(led_);
    for (auto from = order.rbegin(); from != order.rend(); ++from)
      for (const int32_t to : order) {
        if (led_[*from] - led_[to] < 2) break;
        if (hand_over(*from, to)) return true;
      }
    return false;
  }

  bool hand_over(int32_t from, int32_t to) {
    for (auto& [partition, replicas] : assignment_) {
      if (replicas.empty() || replicas.front() != from) continue;
      const auto place = std::ranges::find(replicas, to);
      if (place == replicas.end()) continue;
      std::iter_swap(replicas.begin(), place);
      --led_[from];
      ++led_[to];
      return true;
    }
    return false;
  }

  Assignment assignment_;
  const BrokerRacks& brokers_;
  std::map<int32_t, int> carried_;
  std::map<int32_t, int> led_;
};

}  // namespace

Assignment rebalanced(const Assignment& now, const BrokerRacks& brokers) {
  if (brokers.empty()) return {};
  Assignment changed = Balancer(now, brokers).run();
  std::erase_if(changed, [&](const auto& each) {
    return each.second.empty() || each.second == now.at(each.first);
  });
  return changed;
}

}  // namespace millrace::client::core
