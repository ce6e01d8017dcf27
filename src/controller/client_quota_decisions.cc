// AlterClientQuotas (KIP-546, KIP-612): which quotas may be set for whom.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "controller/controller.h"

namespace millrace::controller {
namespace {

using metadata::QuotaEntity;
using wire::ErrorCode;

using Request = wire::AlterClientQuotasRequest;
using Response = wire::AlterClientQuotasResponse;

Refusal invalid(std::string message) { return {ErrorCode::kInvalidRequest, std::move(message)}; }

struct QuotaName {
  std::string_view name;
  std::string_view type_name;  // of whole numbers, as the error calls it
  double most = 0;             // of those; 2 to the 63rd and 31st, as near as Kafka compares
};

constexpr QuotaName kOfUsersAndClients[] = {
    {"producer_byte_rate", "a LONG", 9223372036854775807.0},
    {"consumer_byte_rate", "a LONG", 9223372036854775807.0},
    {"request_percentage", {}, 0},
    {"controller_mutation_rate", {}, 0},
};
constexpr QuotaName kOfAddresses[] = {{"connection_creation_rate", "an INT", 2147483647.0}};

// In Kafka's order: only an entity that is refused has an address beside something else.
std::vector<Response::EntityData> parts_of(const QuotaEntity& entity) {
  auto parts = metadata::quota_parts_of<std::vector<Response::EntityData>>(entity);
  const auto address =
      std::ranges::find(parts, metadata::kQuotaIp, &Response::EntityData::entity_type);
  if (address != parts.end()) std::rotate(address, address + 1, parts.end());
  return parts;
}

// As Kafka's errors show an entity.
std::string text_of(const QuotaEntity& entity) {
  std::vector<std::string> parts;
  for (const auto& part : parts_of(entity))
    parts.push_back(fmt::format("{}={}", part.entity_type, part.entity_name.value_or("null")));
  return fmt::format("ClientQuotaEntity(entries={{{}}})", fmt::join(parts, ", "));
}

std::optional<Refusal> check_entity(const QuotaEntity& entity, const AddressCheck& is_address) {
  if (entity.empty()) return invalid("Invalid empty client quota entity");
  for (const auto& [type, name] : entity) {
    if (type != metadata::kQuotaUser && type != metadata::kQuotaClientId &&
        type != metadata::kQuotaIp)
      return invalid("Unhandled client quota entity type: " + type);
    if (name && name->empty()) return invalid(fmt::format("Empty {} not supported", type));
  }
  const auto address = entity.find(metadata::kQuotaIp);
  if (address == entity.end()) return std::nullopt;
  if (entity.size() > 1)  // two words run together there too
    return invalid(
        "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId");
  if (address->second && !is_address(*address->second))
    return invalid(*address->second + " is not a valid IP or resolvable host.");
  return std::nullopt;
}

std::optional<Refusal> check_value(const QuotaEntity& entity, const std::string& key,
                                   double value) {
  const std::span<const QuotaName> names = entity.contains(metadata::kQuotaIp)
                                               ? std::span<const QuotaName>(kOfAddresses)
                                               : std::span<const QuotaName>(kOfUsersAndClients);
  const auto known = std::ranges::find(names, key, &QuotaName::name);
  if (known == names.end()) return invalid("Invalid configuration key " + key);
  if (value <= 0) return invalid(fmt::format("Quota {} must be greater than 0", key));
  if (known->type_name.empty()) return std::nullopt;
  if (value > known->most)
    return invalid(
        fmt::format("Proposed value for {} is too large for {}.", key, known->type_name));
  constexpr double kAlmostWhole = 1e-6;
  if (std::abs(std::fmod(value, 1.0)) > kAlmostWhole)
    return invalid(key + " cannot be a fractional value.");
  return std::nullopt;
}

// Records of what changes: what is as it was needs none.
std::expected<Records, Refusal> alter(const QuotaEntity& entity,
                                      const std::vector<Request::OpData>& ops,
                                      const metadata::QuotaValues& now) {
  Records records;
  for (const auto& op : ops) {
    const auto known = now.find(op.key);
    wire::ClientQuotaRecord record{
        .entity = metadata::quota_parts_of<decltype(record.entity)>(entity), .key = op.key};
    if (op.remove) {
      if (known == now.end()) continue;
      record.remove = true;
    } else {
      if (auto refusal = check_value(entity, op.key, op.value))
        return std::unexpected(std::move(*refusal));
      if (known != now.end() && known->second == op.value) continue;
      record.value = op.value;
    }
    records.push_back(std::move(record));
  }
  return records;
}

bool has_duplicates(const std::vector<Request::OpData>& ops) {
  std::set<std::string_view> keys;
  return !std::ranges::all_of(ops, [&](const auto& op) { return keys.insert(op.key).second; });
}

// One answer an entity, however often it is named.
class Answers {
 public:
  bool has(const QuotaEntity& entity) const { return places_.contains(entity); }
  void put(const QuotaEntity& entity, const std::optional<Refusal>& refusal) {
    const auto [place, is_new] = places_.try_emplace(entity, response_.entries.size());
    if (is_new) response_.entries.push_back({.entity = parts_of(entity)});
    auto& entry = response_.entries[place->second];
    entry.error_code = wire::code_of(refusal ? refusal->code : ErrorCode::kNone);
    entry.error_message = refusal ? std::optional(refusal->message) : std::nullopt;
  }
  Response take() { return std::move(response_); }

 private:
  Response response_;
  std::map<QuotaEntity, size_t> places_;
};

Response all_refused(const Request& request, const Refusal& refusal) {
  Answers answers;
  for (const auto& entry : request.entries)
    answers.put(metadata::quota_entity_of(entry.entity), refusal);
  return answers.take();
}

}  // namespace

Decided<Response> Controller::decide_alter_client_quotas(const Request& request,
                                                         const AddressCheck& is_address) const {
  static const metadata::ClientQuotas kNone;
  const metadata::ClientQuotas& now = image_.client_quotas() ? *image_.client_quotas() : kNone;
  Answers answers;
  Records records;
  for (const auto& entry : request.entries) {
    const QuotaEntity entity = metadata::quota_entity_of(entry.entity);
    // A quota that is named twice is told as the entity's being so: Kafka's answer, too.
    if (answers.has(entity) || has_duplicates(entry.ops)) {
      answers.put(entity, invalid("Ignoring duplicate entity " + text_of(entity)));
      continue;
    }
    auto refusal = check_entity(entity, is_address);
    if (!refusal) {
      auto altered = alter(entity, entry.ops, now.of(entity));
      if (altered)
        std::ranges::move(*altered, std::back_inserter(records));
      else
        refusal = std::move(altered.error());
    }
    answers.put(entity, refusal);
  }
  if (records.size() > kMaxRecords)
    return {{},
            all_refused(request, {ErrorCode::kPolicyViolation,
                                  "Request parameters do not satisfy the configured policy."})};
  if (request.validate_only) records.clear();
  return {std::move(records), answers.take()};
}

}  // namespace millrace::controller
