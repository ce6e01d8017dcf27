#include "config/client_match.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>

namespace millrace::config {
namespace {

constexpr int64_t kMaxMemory = 1 << 20;  // of a pattern and its automaton
constexpr std::array<std::string_view, 6> kAttributes = {
    "client_instance_id",    "client_id",         "client_software_name", "client_software_version",
    "client_source_address", "client_source_port"};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

re2::StringPiece piece_of(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

std::optional<ClientMatch> ClientMatch::parse(std::string_view item) {
  const size_t equals = item.find('=');
  if (equals == std::string_view::npos || equals + 1 == item.size() ||
      item.find('=', equals + 1) != std::string_view::npos)
    return std::nullopt;
  const std::string_view attribute = trimmed(item.substr(0, equals));
  if (std::ranges::find(kAttributes, attribute) == kAttributes.end()) return std::nullopt;
  re2::RE2::Options options(re2::RE2::Quiet);
  options.set_max_mem(kMaxMemory);
  auto pattern =
      std::make_shared<const re2::RE2>(piece_of(trimmed(item.substr(equals + 1))), options);
  if (!pattern->ok()) return std::nullopt;
  return ClientMatch(std::string(attribute), std::move(pattern));
}

bool ClientMatch::matches(std::string_view text) const {
  return re2::RE2::FullMatch(piece_of(text), *pattern_);
}

}  // namespace millrace::config
