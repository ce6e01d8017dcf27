// The APIs of share coordinators, which leaders of partitions and coordinators of groups ask for
// the state of share partitions (KIP-932): InitializeShareGroupState (83), ReadShareGroupState
// (84), WriteShareGroupState (85), DeleteShareGroupState (86), ReadShareGroupStateSummary (87).
// Each share partition has its own coordinator and its own error. As in Kafka they are served
// whatever share.version is: those who ask look at it.
#include "node/share_states.h"
#include "node/share_state_messages.h"
#include "server/gathered_response.h"
#include "server/handlers/handlers.h"
#include "wire/error_messages.h"

namespace millrace::server {
namespace {

using node::ShareStateApi;
using wire::ErrorCode;

// It is answered with nothing. But topics without partitions may be initialised.
template <class Question, class Request>
bool asks_nothing(const Request& request) {
  if (request.group_id.empty() || request.topics.empty()) return true;
  if constexpr (std::is_same_v<Question, share::InitializeState>) return false;
  return std::ranges::any_of(request.topics,
                             [](const auto& topic) { return topic.partitions.empty(); });
}

// All of it, before anything is asked: results are kept by reference.
template <class Request, class Response>
void prepare(Response& response, const Request& request) {
  for (const auto& topic : request.topics) {
    if (topic.partitions.empty()) continue;
    auto& result = response.results.emplace_back();
    result.topic_id = topic.topic_id;
    for (const auto& each : topic.partitions)
      result.partitions.emplace_back().partition = each.partition;
  }
}

template <class Question, class Result>
void tell(Result& result, ErrorCode code, const share::Answer& answer) {
  result.error_code = wire::code_of(code == ErrorCode::kNone ? answer.error : code);
  if (code != ErrorCode::kNone)
    result.error_message =
        fmt::format("Unable to {}: {}", ShareStateApi<Question>::kDoes, wire::error_message(code));
  else if (answer.error != ErrorCode::kNone)
    result.error_message = answer.message;
  else
    ShareStateApi<Question>::tell(result, answer.state);
}

template <class Question>
void handle(Call call) {
  using Response = typename ShareStateApi<Question>::Response;
  auto request = call.decode<typename ShareStateApi<Question>::Request>();
  if (!request) return;
  auto asking = std::make_shared<GatheredResponse<Response>>(std::move(call));
  if (asks_nothing<Question>(*request)) return asking->one_is_done();
  prepare(asking->response, *request);
  node::ShareStateHost& host = asking->call.node().share_states().host();
  size_t at = 0;
  for (const auto& topic : request->topics) {
    if (topic.partitions.empty()) continue;
    auto& results = asking->response.results[at++];
    for (size_t i = 0; i < topic.partitions.size(); ++i) {
      asking->one_more();
      host.run(
          {.key = {request->group_id, topic.topic_id,
                   PartitionIndex(topic.partitions[i].partition)},
           .question = ShareStateApi<Question>::question(topic.partitions[i]),
           .shard = &asking->call.shard(),
           .done = [asking, &result = results.partitions[i]](ErrorCode code, share::Answer answer) {
             tell<Question>(result, code, answer);
             asking->one_is_done();
           }});
    }
  }
  asking->one_is_done();
}

}  // namespace

void handle_initialize_share_group_state(Call call) {
  handle<share::InitializeState>(std::move(call));
}
void handle_read_share_group_state(Call call) { handle<share::ReadState>(std::move(call)); }
void handle_write_share_group_state(Call call) { handle<share::WriteState>(std::move(call)); }
void handle_delete_share_group_state(Call call) { handle<share::DeleteState>(std::move(call)); }
void handle_read_share_group_state_summary(Call call) {
  handle<share::ReadStateSummary>(std::move(call));
}

}  // namespace millrace::server
