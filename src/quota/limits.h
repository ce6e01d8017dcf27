// Which quota a client falls under. Quotas are set for a user, for a client id, for both together,
// and for the defaults of each; the most specific one counts (KIP-55):
//   user + client id, user + any client id, user,
//   any user + client id, any user + any client id, any user,
//   client id, any client id.
// Who falls under one quota shares it as its tags say: a quota of a user is one for all client ids.
// Not here: counting (quota/meters), addresses (server/connection_rates).
// Threads: none; values.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "metadata/client_quotas.h"

namespace millrace::quota {

enum class Kind : uint8_t { kProduce, kFetch, kRequest, kControllerMutation };
inline constexpr size_t kKinds = 4;
std::string_view name_of(Kind kind);  // "producer_byte_rate"

// Who shares a count: a user, a client id, or both. Empty: the quota does not look at it.
struct Tags {
  std::string user;
  std::string client_id;
  friend auto operator<=>(const Tags&, const Tags&) = default;
};

// A client as it is known to a request.
struct Client {
  std::string_view user;
  std::string_view client_id;
};

// The quotas of one kind.
class Limits {
 public:
  static constexpr double kNone = 9223372036854775807.0;  // Kafka's: as much as a long holds

  Limits() = default;
  Limits(const metadata::ClientQuotas& quotas, Kind kind);

  bool empty() const { return limits_.empty(); }
  Tags tags_of(const Client& client) const;
  std::optional<double> find(const Tags& tags) const;
  double of(const Tags& tags) const { return find(tags).value_or(kNone); }

 private:
  // A part of an entity: not there, a default, or a name.
  struct Part {
    enum class Is : uint8_t { kAbsent, kDefault, kNamed };
    Is is = Is::kAbsent;
    std::string name;
    friend auto operator<=>(const Part&, const Part&) = default;
  };
  struct Entity {
    Part user, client_id;
    friend auto operator<=>(const Entity&, const Entity&) = default;
  };
  static Part part_of(const metadata::QuotaEntity& entity, const char* type);
  static Part named(std::string_view name) { return {Part::Is::kNamed, std::string(name)}; }
  Tags tags_of_most_specific(const Client& client) const;
  const double* look_up(const Entity& entity) const;

  std::map<Entity, double> limits_;
  bool by_user_ = false, by_client_id_ = false, by_both_ = false;
};

}  // namespace millrace::quota
