// Lines of comma-separated values as the scripts export and import offsets.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace::app::kafka::groups {

// A cell is quoted when it is longer than 24 characters or has a character before '-'.
std::string csv_line(const std::vector<std::string>& cells);
std::vector<std::string> parse_csv_line(std::string_view line);

}  // namespace millrace::app::kafka::groups
