// library::ConfigReader with the exceptions that Kafka's clients throw.
#pragma once

#include <string>

#include "app/kafka/admin.h"
#include "library/config_reader.h"

namespace millrace::app::kafka::clients {

using library::milliseconds_of;

std::unexpected<Ending> config_exception(std::string message);

class ConfigReader : public library::ConfigReader {
 public:
  using library::ConfigReader::ConfigReader;
  // ConfigException: the first that was refused.
  Attempt<> fine() const;
};

}  // namespace millrace::app::kafka::clients
