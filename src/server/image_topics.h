// What the metadata says of topics, for a group's coordinator.
#pragma once

#include <memory>
#include <utility>

#include "group/coordinator.h"
#include "metadata/image.h"

namespace millrace::server {

class ImageTopics final : public group::Topics {
 public:
  explicit ImageTopics(std::shared_ptr<const metadata::Image> image) : image_(std::move(image)) {}

  std::optional<Uuid> id_of(std::string_view name) const override {
    const metadata::Topic* topic = image_->find_topic(name);
    return topic ? std::optional(topic->id) : std::nullopt;
  }
  std::optional<std::string> name_of(const Uuid& id) const override {
    const metadata::Topic* topic = image_->find_topic(id);
    return topic ? std::optional(topic->name) : std::nullopt;
  }
  bool has_partition(std::string_view name, PartitionIndex partition) const override {
    const metadata::Topic* topic = image_->find_topic(name);
    return topic && partition.value() >= 0 &&
           std::cmp_less(partition.value(), topic->partitions.size());
  }

 private:
  std::shared_ptr<const metadata::Image> image_;
};

}  // namespace millrace::server
