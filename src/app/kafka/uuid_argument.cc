#include "app/kafka/uuid_argument.h"

#include <fmt/format.h>

#include <cctype>

namespace millrace::app::kafka {

Attempt<Uuid> parse_uuid(std::string_view text) {
  constexpr size_t kLongest = 24, kBytes = 16;
  if (text.size() > kLongest)
    return illegal_argument(
        fmt::format("Input string with prefix `{}` is too long to be decoded as a base64 UUID",
                    text.substr(0, kLongest)));
  while (text.ends_with('=')) text.remove_suffix(1);
  for (const char c : text)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_')
      return illegal_argument(
          fmt::format("Illegal base64 character {:x}", static_cast<unsigned char>(c)));
  if (text.size() % 4 == 1) return illegal_argument("Last unit does not have enough valid bits");
  const size_t bytes = text.size() * 3 / 4;
  const auto id = Uuid::parse(text);
  if (id && bytes == kBytes) return *id;
  return illegal_argument(
      fmt::format("Input string `{}` decoded as {} bytes, which is not equal to the expected 16 "
                  "bytes of a base64-encoded UUID",
                  text, bytes));
}

}  // namespace millrace::app::kafka
