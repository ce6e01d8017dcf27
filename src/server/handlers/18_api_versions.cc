// ApiVersions (KIP-35, KIP-511, KIP-584). What is forwarded is served as far as the active
// controller serves it too (KIP-590). A version that we do not know is answered at version 0
// with error 35 and the range of ApiVersions alone, so that the client tries again with it.
#include <algorithm>

#include "metadata/features.h"
#include "node/controller_channel.h"
#include "server/client_telemetry.h"
#include "server/dispatch.h"
#include "server/handlers/handlers.h"
#include "wire/api_versions.h"
#include "wire/errors.h"

namespace millrace::server {
namespace {

using Response = wire::ApiVersionsResponse;

bool is_software_name(std::string_view text) {
  auto alnum = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  if (text.empty() || !alnum(text.front()) || !alnum(text.back())) return false;
  return std::ranges::all_of(text, [&](char c) { return alnum(c) || c == '-' || c == '.'; });
}

Response::ApiVersion row(const ServedApi& api) {
  return {.api_key = static_cast<int16_t>(api.key),
          .min_version = api.advertised_min,
          .max_version = api.versions.max};
}

// On a broker's listener, of what is forwarded, the versions that the controller has too.
std::vector<Response::ApiVersion> rows(Call& call) {
  const ListenerKind listener = call.header().listener;
  const auto controller = listener == ListenerKind::kBroker
                              ? call.node().controller_channel().controller_versions()
                              : nullptr;
  std::vector<Response::ApiVersion> rows;
  for (const ServedApi& api : served_apis(listener)) {
    if (api.is_telemetry && !call.services().telemetry->is_open()) continue;
    Response::ApiVersion ours = row(api);
    if (controller && wire::find_api(ours.api_key)->forwardable) {
      const auto theirs =
          std::ranges::find(controller->api_keys, ours.api_key, &Response::ApiVersion::api_key);
      if (theirs == controller->api_keys.end()) continue;
      ours.min_version = std::max(ours.min_version, theirs->min_version);
      ours.max_version = std::min(ours.max_version, theirs->max_version);
      if (ours.min_version > ours.max_version) continue;
    }
    rows.push_back(ours);
  }
  return rows;
}

// Versions below 4 cannot say a minimum of 0: older clients choke on it (KAFKA-17492).
void add_features(Response& response, const node::Node& node, int16_t version) {
  const auto image = node.image();
  for (const auto& feature : metadata::supported_features())
    if (version >= 4 || feature.least > 0)
      response.supported_features.push_back(
          {.name = feature.name, .min_version = feature.least, .max_version = feature.most});
  // The quorum's own level is in control records, not among the metadata.
  auto levels = image->features();
  levels[metadata::kKraftVersion] = node.kraft_version();
  for (const auto& [name, level] : levels)
    if (level > 0)
      response.finalized_features.push_back(
          {.name = name, .max_version_level = level, .min_version_level = level});
  response.finalized_features_epoch = image->last_offset().value();
}

}  // namespace

void handle_api_versions(Call call) {
  Response response;
  if (call.version() < 0 || call.version() > wire::ApiVersionsRequest::kMaxVersion) {
    response.error_code = wire::code_of(wire::ErrorCode::kUnsupportedVersion);
    for (const ServedApi& api : served_apis(call.header().listener))
      if (api.key == wire::ApiKey::kApiVersions) response.api_keys.push_back(row(api));
    return call.respond_at(0, response);
  }
  auto request = call.decode<wire::ApiVersionsRequest>();
  if (!request) return;
  if (call.version() >= 3) {
    if (!is_software_name(request->client_software_name) ||
        !is_software_name(request->client_software_version)) {
      response.error_code = wire::code_of(wire::ErrorCode::kInvalidRequest);
      return call.respond(response);
    }
    call.peer().client_software =
        request->client_software_name + " " + request->client_software_version;
    add_features(response, call.node(), call.version());
  }
  response.api_keys = rows(call);
  call.respond(response);
}

}  // namespace millrace::server
