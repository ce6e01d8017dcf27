#include "app/kafka/clients/tool_event.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "app/kafka/json_file.h"

namespace millrace::app::kafka::clients {

void tell_event(std::string_view name, const boost::json::object& more) {
  using std::chrono::system_clock;
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(system_clock::now().time_since_epoch());
  boost::json::object event{{"timestamp", now.count()}, {"name", name}};
  for (const auto& [key, value] : more) event[key] = value;
  const std::string line = java_json(event) + "\n";
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

Attempt<Properties> config_file_of(const Parsed& words, std::string_view deprecated) {
  const bool is_old = words.has(deprecated);
  if (is_old && words.has("--command-config"))
    return argument_error(
        fmt::format("Options {} and --command-config are mutually exclusive.", deprecated));
  if (is_old)
    fmt::print(
        "Option {} has been deprecated and will be removed in a future version. Use "
        "--command-config instead.\n",
        deprecated);
  const auto path = words.value(is_old ? deprecated : "--command-config");
  if (!path) return Properties{};
  auto loaded = load_properties(*path);
  if (!loaded) return argument_error(loaded.error().message);
  return loaded;
}

}  // namespace millrace::app::kafka::clients
