// One request on its way through a handler: the decoded header, who sent it, the services a handler
// may use, and the right to answer. Handlers are free functions `void handle_x(Call call)`
// (server/handlers, one file an API); they move the call into whatever answers later. Not here:
// framing and order (server/connection), the table of APIs (server/dispatch).
//
// A handler that cannot decode the body closes the connection, as Kafka does: there is no error
// frame for that.
//
// Threads: the shard of the connection, from the call's birth to its answer.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "server/connection.h"
#include "server/output_queue.h"
#include "wire/api_table.h"
#include "wire/codec.h"

namespace millrace::node {
class Node;
}

namespace millrace::server {

struct ShardServices;

// A range of a log file that stands for the `records` of a response: Records::external_id is its
// place in the list given to respond().
struct FileRange {
  std::shared_ptr<env::File> file;
  uint64_t position = 0;
  size_t length = 0;
};

struct CallHeader {
  wire::ApiKey api{};
  int16_t version = 0;
  int32_t correlation_id = 0;
  std::string client_id;  // null counts as ""
};

class Call {
 public:
  Call(CallHeader header, ByteView body, PeerInfo& peer, Reply reply)
      : header_(std::move(header)), body_(body), peer_(&peer), reply_(std::move(reply)) {}
  Call(Call&&) = default;
  Call& operator=(Call&&) = default;

  const CallHeader& header() const { return header_; }
  int16_t version() const { return header_.version; }
  PeerInfo& peer() const { return *peer_; }
  env::Shard& shard() const { return reply_.shard(); }
  node::Node& node() const { return *node_; }
  ShardServices& services() const { return *services_; }

  void attach(node::Node& node, ShardServices& services) {
    node_ = &node;
    services_ = &services;
  }

  // The request, or nothing: then the connection has been closed and the handler returns. Views in
  // the request (wire::Records) end when the handler returns.
  template <class Request>
  std::optional<Request> decode() {
    auto request = wire::decode<Request>(body_, header_.version);
    if (request) return std::move(*request);
    close(fmt::format("{} v{}: {}", wire::api_name(header_.api), header_.version,
                      request.error().message));
    return std::nullopt;
  }

  template <class Response>
  void respond(const Response& response, std::vector<FileRange> ranges = {}) {
    wire::Writer writer = begin_frame();
    wire::write(writer, header_.version, response);
    finish_frame(std::move(writer), std::move(ranges));
  }

  void respond_nothing() { reply_.send_nothing(); }  // acks=0
  void close(const std::string& cause) { reply_.close(cause); }

 private:
  wire::Writer begin_frame() const;
  void finish_frame(wire::Writer writer, std::vector<FileRange> ranges);

  CallHeader header_;
  ByteView body_;
  PeerInfo* peer_;
  Reply reply_;
  node::Node* node_ = nullptr;
  ShardServices* services_ = nullptr;
};

}  // namespace millrace::server
