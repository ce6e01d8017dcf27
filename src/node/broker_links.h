// Connections of this node to the other brokers of the cluster, one each, made when somebody is
// asked and made anew when one is over.
// Not here: who asks what, and what when it fails.
// Threads: shard 0.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "metadata/image.h"
#include "node/peer_link.h"

namespace millrace::node {

class BrokerLinks {
 public:
  struct Parts {
    env::Host* host = nullptr;
    std::string client_id;
    std::string listener;  // of the brokers, among themselves
    Duration request_timeout{};
    std::function<std::shared_ptr<const metadata::Image>()> image;
  };
  explicit BrokerLinks(Parts parts) : parts_(std::move(parts)) {}

  template <class Request, class Response>
  void ask(NodeId broker, Request request, wire::VersionRange versions,
           client::Done<Response> done) {
    const auto link = to(broker);
    if (!link)
      return done(std::unexpected(
          Error{Errc::kNotFound, fmt::format("broker {} has no address that is known", broker)}));
    link->submit(peer_call(std::move(request), versions),
                 [done = std::move(done)](Result<client::core::Answer> answer) mutable {
                   if (!answer) return done(std::unexpected(std::move(answer).error()));
                   done(wire::decode<Response>(answer->body, answer->version));
                 });
  }
  // Nobody is asked any more, and no answer comes.
  void close();

 private:
  static constexpr Duration kConnectTimeout = seconds(3);

  // Null: no address is known, or this node stops.
  std::shared_ptr<client::Link> to(NodeId broker);

  Parts parts_;
  std::map<NodeId, std::shared_ptr<client::Link>> links_;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

}  // namespace millrace::node
