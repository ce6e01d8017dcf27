// A whole broker in memory for unit tests and fuzzing: node, dispatcher and connections over a
// ManualHost. A test asks with a request's struct and gets the response's, through real bytes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/assert.h"
#include "env/testing/manual_host.h"
#include "env/testing/scripted_stream.h"
#include "node/node.h"
#include "node/share_partitions.h"
#include "server/client_telemetry.h"
#include "server/dispatch.h"
#include "server/share_acknowledgements.h"
#include "wire/codec.h"
#include "wire/headers.h"

namespace millrace::server::testing {

class Broker {
 public:
  explicit Broker(config::Values changes = {})
      : properties_(properties_of(std::move(changes))), node_(host_, properties_) {
    const auto opened = node_.open({.advertised = {{"PLAINTEXT", "localhost", 9092, 0}},
                                    .controller_endpoint = {"CONTROLLER", "localhost", 9093, 0}});
    ASSERT(opened.has_value(), "{}", opened.error().message);
    bool is_ready = false;
    node_.start([&](Result<> ready) {
      ASSERT(ready.has_value(), "{}", ready.error().message);
      is_ready = true;
    });
    host_.shard(0).run();
    ASSERT(is_ready, "the broker waits for something that does not come");
  }

  env::testing::ManualHost& host() { return host_; }
  env::testing::ManualShard& shard() { return host_.shard(0); }
  ClientTelemetry& telemetry() { return telemetry_; }
  node::Node& node() { return node_; }

  // One connection: bytes in, bytes out.
  class Client {
   public:
    explicit Client(Broker& broker, std::string listener = "PLAINTEXT")
        : broker_(&broker),
          connection_(std::make_shared<Connection>(
              Connection::Parts{.stream = std::make_unique<env::testing::ScriptedStream>(script_),
                                .shard = &broker.shard(),
                                .input = &broker.input_,
                                .handler = &broker.dispatcher_,
                                .closed =
                                    [&broker](Connection& closed) {
                                      if (!broker.node_.is_broker()) return;
                                      broker.node_.share_partitions().connection_gone(
                                          connection_of(closed.peer()));
                                    }},
              std::move(listener), ConnectionLimits{.max_request_bytes = 1 << 20})) {
      connection_->start();
    }
    ~Client() { connection_->close("the test is over", /*expected=*/true); }

    void receive(ByteView bytes) {
      script_.incoming.insert(script_.incoming.end(), bytes.begin(), bytes.end());
      while (script_.watches_read && !script_.incoming.empty() && connection_->is_open()) {
        static_cast<env::ConnectionEvents&>(*connection_).readable();
        broker_->shard().run();
      }
      broker_->shard().run();
    }
    bool is_open() const { return connection_->is_open(); }
    std::weak_ptr<const void> connection() const { return connection_; }
    ByteBuffer& sent() { return script_.outgoing; }

    template <class Response, class Request>
    Response ask(const Request& request, int16_t version = Request::kMaxVersion) {
      receive(frame_of(request, version));
      ByteBuffer frame = std::exchange(script_.outgoing, {});
      ASSERT(frame.size() > 8, "{} v{} was not answered", Request::kName, version);
      const wire::ApiInfo* api = wire::find_api(Request::kApiKey);
      const size_t header = wire::response_header_version(*api, version) == 1 ? 9 : 8;
      auto response = wire::decode<Response>(ByteView(frame).subspan(header), version);
      ASSERT(response.has_value(), "{}", response.error().message);
      return *response;
    }

    template <class Request>
    static ByteBuffer frame_of(const Request& request, int16_t version) {
      const wire::ApiInfo* api = wire::find_api(Request::kApiKey);
      wire::Writer writer;
      writer.int32(0);
      wire::write(writer, wire::request_header_version(*api, version),
                  wire::RequestHeader{.request_api_key = Request::kApiKey,
                                      .request_api_version = version,
                                      .correlation_id = 1,
                                      .client_id = "tests"});
      write(writer, version, request);
      writer.patch_int32(0, static_cast<int32_t>(writer.total_size() - 4));
      return std::move(writer).take();
    }

   private:
    Broker* broker_;
    env::testing::StreamScript script_;
    std::shared_ptr<Connection> connection_;
  };

 private:
  static config::NodeProperties properties_of(config::Values changes) {
    auto values = config::NodeProperties::embedded_default();
    for (auto& [name, value] : changes) values[name] = value;
    return *config::NodeProperties::of(std::move(values));
  }

  env::testing::ManualHost host_;
  const config::NodeProperties properties_;
  node::Node node_;
  FetchSessionCache fetch_sessions_{host_, 8};
  ShardInput input_;
  ClientTelemetry telemetry_{node_};
  Dispatcher dispatcher_{
      Services{.node = &node_, .fetch_sessions = &fetch_sessions_, .telemetry = &telemetry_}};
};

}  // namespace millrace::server::testing
