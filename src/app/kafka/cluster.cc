// kafka-cluster: the id of a cluster, its endpoints, and brokers that are to be forgotten.
#include <fmt/format.h>

#include "app/kafka/admin.h"
#include "app/kafka/commands.h"
#include "app/kafka/scripts.h"

namespace millrace::app::kafka {
namespace {

constexpr Argument kServer{.name = "--bootstrap-server",
                           .brief = "-b",
                           .help = "Brokers to begin with: HOST:PORT, several between commas.",
                           .connects = true};
constexpr Argument kController{
    .name = "--bootstrap-controller",
    .brief = "-C",
    .help = "Controllers to begin with: HOST:PORT, several between commas.",
    .connects = true};
constexpr Argument kConfig{.name = "--config", .help = "Deprecated: --command-config."};
constexpr Argument kCommandConfig{
    .name = "--command-config", .brief = "-c", .help = "Properties file of the client."};

constexpr Argument kClusterId[] = {kServer, kController, kConfig, kCommandConfig};
constexpr Argument kUnregister[] = {kServer,
                                    kController,
                                    kConfig,
                                    kCommandConfig,
                                    {.name = "--id",
                                     .brief = "-i",
                                     .help = "The id of the broker.",
                                     .takes = Argument::Takes::kInteger,
                                     .required = true}};
constexpr Argument kEndpoints[] = {kServer,
                                   kController,
                                   kConfig,
                                   kCommandConfig,
                                   {.name = "--include-fenced-brokers",
                                    .help = "Fenced brokers, too.",
                                    .takes = Argument::Takes::kNothing}};

constexpr CommandWords kCommands[] = {
    {"cluster-id", "Prints the id of the cluster.", kClusterId},
    {"unregister", "Forgets a broker that is gone.", kUnregister},
    {"list-endpoints", "Lists brokers, or controllers.", kEndpoints},
};
constexpr Program kProgram = {.name = "kafka-cluster",
                              .about = "Tells of a cluster.",
                              .arguments = {},
                              .commands = kCommands,
                              .must_connect = true};

Attempt<wire::DescribeClusterResponse> describe(Admin& admin, bool controllers, bool fenced) {
  constexpr int8_t kBrokers = 1, kControllers = 2;
  auto response = admin.call(
      "listNodes",
      wire::DescribeClusterRequest{.endpoint_type = controllers ? kControllers : kBrokers,
                                   .include_fenced_brokers = fenced});
  if (!response) return std::unexpected(executed(response.error()));
  if (response->error_code != 0)
    return std::unexpected(executed(exception_of(response->error_code, response->error_message)));
  return response;
}

Attempt<> list_endpoints(Admin& admin, const Parsed& words) {
  const bool controllers = words.has("--bootstrap-controller");
  const bool fenced = words.has("--include-fenced-brokers");
  if (fenced && controllers)
    return illegal_argument(
        "The option --include-fenced-brokers is only supported with --bootstrap-server option");
  ASSIGN_OR_RETURN(const auto cluster, describe(admin, controllers, fenced));
  size_t host = cluster.brokers.empty() ? 100 : 0, rack = 0;
  for (const auto& each : cluster.brokers) {
    host = std::max(host, each.host.size());
    if (each.rack) rack = std::max(rack, each.rack->size());
  }
  if (rack == 0) rack = 10;
  fmt::print("{:<10} {:<{}} {:<10} {:<{}} ", "ID", "HOST", host, "PORT", "RACK", rack);
  fmt::print("{}{:<15}\n", controllers ? "" : "STATE      ", "ENDPOINT_TYPE");
  for (const auto& each : cluster.brokers) {
    fmt::print("{:<10} {:<{}} {:<10} {:<{}} ", each.broker_id, each.host, host, each.port,
               each.rack.value_or("null"), rack);
    if (!controllers) fmt::print("{:<10} ", each.is_fenced ? "fenced" : "unfenced");
    fmt::print("{:<15}\n", controllers ? "controller" : "broker");
  }
  return {};
}

Attempt<> unregister(Admin& admin, int32_t id) {
  const auto response =
      admin.call("unregisterBroker", wire::UnregisterBrokerRequest{.broker_id = id});
  if (!response && response.error().is("UnsupportedVersionException")) {
    fmt::print("The target cluster does not support the broker unregistration API.\n");
    return {};
  }
  if (!response) return std::unexpected(executed(response.error()));
  if (response->error_code != 0)
    return std::unexpected(executed(exception_of(response->error_code, response->error_message)));
  fmt::print("Broker {} is no longer registered.\n", id);
  return {};
}

Attempt<> act(const Words& all) {
  ASSIGN_OR_RETURN(const auto words, Parsed::parse(kProgram, all));
  auto config = words.value("--command-config");
  if (words.has("--config") && config)
    return argument_error("--config and --command-config cannot be specified together.");
  if (words.has("--config")) {
    fmt::print(
        "Option --config has been deprecated and will be removed in a future version. Use "
        "--command-config instead.\n");
    config = words.value("--config");
  }
  Properties properties;
  if (config) {
    ASSIGN_OR_RETURN(properties, load_properties(*config));
  }
  const auto brokers = words.value("--bootstrap-server");
  properties.insert_or_assign(brokers ? "bootstrap.servers" : "bootstrap.controllers",
                              brokers ? *brokers : *words.value("--bootstrap-controller"));
  ASSIGN_OR_RETURN(const auto admin, Admin::open(properties));
  if (words.command() == "unregister")
    return unregister(*admin, static_cast<int32_t>(*words.number("--id")));
  if (words.command() == "list-endpoints") return list_endpoints(*admin, words);
  ASSIGN_OR_RETURN(const auto cluster, describe(*admin, !brokers.has_value(), false));
  fmt::print("Cluster ID: {}\n", cluster.cluster_id);
  return {};
}

}  // namespace

int cluster(const Words& words) {
  const auto done = act(words);
  std::fflush(stdout);
  if (done) return 0;
  if (done.error().kind == Ending::Kind::kExit) return done.error().status;
  if (is_argument_error(done.error())) return tell_argument_error(kProgram, done.error());
  return tell_message_and_stack(done.error());
}

}  // namespace millrace::app::kafka
