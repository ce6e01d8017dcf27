#include "sim/workload.h"

#include <algorithm>

namespace millrace::sim {

Workload::Workload(const Site& site, const WorkloadOptions& options)
    : site_(site),
      options_(options),
      oracle_(site.host->world()),
      group_oracle_(site.host->world()),
      static_oracle_(site.host->world()),
      consumer_oracle_(site.host->world()),
      admin_(site, oracle_, options.topic) {}

void Workload::create_topic(const std::map<std::string, std::string>& configs,
                            std::function<void()> created) {
  admin_.create_data_topic(
      {.partitions = options_.partitions, .replicas = options_.replicas, .configs = configs},
      std::move(created));
}

void Workload::make_producers() {
  Stream& dice = world().workload;
  for (int i = 0; i < options_.producers; ++i) {
    producers_.push_back(std::make_unique<Producer>(
        site_, oracle_,
        ProducerOptions{.name = fmt::format("p{}", i),
                        .topic = options_.topic,
                        .partitions = options_.partitions,
                        .idempotent = i != 1,
                        .most_in_flight = static_cast<size_t>(dice.between({1, 5})),
                        .pause = milliseconds(dice.between({5, 80})),
                        .codec = options_.compressed ? record::Codec::kLz4 : record::Codec::kNone,
                        .keyed = options_.keyed}));
    producers_.back()->on_acknowledged = [this](int32_t partition, int64_t last_offset) {
      if (on_acknowledged) on_acknowledged(partition, last_offset);
    };
  }
}

void Workload::make_members() {
  const MemberOptions member{
      .group = "group", .topic = options_.topic, .partitions = options_.partitions};
  for (int i = 0; i < options_.members; ++i)
    members_.push_back(std::make_unique<GroupMember>(site_, oracle_, group_oracle_, member));
  MemberOptions alone = member;
  alone.group = "static";
  alone.instance_id = "instance";
  members_.push_back(std::make_unique<GroupMember>(site_, oracle_, static_oracle_, alone));
}

void Workload::make_consumer_members() {
  const ConsumerMemberOptions member{.group = "consumers", .topic = options_.topic};
  for (int i = 0; i < options_.members; ++i)
    consumer_members_.push_back(std::make_unique<ConsumerMember>(site_, consumer_oracle_, member));
  ConsumerMemberOptions fixed = member;
  fixed.instance_id = "instance";
  consumer_members_.push_back(std::make_unique<ConsumerMember>(site_, consumer_oracle_, fixed));
}

void Workload::start() {
  make_producers();
  for (int32_t i = 0; i < options_.partitions; ++i)
    consumers_.push_back(std::make_unique<Consumer>(site_, oracle_, options_.topic, i));
  make_members();
  for (int i = 0; i < options_.hogs; ++i) hogs_.push_back(std::make_unique<Hog>(site_));
  for (auto& producer : producers_) producer->start();
  for (auto& consumer : consumers_) consumer->start();
  for (auto& member : members_) member->start();
  if (options_.consumer_protocol) make_consumer_members();
  for (auto& hog : hogs_) hog->start();
  for (auto& member : consumer_members_) member->start();
  admin_.start();
}

void Workload::pause(bool paused) {
  for (auto& producer : producers_) producer->pause(paused);
}

void Workload::finish() {
  admin_.finish();
  for (auto& producer : producers_) producer->finish();
  for (auto& hog : hogs_) hog->finish();
}

bool Workload::producers_are_done() const {
  return std::ranges::all_of(producers_, [](auto& each) { return each->is_done(); });
}

bool Workload::hogs_are_done() const {
  return std::ranges::all_of(hogs_, [](auto& each) { return each->is_done(); });
}

bool Workload::groups_are_stable() const {
  return std::ranges::all_of(members_, [](auto& each) { return each->is_stable(); }) &&
         (!options_.consumer_protocol ||
          consumer_oracle_.owned() == static_cast<size_t>(options_.partitions));
}

void Workload::read_all(std::function<void()> done) {
  auto left = std::make_shared<int32_t>(options_.partitions);
  for (int32_t i = 0; i < options_.partitions; ++i)
    consumers_[static_cast<size_t>(i)]->read_all([this, i, left, done](const auto& contents) {
      if (contents) oracle_.check_contents(i, *contents);
      if (--*left == 0) done();
    });
}

}  // namespace millrace::sim
