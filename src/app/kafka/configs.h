// What the sources of kafka-configs share: what is configured, and the changes asked for.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "app/kafka/admin.h"

namespace millrace::app::kafka {

// Whose configs: "topics" and a topic's name; an empty name is the default of all.
struct ConfigEntities {
  std::vector<std::string> types;
  std::vector<std::string> names;
};

struct ConfigChanges {
  Properties add;
  std::vector<std::string> remove;
};

// "topic" of "topics".
inline std::string singular(const std::string& type) { return type.substr(0, type.size() - 1); }

// Topics, brokers, their loggers, client metrics, groups.
Attempt<> describe_resource_configs(Admin& admin, const ConfigEntities& entities, bool all);
Attempt<> alter_resource_configs(Admin& admin, const ConfigEntities& entities,
                                 const ConfigChanges& changes);
// Users, clients, IP addresses.
Attempt<> describe_quotas(Admin& admin, const ConfigEntities& entities);
Attempt<> alter_quotas(Admin& admin, const ConfigEntities& entities, const ConfigChanges& changes);

}  // namespace millrace::app::kafka
