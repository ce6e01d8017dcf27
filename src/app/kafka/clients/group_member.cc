#include "app/kafka/clients/group_member.h"

#include <fmt/format.h>

#include <span>

#include "app/kafka/text.h"

namespace millrace::app::kafka::clients {
namespace {

constexpr std::string_view kConfigException = "org.apache.kafka.common.config.ConfigException";
constexpr std::string_view kNotOfClassic[] = {"group.remote.assignor", "share.acknowledgement.mode",
                                              "share.acquire.mode"};
constexpr std::string_view kNotOfConsumer[] = {"partition.assignment.strategy",
                                               "heartbeat.interval.ms", "session.timeout.ms",
                                               "share.acknowledgement.mode", "share.acquire.mode"};

std::optional<std::string> given(const Properties& properties, std::string_view name) {
  const auto found = properties.find(name);
  if (found == properties.end() || trimmed(found->second).empty()) return std::nullopt;
  return found->second;
}

Attempt<> check_absent(const Properties& properties, std::span<const std::string_view> names,
                       std::string_view protocol) {
  std::vector<std::string_view> wrong;
  for (const auto name : names)
    if (given(properties, name)) wrong.push_back(name);
  if (wrong.empty()) return {};
  return thrown(kConfigException, fmt::format("{} cannot be set when group.protocol={}",
                                              fmt::join(wrong, ", "), protocol));
}

struct Number {
  std::string_view name;
  int32_t otherwise = 0;
  int32_t least = 0;
};

Attempt<int32_t> number(const Properties& properties, const Number& config) {
  const auto text = given(properties, config.name);
  if (!text) return config.otherwise;
  const auto value = parse_int(trimmed(*text));
  if (!value)
    return thrown(kConfigException,
                  fmt::format("Invalid value {} for configuration {}: Not a number of type INT",
                              *text, config.name));
  if (*value < config.least)
    return thrown(kConfigException,
                  fmt::format("Invalid value {} for configuration {}: Value must be at least {}",
                              *value, config.name, config.least));
  return *value;
}

Attempt<Duration> milliseconds_of(const Properties& properties, const Number& config) {
  ASSIGN_OR_RETURN(const int32_t ms, number(properties, config));
  return Duration(milliseconds(ms));
}

}  // namespace

Attempt<GroupMember> group_member(const Properties& properties) {
  const auto found = properties.find("group.protocol");
  const std::string protocol = found == properties.end() ? "classic" : lower_case(found->second);
  const auto instance_id = given(properties, "group.instance.id");
  if (protocol == "classic") {
    RETURN_IF_ERROR(check_absent(properties, kNotOfClassic, "CLASSIC"));
    client::core::MembershipOptions classic;
    classic.instance_id = instance_id;
    return classic;
  }
  if (protocol != "consumer")
    return thrown(kConfigException,
                  fmt::format("Invalid value {} for configuration group.protocol: String must be "
                              "one of (case insensitive): CONSUMER, CLASSIC",
                              found->second));
  RETURN_IF_ERROR(check_absent(properties, kNotOfConsumer, "CONSUMER"));
  client::core::ConsumerMembershipOptions member;
  member.instance_id = instance_id;
  member.rack_id = given(properties, "client.rack");
  member.server_assignor = given(properties, "group.remote.assignor");
  ASSIGN_OR_RETURN(member.rebalance_timeout,
                   milliseconds_of(properties, {"max.poll.interval.ms", 300'000, 1}));
  return member;
}

}  // namespace millrace::app::kafka::clients
