#include "app/kafka/shell/image_nodes.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <variant>

#include "app/kafka/script.h"
#include "app/kafka/shell/describe.h"
#include "app/kafka/text.h"
#include "app/releases.h"
#include "metadata/client_quotas.h"
#include "metadata/features.h"

namespace millrace::app::kafka::shell {
namespace {

using metadata::Image;
using Names = Node::Names;
using Child = std::optional<Node>;

struct Entry {
  std::string_view name;
  std::function<Node()> make;
};

Node folder_of(std::vector<Entry> entries) {
  const auto shared = std::make_shared<const std::vector<Entry>>(std::move(entries));
  return folder(
      [shared] {
        Names names;
        for (const auto& each : *shared) names.emplace_back(each.name);
        return names;
      },
      [shared](const std::string& name) -> Child {
        for (const auto& each : *shared)
          if (each.name == name) return each.make();
        return std::nullopt;
      });
}

template <class Map, class ToText>
Names names_of(const Map& map, ToText to_text) {
  Names names;
  for (const auto& [key, value] : map) names.push_back(to_text(key));
  return names;
}

const auto kAsItIs = [](const std::string& name) { return name; };

// A folder of leaves, one for each entry of a map that outlives it. `to_key` makes a key of a name,
// if it is one.
template <class Map, class ToText, class ToKey>
Node leaves_of(const Map& map, ToText to_text, ToKey to_key) {
  return folder([&map, to_text] { return names_of(map, to_text); },
                [&map, to_key](const std::string& name) -> Child {
                  const auto key = to_key(name);
                  const auto found = key ? map.find(*key) : map.end();
                  if (found == map.end()) return std::nullopt;
                  return leaf(describe(found->second));
                });
}

std::optional<NodeId> node_id_of(const std::string& name) {
  const auto number = parse_int(name);
  return number ? std::optional(NodeId(*number)) : std::nullopt;
}

Node cluster_node(const Image& image) {
  const auto to_text = [](NodeId id) { return fmt::format("{}", id.value()); };
  return folder_of(
      {{"brokers", [&image, to_text] { return leaves_of(image.brokers(), to_text, node_id_of); }},
       {"controllers",
        [&image, to_text] { return leaves_of(image.controllers(), to_text, node_id_of); }}});
}

Node features_node(const Image& image) {
  static constexpr std::string_view kVersion = "metadataVersion", kFinalized = "finalized_";
  return folder(
      [&image] {
        Names names{std::string(kVersion)};
        for (const auto& [name, level] : image.features())
          if (name != metadata::kMetadataVersion)
            names.push_back(fmt::format("{}{}", kFinalized, name));
        return names;
      },
      [&image](const std::string& name) -> Child {
        if (name == kVersion)
          return leaf(
              fmt::format("Optional[{}]", release_of_level(image.metadata_version())->name));
        if (!name.starts_with(kFinalized)) return std::nullopt;
        const std::string feature = name.substr(kFinalized.size());
        const bool other = feature != metadata::kMetadataVersion;
        return leaf(fmt::format("{}", other ? image.feature_level(feature) : 0));
      });
}

Node topic_node(const metadata::Topic& topic) {
  return folder(
      [&topic] {
        Names names{"name", "id"};
        for (size_t i = 0; i < topic.partitions.size(); ++i) names.push_back(fmt::format("{}", i));
        return names;
      },
      [&topic](const std::string& name) -> Child {
        if (name == "name") return leaf(topic.name);
        if (name == "id") return leaf(topic.id.to_string());
        const auto index = parse_int(name);
        if (!index || *index < 0 || std::cmp_greater_equal(*index, topic.partitions.size()))
          return std::nullopt;
        return leaf(describe(topic.partitions[static_cast<size_t>(*index)]));
      });
}

Child topic_child(const metadata::Topic* topic) {
  return topic == nullptr ? Child{} : topic_node(*topic);
}

Node topics_node(const Image& image) {
  const auto by_name = [&image] {
    return folder(
        [&image] { return names_of(image.topics(), kAsItIs); },
        [&image](const std::string& name) { return topic_child(image.find_topic(name)); });
  };
  const auto by_id = [&image] {
    return folder(
        [&image] {
          Names names;
          for (const auto& [name, topic] : image.topics()) names.push_back(topic->id.to_string());
          return names;
        },
        [&image](const std::string& name) {
          const auto id = Uuid::parse(name);
          return id ? topic_child(image.find_topic(*id)) : Child{};
        });
  };
  return folder_of({{"byName", by_name}, {"byId", by_id}});
}

struct ResourceType {
  metadata::ConfigResourceType type;
  std::string_view name;
};

// In the order in which a name is looked at: one begins another.
constexpr ResourceType kResourceTypes[] = {
    {metadata::ConfigResourceType::kGroup, "GROUP"},
    {metadata::ConfigResourceType::kClientMetrics, "CLIENT_METRICS"},
    {metadata::ConfigResourceType::kBroker, "BROKER"},
    {metadata::ConfigResourceType::kTopic, "TOPIC"}};

std::string resource_name(const metadata::ConfigResource& resource) {
  std::string_view type;
  for (const auto& each : kResourceTypes)
    if (each.type == resource.type) type = each.name;
  return resource.name.empty() ? std::string(type) : fmt::format("{}:{}", type, resource.name);
}

std::optional<metadata::ConfigResource> resource_of(std::string_view name) {
  for (const auto& [type, type_name] : kResourceTypes) {
    if (!name.starts_with(type_name)) continue;
    const std::string_view rest = name.substr(type_name.size());
    if (!rest.empty() && rest.front() != ':') return std::nullopt;
    return metadata::ConfigResource{type, std::string(rest.empty() ? rest : rest.substr(1))};
  }
  return std::nullopt;
}

Node config_node(const metadata::ConfigMap& configs) {
  return folder([&configs] { return names_of(configs, kAsItIs); },
                [&configs](const std::string& name) -> Child {
                  const auto found = configs.find(name);
                  return found == configs.end() ? Child{} : leaf(found->second);
                });
}

Node configs_node(const Image& image) {
  return folder([&image] { return names_of(image.all_configs(), resource_name); },
                [&image](const std::string& name) -> Child {
                  const auto resource = resource_of(name);
                  if (!resource) return std::nullopt;
                  const auto found = image.all_configs().find(*resource);
                  return found == image.all_configs().end() ? Child{} : config_node(found->second);
                });
}

// In the order of a name's parts.
struct EntityType {
  const char* type;
  std::string_view name;
};
constexpr EntityType kEntityTypes[] = {{metadata::kQuotaClientId, "clientId"},
                                       {metadata::kQuotaIp, "ip"},
                                       {metadata::kQuotaUser, "user"}};

// What is of all of a type has no part: "" is who has a quota by default.
std::string entity_name(const metadata::QuotaEntity& entity) {
  std::string text;
  for (const auto& [type, name] : kEntityTypes) {
    const auto part = entity.find(type);
    if (part == entity.end() || !part->second) continue;
    text += fmt::format("{}{}(", text.empty() ? "" : "_", name);
    for (const char c : *part->second) {
      if (c == '\\' || c == '(' || c == ')') text += '\\';
      text += c;
    }
    text += ')';
  }
  return text;
}

class EntityReader {
 public:
  explicit EntityReader(std::string_view text) : rest_(text) {}

