// kafka-features: the features of a cluster and their levels (KIP-584, KIP-778, KIP-1022).
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "app/kafka/admin.h"
#include "app/kafka/commands.h"
#include "app/kafka/scripts.h"
#include "app/kafka/text.h"
#include "app/releases.h"
#include "metadata/features.h"

namespace millrace::app::kafka {
namespace {

using Takes = Argument::Takes;

constexpr std::string_view kTerse = "org.apache.kafka.server.common.TerseException";

constexpr Argument kConnection[] = {
    {.name = "--bootstrap-server",
     .help = "Brokers to begin with: HOST:PORT, several between commas.",
     .connects = true},
    {.name = "--bootstrap-controller",
     .help = "Controllers to begin with: HOST:PORT, several between commas.",
     .connects = true},
    {.name = "--command-config", .help = "Properties file of the client."},
};
constexpr Argument kMetadata{.name = "--metadata",
                             .help = "Deprecated: a release, for metadata.version alone."};
constexpr Argument kRelease{.name = "--release-version",
                            .help = "A release, for all features: 4.3, 3.9-IV0."};
constexpr Argument kFeature{
    .name = "--feature", .help = "NAME=LEVEL of a feature; repeatable.", .repeatable = true};
constexpr Argument kUnsafe{
    .name = "--unsafe", .help = "Even where metadata may be lost.", .takes = Takes::kNothing};
constexpr Argument kDryRun{
    .name = "--dry-run", .help = "Asks whether it can be done.", .takes = Takes::kNothing};

constexpr Argument kDescribe[] = {{.name = "--node-id",
                                   .help = "The broker or controller to ask; else any.",
                                   .takes = Takes::kInteger}};
constexpr Argument kUpgrade[] = {kMetadata, kRelease, kFeature, kDryRun};
constexpr Argument kDowngrade[] = {kMetadata, kRelease, kFeature, kUnsafe, kDryRun};
constexpr Argument kDisable[] = {
    {.name = "--feature", .help = "Name of a feature; repeatable.", .repeatable = true},
    kUnsafe,
    kDryRun};
constexpr Argument kMapping[] = {kRelease};
constexpr Argument kDependencies[] = {{.name = "--feature",
                                       .help = "NAME=LEVEL of a feature; repeatable.",
                                       .required = true,
                                       .repeatable = true}};
constexpr CommandWords kCommands[] = {
    {"describe", "Shows features, what is supported and what is in force.", kDescribe},
    {"upgrade", "Raises levels of features.", kUpgrade},
    {"downgrade", "Lowers levels of features.", kDowngrade},
    {"disable", "Sets features to level 0.", kDisable},
    {"version-mapping", "Shows the features of a release.", kMapping},
    {"feature-dependencies", "Shows what a level of a feature needs.", kDependencies},
};
constexpr Program kProgram = {.name = "kafka-features",
                              .about = "Shows the features of a cluster, and changes them.",
                              .arguments = kConnection,
                              .commands = kCommands};

enum class Upgrade : int8_t { kUpgrade = 1, kSafeDowngrade = 2, kUnsafeDowngrade = 3 };
using Levels = std::map<std::string, int16_t>;

struct NameAndLevel {
  std::string name;
  int16_t level = 0;
};

Attempt<NameAndLevel> parse_name_and_level(const std::string& text) {
  constexpr std::string_view kRuntime = "java.lang.RuntimeException";
  const size_t equals = text.find('=');
  const std::string problem = fmt::format("Can't parse feature=level string {}: ", text);
  if (equals == std::string::npos) return thrown(kRuntime, problem + "equals sign not found.");
  const std::string digits = trimmed(text.substr(equals + 1));
  const auto level = parse_int(digits);
  if (!level || !std::in_range<int16_t>(*level))
    return thrown(kRuntime, fmt::format("{}unable to parse {} as a short.", problem, digits));
  return NameAndLevel{trimmed(text.substr(0, equals)), static_cast<int16_t>(*level)};
}

// "4.3.1" is 4.3.
Attempt<const Release*> release_called(const std::string& name) {
  const auto parts = split(name, '.');
  const auto* found = find_release(parts.size() > 2 ? parts[0] + "." + parts[1] : name);
  if (found != nullptr) return found;
  std::vector<std::string_view> names;
  for (const auto& each : releases()) names.push_back(each.name);
  return thrown(
      kTerse, fmt::format("Unknown metadata.version '{}'. Supported metadata.version are: {}", name,
                          fmt::join(names, ", ")));
}

// --- What needs no cluster

Attempt<> version_mapping(const Parsed& words) {
  const auto newest =
      release_of_level(metadata::find_feature(metadata::kMetadataVersion)->most)->name;
  const std::string name = words.value("--release-version").value_or(std::string(newest));
  ASSIGN_OR_RETURN(const Release* release, release_called(name));
  fmt::print("{}={} ({})\n", metadata::kMetadataVersion, release->level, name);
  for (const auto& each : feature_histories())
    fmt::print("{}={}\n", each.name, each.level_at(*release));
  return {};
}

Attempt<> tell_dependencies(const NameAndLevel& feature) {
  const auto& [name, level] = feature;
  if (name == metadata::kMetadataVersion) {
    const Release* release = release_of_level(level);
    if (release == nullptr)
      return thrown(kTerse, fmt::format("Unknown metadata.version {}", level));
    fmt::print("{}={} ({}) has no dependencies.\n", name, level, release->name);
    return {};
  }
  const auto known = feature_histories();
  const auto found = std::ranges::find(known, name, &FeatureHistory::name);
  if (found == known.end()) return thrown(kTerse, "Unknown feature: " + name);
  if (level < 0 || level > found->most)
    return illegal_argument(fmt::format("No feature:{} with feature level {}", name, level));
  if (level == 0 || found->needs == 0)
    fmt::print("{}={} has no dependencies.\n", name, level);
  else
    fmt::print("{}={} requires:\n    {}={} ({})\n", name, level, metadata::kMetadataVersion,
               found->needs, release_of_level(found->needs)->name);
  return {};
}

Attempt<> feature_dependencies(const Parsed& words) {
  for (const auto& text : words.values("--feature")) {
    ASSIGN_OR_RETURN(const auto feature, parse_name_and_level(text));
    RETURN_IF_ERROR(tell_dependencies(feature));
  }
  return {};
}

// --- describe

std::string level_text(const std::string& feature, int16_t level) {
  if (feature != metadata::kMetadataVersion) return std::to_string(level);
  const Release* release = release_of_level(level);
  return release == nullptr ? fmt::format("UNKNOWN {}", level) : std::string(release->name);
}

void print_features(const wire::ApiVersionsResponse& served) {
  Levels finalized;
  for (const auto& each : served.finalized_features) finalized[each.name] = each.max_version_level;
  auto features = served.supported_features;
  std::ranges::sort(features, {}, [](const auto& each) { return each.name; });
  const std::string epoch =
      served.finalized_features_epoch < 0 ? "-" : std::to_string(served.finalized_features_epoch);
  for (const auto& each : features)
    fmt::print(
        "Feature: {:<40}  SupportedMinVersion: {:<15}  SupportedMaxVersion: {:<15}  "
        "FinalizedVersionLevel: {:<15}  Epoch: {}\n",
        each.name, level_text(each.name, each.min_version), level_text(each.name, each.max_version),
        level_text(each.name, finalized[each.name]), epoch);
}

Attempt<> describe(const Properties& properties, const Parsed& words) {
  constexpr std::string_view kCall = "describeFeatures";
  const auto id = words.number("--node-id");
  if (id && *id < 0)
    return illegal_argument(fmt::format("Invalid node id {}: must be non-negative.", *id));
  const auto node = id ? std::optional(NodeId(static_cast<int32_t>(*id))) : std::nullopt;
  ASSIGN_OR_RETURN(auto admin, Admin::open(properties));
  NodeId to = kNoNode;
  if (admin->asks_controllers()) {
    ASSIGN_OR_RETURN(admin, as_executed(Admin::of_controller(properties, node, kCall)));
  } else if (node) {
    ASSIGN_OR_RETURN(const auto found, as_executed(admin->broker(*node, kCall)));
    to = found.node;
  }
  if (const auto reached = admin->reach(kCall); !reached)
    return std::unexpected(executed(reached.error()));
  const auto served = admin->session().api_versions(to);
  if (!served) return std::unexpected(executed(exception_of(served.error(), kCall)));
  print_features(*served);
  return {};
}

// --- upgrade, downgrade, disable

Attempt<> check_level(int16_t level, Upgrade type) {
  if (level == 0 && type == Upgrade::kUpgrade)
    return illegal_argument(
        "The upgradeType flag should be set to SAFE_DOWNGRADE or UNSAFE_DOWNGRADE when the "
        "provided maxVersionLevel:0 is < 1.");
  if (level < 0) return illegal_argument("Cannot specify a negative version level.");
  return {};
}

Attempt<> add(Levels& levels, const std::string& feature, int16_t level) {
  if (levels.emplace(feature, level).second) return {};
  return thrown("java.lang.RuntimeException",
                fmt::format("Feature {} was specified more than once.", feature));
}

Attempt<Levels> levels_of_release(const std::string& name, Upgrade type) {
  ASSIGN_OR_RETURN(const Release* release, release_called(name));
  Levels levels{{metadata::kMetadataVersion, release->level}};
  for (const auto& each : feature_histories())
    if (const int16_t level = each.level_at(*release); type != Upgrade::kUpgrade || level > 0)
      levels[std::string(each.name)] = level;
  return levels;
}

Attempt<Levels> levels_of(const Parsed& words, Upgrade type) {
  const auto release = words.value("--release-version"), alone = words.value("--metadata");
  if (release && (alone || words.has("--feature")))
    return thrown(kTerse, "Can not specify `release-version` with other feature flags.");
  if (release) return levels_of_release(*release, type);
  Levels levels;
  if (alone) {
    fmt::print(" `metadata` flag is deprecated and may be removed in a future release.\n");
    ASSIGN_OR_RETURN(const Release* found, release_called(*alone));
    levels[metadata::kMetadataVersion] = found->level;
  }
  for (const auto& text : words.values("--feature")) {
    ASSIGN_OR_RETURN(const auto feature, parse_name_and_level(text));
    RETURN_IF_ERROR(check_level(feature.level, type));
    RETURN_IF_ERROR(add(levels, feature.name, feature.level));
  }
  return levels;
}

Attempt<Levels> disabled_levels(const Parsed& words) {
  Levels levels;
  for (const auto& feature : words.values("--feature")) RETURN_IF_ERROR(add(levels, feature, 0));
  return levels;
}

// Those that are refused, with the reason.
using Refused = std::map<std::string, std::string>;

Refused ask_for(Admin& admin, const Levels& levels, Upgrade type, bool dry_run) {
  wire::UpdateFeaturesRequest request{.validate_only = dry_run};
  for (const auto& [feature, level] : levels)
    request.feature_updates.push_back({.feature = feature,
                                       .max_version_level = level,
                                       .upgrade_type = static_cast<int8_t>(type)});
  const auto response = admin.call("updateFeatures", std::move(request));
  Refused refused;
  if (!response || response->error_code != 0) {
    const std::string why =
        response ? exception_of(response->error_code, response->error_message).message
                 : response.error().message;
    for (const auto& [feature, level] : levels) refused[feature] = why;
    return refused;
  }
  for (const auto& each : response->results)
    if (each.error_code != 0)
      refused[each.feature] = exception_of(each.error_code, each.error_message).message;
  return refused;
}

Attempt<> update(Admin& admin, const Levels& levels, Upgrade type, const Parsed& words) {
  const std::string_view command = words.command();
  if (levels.empty())
    return thrown(kTerse, fmt::format("You must specify at least one feature to {}", command));
  for (const auto& [feature, level] : levels)
    if (trimmed(feature).empty()) return illegal_argument("Provided feature can not be empty.");
  const bool dry_run = words.has("--dry-run"), disables = command == "disable";
  const Refused refused = ask_for(admin, levels, type, dry_run);
  for (const auto& [feature, level] : levels) {
    const auto why = refused.find(feature);
    const std::string to = disables ? "" : fmt::format(" to {}", level);
    if (why != refused.end())
      fmt::print("{} {} {}{}. {}\n", dry_run ? "Can not" : "Could not", command, feature, to,
                 why->second);
    else
      fmt::print("{} {} {}d{}.\n", feature, dry_run ? "can be" : "was", command, to);
  }
  if (refused.empty()) return {};
  return thrown(kTerse,
                fmt::format("{} out of {} operation(s) failed.", refused.size(), levels.size()));
}

Attempt<> change(const Properties& properties, const Parsed& words) {
  auto type = words.has("--unsafe") ? Upgrade::kUnsafeDowngrade : Upgrade::kSafeDowngrade;
  if (words.command() == "upgrade") type = Upgrade::kUpgrade;
  ASSIGN_OR_RETURN(auto admin, Admin::open(properties));
  ASSIGN_OR_RETURN(const auto levels,
                   words.command() == "disable" ? disabled_levels(words) : levels_of(words, type));
  if (admin->asks_controllers() && !levels.empty()) {
    ASSIGN_OR_RETURN(admin, Admin::of_controller(properties, std::nullopt, "updateFeatures"));
  }
  return update(*admin, levels, type, words);
}

Attempt<> act(const Words& all) {
  ASSIGN_OR_RETURN(const auto words, Parsed::parse(kProgram, all));
  if (words.command() == "version-mapping") return version_mapping(words);
  if (words.command() == "feature-dependencies") return feature_dependencies(words);
  Properties properties;
  if (const auto path = words.value("--command-config")) {
    ASSIGN_OR_RETURN(properties, load_properties(*path));
  }
  const auto brokers = words.value("--bootstrap-server");
  const auto controllers = words.value("--bootstrap-controller");
  if (!brokers && !controllers)
    return argument_error("You must specify either --bootstrap-controller or --bootstrap-server.");
  properties.erase("bootstrap.servers");
  properties.erase("bootstrap.controllers");
  properties.emplace(brokers ? "bootstrap.servers" : "bootstrap.controllers",
                     brokers ? *brokers : *controllers);
  if (words.command() == "describe") return describe(properties, words);
  return change(properties, words);
}

}  // namespace

int features(const Words& words) {
  const auto done = act(words);
  std::fflush(stdout);
  if (done) return 0;
  const Ending& ending = done.error();
  if (ending.kind == Ending::Kind::kExit) return ending.status;
  if (is_argument_error(ending))
    fmt::print(stderr, "Command line error: {}. Type --help for help.", ending.message);
  else
    fmt::print(stderr, "{}\n", ending.message);
  return 1;
}

}  // namespace millrace::app::kafka
