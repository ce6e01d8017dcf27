// What the metadata says of topics and of a group's configs, for the coordinator of groups.
// Not here: the metadata itself (metadata/image.h).
#pragma once

#include <memory>
#include <utility>

#include "config/properties.h"
#include "group/topics.h"
#include "metadata/image.h"

namespace millrace::node {

class ImageTopics final : public group::Topics {
 public:
  ImageTopics(std::shared_ptr<const metadata::Image> image,
              std::shared_ptr<const config::NodeProperties> settings)
      : image_(std::move(image)), settings_(std::move(settings)) {}

  std::optional<Uuid> id_of(std::string_view name) const override;
  std::optional<std::string> name_of(const Uuid& id) const override;
  bool has_partition(std::string_view name, PartitionIndex partition) const override;
  int32_t partition_count(std::string_view name) const override;
  std::vector<std::string> racks_of(std::string_view name, PartitionIndex partition) const override;
  void for_each_name(const std::function<void(const std::string&)>& visit) const override;
  int64_t version() const override { return image_->last_offset().value(); }
  int64_t max_batch_bytes() const override;
  group::GroupTimes times_of(std::string_view group_id) const override;
  group::GroupTimes share_times_of(std::string_view group_id) const override;
  group::StreamsSettings streams_settings_of(std::string_view group_id) const override;

 private:
  struct TimeNames;
  group::GroupTimes times_of(std::string_view group_id, const TimeNames& names) const;

  std::shared_ptr<const metadata::Image> image_;
  std::shared_ptr<const config::NodeProperties> settings_;
};

}  // namespace millrace::node
