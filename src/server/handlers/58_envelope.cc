// Envelope (KIP-590): a request that a client made of some broker, which passes it on to the
// controller with the client's principal and address. It is answered as if it had come from there,
// and the answer goes back in an envelope. What is wrong with the envelope is told in its own error
// code: INVALID_REQUEST, PRINCIPAL_DESERIALIZATION_FAILURE; UNSUPPORTED_VERSION when the request in
// it cannot be read; NOT_CONTROLLER when this node is not, or stopped being, the active controller.
#include <fmt/ranges.h>

#include "server/dispatch.h"
#include "server/handlers/handlers.h"
#include "wire/envelope.h"
#include "wire/errors.h"
#include "wire/principal.h"

namespace millrace::server {
namespace {

using wire::ErrorCode;

constexpr size_t kSizeBytes = 4;
constexpr size_t kMinFrameBytes = 8;

void answer(Call& call, ErrorCode code, std::optional<ByteBuffer> response = std::nullopt) {
  call.respond(wire::EnvelopeResponse{.response_data = std::move(response),
                                      .error_code = wire::code_of(code)});
}

// The request in the envelope: keeps what its call points to, and takes its answer.
class Enclosed final : public ReplyTarget {
 public:
  Enclosed(Call envelope, ByteBuffer frame, PeerInfo peer)
      : envelope_(std::move(envelope)), frame_(std::move(frame)), peer_(std::move(peer)) {}

  ByteView frame() const { return frame_; }
  PeerInfo& peer() { return peer_; }
  Services& services() { return envelope_.services(); }

  env::Shard& shard() const override { return envelope_.shard(); }
  void complete(uint64_t, std::vector<OutputPiece> pieces) override {
    // What is forwarded is answered from memory.
    ByteBuffer& frame = pieces.at(0).bytes;
    answer(envelope_, ErrorCode::kNone, copy_of(ByteView(frame).subspan(kSizeBytes)));
  }
  void complete_not_controller(uint64_t, std::vector<OutputPiece>) override {
    answer(envelope_, ErrorCode::kNotController);
  }
  void abandon(const std::string& cause) override {
    LOG_INFO("a request in an envelope from {}: {}", envelope_.peer().address, cause);
    answer(envelope_, ErrorCode::kUnsupportedVersion);
  }

 private:
  Call envelope_;
  const ByteBuffer frame_;
  PeerInfo peer_;
};

// "192.0.2.7", or eight groups of an IPv6 address. Nothing: it is no address.
std::optional<std::string> text_of(ByteView address) {
  constexpr size_t kIpv4 = 4, kIpv6 = 16;
  if (address.size() == kIpv4) return fmt::format("{}", fmt::join(address, "."));
  if (address.size() != kIpv6) return std::nullopt;
  std::string text;
  for (size_t i = 0; i < kIpv6; i += 2)
    text += fmt::format("{}{:x}", i == 0 ? "" : ":", load_big<uint16_t>(address.data() + i));
  return text;
}

Result<Principal> principal_of(const std::optional<ByteBuffer>& bytes) {
  if (!bytes) return fail(Errc::kInvalid, "no principal");
  ASSIGN_OR_RETURN(auto data, wire::decode_value<wire::DefaultPrincipalData>(*bytes));
  return Principal{std::move(data.type), std::move(data.name), data.token_authenticated};
}

}  // namespace

void handle_envelope(Call call) {
  auto request = call.decode<wire::EnvelopeRequest>();
  if (!request) return;
  auto principal = principal_of(request->request_principal);
  if (!principal) return answer(call, ErrorCode::kPrincipalDeserializationFailure);
  auto host = text_of(request->client_host_address);
  if (!host) return answer(call, ErrorCode::kInvalidRequest);
  const ByteView frame = request->request_data;
  if (frame.size() < kMinFrameBytes) return answer(call, ErrorCode::kUnsupportedVersion);
  const wire::ApiInfo* api = wire::find_api(load_big<int16_t>(frame.data()));
  if (api != nullptr && !api->forwardable) return answer(call, ErrorCode::kInvalidRequest);
  auto parsed = parse_header(frame, ListenerKind::kController);
  if (!parsed) return answer(call, ErrorCode::kUnsupportedVersion);
  PeerInfo peer{.principal = std::move(*principal),
                .listener = call.peer().listener,
                .host = *host,
                .address = *host,
                .client_software = {}};
  const ServedApi* served = find_served(ListenerKind::kController, parsed->header.api);
  // Time is charged to the client whose request it is.
  auto time = call.give_time();
  auto enclosed = std::make_shared<Enclosed>(std::move(call), std::move(request->request_data),
                                             std::move(peer));
  served->handle(Call({.header = std::move(parsed->header),
                       .frame = enclosed->frame(),
                       .body_offset = parsed->body_offset,
                       .peer = &enclosed->peer(),
                       .services = &enclosed->services(),
                       .time = std::move(time)},
                      Reply(enclosed, 0)));
}

}  // namespace millrace::server