  std::optional<metadata::QuotaEntity> read() {
    metadata::QuotaEntity entity;
    for (;;) {
      if (!part(entity)) return std::nullopt;
      if (rest_.empty()) return entity;
      if (!skip("_")) return std::nullopt;
    }
  }

 private:
  bool skip(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }

  bool part(metadata::QuotaEntity& entity) {
    for (const auto& [type, name] : kEntityTypes)
      if (skip(fmt::format("{}(", name))) return value(entity[type].emplace());
    return false;
  }

  bool value(std::string& into) {
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == ')') return true;
      if (c == '\\' && rest_.empty()) return false;
      into += c == '\\' ? rest_.front() : c;
      if (c == '\\') rest_.remove_prefix(1);
    }
    return false;
  }

  std::string_view rest_;
};

Node quota_node(const metadata::QuotaValues& values) {
  return folder([&values] { return names_of(values, kAsItIs); },
                [&values](const std::string& name) -> Child {
                  const auto found = values.find(name);
                  return found == values.end() ? Child{} : leaf(java_double(found->second));
                });
}

Node quotas_node(const Image& image) {
  static const metadata::ClientQuotas kNone;
  const auto& quotas = image.client_quotas() ? image.client_quotas()->all() : kNone.all();
  Node node = folder([&quotas] { return names_of(quotas, entity_name); },
                     [&quotas](const std::string& name) -> Child {
                       const auto entity = EntityReader(name).read();
                       const auto found = entity ? quotas.find(*entity) : quotas.end();
                       return found == quotas.end() ? Child{} : quota_node(found->second);
                     });
  node.java_class = "org.apache.kafka.image.node.ClientQuotasImageNode";
  return node;
}

