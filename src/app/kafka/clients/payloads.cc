#include "app/kafka/clients/payloads.h"

#include <fmt/format.h>

#include <filesystem>
#include <regex>

#include "app/kafka/json_file.h"

namespace millrace::app::kafka::clients {
namespace {

// Where the next delimiter begins and ends.
struct Found {
  size_t begin = std::string::npos;
  size_t end = std::string::npos;
};

class Delimiter {
 public:
  explicit Delimiter(const std::string& text) : text_(text) {
    constexpr std::string_view kSpecial = R"(\^$.|?*+()[]{})";
    if (text.find_first_of(kSpecial) != std::string::npos) regex_.emplace(text);
  }

  Found find(const std::string& in, size_t from) const {
    if (!regex_) {
      const size_t at = in.find(text_, from);
      return at == std::string::npos ? Found{} : Found{at, at + text_.size()};
    }
    std::smatch match;
    const auto begin = in.begin() + static_cast<ptrdiff_t>(from);
    if (!std::regex_search(begin, in.end(), match, *regex_)) return {};
    const size_t at = from + static_cast<size_t>(match.position());
    return {at, at + static_cast<size_t>(match.length())};
  }

 private:
  std::string text_;
  std::optional<std::regex> regex_;
};

// A delimiter before what comes next is passed over: one, and none behind the last.
std::vector<std::string> split_as_scanner(const std::string& text, const Delimiter& delimiter) {
  std::vector<std::string> parts;
  size_t at = 0;
  while (true) {
    auto found = delimiter.find(text, at);
    if (found.begin == at) {
      at = found.end;
      found = delimiter.find(text, at);
    }
    if (at == text.size()) return parts;
    parts.push_back(text.substr(at, found.begin - at));
    if (found.begin == std::string::npos) return parts;
    at = found.begin;
  }
}

}  // namespace

uint64_t Payloads::random() {
  state_ += 0x9E3779B97F4A7C15ULL;  // splitmix64
  uint64_t mixed = state_;
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
  return mixed ^ (mixed >> 31);
}

Attempt<ByteBuffer> Payloads::next(int64_t index) {
  if (!wish_.lines.empty()) return copy_of(as_bytes(wish_.lines[random() % wish_.lines.size()]));
  if (wish_.size) {
    constexpr size_t kAtOnce = 8;  // letters of one random number
    ByteBuffer letters(static_cast<size_t>(*wish_.size));
    for (size_t i = 0; i < letters.size(); i += kAtOnce) {
      uint64_t bits = random();
      for (size_t j = i; j < std::min(letters.size(), i + kAtOnce); ++j, bits >>= 8)
        letters[j] = static_cast<uint8_t>('A' + (((bits & 0xFF) * 26) >> 8));
    }
    return letters;
  }
  if (wish_.numbers) return copy_of(as_bytes(std::to_string(index)));
  return illegal_argument("No payload file, record size or payload-monotonic option provided.");
}

Attempt<std::vector<std::string>> read_payloads(const std::string& path,
                                                const std::string& delimiter) {
  fmt::print("Reading payloads from: {}\n", std::filesystem::absolute(path).string());
  const auto text = read_file(path);
  if (!text || text->empty())
    return illegal_argument("File does not exist or empty file provided.");
  try {
    auto lines = split_as_scanner(*text, Delimiter(delimiter));
    fmt::print("Number of records read: {}\n", lines.size());
    return lines;
  } catch (const std::regex_error& error) {
    return thrown("java.util.regex.PatternSyntaxException", error.what());
  }
}

}  // namespace millrace::app::kafka::clients
