#include "server/forwarding.h"

#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "node/controller_channel.h"
#include "server/dispatch.h"
#include "server/refusal.h"
#include "wire/principal.h"

namespace millrace::server {
namespace {

// What has to be known of a request to answer in the controller's stead.
struct Unanswered {
  Duration timeout{};  // how long it may take
  std::function<void(Call&, const Refusal&)> refuse;
};

template <class Request>
Duration timeout_of(const Request& request) {
  if constexpr (requires { request.timeout_ms; }) {
    if (request.timeout_ms > 0)
      return std::min<Duration>(milliseconds(request.timeout_ms), kLongestForward);
  }
  // Who asks how the quorum is wants to hear that it has no leader, and why.
  if constexpr (std::is_same_v<Request, wire::DescribeQuorumRequest>) return kLongestLook;
  return kLongestForward;  // without any time the controller is the one to say so
}

template <class Request>
std::optional<Unanswered> read_as(Call& call) {
  auto request = call.decode<Request>();
  if (!request) return std::nullopt;
  const Duration timeout = timeout_of(*request);
  return Unanswered{timeout, [request = std::move(*request)](Call& answer, const Refusal& refusal) {
                      answer.respond(refused(request, refusal));
                    }};
}

// Nothing: it cannot be read, and the connection has been closed.
std::optional<Unanswered> read(Call& call) {
  switch (call.header().api) {
    case wire::ApiKey::kCreateTopics: return read_as<wire::CreateTopicsRequest>(call);
    case wire::ApiKey::kDeleteTopics: return read_as<wire::DeleteTopicsRequest>(call);
    case wire::ApiKey::kAlterConfigs: return read_as<wire::AlterConfigsRequest>(call);
    case wire::ApiKey::kCreatePartitions: return read_as<wire::CreatePartitionsRequest>(call);
    case wire::ApiKey::kElectLeaders: return read_as<wire::ElectLeadersRequest>(call);
    case wire::ApiKey::kIncrementalAlterConfigs:
      return read_as<wire::IncrementalAlterConfigsRequest>(call);
    case wire::ApiKey::kAlterPartitionReassignments:
      return read_as<wire::AlterPartitionReassignmentsRequest>(call);
    case wire::ApiKey::kListPartitionReassignments:
      return read_as<wire::ListPartitionReassignmentsRequest>(call);
    case wire::ApiKey::kAlterClientQuotas: return read_as<wire::AlterClientQuotasRequest>(call);
    case wire::ApiKey::kDescribeQuorum: return read_as<wire::DescribeQuorumRequest>(call);
    case wire::ApiKey::kUpdateFeatures: return read_as<wire::UpdateFeaturesRequest>(call);
    case wire::ApiKey::kUnregisterBroker: return read_as<wire::UnregisterBrokerRequest>(call);
    case wire::ApiKey::kAddRaftVoter: return read_as<wire::AddRaftVoterRequest>(call);
    case wire::ApiKey::kRemoveRaftVoter: return read_as<wire::RemoveRaftVoterRequest>(call);
    default: break;
  }
  call.close(fmt::format("{} is not forwarded", wire::api_name(call.header().api)));
  return std::nullopt;
}

// "192.0.2.7" as four bytes; zeros for what has no such address.
ByteBuffer address_of(const std::string& host) {
  ByteBuffer bytes(4);
  const char* at = host.data();
  const char* const end = at + host.size();
  for (uint8_t& byte : bytes) {
    const auto [next, error] = std::from_chars(at, end, byte);
    if (error != std::errc()) return ByteBuffer(4);
    at = next == end ? end : next + 1;
  }
  return bytes;
}

ByteBuffer serialized(const Principal& principal) {
  return wire::encode_value(
      wire::DefaultPrincipalData{.type = principal.type,
                                 .name = principal.name,
                                 .token_authenticated = principal.token_authenticated},
      wire::DefaultPrincipalData::kMaxVersion);
}

class Forwarded final : public ReplyTarget, public std::enable_shared_from_this<Forwarded> {
 public:
  Forwarded(Call call, Unanswered unanswered)
      : call_(std::move(call)),
        frame_(copy_of(call_.parts().frame)),
        unanswered_(std::move(unanswered)),
        deadline_(shard().clock().now() + unanswered_.timeout) {}

