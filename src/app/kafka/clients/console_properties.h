// What the console consumers take of their configs: properties given one by one and in a file, each
// under a newer and an older name, and the group that they name.
// Not here: what the configs mean (app/kafka/clients/group_member.h, the scripts).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "app/kafka/admin.h"

namespace millrace::app::kafka::clients {

struct ConsoleProperties {
  Properties properties;             // those given one by one go before the file's
  std::optional<std::string> group;  // by --group or group.id
};

// `older_config`: what --command-config was called before. Refuses both names at once, and several
// groups.
Attempt<> check_property_options(const Options& options, std::string_view older_config);
Attempt<ConsoleProperties> console_properties(const Options& options,
                                              std::string_view older_config);

}  // namespace millrace::app::kafka::clients
