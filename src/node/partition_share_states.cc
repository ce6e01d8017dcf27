#include "node/partition_share_states.h"

#include "base/log.h"
#include "share/coordinator_key.h"

namespace millrace::node {
namespace {

using wire::ErrorCode;

class KnownTopics final : public share::Topics {
 public:
  explicit KnownTopics(std::shared_ptr<const metadata::Image> image) : image_(std::move(image)) {}
  bool exists(const Uuid& topic) const override { return image_->find_topic(topic) != nullptr; }
  bool has_partition(const Uuid& topic, PartitionIndex partition) const override {
    const metadata::Topic* known = image_->find_topic(topic);
    return known && std::cmp_less(partition.value(), known->partitions.size());
  }

 private:
  std::shared_ptr<const metadata::Image> image_;
};

std::set<Uuid> deleted_topics(const metadata::Image& before, const metadata::Image& after) {
  std::set<Uuid> deleted;
  for (const auto& [name, topic] : before.topics())
    if (after.find_topic(topic->id) == nullptr) deleted.insert(topic->id);
  return deleted;
}

}  // namespace

void ShareStateHost::follow(const metadata::Image& before, const metadata::Image& after) {
  follow_topic(before, after);
  if (partition_count() == 0) return;
  const auto deleted = deleted_topics(before, after);
  if (deleted.empty()) return;
  for (int32_t i = 0; i < partition_count(); ++i)
    run_unasked(PartitionIndex(i), true, [deleted](share::ShareCoordinator& coordinator) {
      return coordinator.on_topics_deleted(deleted);
    });
}

share::Moment ShareStateHost::moment() {
  const env::Clock& clock = host().shard(0).clock();
  return {.now = clock.now(), .wall = clock.wall()};
}

share::Decision ShareStateHost::loaded(share::ShareCoordinator& coordinator) {
  return coordinator.on_loaded(moment(), KnownTopics(parts_.image()));
}

share::Decision ShareStateHost::tick(share::ShareCoordinator& coordinator) {
  return coordinator.on_tick(moment());
}

void ShareStateHost::run(Request request) {
  Work work{.key = share::coordinator_key(request.key),
            .may_write = !std::holds_alternative<share::ReadStateSummary>(request.question),
            .transaction = {},
            .step = {},
            .shard = request.shard,
            .done = std::move(request.done)};
  work.step = [this, &request](share::ShareCoordinator& coordinator, machine::Ticket ticket) {
    const KnownTopics topics(parts_.image());
    return coordinator.decide(request.key, request.question,
                              {.ticket = ticket, .moment = moment(), .topics = &topics});
  };
  PartitionCoordinators::run(std::move(work));
}

// What makes the log's begin redundant has to be there before it goes, on every replica in sync.
void ShareStateHost::performed(Slot& slot, PartitionState& state, share::Decision& decision) {
  if (!decision.redundant_end || *decision.redundant_end <= state.log().log_start()) return;
  const Cut cut{slot.index(), slot.epoch, *decision.redundant_end};
  state.wait_for(state.log().log_end(), host().shard(0), [this, cut](ErrorCode code) {
    if (code == ErrorCode::kNone) perform(cut);  // else it is tried again when it is due again
  });
}

void ShareStateHost::perform(const Cut& cut) {
  const HostedPartition hosted = partition(cut.partition);
  if (!hosted) return;
  const bool is_cut = with_partition(*hosted.partition, [&](PartitionState& state) {
    if (!state.is_leader() || state.leadership().epoch != cut.epoch) return false;
    state.log().advance_log_start(cut.end);
    return true;
  });
  if (is_cut) partitions().write_checkpoints_later();  // a restart must not bring it back
}

}  // namespace millrace::node
