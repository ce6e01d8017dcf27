// What this node acts on, replaced as a whole and read from every shard: the metadata image, and
// the node's configs with what was changed while it runs.
#pragma once

#include <memory>
#include <mutex>
#include <shared_mutex>

#include "metadata/image.h"

namespace millrace::node {

template <class T>
class Published {
 public:
  std::shared_ptr<const T> load() const {
    std::shared_lock lock(mutex_);
    return value_;
  }
  void store(std::shared_ptr<const T> value) {
    std::unique_lock lock(mutex_);
    value_.swap(value);
  }

 private:
  mutable std::shared_mutex mutex_;
  std::shared_ptr<const T> value_;
};

}  // namespace millrace::node
