#include "app/kafka/clients/group_consumer.h"

#include <algorithm>

namespace millrace::app::kafka::clients {
namespace {

using std::chrono::steady_clock;

constexpr auto kCommitWithin = std::chrono::seconds(30);
constexpr auto kLeaveWithin = std::chrono::seconds(5);

std::unexpected<Ending> lost(const std::string& why) {
  return thrown("org.apache.kafka.common.KafkaException", why);
}

}  // namespace

GroupConsumer::GroupConsumer(Session& session, const ConsumerConfig& config,
                             RebalanceListener& listener)
    : session_(session),
      config_(config),
      listener_(listener),
      happenings_(session),
      next_commit_(steady_clock::now() + std::chrono::milliseconds(config.auto_commit_ms)) {
  happenings_.begin(config.fetcher);
}

void GroupConsumer::subscribe(const std::vector<std::string>& topics) {
  auto membership = config_.membership;
  membership.topics = topics;
  session_.run([&] { happenings_.consumer().join(membership); });
}

Attempt<GroupConsumer::Records> GroupConsumer::poll(Deadline until) {
  commit_when_due();
  while (given_ == waiting_.size() && signal_ == 0) {
    if (!take_next(until)) return Records{};
    if (failure_) return lost(*failure_);
  }
  return give();
}

GroupConsumer::Records GroupConsumer::give() {
  const size_t count =
      std::min(waiting_.size() - given_, static_cast<size_t>(config_.max_poll_records));
  const auto begin = waiting_.begin() + static_cast<ptrdiff_t>(given_);
  Records records(std::make_move_iterator(begin),
                  std::make_move_iterator(begin + static_cast<ptrdiff_t>(count)));
  given_ += count;
  // Records of a partition stand together: its last one tells.
  for (size_t i = 0; i < records.size(); ++i)
    if (i + 1 == records.size() || records[i + 1].partition != records[i].partition)
      positions_[records[i].partition] = records[i].offset + 1;
  return records;
}

bool GroupConsumer::take_next(Deadline until) {
  auto happening = happenings_.next(until);
  if (!happening) return false;
  std::visit([&](auto& what) { on(what); }, *happening);
  return true;
}

void GroupConsumer::on(Records& records) {
  if (given_ == waiting_.size()) {
    waiting_ = std::move(records);
    given_ = 0;
    return;
  }
  std::ranges::move(records, std::back_inserter(waiting_));
}

void GroupConsumer::on(Joined& joined) {
  std::vector<TopicPartition> fresh;
  std::ranges::set_difference(joined.partitions, owned_, std::back_inserter(fresh));
  owned_ = joined.partitions;
  listener_.assigned(fresh);
}

void GroupConsumer::on(Revoked& revoked) {
  const auto is_gone = [&](const TopicPartition& partition) {
    return std::ranges::find(revoked.partitions, partition) != revoked.partitions.end();
  };
  if (revoked.lost)
    std::erase_if(positions_, [&](const auto& each) { return is_gone(each.first); });
  else if (config_.auto_commit)
    commit_given();
  // What was not given is another's now.
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(given_));
  given_ = 0;
  std::erase_if(waiting_, [&](const auto& record) { return is_gone(record.partition); });
  for (const auto& each : revoked.partitions) owned_.erase(each);
  listener_.revoked(revoked.partitions);
  session_.shard().post([this] { happenings_.consumer().done_revoking(); });
}

Attempt<wire::ErrorCode> GroupConsumer::commit(const Offsets& offsets) {
  for (const auto& [partition, offset] : offsets) positions_.erase(partition);
  answer_.reset();
  session_.shard().post([this, offsets] { happenings_.consumer().commit(offsets); });
  const auto until = steady_clock::now() + kCommitWithin;
  while (!answer_ && take_next(until))
    if (failure_) return lost(*failure_);
  return answer_.value_or(wire::ErrorCode::kRequestTimedOut);
}

void GroupConsumer::commit_when_due() {
  const auto now = steady_clock::now();
  if (!config_.auto_commit || now < next_commit_) return;
  next_commit_ = now + std::chrono::milliseconds(config_.auto_commit_ms);
  commit_given();
}

void GroupConsumer::commit_given() {
  if (positions_.empty()) return;
  session_.shard().post([this, offsets = std::exchange(positions_, {})]() mutable {
    happenings_.consumer().commit(std::move(offsets));
  });
}

void GroupConsumer::close() {
  if (config_.auto_commit) commit_given();
  const std::vector<TopicPartition> last(owned_.begin(), owned_.end());
  if (!last.empty()) listener_.revoked(last);
  owned_.clear();
  session_.shard().post([this] { happenings_.consumer().leave(); });
  const auto until = steady_clock::now() + kLeaveWithin;
  while (!left_ && !failure_ && take_next(until)) {
  }
}

}  // namespace millrace::app::kafka::clients
