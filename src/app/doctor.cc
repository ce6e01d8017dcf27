#include "app/doctor.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/connect.h"
#include "app/doctor_checks.h"

namespace millrace::app {
namespace {

using client::core::Destination;

constexpr int8_t kTopic = 2, kBroker = 4;  // the protocol's numbers of config resources
constexpr int32_t kPatienceSeconds = 5;    // with a broker that may not be reachable

bool is_of_this_machine(const std::string& bootstrap) {
  return std::ranges::any_of(std::vector<std::string>{"localhost:", "127.", "[::1]"},
                             [&](const auto& begin) { return bootstrap.starts_with(begin); });
}

Configs configs_of(const wire::describe_configs_response::DescribeConfigsResult& result) {
  Configs configs;
  for (const auto& each : result.configs) configs[each.name] = each.value.value_or("");
  return configs;
}

Outcome<> look_at_topics(Session& session, ClusterFacts& facts) {
  wire::DescribeConfigsRequest request;
  for (const auto& [name, topic] : facts.known.topics())
    request.resources.push_back({.resource_type = kTopic,
                                 .resource_name = name,
                                 .configuration_keys = kDoctorTopicConfigs});
  if (request.resources.empty()) return {};
  auto response = session.call_any(std::move(request));
  if (!response) return std::unexpected(Failure(response.error()));
  for (const auto& result : response->results)
    if (result.error_code == 0) facts.topics[result.resource_name] = configs_of(result);
  return {};
}

// A session of its own, which knows no other address of that broker.
void look_at_broker(NodeId id, const Connect& connect, ClusterFacts& facts) {
  const auto& at = facts.known.brokers().at(id);
  auto session =
      Session::open({.bootstrap = fmt::format("{}:{}", at.host, at.port),
                     .timeout_seconds = std::min(connect.timeout_seconds, kPatienceSeconds)});
  if (!session) {
    facts.unreachable[id] = session.error().problem;
    return;
  }
  if (const auto known = (*session)->look_up({}); !known) {
    facts.unreachable[id] = known.error().message;
    return;
  }
  wire::DescribeConfigsRequest request;
  request.resources.push_back({.resource_type = kBroker,
                               .resource_name = std::to_string(id.value()),
                               .configuration_keys = kDoctorBrokerConfigs});
  const auto configs = (*session)->call(Destination::to(id), std::move(request));
  if (!configs) {
    facts.unreachable[id] = configs.error().message;
    return;
  }
  for (const auto& result : configs->results) facts.brokers[id] = configs_of(result);
  wire::DescribeLogDirsRequest all;
  all.topics.reset();
  if (auto dirs = (*session)->call(Destination::to(id), std::move(all));
      dirs && dirs->error_code == 0)
    facts.log_dirs[id] = std::move(*dirs);
}

Outcome<ClusterFacts> look(const Connect& connect, Session& session) {
  auto known = session.look_up({.names = {}, .all = true});
  if (!known) return std::unexpected(Failure(known.error()));
  auto quorum = describe_quorum(session);
  if (!quorum) return std::unexpected(quorum.error());
  ClusterFacts facts{.asked_on_loopback = is_of_this_machine(connect.bootstrap),
                     .known = std::move(*known),
                     .quorum = std::move(*quorum),
                     .brokers = {},
                     .topics = {},
                     .log_dirs = {},
                     .unreachable = {}};
  if (auto looked = look_at_topics(session, facts); !looked) return std::unexpected(looked.error());
  for (const auto& [id, at] : facts.known.brokers()) look_at_broker(id, connect, facts);
  return facts;
}

Outcome<> examine(const Target& target, Session& session) {
  const auto facts = look(target.connect, session);
  if (!facts) return std::unexpected(facts.error());
  json::array rows;
  for (const Finding& finding : findings_in(*facts))
    rows.push_back(json::object{
        {"check", finding.check}, {"problem", finding.problem}, {"mend", finding.mend}});
  if (target.format() == OutputFormat::kJson) {
    constexpr std::string_view kColumns[] = {"check", "problem", "mend"};
    print_rows(target.format(), rows, kColumns);
  } else {
    for (const auto& row : rows)
      fmt::print("{}: {}.\n  Mend: {}\n", std::string_view(row.at("check").as_string()),
                 std::string_view(row.at("problem").as_string()),
                 std::string_view(row.at("mend").as_string()));
    if (rows.empty()) fmt::print("nothing is wrong with the configuration\n");
  }
  if (rows.empty()) return {};
  return std::unexpected(Failure(
      fmt::format("{} thing{} should be mended", rows.size(), rows.size() == 1 ? "" : "s"),
      "what stands beside each; millrace cluster status says whether the cluster is well now"));
}

}  // namespace

void add_doctor_command(Command& root) {
  auto command = root.add(
      "doctor",
      {"Looks for what is most often configured wrong, and says how to mend it; the exit status is "
       "1 then.",
       "millrace doctor\nmillrace doctor -b broker.example:9092 -o json"});
  auto target = std::make_shared<Target>();
  add_target(command, *target);
  command.runs([target] {
    return with_session(*target, [&](Session& session) { return examine(*target, session); });
  });
}

}  // namespace millrace::app
