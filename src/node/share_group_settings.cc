#include "node/share_group_settings.h"

namespace millrace::node {

ShareGroupSettings share_group_settings(const metadata::Image& image,
                                        const config::NodeProperties& settings,
                                        const std::string& group) {
  const auto& configs = image.configs({metadata::ConfigResourceType::kGroup, group});
  const auto number = [&](const std::string& name) {
    const auto set = config::group_number(configs, name, settings);
    return set ? *set : settings.number("group." + name);
  };
  const auto text = [&](const char* name) {
    const auto set = configs.find(name);
    return set == configs.end() ? std::string_view{} : std::string_view(set->second);
  };
  const std::string_view renews = text("share.renew.acknowledge.enable");
  return {
      .partition = {.record_lock = milliseconds(number("share.record.lock.duration.ms")),
                    .delivery_limit = static_cast<int32_t>(number("share.delivery.count.limit")),
                    .max_record_locks =
                        static_cast<int32_t>(number("share.partition.max.record.locks")),
                    .may_renew = renews.empty() || config::is_true(renews)},
      .reset = config::parse_offset_reset(text("share.auto.offset.reset"))
                   .value_or(config::OffsetReset{}),
      .committed_only = text("share.isolation.level") == "read_committed"};
}

}  // namespace millrace::node
