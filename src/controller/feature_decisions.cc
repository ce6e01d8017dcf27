// UpdateFeatures (KIP-584): which level a feature may go to.
#include <fmt/format.h>

#include "controller/controller.h"
#include "metadata/features.h"

namespace millrace::controller {
namespace {

using wire::ErrorCode;

enum UpgradeType : int8_t { kUpgrade = 1, kSafeDowngrade = 2, kUnsafeDowngrade = 3 };

constexpr const char* kMinIsr = "min.insync.replicas";

}  // namespace

// Version 0 has no upgrade type: its flag for downgrades is not looked at, as in Apache Kafka.
std::optional<std::string> Controller::feature_problem(
    const wire::UpdateFeaturesRequest::FeatureUpdateKey& update, bool upgrade_only) const {
  const int8_t type = upgrade_only ? kUpgrade : update.upgrade_type;
  const int16_t level = update.max_version_level;
  auto invalid = [&](std::string_view why) {
    return fmt::format("Invalid update version {} for feature {}. {}", level, update.feature, why);
  };
  if (type < kUpgrade || type > kUnsafeDowngrade)
    return invalid("The controller does not support the given upgrade type.");
  if (level < 0) return invalid("A feature version cannot be less than 0.");
  const metadata::SupportedFeature* known = metadata::find_feature(update.feature);
  const int64_t self = properties_->number("node.id");
  if (known == nullptr)
    return invalid(fmt::format("Local controller {} does not support this feature.", self));
  if (level < known->least || level > known->most)
    return invalid(fmt::format("Local controller {} only supports versions {}-{}", self,
                               known->least, known->most));
  for (const auto& [id, broker] : image_.brokers())
    for (const auto& theirs : broker.registration.features)
      if (theirs.name == update.feature &&
          (level < theirs.min_supported_version || level > theirs.max_supported_version))
        return invalid(fmt::format("Broker {} only supports versions {}-{}", id,
                                   theirs.min_supported_version, theirs.max_supported_version));
  const bool of_quorum = update.feature == metadata::kKraftVersion;
  auto found = image_.features().find(update.feature);
  const int16_t now = of_quorum                          ? kraft_version_
                      : found == image_.features().end() ? int16_t{0}
                                                         : found->second;
  if (level < now && type == kUpgrade)
    return invalid(
        "Can't downgrade the version of this feature without setting the upgrade type "
        "to either safe or unsafe downgrade.");
  if (level > now && type != kUpgrade) return invalid("Can't downgrade to a newer version.");
  if (of_quorum && level < now) return invalid("Can't downgrade the version of this feature.");
  if (of_quorum && level > now)
    return invalid("The quorum of this version of Millrace does not change its kraft.version.");
  if (update.feature == metadata::kMetadataVersion && level < now)
    return fmt::format("Unsupported metadata.version downgrade from {} to {}. {}", now, level,
                       type == kUnsafeDowngrade
                           ? "Unsafe metadata downgrade is not supported in this version."
                           : "Refusing to perform the requested downgrade because it might delete "
                             "metadata information.");
  return std::nullopt;
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
  for (const auto& update : request.feature_updates)
    if (auto problem = feature_problem(update, version == 0)) {
      decided.response.error_code = wire::code_of(ErrorCode::kInvalidUpdateVersion);
      decided.response.error_message =
          "The update failed for all features since the following feature had an error: " +
          *problem;
      return decided;
    }
  std::map<std::string, int16_t> levels = image_.features();
  levels[metadata::kKraftVersion] = kraft_version_;
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
