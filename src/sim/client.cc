#include "sim/client.h"

#include "wire/errors.h"

namespace millrace::sim {
namespace {

constexpr int16_t kMetadataVersion = 12;
constexpr int16_t kFindCoordinatorVersion = 3;

std::string key_of(const Client::Place& place) {
  if (const auto* leader = std::get_if<Client::LeaderOf>(&place))
    return "leader of " + leader->to_string();
  if (const auto* coordinator = std::get_if<Client::CoordinatorOf>(&place))
    return fmt::format("coordinator of {} ({})", coordinator->key, coordinator->type);
  return "any broker";
}

}  // namespace

Client::Client(const Site& site, std::string client_id)
    : site_(site), client_id_(std::move(client_id)), dice_(site.host->world().workload.next()) {}

void Client::send(const Place& place, Request request) {
  if (std::holds_alternative<AnyBroker>(place))
    return send_to(any_broker(), place, std::move(request));
  if (const auto* at = std::get_if<At>(&place))
    return send_to(at->broker, place, std::move(request));
  auto waiting = waiting_.find(key_of(place));
  if (waiting != waiting_.end()) return waiting->second.push_back(std::move(request));
  if (const env::Address* address = address_of(place))
    return send_to(*address, place, std::move(request));
  waiting_[key_of(place)].push_back(std::move(request));
  find_out(place);
}

void Client::send_to(const env::Address& broker, const Place& place, Request request) {
  auto& conversation = conversations_[broker.to_string()];
  if (!conversation) conversation = std::make_unique<Conversation>(*site_.host, client_id_, broker);
  conversation->timeout = timeout;
  conversation->send(request.api, request.body,
                     [this, place, done = std::move(request.done)](Result<ByteView> answer) {
                       if (!answer) doubt(place);
                       done(std::move(answer));
                     });
}

const env::Address* Client::address_of(NodeId node) const {
  auto found = nodes_.find(node);
  return found == nodes_.end() ? nullptr : &found->second;
}

const env::Address* Client::address_of(const Place& place) const {
  if (const auto* partition = std::get_if<LeaderOf>(&place)) {
    auto leader = leaders_.find(*partition);
    return leader == leaders_.end() ? nullptr : address_of(leader->second.id);
  }
  auto coordinator = coordinators_.find(std::get<CoordinatorOf>(place));
  return coordinator == coordinators_.end() ? nullptr : address_of(coordinator->second);
}

env::Address Client::any_broker() {
  if (!any_) {
    std::vector<env::Address> known = site_.bootstrap;
    for (const auto& [id, address] : nodes_) known.push_back(address);
    any_ = known[dice_.below(known.size())];
  }
  return *any_;
}

void Client::doubt(const Place& place) {
  if (const auto* partition = std::get_if<LeaderOf>(&place))
    leaders_[*partition].id = kNoNode;
  else if (const auto* coordinator = std::get_if<CoordinatorOf>(&place))
    coordinators_.erase(*coordinator);
  else if (std::holds_alternative<AnyBroker>(place))
    any_.reset();
}

int32_t Client::leader_epoch(const TopicPartition& partition) const {
  auto leader = leaders_.find(partition);
  return leader == leaders_.end() ? -1 : leader->second.epoch;
}

void Client::disconnect() {
  for (auto& [address, conversation] : conversations_) conversation->disconnect();
}

void Client::find_out(const Place& place) {
  if (const auto* partition = std::get_if<LeaderOf>(&place)) return find_leader(*partition);
  find_coordinator(std::get<CoordinatorOf>(place));
}

template <class Response, class Question>
void Client::ask_any(const Question& question, int16_t version,
                     std::function<void(Result<Response>)> done) {
  auto body = wire::encode(question, version);
  send_to(any_broker(), AnyBroker{},
          {.api = {Question::kApiKey, version},
           .body = std::move(*body),
           .done = [version, done = std::move(done)](Result<ByteView> answer) {
             if (!answer) return done(std::unexpected(std::move(answer).error()));
             done(wire::decode<Response>(*answer, version));
           }});
}

void Client::find_leader(const TopicPartition& partition) {
  wire::MetadataRequest request{.allow_auto_topic_creation = false};
  request.topics->push_back({.name = partition.topic});
  ask_any<wire::MetadataResponse>(request, kMetadataVersion,
                                  [this, partition](Result<wire::MetadataResponse> response) {
                                    if (response) learn(*response);
                                    found_out(key_of(partition), partition);
                                  });
}

void Client::find_coordinator(const CoordinatorOf& coordinator) {
  ask_any<wire::FindCoordinatorResponse>(
      wire::FindCoordinatorRequest{.key = coordinator.key, .key_type = coordinator.type},
      kFindCoordinatorVersion, [this, coordinator](Result<wire::FindCoordinatorResponse> response) {
        if (response) learn(coordinator, *response);
        found_out(key_of(coordinator), coordinator);
      });
}

void Client::learn(const wire::MetadataResponse& response) {
  for (const auto& broker : response.brokers)
    nodes_[NodeId(broker.node_id)] = {broker.host, static_cast<uint16_t>(broker.port)};
  for (const auto& topic : response.topics)
    for (const auto& partition : topic.partitions) {
      Leader& leader =
          leaders_[{topic.name.value_or(""), PartitionIndex(partition.partition_index)}];
      if (partition.leader_epoch >= leader.epoch)
        leader = {NodeId(partition.leader_id), partition.leader_epoch};
    }
  // One that has nothing to tell may be behind: another one is asked next.
  if (response.topics.empty() || response.topics[0].error_code != 0) any_.reset();
}

void Client::learn(const CoordinatorOf& coordinator,
                   const wire::FindCoordinatorResponse& response) {
  if (response.error_code != 0) return any_.reset();
  const NodeId node(response.node_id);
  nodes_[node] = {response.host, static_cast<uint16_t>(response.port)};
  coordinators_[coordinator] = node;
}

// The place is known now, or what waits for it fails.
void Client::found_out(const std::string& key, const Place& place) {
  auto waiting = waiting_.extract(key);
  const env::Address* address = address_of(place);
  const std::optional<env::Address> known = address ? std::optional(*address) : std::nullopt;
  if (!known) any_.reset();
  for (Request& request : waiting.mapped()) {
    if (known)
      send_to(*known, place, std::move(request));
    else
      request.done(fail(Errc::kNotFound, "the " + key + " is not known"));
  }
}

}  // namespace millrace::sim
