// DescribeClientQuotas (KIP-546): the quotas whose entities a filter lets through, as this broker's
// metadata know them.
#include <algorithm>
#include <set>

#include "server/handlers/handlers.h"
#include "server/refusal.h"
#include "wire/describe_client_quotas.h"

namespace millrace::server {
namespace {

using metadata::QuotaEntity;
using Request = wire::DescribeClientQuotasRequest;
using Response = wire::DescribeClientQuotasResponse;
using wire::ErrorCode;

enum class Match : int8_t { kExact = 0, kDefault = 1, kAny = 2 };

struct Filter {
  QuotaEntity exact;          // names, and nothing for a default
  std::set<std::string> any;  // types of which any name will do
  bool strict = false;        // other types shall not be there

  bool has(const std::string& type) const { return exact.contains(type) || any.contains(type); }
  bool lets_through(const QuotaEntity& entity) const {
    if (strict && entity.size() != exact.size() + any.size()) return false;
    for (const auto& [type, name] : exact) {
      const auto found = entity.find(type);
      if (found == entity.end() || found->second != name) return false;
    }
    return std::ranges::all_of(any, [&](const auto& type) { return entity.contains(type); });
  }
};

Refusal invalid(std::string message) { return {ErrorCode::kInvalidRequest, std::move(message)}; }

std::optional<Refusal> type_problem(const Filter& filter, const std::string& type) {
  if (type.empty()) return invalid("Invalid empty entity type.");
  if (filter.has(type))
    return invalid(fmt::format("Entity type {} cannot appear more than once in the filter.", type));
  if (type != metadata::kQuotaIp && type != metadata::kQuotaUser &&
      type != metadata::kQuotaClientId)
    return Refusal{ErrorCode::kUnsupportedVersion, "Unsupported entity type " + type};
  return std::nullopt;
}

std::optional<Refusal> add(Filter& filter, const Request::ComponentData& component) {
  const std::string& type = component.entity_type;
  if (auto problem = type_problem(filter, type)) return problem;
  auto named_in_vain = [](std::string_view match) {
    return invalid(fmt::format("Request specified {}, but also specified a match string.", match));
  };
  switch (static_cast<Match>(component.match_type)) {
    case Match::kExact:
      if (!component.match)
        return invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.");
      filter.exact[type] = component.match;
      return std::nullopt;
    case Match::kDefault:
      if (component.match) return named_in_vain("MATCH_TYPE_DEFAULT");
      filter.exact[type] = std::nullopt;
      return std::nullopt;
    case Match::kAny:
      if (component.match) return named_in_vain("MATCH_TYPE_SPECIFIED");
      filter.any.insert(type);
      return std::nullopt;
  }
  return invalid(fmt::format("Unknown match type {}", component.match_type));
}

std::optional<Refusal> read(Filter& filter, const Request& request) {
  filter.strict = request.strict;
  for (const auto& component : request.components)
    if (auto problem = add(filter, component)) return problem;
  if (filter.has(metadata::kQuotaIp) &&
      (filter.has(metadata::kQuotaUser) || filter.has(metadata::kQuotaClientId)))
    return invalid(
        "Invalid entity filter component combination. IP filter component should not be used with "
        "user or clientId filter component.");
  return std::nullopt;
}

}  // namespace

void handle_describe_client_quotas(Call call) {
  const auto request = call.decode<Request>();
  if (!request) return;
  Filter filter;
  Response response;
  if (const auto problem = read(filter, *request)) {
    response.error_code = wire::code_of(problem->code);
    response.error_message = problem->message;
    response.entries.reset();
    return call.respond(response);
  }
  response.entries.emplace();
  const auto image = call.node().image();
  if (!image->client_quotas()) return call.respond(response);
  for (const auto& [entity, values] : image->client_quotas()->all()) {
    if (!filter.lets_through(entity)) continue;
    auto& entry = response.entries->emplace_back();
    entry.entity = metadata::quota_parts_of<decltype(entry.entity)>(entity);
    for (const auto& [key, value] : values) entry.values.push_back({.key = key, .value = value});
  }
  call.respond(response);
}

}  // namespace millrace::server
