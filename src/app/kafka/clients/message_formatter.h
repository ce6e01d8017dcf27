// How the console consumers print a record: the formatters of Apache Kafka by their classes'
// names.
#pragma once

#include <functional>
#include <string>

#include "app/kafka/admin.h"
#include "client/core/consumed_record.h"

namespace millrace::app::kafka::clients {

// Adds the record's text.
using MessageFormatter =
    std::function<void(const client::core::ConsumedRecord& record, std::string& out)>;

inline constexpr std::string_view kDefaultFormatter =
    "org.apache.kafka.tools.consumer.DefaultMessageFormatter";

// ClassNotFoundException for a class that is not there.
Attempt<MessageFormatter> make_formatter(const std::string& name, const Properties& properties);

}  // namespace millrace::app::kafka::clients
