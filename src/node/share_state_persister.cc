#include "node/share_state_persister.h"

#include "base/hash.h"
#include "base/log.h"
#include "node/share_state_messages.h"
#include "share/coordinator_key.h"

namespace millrace::node {
namespace {

using wire::ErrorCode;

const metadata::Topic* state_topic(const metadata::Image& image) {
  const metadata::Topic* topic = image.find_topic(std::string_view(ShareStateKind::kTopic));
  return topic && !topic->partitions.empty() ? topic : nullptr;
}

// The leader of the key's partition.
NodeId coordinator_of(const metadata::Topic& topic, const share::SharePartitionKey& key) {
  const auto count = static_cast<int32_t>(topic.partitions.size());
  const int32_t index = coordinator_partition(share::coordinator_key(key), count);
  return topic.partitions[static_cast<size_t>(index)].leader;
}

bool is_of_coordinator(ErrorCode code) {
  return code == ErrorCode::kCoordinatorNotAvailable || code == ErrorCode::kNotCoordinator ||
         code == ErrorCode::kCoordinatorLoadInProgress || code == ErrorCode::kNetworkException;
}

// A coordinator may hear of a topic later than who asks.
bool may_pass(ErrorCode code) {
  return is_of_coordinator(code) || code == ErrorCode::kUnknownTopicOrPartition;
}

SharePersister::Done<SharePersister::ReadResult> code_alone(SharePersister::Done<ErrorCode> done) {
  return
      [done = std::move(done)](SharePersister::ReadResult result) mutable { done(result.error); };
}

}  // namespace

void ShareStatePersister::initialize(Initialize asked, env::Shard& shard, Done<ErrorCode> done) {
  begin({.key = std::move(asked.key),
         .question = share::InitializeState{.state_epoch = asked.state_epoch, .start = asked.start},
         .shard = &shard,
         .done = code_alone(std::move(done))});
}

void ShareStatePersister::read(share::SharePartitionKey key, LeaderEpoch leader_epoch,
                               env::Shard& shard, Done<ReadResult> done) {
  begin({.key = std::move(key),
         .question = share::ReadState{.leader_epoch = leader_epoch},
         .shard = &shard,
         .done = std::move(done)});
}

void ShareStatePersister::read_summary(share::SharePartitionKey key, LeaderEpoch leader_epoch,
                                       env::Shard& shard, Done<ReadResult> done) {
  begin({.key = std::move(key),
         .question = share::ReadStateSummary{.leader_epoch = leader_epoch},
         .shard = &shard,
         .done = std::move(done)});
}

void ShareStatePersister::write(Write write, env::Shard& shard, Done<ErrorCode> done) {
  begin({.key = std::move(write.key),
         .question = share::WriteState{.state = std::move(write.state)},
         .shard = &shard,
         .done = code_alone(std::move(done))});
}

void ShareStatePersister::remove(share::SharePartitionKey key, env::Shard& shard,
                                 Done<ErrorCode> done) {
  begin({.key = std::move(key),
         .question = share::DeleteState{},
         .shard = &shard,
         .done = code_alone(std::move(done))});
}

void ShareStatePersister::begin(Asking asking) {
  asking.deadline = asking.shard->clock().now() + kPatience;
  ask(std::make_shared<Asking>(std::move(asking)));
}

// `done` is not called from within the call that asks.
void ShareStatePersister::ask(const AskingPtr& asking) {
  const auto image = parts_.image();
  const metadata::Topic* topic = state_topic(*image);
  if (topic == nullptr) parts_.host->shard(0).post([this] { parts_.create_topic(); });
  const NodeId coordinator = topic ? coordinator_of(*topic, asking->key) : kNoNode;
  if (coordinator == kNoNode)
    return asking->shard->post(
        [this, asking] { answered(asking, {.error = ErrorCode::kCoordinatorNotAvailable}); });
  if (coordinator == parts_.self) return ask_here(asking);
  parts_.host->shard(0).post([this, asking, coordinator] {
    std::visit([&](const auto& question) { ask_there(asking, question, coordinator); },
               asking->question);
  });
}

void ShareStatePersister::ask_here(const AskingPtr& asking) {
  parts_.states->run({.key = asking->key,
                      .question = asking->question,
                      .shard = asking->shard,
                      .done = [this, asking](ErrorCode code, share::Answer answer) {
                        if (code != ErrorCode::kNone) answer.error = code;
                        answered(asking, answer);
                      }});
}

// On shard 0.
template <class Question>
void ShareStatePersister::ask_there(const AskingPtr& asking, const Question& question,
                                    NodeId coordinator) {
  using Request = typename ShareStateApi<Question>::Request;
  using Response = typename ShareStateApi<Question>::Response;
  parts_.links->ask<Request, Response>(
      coordinator, share_state_request(asking->key, question),
      {Request::kMinVersion, Request::kMaxVersion},
      [this, asking, coordinator](Result<Response> response) {
        share::Answer answer{.error = ErrorCode::kNetworkException};
        if (response)
          answer = share_state_answer<Question>(asking->key, *response);
        else
          LOG_DEBUG("to {} at broker {}: {}", ShareStateApi<Question>::kDoes, coordinator,
                    response.error().message);
        asking->shard->post(
            [this, asking, answer = std::move(answer)] { answered(asking, answer); });
      });
}

void ShareStatePersister::answered(const AskingPtr& asking, const share::Answer& answer) {
  const Duration pause = asking->pause;
  const bool has_time = asking->shard->clock().now() + pause <= asking->deadline;
  if (may_pass(answer.error) && has_time) {
    asking->pause = std::min(pause * 2, kLongestPause);
    asking->shard->after(pause, [this, asking] { ask(asking); });
    return;
  }
  ErrorCode code = answer.error;
  if (is_of_coordinator(code)) code = ErrorCode::kCoordinatorNotAvailable;
  if (code != ErrorCode::kNone)
    LOG_INFO("the state of {}: {}: {}", share::coordinator_key(asking->key), wire::error_name(code),
             answer.message.value_or("no answer says why"));
  asking->done({.error = code, .state = answer.state});
}

}  // namespace millrace::node
