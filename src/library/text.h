// Text as configs and command lines take it apart.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace::library {

// As Java's String.split: trailing empty parts are left out.
std::vector<std::string> split(std::string_view text, char separator);
std::string trimmed(std::string_view text);
std::string lower_case(std::string_view text);
// The one of `words` that `word` was most likely meant to be; empty: none is near.
std::string nearest(std::string_view word, const std::vector<std::string_view>& words);

}  // namespace millrace::library
