// FindCoordinator (KIP-699): every group's coordinator is this node, once __consumer_offsets
// exists. Transactions and share groups have none yet: COORDINATOR_NOT_AVAILABLE. Types that this
// version of the request does not have are INVALID_REQUEST.
#include "base/hash.h"
#include "server/handlers/handlers.h"
#include "server/topic_creation.h"
#include "wire/find_coordinator.h"

namespace millrace::server {
namespace {

using Response = wire::FindCoordinatorResponse;
using wire::ErrorCode;

constexpr int8_t kGroup = 0;
constexpr int8_t kShare = 2;
constexpr int16_t kHasManyKeys = 4;  // and no words for errors
constexpr int16_t kKnowsShare = 6;
constexpr const char* kMalformed =
    "This most likely occurs because of a request being malformed by the client library or the "
    "message was sent to an incompatible broker. See the broker logs for more details.";
constexpr const char* kOffsets = "__consumer_offsets";

Response::Coordinator find(Call& call, const std::string& key, int8_t type) {
  Response::Coordinator result{.key = key, .node_id = -1, .host = "", .port = -1};
  const auto image = call.node().image();
  const metadata::Broker* self = image->find_broker(call.node().id());
  const metadata::Topic* offsets = image->find_topic(std::string_view(kOffsets));
  const bool has_many_keys = call.version() >= kHasManyKeys;
  if (type < kGroup || type > kShare || (type == kShare && call.version() < kKnowsShare)) {
    result.error_code = wire::code_of(ErrorCode::kInvalidRequest);
    result.error_message = has_many_keys && type == kShare ? "" : kMalformed;
    return result;
  }
  result.error_message = has_many_keys ? "" : "NONE";
  if (type != kGroup || offsets == nullptr || self == nullptr) {
    result.error_code = wire::code_of(ErrorCode::kCoordinatorNotAvailable);
    result.error_message = has_many_keys ? "" : "The coordinator is not available.";
    return result;
  }
  for (const auto& endpoint : self->endpoints)
    if (endpoint.listener == call.peer().listener) {
      result.node_id = self->id.value();
      result.host = endpoint.host;
      result.port = endpoint.port;
    }
  return result;
}

void answer(Call& call, const wire::FindCoordinatorRequest& request) {
  Response response;
  if (call.version() < kHasManyKeys) {
    auto found = find(call, request.key, request.key_type);
    response.error_code = found.error_code;
    response.error_message = found.error_message;
    response.node_id = found.node_id;
    response.host = found.host;
    response.port = found.port;
  } else {
    for (const auto& key : request.coordinator_keys)
      response.coordinators.push_back(find(call, key, request.key_type));
  }
  call.respond(response);
}

}  // namespace

void handle_find_coordinator(Call call) {
  auto request = call.decode<wire::FindCoordinatorRequest>();
  if (!request) return;
  const bool missing = !call.node().image()->find_topic(std::string_view(kOffsets));
  if (!missing || request->key_type != kGroup) return answer(call, *request);
  node::Node& node = call.node();
  env::Shard& shard = call.shard();
  auto waiting = std::make_shared<Call>(std::move(call));
  create_topics(node, shard, {kOffsets},
                [waiting, request = std::move(*request)](Result<>) { answer(*waiting, request); });
}

}  // namespace millrace::server
