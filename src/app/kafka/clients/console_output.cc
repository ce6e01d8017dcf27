#include "app/kafka/clients/console_output.h"

#include <fmt/format.h>

#include <cstdio>

namespace millrace::app::kafka::clients {

Attempt<MessageFormatter> formatter_of(const Options& options) {
  if (options.has("formatter-property") && options.has("property"))
    return usage("Options --property and --formatter-property cannot be specified together.");
  if (options.has("property"))
    fmt::print(
        "Option --property is deprecated and will be removed in a future version. Use "
        "--formatter-property instead.\n");
  Properties properties;
  if (const auto path = options.value("formatter-config")) {
    ASSIGN_OR_RETURN(properties, load_properties(*path));
  }
  if (const auto name = options.value("key-deserializer"))
    properties.insert_or_assign("key.deserializer", *name);
  if (const auto name = options.value("value-deserializer"))
    properties.insert_or_assign("value.deserializer", *name);
  const auto given = options.has("property") ? "property" : "formatter-property";
  for (auto& [name, value] : key_value_properties(options.values(given)))
    properties.insert_or_assign(name, value);
  auto formatter = make_formatter(*options.value("formatter"), properties);
  if (!formatter) return usage(formatter.error().message);
  return formatter;
}

bool write_out(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return true;
  fmt::print(stderr, "Unable to write to standard out, closing consumer.\n");
  return false;
}

void tell_end(std::string_view logger, std::string_view exception) {
  std::fflush(stdout);
  log_line("ERROR", "Error processing message, terminating consumer process: ", logger);
  fmt::print(stderr, "{}\n", exception);
}

std::unexpected<Ending> not_made(std::string_view logger, const Ending& why) {
  log_line("ERROR", "Unknown error when running consumer: ", logger);
  fmt::print(stderr, "{}\n", why.to_string());
  return ended(1);
}

}  // namespace millrace::app::kafka::clients
