// FindCoordinator (KIP-699): the coordinator of a group is the leader of its partition of
// __consumer_offsets, that of a transactional id the leader of its partition of
// __transaction_state, that of a share partition (KIP-932: "group:topicId:partition") the leader of
// its partition of __share_group_state; the topics are created when they are first asked for. Types
// that this version of the request does not have, and keys that are none, are INVALID_REQUEST.
#include <algorithm>

#include "node/partition_groups.h"
#include "node/share_states.h"
#include "node/transactions.h"
#include "server/broker_view.h"
#include "server/handlers/handlers.h"
#include "server/topic_creation.h"
#include "share/coordinator_key.h"
#include "wire/find_coordinator.h"

namespace millrace::server {
namespace {

using Response = wire::FindCoordinatorResponse;
using wire::ErrorCode;

constexpr int8_t kGroup = 0;
constexpr int8_t kTransaction = 1;
constexpr int8_t kShare = 2;
constexpr int16_t kHasManyKeys = 4;  // and no words for errors
constexpr int16_t kKnowsShare = 6;
constexpr const char* kMalformed =
    "This most likely occurs because of a request being malformed by the client library or the "
    "message was sent to an incompatible broker. See the broker logs for more details.";

const char* topic_of(int8_t type) {
  if (type == kGroup) return node::GroupKind::kTopic;
  return type == kTransaction ? node::TransactionKind::kTopic : node::ShareStateKind::kTopic;
}

// A share partition's key counts as it is written by us, whoever wrote it.
std::optional<PartitionIndex> partition_of(Call& call, const std::string& key, int8_t type) {
  if (type == kGroup) return call.node().groups().partition_of(key);
  if (type == kTransaction) return call.node().transactions().host().partition_of(key);
  const auto parsed = share::parse_coordinator_key(key);
  if (!parsed) return std::nullopt;
  return call.node().share_states().host().partition_of(share::coordinator_key(*parsed));
}

bool has_type(const Call& call, int8_t type) {
  return type >= kGroup && type <= kShare && (type != kShare || call.version() >= kKnowsShare);
}

bool is_key(const std::string& key, int8_t type) {
  return type != kShare || share::parse_coordinator_key(key).has_value();
}

// Null: the topic or the partition's leader is not there.
const metadata::Broker* leader_of(Call& call, const metadata::Image& image, const std::string& key,
                                  int8_t type) {
  const auto partition = partition_of(call, key, type);
  const metadata::Topic* topic =
      partition ? image.find_topic(std::string_view(topic_of(type))) : nullptr;
  if (topic == nullptr) return nullptr;
  const auto index = static_cast<size_t>(partition->value());
  if (index >= topic->partitions.size()) return nullptr;
  const metadata::Broker* leader = image.find_broker(topic->partitions[index].leader);
  return leader == nullptr || leader->fenced ? nullptr : leader;
}

Response::Coordinator find(Call& call, const std::string& key, int8_t type) {
  Response::Coordinator result{.key = key, .node_id = -1, .host = "", .port = -1};
  const bool has_many_keys = call.version() >= kHasManyKeys;
  if (!has_type(call, type) || !is_key(key, type)) {
    result.error_code = wire::code_of(ErrorCode::kInvalidRequest);
    result.error_message = has_many_keys && type == kShare ? "" : kMalformed;
    return result;
  }
  result.error_message = has_many_keys ? "" : "NONE";
  const auto image = call.node().image();
  const metadata::Broker* leader = leader_of(call, *image, key, type);
  const metadata::Endpoint* endpoint =
      leader ? endpoint_on(*leader, call.peer().listener) : nullptr;
  if (endpoint == nullptr) {
    result.error_code = wire::code_of(ErrorCode::kCoordinatorNotAvailable);
    result.error_message = has_many_keys ? "" : "The coordinator is not available.";
    return result;
  }
  result.node_id = leader->id.value();
  result.host = endpoint->host;
  result.port = endpoint->port;
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
  const int8_t type = request->key_type;
  const char* topic = topic_of(type);
  const bool may_find =
      has_type(call, type) &&
      (type != kShare || std::ranges::any_of(request->coordinator_keys,
                                             [&](const auto& key) { return is_key(key, type); }));
  if (!may_find || call.node().image()->find_topic(std::string_view(topic)))
    return answer(call, *request);
  create_topics(std::move(call), {topic},
                [request = std::move(*request)](Call& waiting) { answer(waiting, request); });
}

}  // namespace millrace::server
