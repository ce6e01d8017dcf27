#include "app/first_features.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "metadata/features.h"

namespace millrace::app {
namespace {

// By level, from metadata::kOldestMetadataVersion on.
constexpr std::array<std::string_view, 24> kReleases = {
    "3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2",
    "3.7-IV0", "3.7-IV1", "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0", "4.0-IV0",
    "4.0-IV1", "4.0-IV2", "4.0-IV3", "4.1-IV0", "4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0"};
static_assert(metadata::kOldestMetadataVersion + kReleases.size() - 1 ==
              metadata::kLatestMetadataVersion);

// The release with which a feature's level became the one that new clusters get.
struct Since {
  std::string_view feature;
  std::string_view release;
};
constexpr Since kSince[] = {{"group.version", "4.0-IV0"},
                            {"transaction.version", "4.0-IV2"},
                            {metadata::kElrVersion, "4.1-IV0"},
                            {"share.version", "4.2-IV0"},
                            {"streams.version", "4.2-IV1"}};

int16_t level_at(size_t index) {
  return static_cast<int16_t>(metadata::kOldestMetadataVersion + index);
}

// Of "4.2" the last one that begins so.
std::optional<int16_t> level_of(std::string_view release) {
  for (size_t i = kReleases.size(); i-- > 0;)
    if (kReleases[i] == release || (release.find('-') == std::string_view::npos &&
                                    kReleases[i].starts_with(std::string(release) + "-")))
      return level_at(i);
  return std::nullopt;
}

Result<int16_t> release_level(const std::string& release) {
  if (release.empty()) return metadata::kLatestMetadataVersion;
  if (const auto level = level_of(release)) return *level;
  return fail(Errc::kInvalid, fmt::format("Unknown release '{}'. Supported releases are {} to {}.",
                                          release, kReleases.front(), kReleases.back()));
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
  ASSIGN_OR_RETURN(int16_t version, release_level(release));
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
  for (const auto& [name, since] : kSince)
    if (version >= *level_of(since))
      features.levels_[std::string(name)] = metadata::find_feature(name)->first_level;
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
  return kReleases[static_cast<size_t>(levels_.at(metadata::kMetadataVersion) -
                                       metadata::kOldestMetadataVersion)];
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
