// The quotas of clients as the metadata log tells them: for whom, which, how much.
// Not here: which of them a client falls under and what that means (quota), what may be set
// (controller).
// Threads: none; values.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "wire/metadata_record.h"

namespace millrace::metadata {

inline constexpr const char* kQuotaUser = "user";
inline constexpr const char* kQuotaClientId = "client-id";
inline constexpr const char* kQuotaIp = "ip";

// By type: a name, or nothing for all of that type that have no quota of their own.
using QuotaEntity = std::map<std::string, std::optional<std::string>, std::less<>>;
// By name of the quota ("producer_byte_rate").
using QuotaValues = std::map<std::string, double, std::less<>>;

// The entity of a record, of a request or of a response. Of a type that is named twice the last
// counts, as in Kafka.
template <class Parts>
QuotaEntity quota_entity_of(const Parts& parts) {
  QuotaEntity entity;
  for (const auto& part : parts) entity[part.entity_type] = part.entity_name;
  return entity;
}
template <class Parts>
Parts quota_parts_of(const QuotaEntity& entity) {
  Parts parts;
  for (const auto& [type, name] : entity)
    parts.push_back({.entity_type = type, .entity_name = name});
  return parts;
}

class ClientQuotas {
 public:
  void apply(const wire::ClientQuotaRecord& record);
  const QuotaValues& of(const QuotaEntity& entity) const;  // none: empty
  const std::map<QuotaEntity, QuotaValues>& all() const { return quotas_; }
  // In the order of a snapshot.
  std::vector<wire::ClientQuotaRecord> to_records() const;
  friend bool operator==(const ClientQuotas&, const ClientQuotas&) = default;

 private:
  std::map<QuotaEntity, QuotaValues> quotas_;  // no entity without a value
};

}  // namespace millrace::metadata
