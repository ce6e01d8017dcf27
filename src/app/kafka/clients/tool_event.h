// What the verifiable producer and consumer have in common: what they say, one JSON object a line
// with the time and a name first, and the file of configs that their words name.
// Threads: any.
#pragma once

#include <boost/json/object.hpp>
#include <string_view>

#include "app/kafka/admin.h"
#include "app/kafka/commands.h"

namespace millrace::app::kafka::clients {

void tell_event(std::string_view name, const boost::json::object& more = {});

// Of --command-config, or of `deprecated` ("--producer.config"), which is said to be so; empty
// without either. Errors: of arguments.
Attempt<Properties> config_file_of(const Parsed& words, std::string_view deprecated);

}  // namespace millrace::app::kafka::clients
