#include "quota/limits.h"

namespace millrace::quota {

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::kProduce: return "producer_byte_rate";
    case Kind::kFetch: return "consumer_byte_rate";
    case Kind::kRequest: return "request_percentage";
    case Kind::kControllerMutation: return "controller_mutation_rate";
  }
  return {};
}

Limits::Part Limits::part_of(const metadata::QuotaEntity& entity, const char* type) {
  const auto found = entity.find(type);
  if (found == entity.end()) return {};
  if (!found->second) return {Part::Is::kDefault, {}};
  return named(*found->second);
}

Limits::Limits(const metadata::ClientQuotas& quotas, Kind kind) {
  for (const auto& [entity, values] : quotas.all()) {
    const auto value = values.find(name_of(kind));
    if (value == values.end()) continue;
    const Entity whose{part_of(entity, metadata::kQuotaUser),
                       part_of(entity, metadata::kQuotaClientId)};
    const bool has_user = whose.user.is != Part::Is::kAbsent;
    const bool has_client_id = whose.client_id.is != Part::Is::kAbsent;
    if (!has_user && !has_client_id) continue;
    limits_[whose] = value->second;
    by_both_ |= has_user && has_client_id;
    by_user_ |= has_user && !has_client_id;
    by_client_id_ |= !has_user;
  }
}

const double* Limits::look_up(const Entity& entity) const {
  const auto found = limits_.find(entity);
  return found == limits_.end() ? nullptr : &found->second;
}

// Where quotas of one level are set, all share as that level says, those too whom none is set for.
Tags Limits::tags_of(const Client& client) const {
  const int levels = int{by_user_} + int{by_client_id_} + int{by_both_};
  if (levels > 1) return tags_of_most_specific(client);
  return {.user = by_user_ || by_both_ ? std::string(client.user) : std::string(),
          .client_id = by_user_ ? std::string() : std::string(client.client_id)};
}

Tags Limits::tags_of_most_specific(const Client& client) const {
  const Part any{Part::Is::kDefault, {}};
  const Part absent;
  const Part user = named(client.user);
  const Part client_id = named(client.client_id);
  const Tags of_both{std::string(client.user), std::string(client.client_id)};
  const Tags of_user{std::string(client.user), {}};
  if (look_up({user, client_id}) || look_up({user, any})) return of_both;
  if (look_up({user, absent})) return of_user;
  if (look_up({any, client_id}) || look_up({any, any})) return of_both;
  if (look_up({any, absent})) return of_user;
  return {{}, std::string(client.client_id)};
}

std::optional<double> Limits::find(const Tags& tags) const {
  const Part any{Part::Is::kDefault, {}};
  const Part absent;
  const Part user = tags.user.empty() ? absent : named(tags.user);
  const Part client_id = tags.client_id.empty() ? absent : named(tags.client_id);
  const Part any_user = tags.user.empty() ? absent : any;
  const Part any_client_id = tags.client_id.empty() ? absent : any;
  for (const Entity& entity : {Entity{user, client_id}, Entity{user, any_client_id},
                               Entity{any_user, client_id}, Entity{any_user, any_client_id}})
    if (const double* limit = look_up(entity)) return *limit;
  return std::nullopt;
}

}  // namespace millrace::quota
