#include "controller/assignment.h"

#include <fmt/format.h>

#include <algorithm>

namespace millrace::controller {

std::optional<std::string> assignment_problem(const metadata::Image& image,
                                              std::vector<int32_t> broker_ids) {
  if (broker_ids.empty()) return "The manual partition assignment includes an empty replica list.";
  std::ranges::sort(broker_ids);
  for (size_t i = 0; i < broker_ids.size(); ++i) {
    if (!image.find_broker(NodeId(broker_ids[i])))
      return fmt::format(
          "The manual partition assignment includes broker {}, but no such broker is registered.",
          broker_ids[i]);
    if (i > 0 && broker_ids[i] == broker_ids[i - 1])
      return fmt::format("The manual partition assignment includes the broker {} more than once.",
                         broker_ids[i]);
  }
  return std::nullopt;
}

}  // namespace millrace::controller
