// UpdateFeatures (KIP-584): which level a feature may go to.
#include <fmt/format.h>

#include <algorithm>

#include "controller/controller.h"
#include "metadata/features.h"

namespace millrace::controller {
namespace {

using wire::ErrorCode;

enum UpgradeType : int8_t { kUpgrade = 1, kSafeDowngrade = 2, kUnsafeDowngrade = 3 };

constexpr const char* kMinIsr = "min.insync.replicas";

// Nothing, or how the features of another node do not do for the level.
template <class Features>
std::optional<std::string> lack_of(const Features& features,
                                   const wire::UpdateFeaturesRequest::FeatureUpdateKey& update) {
  int16_t least = 0, most = 0;
  for (const auto& theirs : features)
    if (theirs.name == update.feature) {
      least = theirs.min_supported_version;
      most = theirs.max_supported_version;
    }
  if (update.max_version_level >= least && update.max_version_level <= most) return std::nullopt;
  if (most == 0) return "does not support this feature.";
  return fmt::format("only supports versions {}-{}", least, most);
}

}  // namespace

// The voters of a static quorum, too, have to have said what they support.
std::optional<std::string> Controller::cluster_problem(const FeatureUpdate& update) const {
  const NodeId self(static_cast<int32_t>(properties_->number("node.id")));
  for (const auto& [id, broker] : image_.brokers())
    if (auto lack = lack_of(broker.registration.features, update))
      return fmt::format("Broker {} {}", id, *lack);
  if (image_.metadata_version() < metadata::kControllerRegistrationLevel) return std::nullopt;
  for (const auto& [id, controller] : image_.controllers()) {
    if (id == self) continue;
    if (auto lack = lack_of(controller.features, update))
      return fmt::format("Controller {} {}", id, *lack);
  }
  for (const std::string& voter : properties_->list("controller.quorum.voters")) {
    const NodeId id(std::atoi(voter.c_str()));
    if (id != self && !image_.controllers().contains(id))
      return fmt::format("controller {} has not registered, and may not support this feature", id);
  }
  return std::nullopt;
}

// Nothing, or why a level does not go with the others as they will be.
std::optional<std::string> Controller::dependency_problem(const FeatureWish& wish) {
  const FeatureUpdate& update = *wish.update;
  if (update.feature != metadata::kElrVersion || update.max_version_level == 0) return std::nullopt;
  const auto found = wish.levels->find(metadata::kMetadataVersion);
  if (found != wish.levels->end() && found->second >= metadata::kElrLevel) return std::nullopt;
  return fmt::format("{} could not be set to {} because it depends on {} level {}", update.feature,
                     update.max_version_level, metadata::kMetadataVersion, metadata::kElrLevel);
}

// Version 0 has no upgrade type: its flag for downgrades is not looked at, as in Apache Kafka.
std::optional<std::string> Controller::feature_problem(const FeatureWish& wish) const {
  const auto& update = *wish.update;
  const int16_t level = update.max_version_level, now = wish.now;
  auto invalid = [&](std::string_view why) {
    return fmt::format("Invalid update version {} for feature {}. {}", level, update.feature, why);
  };
  if (wish.type < kUpgrade || wish.type > kUnsafeDowngrade)
    return invalid("The controller does not support the given upgrade type.");
  if (level < 0) return invalid("A feature version cannot be less than 0.");
  const metadata::SupportedFeature* known = metadata::find_feature(update.feature);
  const int64_t self = properties_->number("node.id");
  if (known == nullptr)
    return invalid(fmt::format("Local controller {} does not support this feature.", self));
  if (level < known->least || level > known->most)
    return invalid(fmt::format("Local controller {} only supports versions {}-{}", self,
                               known->least, known->most));
  if (auto problem = cluster_problem(update)) return invalid(*problem);
  if (level < now && wish.type == kUpgrade)
    return invalid(
        "Can't downgrade the version of this feature without setting the upgrade type "
        "to either safe or unsafe downgrade.");
  if (level > now && wish.type != kUpgrade) return invalid("Can't downgrade to a newer version.");
  if (update.feature == metadata::kKraftVersion) {
    if (level < now) return invalid("Can't downgrade the version of this feature.");
    return level > now ? quorum_.upgrade_problem(level) : std::nullopt;
  }
  if (update.feature == metadata::kMetadataVersion) return metadata_downgrade_problem(wish);
  if (auto problem = dependency_problem(wish)) return invalid(*problem);
  return std::nullopt;
}

std::optional<std::string> Controller::metadata_downgrade_problem(const FeatureWish& wish) {
  const int16_t level = wish.update->max_version_level;
  const bool changed = std::ranges::any_of(
      metadata::kChangedMetadata, [&](int16_t each) { return each > level && each <= wish.now; });
  if (!changed) return std::nullopt;
  return fmt::format("Unsupported metadata.version downgrade from {} to {}. {}", wish.now, level,
                     wish.type == kUnsafeDowngrade
                         ? "Unsafe metadata downgrade is not supported in this version."
                         : "Refusing to perform the requested downgrade because it might delete "
                           "metadata information.");
}

// Eligible leader replicas rest on one min.insync.replicas for all brokers (KIP-966).
void Controller::add_min_isr_records(Records& records) const {
  constexpr auto kBroker = static_cast<int8_t>(metadata::ConfigResourceType::kBroker);
  for (const auto& [resource, configs] : image_.all_configs())
    if (resource.type == metadata::ConfigResourceType::kBroker && !resource.name.empty() &&
        configs.contains(kMinIsr))
      records.push_back(wire::ConfigRecord{.resource_type = kBroker,
                                           .resource_name = resource.name,
                                           .name = kMinIsr,
                                           .value = std::nullopt});
  if (!image_.configs({metadata::ConfigResourceType::kBroker, ""}).contains(kMinIsr))
    records.push_back(wire::ConfigRecord{
        .resource_type = kBroker, .name = kMinIsr, .value = properties_->text(kMinIsr)});
}

Decided<wire::UpdateFeaturesResponse> Controller::decide_update_features(
    const wire::UpdateFeaturesRequest& request, int16_t version) {
  Decided<wire::UpdateFeaturesResponse> decided;
  decided.response.error_message.reset();
  FeatureLevels levels = image_.features();
  levels[metadata::kKraftVersion] = quorum_.level();
  auto wanted = levels;
  for (const auto& update : request.feature_updates)
    wanted[update.feature] = update.max_version_level;
  for (const auto& update : request.feature_updates) {
    const FeatureWish wish{.update = &update,
                           .type = version == 0 ? int8_t{kUpgrade} : update.upgrade_type,
                           .now = levels[update.feature],
                           .levels = &wanted};
    const auto problem = feature_problem(wish);
    if (!problem) continue;
    decided.response.error_code = wire::code_of(ErrorCode::kInvalidUpdateVersion);
    decided.response.error_message =
        "The update failed for all features since the following feature had an error: " + *problem;
    return decided;
  }
  for (const auto& update : request.feature_updates) {
    decided.response.results.push_back({.feature = update.feature, .error_message = "NONE"});
    int16_t& level = levels[update.feature];
    if (level == update.max_version_level) continue;
    level = update.max_version_level;
    if (request.validate_only) continue;
    decided.records.push_back(
        wire::FeatureLevelRecord{.name = update.feature, .feature_level = level});
    if (update.feature == metadata::kElrVersion && level > 0) add_min_isr_records(decided.records);
  }
  return decided;
}

}  // namespace millrace::controller
