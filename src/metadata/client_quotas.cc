#include "metadata/client_quotas.h"

namespace millrace::metadata {

void ClientQuotas::apply(const wire::ClientQuotaRecord& record) {
  const QuotaEntity entity = quota_entity_of(record.entity);
  if (!record.remove) {
    quotas_[entity][record.key] = record.value;
    return;
  }
  auto found = quotas_.find(entity);
  if (found == quotas_.end()) return;
  found->second.erase(record.key);
  if (found->second.empty()) quotas_.erase(found);
}

const QuotaValues& ClientQuotas::of(const QuotaEntity& entity) const {
  static const QuotaValues kNone;
  auto found = quotas_.find(entity);
  return found == quotas_.end() ? kNone : found->second;
}

std::vector<wire::ClientQuotaRecord> ClientQuotas::to_records() const {
  std::vector<wire::ClientQuotaRecord> records;
  for (const auto& [entity, values] : quotas_)
    for (const auto& [key, value] : values)
      records.push_back(
          {.entity = quota_parts_of<decltype(wire::ClientQuotaRecord::entity)>(entity),
           .key = key,
           .value = value});
  return records;
}

}  // namespace millrace::metadata
