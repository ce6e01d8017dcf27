// kafka-broker-api-versions: which versions of which API each broker serves.
#include <fmt/format.h>

#include "app/kafka/admin.h"
#include "app/kafka/script.h"
#include "app/kafka/scripts.h"
#include "wire/api_table.h"

namespace millrace::app::kafka {
namespace {

constexpr Option kOptions[] = {
    text("command-config", "Properties file of the client."),
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
};

std::string line_of(const wire::ApiVersionsResponse::ApiVersion& served) {
  const wire::ApiInfo* known = wire::find_api(served.api_key);
  std::string line = fmt::format("{}({}): {}", known == nullptr ? "UNKNOWN" : known->name,
                                 served.api_key, served.min_version);
  if (served.max_version != served.min_version) line += fmt::format(" to {}", served.max_version);
  if (known == nullptr) return line;
  if (known->known.max < served.min_version) return line + " [unusable: node too new]";
  if (served.max_version < known->known.min) return line + " [unusable: node too old]";
  return line + fmt::format(" [usable: {}]", std::min(known->known.max, served.max_version));
}

// Brokers have these, but advertise them only when there is a receiver of clients' metrics.
bool is_telemetry(wire::ApiKey key) {
  return key == wire::ApiKey::kGetTelemetrySubscriptions || key == wire::ApiKey::kPushTelemetry;
}

std::string versions_of(const wire::ApiVersionsResponse& response) {
  std::map<int16_t, std::string> lines;
  for (const auto& each : response.api_keys) lines[each.api_key] = line_of(each);
  for (const wire::ApiInfo& api : wire::all_apis()) {
    const auto key = static_cast<int16_t>(api.key);
    const bool of_brokers = api.on_broker.max >= api.on_broker.min || is_telemetry(api.key);
    if (of_brokers && !lines.contains(key))
      lines[key] = fmt::format("{}({}): UNSUPPORTED", api.name, key);
  }
  std::string text;
  for (const auto& [key, line] : lines) text += (text.empty() ? "" : ",\n\t") + line;
  return fmt::format("(\n\t{}\n)", text);
}

Attempt<> run_broker_api_versions(const Options& options) {
  RETURN_IF_ERROR(options.require({"bootstrap-server"}));
  RETURN_IF_ERROR(options.check_values());
  ASSIGN_OR_RETURN(const auto admin, Admin::of(options));
  ASSIGN_OR_RETURN(const auto cluster,
                   admin->call("metadata", wire::MetadataRequest{.topics = {}}));
  ASSIGN_OR_RETURN(const auto brokers, admin->brokers());
  for (const auto& broker : cluster.brokers) {
    fmt::print("{}:{} (id: {} rack: {} isFenced: false) -> ", broker.host, broker.port,
               broker.node_id, broker.rack.value_or("null"));
    const auto response = admin->session().api_versions(NodeId(broker.node_id));
    if (response)
      fmt::print("{}\n", versions_of(*response));
    else
      fmt::print("ERROR: {}\n", exception_of(response.error(), "apiVersions").to_string());
  }
  return {};
}

}  // namespace

int broker_api_versions(const Words& words) {
  return run({.about = "This tool helps to retrieve broker version information.",
              .options = kOptions,
              .run = run_broker_api_versions,
              .refused = tell_message_and_stack,
              .failed = tell_message_and_stack},
             words);
}

}  // namespace millrace::app::kafka
