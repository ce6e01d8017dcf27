// Configs of producers, consumers and admin clients, by the names that Apache Kafka gives them:
//   {{"bootstrap.servers", "localhost:9092"}, {"group.id", "readers"}}
// Values are text, as in a properties file; units are in the names (.ms) or Kafka's: sizes are
// bytes, truths are "true" and "false". What is not given is as in Apache Kafka's clients.
// A name that the client does not know, or a value that it does not take, is an Error of its
// constructor (INVALID_CONFIG) that names both; a name that is nearly one comes with that one.
// One config alone needs its type's name, Config{{"bootstrap.servers", "localhost:9092"}}: C++ sees
// two meanings otherwise.
// Which configs there are, with what they do: docs/run/library.md.
#pragma once

#include <map>
#include <string>

#include "millrace/export.h"

namespace millrace {
MILLRACE_INLINE namespace v0 {

using Config = std::map<std::string, std::string>;

}  // namespace v0
}  // namespace millrace
