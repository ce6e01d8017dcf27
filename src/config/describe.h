// A resource's configs as DescribeConfigs shows them: the value that holds, where it comes from,
// and every place that gives one (synonyms), the one that wins first (KIP-226, KIP-524, KIP-569).
// Not here: which resources there are (server/handlers/32_describe_configs).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/properties.h"

namespace millrace::config {

// As the protocol numbers them.
enum class Source : int8_t {
  kDynamicTopic = 1,
  kDynamicBroker = 2,
  kDynamicDefaultBroker = 3,
  kStaticBroker = 4,
  kDefault = 5,
  kDynamicBrokerLogger = 6,
  kDynamicClientMetrics = 7,
  kDynamicGroup = 8
};

struct Synonym {
  std::string name;
  std::optional<std::string> value;  // null: a secret
  Source source;
  friend bool operator==(const Synonym&, const Synonym&) = default;
};

struct Described {
  std::string name;
  std::optional<std::string> value;  // null: none, or a secret
  Source source = Source::kDefault;
  bool read_only = false;
  bool sensitive = false;
  int8_t type = 0;  // type_id(); 0: unknown
  std::string_view documentation;
  std::vector<Synonym> synonyms;
};

// Where a broker's configs come from, above Kafka's defaults. All outlive the calls.
struct BrokerLayers {
  const NodeProperties& file;
  const Values& of_broker;
  const Values& of_cluster;
};

// Each sorted by name; internal configs only where they are set.
std::vector<Described> describe_topic(const BrokerLayers& layers, const Values& overrides);
std::vector<Described> describe_group(const BrokerLayers& layers, const Values& overrides);
std::vector<Described> describe_client_metrics(const Values& values);
std::vector<Described> describe_broker(const BrokerLayers& layers);
// Only what was set for all brokers.
std::vector<Described> describe_cluster(const BrokerLayers& layers);

}  // namespace millrace::config
