#include "client/client.h"

#include <charconv>

#include "client/link.h"

namespace millrace::client {
namespace {

constexpr uint16_t kDefaultPort = 9092;

Result<env::Address> parse_address(std::string_view text) {
  auto wrong = [&] {
    return fail(Errc::kInvalid,
                fmt::format("'{}' is no address; one looks like localhost:9092", text));
  };
  const bool bracketed = text.starts_with('[');
  const size_t host_end = bracketed ? text.find(']') : text.find(':');
  if (bracketed && host_end == std::string_view::npos) return wrong();
  std::string_view host = text.substr(bracketed ? 1 : 0, host_end - (bracketed ? 1 : 0));
  std::string_view rest =
      host_end == std::string_view::npos ? "" : text.substr(host_end + (bracketed ? 1 : 0));
  env::Address address{std::string(host), kDefaultPort};
  if (rest.empty()) return host.empty() ? Result<env::Address>(wrong()) : address;
  const auto [end, failed] =
      std::from_chars(rest.data() + 1, rest.data() + rest.size(), address.port);
  const bool whole = failed == std::errc{} && end == rest.data() + rest.size();
  if (rest[0] != ':' || !whole || address.port == 0 || host.empty()) return wrong();
  return address;
}

}  // namespace

Result<std::vector<env::Address>> parse_bootstrap(std::string_view text) {
  std::vector<env::Address> addresses;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    ASSIGN_OR_RETURN(auto address, parse_address(text.substr(0, comma)));
    addresses.push_back(std::move(address));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  if (addresses.empty()) return fail(Errc::kInvalid, "no address of a broker is given");
  return addresses;
}

Client::Client(env::Host& host, env::Shard& shard, ClientOptions options)
    : host_(&host), shard_(&shard), options_(std::move(options)), alive_(std::make_shared<int>()) {}

Client::~Client() = default;

std::shared_ptr<Link> Client::link_to(const env::Address& address, core::Lane lane) {
  auto& link = links_[{address.to_string(), lane}];
  if (link == nullptr || link->over()) {
    link = std::make_shared<Link>(
        *shard_, LinkOptions{.connection = {.client_id = options_.client_id,
                                            .software_version = options_.software_version,
                                            .max_answer_bytes = options_.max_answer_bytes},
                             .address = address,
                             .connect_timeout = options_.connect_timeout,
                             .request_timeout = options_.request_timeout,
                             .owner = alive_});
    link->open(*host_);
  }
  return link;
}

void Client::with_link(core::Destination to, LinkDone done) {
  if (to.node == kNoNode) {
    for (auto& [key, link] : links_)
      if (key.second == to.lane && link->ready()) return done(link);
    return try_bootstrap(0, {}, std::move(done));
  }
  auto broker = metadata_.brokers().find(to.node);
  if (broker == metadata_.brokers().end())
    return done(fail(Errc::kNotFound, fmt::format("broker {} is not known", to.node)));
  done(link_to({broker->second.host, broker->second.port}, to.lane));
}

void Client::try_bootstrap(size_t index, std::string failures, LinkDone done) {
  if (index == options_.bootstrap.size())
    return done(fail(Errc::kClosed, fmt::format("no broker can be reached: {}", failures)));
  auto link = link_to(options_.bootstrap[index], core::Lane::kCalls);
  // A link that held itself would never go.
  link->when_ready([this, index, weak = std::weak_ptr(link), failures = std::move(failures),
                    done = std::move(done)](Result<> outcome) mutable {
    if (auto ready = weak.lock(); ready && outcome) return done(std::move(ready));
    if (!failures.empty()) failures += "; ";
    if (!outcome) failures += outcome.error().message;
    try_bootstrap(index + 1, std::move(failures), std::move(done));
  });
}

void Client::send(core::Destination to, core::Call call, Done<core::Answer> done) {
  with_link(to, [this, call = std::move(call),
                 done = std::move(done)](Result<std::shared_ptr<Link>> link) mutable {
    if (link) return (*link)->submit(std::move(call), std::move(done));
    shard_->post([error = std::move(link).error(), done = std::move(done),
                  owner = std::weak_ptr(alive_)]() mutable {
      if (!owner.expired()) done(std::unexpected(std::move(error)));
    });
  });
}

void Client::refresh(const Topics& topics, Done<wire::MetadataResponse> done) {
  wire::MetadataRequest request{.allow_auto_topic_creation = topics.create};
  for (const auto& name : topics.names) request.topics->push_back({.name = name});
  for (const auto& id : topics.ids) request.topics->push_back({.topic_id = id});
  if (topics.all) request.topics.reset();
  call(core::Destination::any(), std::move(request),
       [this, done = std::move(done)](Result<wire::MetadataResponse> response) mutable {
         if (response) metadata_.update(*response);
         done(std::move(response));
       });
}

void Client::find_coordinator(const std::string& group, Done<core::FoundCoordinator> done) {
  find_coordinator(wire::FindCoordinatorRequest{.coordinator_keys = {group}}, std::move(done));
}

void Client::find_transaction_coordinator(const std::string& id,
                                          Done<core::FoundCoordinator> done) {
  constexpr int8_t kTransaction = 1;
  find_coordinator(wire::FindCoordinatorRequest{.key_type = kTransaction, .coordinator_keys = {id}},
                   std::move(done));
}

void Client::find_coordinator(wire::FindCoordinatorRequest request,
                              Done<core::FoundCoordinator> done) {
  call(core::Destination::any(), std::move(request),
       [this, done = std::move(done)](Result<wire::FindCoordinatorResponse> response) mutable {
         if (!response) return done(std::unexpected(std::move(response).error()));
         if (response->coordinators.empty())
           return done(fail(Errc::kCorrupt, "FindCoordinator answers nothing"));
         const auto& found = response->coordinators.front();
         if (found.error_code == 0)
           metadata_.note_broker(NodeId(found.node_id), found.host, found.port);
         done(core::FoundCoordinator{NodeId(found.node_id), found.error_code, found.error_message});
       });
}

void Client::api_versions(core::Destination to, Done<wire::ApiVersionsResponse> done) {
  with_link(to, [done = std::move(done)](Result<std::shared_ptr<Link>> link) mutable {
    if (!link) return done(std::unexpected(std::move(link).error()));
    (*link)->when_ready(
        [weak = std::weak_ptr(*link), done = std::move(done)](Result<> outcome) mutable {
          const auto ready = weak.lock();
          if (outcome && ready) return done(ready->broker());
          done(outcome ? fail(Errc::kClosed, "the connection is closed")
                       : std::unexpected(std::move(outcome).error()));
        });
  });
}

}  // namespace millrace::client
