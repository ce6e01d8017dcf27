#include "app/initial_controllers.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

namespace millrace::app {
namespace {

std::unexpected<Error> wrong(std::string_view voter, std::string_view problem) {
  return fail(Errc::kInvalid, fmt::format("{} It is '{}'.", problem, voter));
}

std::optional<int32_t> number(std::string_view text) {
  int32_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
  return value;
}

// The text up to the first `mark`, which goes with it; nothing if there is none.
std::optional<std::string_view> take_until(std::string_view& rest, char mark) {
  const size_t at = rest.find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view taken = rest.substr(0, at);
  rest.remove_prefix(at + 1);
  return taken;
}

// As Kafka writes an address of IPv6: eight groups, each without leading zeros.
std::string spelled_out(std::string_view host) {
  std::array<unsigned char, 16> bytes{};
  if (::inet_pton(AF_INET6, std::string(host).c_str(), bytes.data()) != 1) return std::string(host);
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 2)
    text += fmt::format("{}{:x}", i == 0 ? "" : ":", bytes[i] << 8 | bytes[i + 1]);
  return text;
}

// An address of IPv6 stands in brackets.
std::optional<std::string> take_host(std::string_view& rest) {
  const bool is_bracketed = rest.starts_with('[');
  if (is_bracketed) rest.remove_prefix(1);
  const auto host = take_until(rest, is_bracketed ? ']' : ':');
  if (!host) return std::nullopt;
  if (!is_bracketed) return std::string(*host);
  if (!rest.starts_with(':')) return std::nullopt;
  rest.remove_prefix(1);
  return spelled_out(*host);
}

Result<std::pair<NodeId, raft::Voter>> parse_voter(std::string_view voter,
                                                   const std::string& listener) {
  std::string_view rest = voter;
  const auto id = take_until(rest, '@');
  if (!id) return wrong(voter, "No @ found in dynamic voter string.");
  const auto node = number(*id);
  if (!node) return wrong(voter, "Failed to parse node id in dynamic voter string.");
  if (*node < 0)
    return wrong(voter, fmt::format("Invalid negative node id {} in dynamic voter string.", *node));
  const auto host = take_host(rest);
  if (!host) return wrong(voter, "No colon following hostname could be found.");
  const auto port_text = take_until(rest, ':');
  if (!port_text) return wrong(voter, "No colon following port could be found.");
  const auto port = number(*port_text);
  if (!port) return wrong(voter, "Failed to parse port in dynamic voter string.");
  if (*port < 0 || *port > std::numeric_limits<uint16_t>::max())
    return wrong(voter, fmt::format("Invalid port {} in dynamic voter string.", *port));
  const auto directory = Uuid::parse(rest);
  if (!directory) return wrong(voter, "Failed to parse directory ID in dynamic voter string.");
  return std::pair{NodeId(*node),
                   raft::Voter{.directory_id = *directory,
                               .endpoints = {{listener, *host, static_cast<uint16_t>(*port)}}}};
}

}  // namespace

Result<raft::VoterSet> parse_initial_controllers(const std::string& text,
                                                 const std::string& listener) {
  raft::VoterSet set;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view all = rest;
    std::string_view voter = take_until(rest, ',').value_or(all);
    if (voter.size() == all.size()) rest = {};
    while (voter.starts_with(' ')) voter.remove_prefix(1);
    while (voter.ends_with(' ')) voter.remove_suffix(1);
    if (voter.empty()) continue;
    ASSIGN_OR_RETURN(auto parsed, parse_voter(voter, listener));
    const NodeId id = parsed.first;
    if (!set.voters.insert(std::move(parsed)).second)
      return fail(Errc::kInvalid, fmt::format("Node id {} was specified more than once.", id));
  }
  if (set.voters.empty()) return fail(Errc::kInvalid, "No voters given.");
  return set;
}

}  // namespace millrace::app
