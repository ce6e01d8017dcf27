// JSON as the scripts read it from files and print it: partitions with offsets, elections,
// reassignments, log directories.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "app/kafka/ending.h"
#include "base/ids.h"

namespace millrace::app::kafka {

inline constexpr std::string_view kAdminOperationException =
    "org.apache.kafka.tools.AdminOperationException";
inline constexpr std::string_view kAdminCommandFailedException =
    "org.apache.kafka.tools.AdminCommandFailedException";

Attempt<std::string> read_file(const std::string& path);
// Nothing where the text is no JSON, or no object.
std::optional<boost::json::value> parse_json(std::string_view text);
std::optional<boost::json::object> parse_json_object(std::string_view text);

// What a value has to be; else a JsonMappingException.
Attempt<const boost::json::object*> object_in(const boost::json::value& value);
Attempt<const boost::json::array*> array_in(const boost::json::value& value);
Attempt<std::string> text_in(const boost::json::value& value);
Attempt<int32_t> int_in(const boost::json::value& value);
Attempt<int64_t> long_in(const boost::json::value& value);
// What an object has to have.
Attempt<const boost::json::value*> member_of(const boost::json::value& value,
                                             std::string_view name);

// As Jackson prints it.
std::string java_json(const boost::json::value& value);

// "topic" and "partition" of an object.
Attempt<TopicPartition> partition_of(const boost::json::value& value);

// {"version": 1, ...}: of another version an AdminOperationException. 1 where none is told.
Attempt<> check_version(const boost::json::value& value);

}  // namespace millrace::app::kafka
