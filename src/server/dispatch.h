// The table of what this server serves: for each API the versions and the handler. What is not in
// the table is not advertised and closes the connection. To add an API: a file in server/handlers,
// a line in handlers.h, a row in dispatch.cc.
// Not here: framing (server/connection), the APIs' behaviour (server/handlers).
// Threads: one dispatcher a shard, on that shard.
#pragma once

#include <span>

#include "server/call.h"
#include "server/connection.h"
#include "wire/api_table.h"

namespace millrace::server {

// Clients and tools come by the listeners of the broker, replicas of the metadata log, brokers and
// tools by those of the controller (controller.listener.names). Each kind has its own table.
struct ServedApi {
  wire::ApiKey key;
  wire::VersionRange versions;  // that we serve
  int16_t advertised_min;       // Produce says 0 although 0-2 are not served (KAFKA-18659)
  void (*handle)(Call);
  bool is_telemetry = false;  // served where ClientTelemetry is open only
};

std::span<const ServedApi> served_apis(ListenerKind kind);
const ServedApi* find_served(ListenerKind kind, wire::ApiKey key);  // null: not served there

// Where the body of a request begins, and what its header says.
struct ParsedHeader {
  CallHeader header;
  size_t body_offset = 0;
};
// `frame` has 8 bytes at least, the fixed part of every header. kNotFound: no such API;
// kUnsupported: not served on that kind of listener, or not at this version, unless it is
// ApiVersions.
Result<ParsedHeader> parse_header(ByteView frame, ListenerKind listener);

class Dispatcher final : public RequestHandler {
 public:
  explicit Dispatcher(Services services);
  void handle(ByteView frame, PeerInfo& peer, Reply reply) override;
  bool may_be_overtaken(int16_t api_key) const override {
    return api_key == static_cast<int16_t>(wire::ApiKey::kProduce);
  }

 private:
  std::shared_ptr<HandlerTime> begin_time(const env::Shard& shard) const;

  Services services_;
  std::vector<std::string> controller_listeners_;
};

}  // namespace millrace::server
