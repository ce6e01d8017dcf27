// The metadata image that this node acts on: replaced as a whole, read from every shard.
#pragma once

#include <memory>
#include <shared_mutex>

#include "metadata/image.h"

namespace millrace::node {

class PublishedImage {
 public:
  std::shared_ptr<const metadata::Image> load() const {
    std::shared_lock lock(mutex_);
    return image_;
  }
  void store(std::shared_ptr<const metadata::Image> image) {
    std::unique_lock lock(mutex_);
    image_.swap(image);
  }

 private:
  mutable std::shared_mutex mutex_;
  std::shared_ptr<const metadata::Image> image_ = std::make_shared<metadata::Image>();
};

}  // namespace millrace::node
