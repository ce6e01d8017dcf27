#include "app/kafka/clients/config_reader.h"

namespace millrace::app::kafka::clients {

std::unexpected<Ending> config_exception(std::string message) {
  return thrown("org.apache.kafka.common.config.ConfigException", std::move(message));
}

Attempt<> ConfigReader::fine() const {
  const auto& read = library::ConfigReader::fine();
  if (!read) return config_exception(read.error().message);
  return {};
}

}  // namespace millrace::app::kafka::clients
