// What a client's own assignment of replicas has to be, for new partitions and reassignments alike.
// Not here: assignments that the controller makes (placement).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "metadata/image.h"

namespace millrace::controller {

// Nothing, or what is wrong with the replicas of one partition, in Kafka's words.
std::optional<std::string> assignment_problem(const metadata::Image& image,
                                              std::vector<int32_t> broker_ids);

}  // namespace millrace::controller
