// Names beside each other, in as many columns as fit.
// Not here: which names (the command ls).
#pragma once

#include <string>
#include <vector>

namespace millrace::app::kafka::shell {

// Into standard output, a column at a time; 0: one column.
void print_columns(const std::vector<std::string>& names, int screen_width);

}  // namespace millrace::app::kafka::shell
