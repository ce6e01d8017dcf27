#include "app/kafka/clients/console_properties.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "app/kafka/text.h"

namespace millrace::app::kafka::clients {
namespace {

std::string_view either(const Options& options, std::string_view newer, std::string_view older) {
  return options.has(older) ? older : newer;
}

Attempt<> check_one(const Options& options, std::string_view newer, std::string_view older) {
  if (options.has(older) && options.has(newer))
    return usage(fmt::format("Options --{} and --{} cannot be specified together.", older, newer));
  return {};
}

void warn(const Options& options, std::string_view newer, std::string_view older) {
  if (options.has(older))
    fmt::print(
        "Option --{} is deprecated and will be removed in a future version. Use --{} instead.\n",
        older, newer);
}

}  // namespace

Attempt<> check_property_options(const Options& options, std::string_view older_config) {
  RETURN_IF_ERROR(check_one(options, "command-property", "consumer-property"));
  RETURN_IF_ERROR(check_one(options, "command-config", older_config));
  warn(options, "command-property", "consumer-property");
  warn(options, "command-config", older_config);
  return {};
}

Attempt<ConsoleProperties> console_properties(const Options& options,
                                              std::string_view older_config) {
  ConsoleProperties found;
  if (const auto path = options.value(either(options, "command-config", older_config))) {
    ASSIGN_OR_RETURN(found.properties, load_properties(*path));
  }
  const Properties given = key_value_properties(
      options.values(either(options, "command-property", "consumer-property")));
  std::set<std::string> groups;
  if (const auto group = options.value("group")) groups.insert(*group);
  for (const Properties* each : {&std::as_const(found.properties), &given})
    if (const auto group = each->find("group.id"); group != each->end())
      groups.insert(group->second);
  if (groups.size() > 1)
    return usage(
        fmt::format("The group ids provided in different places (directly using '--group', via "
                    "'--consumer-property', or via '--{}') do not match. Detected group ids: '{}'",
                    older_config, fmt::join(groups, "', '")));
  if (!groups.empty()) found.group = *groups.begin();
  for (const auto& [name, value] : given) found.properties.insert_or_assign(name, value);
  return found;
}

}  // namespace millrace::app::kafka::clients
