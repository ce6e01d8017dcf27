// A partition where it is led, as the oracles find it that look at nodes from outside.
// Threads: one.
#pragma once

#include <functional>

#include "metadata/image.h"
#include "node/node.h"

namespace millrace::sim {

// The broker of this id; null: it cannot be asked.
using FindNode = std::function<node::Node*(NodeId)>;

struct Led {
  node::Node* node = nullptr;
  node::HostedPartition hosted;
};
// At its leader of the newest epoch that anybody knows of. Without a node: that one cannot be
// asked, or does not know yet.
Led led_partition(const TopicPartition& name, const metadata::Image& image, const FindNode& find);

}  // namespace millrace::sim
