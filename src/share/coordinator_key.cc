#include "share/coordinator_key.h"

#include <algorithm>
#include <charconv>

namespace millrace::share {
namespace {

Result<PartitionIndex> parse_partition(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  int32_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, number);
  if (problem != std::errc() || stop != end)
    return fail(Errc::kInvalid, fmt::format("'{}' is not the number of a partition", text));
  return PartitionIndex(number);
}

bool is_blank(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char each) { return each <= ' '; });
}

}  // namespace

std::string coordinator_key(const SharePartitionKey& key) {
  return fmt::format("{}:{}:{}", key.group, key.topic, key.partition);
}

Result<SharePartitionKey> parse_coordinator_key(std::string_view text) {
  const std::string_view whole = text;
  while (text.ends_with(':')) text.remove_suffix(1);  // as Java splits
  const size_t second = text.rfind(':');
  const size_t first =
      second == std::string_view::npos || second == 0 ? second : text.rfind(':', second - 1);
  if (second == std::string_view::npos || second == 0 || first == std::string_view::npos)
    return fail(Errc::kInvalid, fmt::format("'{}' is not group:topicId:partition", whole));
  SharePartitionKey key{.group = std::string(text.substr(0, first))};
  if (is_blank(key.group))
    return fail(Errc::kInvalid, fmt::format("'{}' begins with no group", whole));
  ASSIGN_OR_RETURN(key.topic, Uuid::parse(text.substr(first + 1, second - first - 1)));
  ASSIGN_OR_RETURN(key.partition, parse_partition(text.substr(second + 1)));
  return key;
}

}  // namespace millrace::share