  void begin() {
    if (call_.node().is_active_controller()) return decide_here();
    pass_on();
  }

  env::Shard& shard() const override { return call_.shard(); }
  void complete(uint64_t, std::vector<OutputPiece> pieces) override {
    call_.reply().send(std::move(pieces));
  }
  // It was the active controller when it was asked.
  void complete_not_controller(uint64_t, std::vector<OutputPiece>) override { pass_on(); }
  bool throttle(Duration wait) override { return call_.reply().throttle(wait); }
  void abandon(const std::string& cause) override { call_.close(cause); }

 private:
  void decide_here();
  void pass_on();
  void answered(Result<ByteBuffer> response);
  void settle(ByteBuffer& response);

  Call call_;
  const ByteBuffer frame_;
  const Unanswered unanswered_;
  const Instant deadline_;
};

// As the controller's listener would.
void Forwarded::decide_here() {
  auto parsed = parse_header(frame_, ListenerKind::kController);
  if (!parsed) return call_.close(parsed.error().message);
  const ServedApi* served = find_served(ListenerKind::kController, parsed->header.api);
  served->handle(Call({.header = std::move(parsed->header),
                       .frame = frame_,
                       .body_offset = parsed->body_offset,
                       .peer = &call_.peer(),
                       .services = &call_.services(),
                       .time = call_.parts().time},
                      Reply(shared_from_this(), 0)));
}

void Forwarded::pass_on() {
  node::Node* node = &call_.node();
  const Duration left = std::max(deadline_ - shard().clock().now(), Duration::zero());
  node->host().shard(0).post([self = shared_from_this(), node, left] {
    node->controller_channel().forward(
        {.frame = self->frame_,
         .principal = serialized(self->call_.peer().principal),
         .client_address = address_of(self->call_.peer().host)},
        left, [self](Result<ByteBuffer> response) {
          self->shard().post([self, response = std::move(response)]() mutable {
            self->answered(std::move(response));
          });
        });
  });
}

void Forwarded::answered(Result<ByteBuffer> response) {
  if (!response) {
    LOG_INFO("{} of {} was not answered by the controller: {}", wire::api_name(call_.header().api),
             call_.peer().address, response.error().message);
    if (response.error().code == Errc::kUnsupported) return call_.close(response.error().message);
    return unanswered_.refuse(call_, refusal_of(response.error()));
  }
  constexpr size_t kIdBytes = 4;
  if (response->size() < kIdBytes ||
      load_big<int32_t>(response->data()) != call_.header().correlation_id)
    return call_.close("the controller answered another request than the one that was forwarded");
  settle(*response);
  wire::Writer writer(sizeof(int32_t) + response->size());
  writer.int32(static_cast<int32_t>(response->size()));
  writer.raw(*response);
  call_.reply().send(std::move(writer).take());
}

// The client waits here, for as long as the controller says, which has charged it for changes, or
// this broker, if that is longer. Of all answers that are forwarded but one the wait is the first
// field.
void Forwarded::settle(ByteBuffer& response) {
  const wire::ApiInfo* api = wire::find_api(static_cast<int16_t>(call_.header().api));
  const size_t at = wire::response_header_version(*api, call_.version()) == 1 ? 5 : 4;
  if (api->key == wire::ApiKey::kDescribeQuorum || response.size() < at + sizeof(int32_t)) {
    call_.settle_quotas();
    return;
  }
  call_.throttle(quota::Kind::kRequest, milliseconds(load_big<int32_t>(response.data() + at)));
  const Duration wait = call_.settle_quotas();
  store_big(response.data() + at, static_cast<int32_t>(wait / milliseconds(1)));
}

}  // namespace

void ask_controller(Call call) {
  auto unanswered = read(call);
  if (!unanswered) return;
  std::make_shared<Forwarded>(std::move(call), std::move(*unanswered))->begin();
}

}  // namespace millrace::server
