#include "config/describe.h"

#include <algorithm>

namespace millrace::config {
namespace {

// Broker configs that mean the same in other units; the one that wins first.
std::vector<std::string> names_of(std::string_view name) {
  static const std::vector<std::vector<std::string>> kFamilies = {
      {"log.roll.ms", "log.roll.hours"},
      {"log.roll.jitter.ms", "log.roll.jitter.hours"},
      {"log.flush.interval.ms", "log.flush.scheduler.interval.ms"},
      {"log.retention.ms", "log.retention.minutes", "log.retention.hours"}};
  for (const auto& family : kFamilies)
    if (std::ranges::find(family, name) != family.end()) return family;
  return {std::string(name)};
}

std::optional<std::string> shown(const Definition* definition, std::string_view value) {
  if (definition == nullptr || definition->type == Type::kPassword) return std::nullopt;
  return canonical(*definition, value);
}

void add(std::vector<Synonym>& synonyms, const std::string& name, std::string_view value,
         Source source) {
  synonyms.push_back({name, shown(find_definition(Scope::kBroker, name), value), source});
}

// Every place that gives the broker config a value. What stands before its own name is about
// another one: Kafka leaves it out, and so a topic whose retention comes from
// log.retention.hours alone shows no synonym.
std::vector<Synonym> broker_chain(const BrokerLayers& layers, std::string_view name) {
  std::vector<Synonym> chain;
  const auto names = names_of(name);
  for (auto [values, source] : {std::pair(&layers.of_broker, Source::kDynamicBroker),
                                std::pair(&layers.of_cluster, Source::kDynamicDefaultBroker),
                                std::pair(&layers.file.values(), Source::kStaticBroker)})
    for (const auto& each : names)
      if (auto found = values->find(each); found != values->end())
        add(chain, each, found->second, source);
  for (const auto& each : names)
    if (const Definition* definition = find_definition(Scope::kBroker, each);
        definition && definition->default_value && !definition->internal)
      add(chain, each, definition->default_value, Source::kDefault);
  chain.erase(chain.begin(), std::ranges::find(chain, name, &Synonym::name));
  return chain;
}

Described described(const Definition& definition, std::vector<Synonym> synonyms) {
  return {.name = std::string(definition.name),
          .source = synonyms.empty() ? Source::kDefault : synonyms.front().source,
          .read_only = definition.scope == Scope::kBroker && definition.update == "read-only",
          .sensitive = definition.type == Type::kPassword,
          .type = type_id(definition.type),
          .documentation = definition.documentation,
          .synonyms = std::move(synonyms)};
}

// Of a topic or a group: its own value above the broker's.
std::vector<Described> describe_overrides(Scope scope, Source own, const BrokerLayers& layers,
                                          const Values& overrides) {
  const NodeProperties effective = layers.file.with_dynamic(layers.of_cluster, layers.of_broker);
  std::vector<Described> all;
  for (const Definition& definition : all_definitions()) {
    if (definition.scope != scope) continue;
    auto override = overrides.find(definition.name);
    const bool overridden = override != overrides.end();
    if (definition.internal && !overridden) continue;
    std::vector<Synonym> synonyms;
    if (overridden)
      synonyms.push_back({override->first, canonical(definition, override->second), own});
    const auto behind = split_list(definition.broker_configs);
    if (!behind.empty()) {
      auto chain = broker_chain(layers, behind.front());
      std::ranges::move(chain, std::back_inserter(synonyms));
    } else if (scope == Scope::kGroup) {
      synonyms.push_back(
          {std::string(definition.name), definition.default_value, Source::kDefault});
    }
    Described& entry = all.emplace_back(described(definition, std::move(synonyms)));
    entry.value =
        canonical(definition, overridden ? override->second : effective.topic_default(definition));
  }
  return all;
}

Described unknown(const std::string& name, std::vector<Synonym> synonyms) {
  return {.name = name,
          .source = synonyms.front().source,
          .read_only = true,
          .sensitive = true,
          .synonyms = std::move(synonyms)};
}

}  // namespace

std::vector<Described> describe_topic(const BrokerLayers& layers, const Values& overrides) {
  return describe_overrides(Scope::kTopic, Source::kDynamicTopic, layers, overrides);
}

std::vector<Described> describe_group(const BrokerLayers& layers, const Values& overrides) {
  return describe_overrides(Scope::kGroup, Source::kDynamicGroup, layers, overrides);
}

std::vector<Described> describe_client_metrics(const Values& values) {
  std::vector<Described> all;
  for (const Definition& definition : all_definitions()) {
    if (definition.scope != Scope::kClientMetrics) continue;
    std::vector<Synonym> synonyms;
    auto found = values.find(definition.name);
    if (found != values.end())
      synonyms.push_back(
          {found->first, canonical(definition, found->second), Source::kDynamicClientMetrics});
    Described& entry = all.emplace_back(described(definition, std::move(synonyms)));
    entry.value =
        canonical(definition, found != values.end() ? found->second : definition.default_value);
  }
  return all;
}

std::vector<Described> describe_broker(const BrokerLayers& layers) {
  const NodeProperties effective = layers.file.with_dynamic(layers.of_cluster, layers.of_broker);
  std::vector<Described> all;
  for (const Definition& definition : all_definitions()) {
    if (definition.scope != Scope::kBroker) continue;
    const bool has_value = effective.is_set(definition.name) || definition.default_value;
    if (definition.internal && !effective.is_set(definition.name)) continue;
    Described& entry =
        all.emplace_back(described(definition, broker_chain(layers, definition.name)));
    if (has_value) entry.value = shown(&definition, effective.text(definition.name));
  }
  Values unknown_names;
  for (const Values* layer : {&layers.of_broker, &layers.of_cluster, &layers.file.values()})
    for (const auto& [name, value] : *layer)
      if (!find_definition(Scope::kBroker, name)) unknown_names.emplace(name, value);
  for (const auto& [name, value] : unknown_names)
    all.push_back(unknown(name, broker_chain(layers, name)));
  std::ranges::sort(all, {}, &Described::name);
  return all;
}

std::vector<Described> describe_cluster(const BrokerLayers& layers) {
  std::vector<Described> all;
  for (const auto& [name, value] : layers.of_cluster) {
    const Definition* definition = find_definition(Scope::kBroker, name);
    std::vector<Synonym> synonyms{{name, shown(definition, value), Source::kDynamicDefaultBroker}};
    all.push_back(definition ? described(*definition, std::move(synonyms))
                             : unknown(name, std::move(synonyms)));
    all.back().value = shown(definition, value);
  }
  return all;
}

}  // namespace millrace::config