// Records by what they are named by here.
struct Secrets {
  std::map<Uuid, const wire::AccessControlEntryRecord&> acls;
  std::map<std::string, const wire::UserScramCredentialRecord&> sha_256, sha_512;
  std::map<std::string, const wire::DelegationTokenRecord&> tokens;

  explicit Secrets(const Image& image) {
    for (const auto& [key, record] : image.kept_records())
      if (const auto* acl = std::get_if<wire::AccessControlEntryRecord>(&record)) {
        acls.emplace(acl->id, *acl);
      } else if (const auto* token = std::get_if<wire::DelegationTokenRecord>(&record)) {
        tokens.emplace(token->token_id, *token);
      } else if (const auto* user = std::get_if<wire::UserScramCredentialRecord>(&record)) {
        if (user->mechanism == 1) sha_256.emplace(user->name, *user);
        if (user->mechanism == 2) sha_512.emplace(user->name, *user);
      }
  }
};

std::optional<Uuid> uuid_of(const std::string& name) {
  const auto id = Uuid::parse(name);
  return id ? std::optional(*id) : std::nullopt;
}
std::optional<std::string> text_of(const std::string& name) { return name; }

std::vector<Entry> secret_entries(const std::shared_ptr<const Secrets>& secrets) {
  const auto users = [secrets](const auto& map) { return leaves_of(map, kAsItIs, text_of); };
  const auto acls = [secrets] {
    return leaves_of(secrets->acls, [](const Uuid& id) { return id.to_string(); }, uuid_of);
  };
  return {{"acls", [acls] { return folder_of({{"byId", acls}}); }},
          {"scram",
           [secrets, users] {
             return folder_of({{"SCRAM-SHA-256", [=] { return users(secrets->sha_256); }},
                               {"SCRAM-SHA-512", [=] { return users(secrets->sha_512); }}});
           }},
          {"delegationToken", [secrets] { return leaves_of(secrets->tokens, kAsItIs, text_of); }}};
}

Node image_node(const Snapshot& snapshot) {
  const Image& image = snapshot.image;
  std::vector<Entry> entries = secret_entries(std::make_shared<const Secrets>(image));
  entries.push_back({"provenance", [&snapshot] { return leaf(describe(snapshot.provenance)); }});
  entries.push_back({"features", [&image] { return features_node(image); }});
  entries.push_back({"cluster", [&image] { return cluster_node(image); }});
  entries.push_back({"topics", [&image] { return topics_node(image); }});
  entries.push_back({"configs", [&image] { return configs_node(image); }});
  entries.push_back({"clientQuotas", [&image] { return quotas_node(image); }});
  entries.push_back(
      {"producerIds", [&snapshot] {
         const int64_t next =
             snapshot.tells_producer_ids ? snapshot.image.next_producer_id().value() : -1;
         return folder_of({{"nextProducerId", [next] { return leaf(fmt::format("{}", next)); }}});
       }});
  return folder_of(std::move(entries));
}

Node local_node() {
  return folder_of({{"version", [] { return leaf(std::string(kKafkaVersion)); }},
                    {"commitId", [] { return leaf("unknown"); }}});
}

}  // namespace

Node root_of(const Snapshot& snapshot) {
  return folder_of(
      {{"local", local_node}, {"image", [image = image_node(snapshot)] { return image; }}});
}

}  // namespace millrace::app::kafka::shell
