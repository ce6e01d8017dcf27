// Configs of topics, brokers, client metrics, ... as the scripts read and change them.
// Not here: quotas (config_quotas.cc), which configs a script shows (config_resources.cc).
// Threads, errors: those of app/kafka/admin.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/kafka/admin.h"
#include "wire/describe_configs.h"

namespace millrace::app::kafka {

enum class ConfigResourceType : int8_t {
  kTopic = 2,
  kBroker = 4,
  kBrokerLogger = 8,
  kClientMetrics = 16,
  kGroup = 32
};

struct ConfigResource {
  ConfigResourceType type = ConfigResourceType::kTopic;
  std::string name;  // empty: what holds for all of them
};

using ConfigEntry = wire::describe_configs_response::DescribeConfigsResourceResult;

// Those of a type that have configs.
Attempt<std::vector<std::string>> config_resource_names(Admin& admin, ConfigResourceType type);
// In the order of the answer.
Attempt<std::vector<ConfigEntry>> config_entries(Admin& admin, const ConfigResource& resource);

struct ConfigAlteration {
  ConfigResource resource;
  // By name; nothing: deleted.
  std::vector<std::pair<std::string, std::optional<std::string>>> configs = {};
};

// A broker's own are altered by that broker, all others in one request. The first failure.
Attempt<> alter_configs(Admin& admin, const std::vector<ConfigAlteration>& alterations);

}  // namespace millrace::app::kafka
