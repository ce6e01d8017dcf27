#include "app/first_features.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "app/releases.h"
#include "metadata/features.h"

namespace millrace::app {
namespace {

const Release& newest() { return *release_of_level(metadata::kLatestMetadataVersion); }

Result<const Release*> asked_release(const std::string& name) {
  if (name.empty()) return &newest();
  const Release* found = find_release(name);
  if (found != nullptr && found->level <= newest().level) return found;
  return fail(Errc::kInvalid, fmt::format("Unknown release '{}'. Supported releases are {} to {}.",
                                          name, releases().front().name, newest().name));
}

struct Asked {
  std::string name;
  int16_t level = 0;
};

Result<Asked> parse_asked(const std::string& text) {
  const size_t equals = text.find('=');
  Asked asked{.name = text.substr(0, equals)};
  const char* end = text.data() + text.size();
  const char* begin = equals == std::string::npos ? end : text.data() + equals + 1;
  const auto [stop, error] = std::from_chars(begin, end, asked.level);
  if (error != std::errc{} || stop != end)
    return fail(Errc::kInvalid, fmt::format("'{}' is not NAME=LEVEL of a feature.", text));
  const metadata::SupportedFeature* feature = metadata::find_feature(asked.name);
  if (feature == nullptr) return fail(Errc::kInvalid, "Unsupported feature: " + asked.name);
  if (asked.level < feature->least || asked.level > feature->most)
    return fail(Errc::kInvalid,
                fmt::format("No feature:{} with feature level {}: {} to {} are.", asked.name,
                            asked.level, feature->least, feature->most));
  return asked;
}

}  // namespace

Result<FirstFeatures> FirstFeatures::of(const std::string& release,
                                        const std::vector<std::string>& asked) {
  ASSIGN_OR_RETURN(const Release* first, asked_release(release));
  int16_t version = first->level;
  std::vector<Asked> levels;
  for (const auto& text : asked) {
    ASSIGN_OR_RETURN(Asked each, parse_asked(text));
    if (each.name == metadata::kMetadataVersion && !release.empty())
      return fail(Errc::kInvalid,
                  "Use --release-version instead of --feature metadata.version=X to avoid "
                  "ambiguity.");
    if (each.name == metadata::kMetadataVersion) version = each.level;
    levels.push_back(std::move(each));
  }
  FirstFeatures features;
  features.levels_[metadata::kMetadataVersion] = version;
  for (const auto& each : feature_histories())
    if (each.name != metadata::kKraftVersion)
      features.levels_[std::string(each.name)] = each.level_at(*release_of_level(version));
  for (const auto& [name, level] : levels) {
    if (name == metadata::kKraftVersion)
      features.kraft_version_ = level;
    else
      features.levels_[name] = level;
  }
  std::erase_if(features.levels_, [](const auto& each) { return each.second == 0; });
  return features;
}

std::string_view FirstFeatures::release_name() const {
  return release_of_level(levels_.at(metadata::kMetadataVersion))->name;
}

std::vector<wire::MetadataRecord> FirstFeatures::records() const {
  std::vector<wire::MetadataRecord> records{wire::FeatureLevelRecord{
      .name = metadata::kMetadataVersion, .feature_level = levels_.at(metadata::kMetadataVersion)}};
  for (const auto& [name, level] : levels_)
    if (name != metadata::kMetadataVersion)
      records.push_back(wire::FeatureLevelRecord{.name = name, .feature_level = level});
  return records;
}

}  // namespace millrace::app
