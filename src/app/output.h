// How results are shown: rows and single objects are made once, as JSON values, and printed as a
// table for people or as JSON for programs.
// A column of a table is a key of the objects; its title is the key in capitals. What is absent,
// null or empty shows as '-', an array as its elements between commas.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <span>
#include <string>
#include <string_view>

namespace millrace::app {

namespace json = boost::json;

enum class OutputFormat { kTable, kJson };

using Columns = std::span<const std::string_view>;

// A table with a line of titles; as JSON an array of the objects, whole, one a line.
void print_rows(OutputFormat format, const json::array& rows, Columns columns);
// Lines of "name  value"; as JSON the object. Arrays of objects are left out of the lines.
void print_object(OutputFormat format, const json::object& object);
// One JSON value on a line of its own.
void print_line(const json::value& value);

// As JSON strings must be UTF-8: the text itself if it is, else its bytes in base64 (then `encoded`
// is set).
struct JsonText {
  std::string text;
  bool encoded = false;
};
JsonText json_text(std::string_view bytes);

}  // namespace millrace::app
