#include "app/kafka/admin.h"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <sstream>

#include "app/kafka/text.h"
#include "config/properties.h"

namespace millrace::app::kafka {
namespace {

using client::core::Destination;
using client::core::MetadataCache;
using std::chrono::steady_clock;
using wire::ErrorCode;

constexpr auto kRetryAfter = std::chrono::milliseconds(100);

int64_t number_of(const Properties& properties, std::string_view name, int64_t otherwise) {
  const auto found = properties.find(name);
  if (found == properties.end()) return otherwise;
  int64_t value = otherwise;
  std::from_chars(found->second.data(), found->second.data() + found->second.size(), value);
  return value;
}

bool resolves(const std::string& host) {
  addrinfo* found = nullptr;
  const addrinfo hints{.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return false;
  ::freeaddrinfo(found);
  return true;
}

// Kafka's client wants a port with every address, and one host that can be resolved.
bool is_usable(const std::string& bootstrap) {
  const auto addresses = client::parse_bootstrap(bootstrap);
  if (!addresses) return false;
  std::istringstream parts(bootstrap);
  for (std::string part; std::getline(parts, part, ',');)
    if (part.find(':') == std::string::npos) return false;
  return std::ranges::any_of(*addresses, [](const auto& each) { return resolves(each.host); });
}

std::unexpected<Ending> no_node_for(std::string_view name) {
  return thrown("org.apache.kafka.common.errors.TimeoutException",
                fmt::format("Timed out waiting for a node assignment. Call: {}", name));
}

Replicas replicas_of(
    const wire::describe_topic_partitions_response::DescribeTopicPartitionsResponsePartition&
        each) {
  return {.leader = each.leader_id,
          .replicas = each.replica_nodes,
          .isr = each.isr_nodes,
          .elr = each.eligible_leader_replicas,
          .last_known_elr = each.last_known_elr};
}

}  // namespace

Attempt<Properties> load_properties(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return thrown("java.nio.file.NoSuchFileException", path);
  std::ostringstream text;
  text << file.rdbuf();
  Properties properties;
  for (auto& [name, value] : config::parse_properties(text.str()))
    properties.insert_or_assign(name, value);
  return properties;
}

Properties key_value_properties(const std::vector<std::string>& texts) {
  Properties properties;
  for (const auto& text : texts) {
    const size_t equals = text.find('=');
    properties.insert_or_assign(text.substr(0, equals),
                                equals == std::string::npos ? "" : text.substr(equals + 1));
  }
  return properties;
}

Attempt<> check_bootstrap(const std::string& text) {
  if (trimmed(text).empty()) return usage("Error while validating the bootstrap address\n");
  for (const auto& part : split(text, ',')) {
    const size_t colon = part.rfind(':');
    if (colon == std::string::npos || !parse_int(part.substr(colon + 1)))
      return usage("Please provide valid host:port like host1:9091,host2:9092\n");
  }
  return {};
}

Attempt<std::unique_ptr<Admin>> Admin::open(const Properties& properties) {
  const auto value_of = [&](std::string_view name) {
    const auto found = properties.find(name);
    return found == properties.end() ? std::string() : found->second;
  };
  std::string bootstrap = value_of("bootstrap.controllers");
  const bool of_controllers = !bootstrap.empty();
  if (!of_controllers) bootstrap = value_of("bootstrap.servers");
  const std::string protocol = value_of("security.protocol");
  if (!protocol.empty() && protocol != "PLAINTEXT")
    return thrown(
        "org.apache.kafka.common.config.ConfigException",
        fmt::format("security.protocol {} is not there yet: this program speaks PLAINTEXT "
                    "as a client",
                    protocol));
  if (!is_usable(bootstrap))
    return thrown("org.apache.kafka.common.KafkaException",
                  "Failed to create new KafkaAdminClient");
  std::unique_ptr<Admin> admin(new Admin);
  admin->client_id_ = value_of("client.id").empty() ? "adminclient-1" : value_of("client.id");
  admin->asks_controllers_ = of_controllers;
  admin->first_address_ = bootstrap.substr(0, bootstrap.find(','));
  admin->api_timeout_ =
      std::chrono::milliseconds(number_of(properties, "default.api.timeout.ms", 60'000));
  const int64_t request_ms = number_of(properties, "request.timeout.ms", 30'000);
  auto session = Session::open(
      {.bootstrap = bootstrap,
       .timeout_seconds = static_cast<int32_t>(std::max<int64_t>(1, request_ms / 1000)),
       .client_id = admin->client_id_});
  if (!session)
    return thrown("org.apache.kafka.common.KafkaException",
                  "Failed to create new KafkaAdminClient");
  admin->session_ = std::move(*session);
  return admin;
}

Attempt<std::unique_ptr<Admin>> Admin::of_controller(const Properties& properties,
                                                     std::optional<NodeId> id,
                                                     std::string_view name) {
  constexpr int8_t kControllers = 2;
  ASSIGN_OR_RETURN(const auto admin, open(properties));
  auto once = [&]() -> Attempt<std::optional<std::string>> {
    ASSIGN_OR_RETURN(
        const auto cluster,
        admin->call(name, wire::DescribeClusterRequest{.endpoint_type = kControllers}));
    if (cluster.error_code != 0)
      return std::unexpected(exception_of(cluster.error_code, cluster.error_message));
    for (const auto& each : cluster.brokers)
      if (each.broker_id == (id ? id->value() : cluster.controller_id))
        return fmt::format("{}:{}", each.host, each.port);
    if (id) return no_node_for(name);
    return std::nullopt;  // an election is under way
  };
  ASSIGN_OR_RETURN(const auto address, admin->until_there<std::string>(name, once));
  Properties of_one = properties;
  of_one.insert_or_assign("bootstrap.controllers", address);
  return open(of_one);
}

Attempt<std::unique_ptr<Admin>> Admin::of(const Options& options) {
  Properties properties;
  if (const auto path = options.value("command-config")) {
    ASSIGN_OR_RETURN(properties, load_properties(*path));
  }
  if (const auto bootstrap = options.value("bootstrap-server"))
    properties.insert_or_assign("bootstrap.servers", *bootstrap);
  return open(properties);
}

Attempt<> Admin::reach(std::string_view name) {
  if (reached_) return {};
  const auto deadline = steady_clock::now() + api_timeout_;
  for (bool told = false;; told = true) {
    if (session_->api_versions(kNoNode)) break;
    if (!told)
      log_line("WARN",
               fmt::format("[AdminClient clientId={}] Connection to node -1 ({}) could not be "
                           "established. Node may not be available.",
                           client_id_, first_address_),
               "org.apache.kafka.clients.NetworkClient");
    if (steady_clock::now() + kRetryAfter >= deadline) return no_node_for(name);
    Session::pause();
  }
  reached_ = true;
  return {};
}

std::unexpected<Ending> Admin::timed_out(std::string_view name) {
  return thrown("org.apache.kafka.common.errors.TimeoutException",
                fmt::format("Call(callName={}) timed out", name));
}

Attempt<Admin::TopicFailures> Admin::delete_topics(const std::vector<std::string>& names) {
  wire::DeleteTopicsRequest request{.timeout_ms = 30'000};
  for (const auto& name : names) request.topics.push_back({.name = name});
  ASSIGN_OR_RETURN(const auto response, call("deleteTopics", std::move(request)));
  TopicFailures failures;
  for (const auto& each : response.responses)
    if (each.error_code != 0)
      failures.emplace_back(each.name.value_or(""),
                            exception_of(each.error_code, each.error_message));
  return failures;
}

Attempt<MetadataCache> Admin::metadata(const client::Client::Topics& topics,
                                       std::string_view name) {
  RETURN_IF_ERROR(reach(name));
  auto known = session_->look_up(topics);
  if (!known) return std::unexpected(exception_of(known.error(), name));
  return std::move(*known);
}

Attempt<std::map<NodeId, client::core::BrokerAddress>> Admin::brokers(std::string_view name) {
  ASSIGN_OR_RETURN(const auto known, metadata({}, name));
  return known.brokers();
}

Attempt<Destination> Admin::broker(NodeId id, std::string_view name) {
  ASSIGN_OR_RETURN(const auto there, brokers(name));
  if (there.contains(id)) return Destination::to(id);
  return no_node_for(name);
}

Attempt<std::map<std::string, TopicListing>> Admin::list_topics() {
  ASSIGN_OR_RETURN(const auto known, metadata({.names = {}, .all = true}, "listTopics"));
  std::map<std::string, TopicListing> topics;
  for (const auto& [name, topic] : known.topics()) topics[name] = {topic.id, topic.internal};
  return topics;
}

Attempt<Admin::Described> Admin::describe_each(const std::set<std::string>& names) {
  Described described;
  wire::DescribeTopicPartitionsRequest request;
  for (const auto& name : names) request.topics.push_back({.name = name});
  for (bool is_more = !names.empty(); is_more;) {
    ASSIGN_OR_RETURN(const auto response, call("describeTopicPartitions", request));
    for (const auto& topic : response.topics) {
      const std::string name = topic.name.value_or("");
      if (topic.error_code != 0) {
        described.insert_or_assign(name, std::unexpected(exception_of(topic.error_code)));
        continue;
      }
      auto& one = described[name];
      one->name = name;
      one->id = topic.topic_id;
      one->internal = topic.is_internal;
      for (const auto& each : topic.partitions)
        one->partitions[each.partition_index] = replicas_of(each);
    }
    is_more = response.next_cursor.has_value();
    if (is_more)
      request.cursor = {.topic_name = response.next_cursor->topic_name,
                        .partition_index = response.next_cursor->partition_index};
  }
  return described;
}

Attempt<std::vector<TopicDescription>> Admin::describe_topics(
    const std::vector<std::string>& names) {
  ASSIGN_OR_RETURN(auto described, describe_each({names.begin(), names.end()}));
  std::vector<TopicDescription> topics;
  for (auto& [name, one] : described) {
    if (!one) return std::unexpected(one.error());
    topics.push_back(std::move(*one));
  }
  return topics;
}

Attempt<Admin::EndOffsets> Admin::list_offsets_each(const Timestamps& timestamps) {
  constexpr std::string_view kName = "listOffsets";
  RETURN_IF_ERROR(reach(kName));
  auto listed = library::list_offsets(session_->loop(), timestamps);
  if (!listed) return std::unexpected(exception_of(listed.error(), kName));
  return std::move(*listed);
}

Attempt<Admin::EndOffsets> Admin::list_offsets(const Timestamps& timestamps) {
  ASSIGN_OR_RETURN(auto listed, list_offsets_each(timestamps));
  for (const auto& [partition, each] : listed)
    if (each.error != 0) return std::unexpected(exception_of(each.error));
  return listed;
}

}  // namespace millrace::app::kafka
