#include "app/start.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "app/listeners.h"
#include "app/process_facts.h"
#include "app/session.h"
#include "app/topic.h"
#include "base/log.h"
#include "gateway/gateway.h"
#include "node/node.h"
#include "runtime/host.h"
#include "server/server.h"

namespace millrace::app {
namespace {

void write_log_line(log::Level level, std::string_view line) {
  static std::mutex mutex;
  const auto now = std::chrono::system_clock::now();
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  const std::time_t seconds_now = ms / 1000;
  std::tm utc{};
  ::gmtime_r(&seconds_now, &utc);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &utc);
  std::lock_guard lock(mutex);
  fmt::print(stderr, "[{},{:03}] {} {}\n", stamp, ms % 1000, log::level_name(level), line);
}

// What stops a start: what, why, what to try.
int refuse(const Error& error, std::string_view hint) {
  fmt::print(stderr, "millrace: cannot start: {}\n", error.message);
  if (!hint.empty()) fmt::print(stderr, "  {}\n", hint);
  return 1;
}

std::string_view hint_for_listening(Errc code) {
  if (code == Errc::kExists)
    return "Stop what uses the port, or choose another one in `listeners`.";
  return "Choose an address of this machine in `listeners`.";
}

std::string_view hint_for_directories(Errc code) {
  switch (code) {
    case Errc::kLocked:
      return "Stop the node that runs there, or choose another directory in log.dirs.";
    case Errc::kInvalid: return "Mend node.id, or choose another directory in log.dirs.";
    case Errc::kIo:
    case Errc::kNoSpace: return "Make the directory writable, or choose another one in log.dirs.";
    default: return "";
  }
}

// Of a file that is no good: those of Apache Kafka before 4.0 are met most often.
std::string_view hint_for_file(const StartOptions& options) {
  runtime::PosixDisk disk;
  const auto text = env::read_file(disk, options.properties_file);
  if (text && config::parse_properties(as_text(*text)).contains("zookeeper.connect"))
    return "There is no ZooKeeper any more: take out zookeeper.connect and broker.id, set node.id, "
           "process.roles=broker,controller and controller.listener.names.";
  return "Mend the configuration and start again.";
}

// What clients are told: advertised.listeners, else the listener itself; port 0 becomes the port it
// really has.
std::vector<metadata::Endpoint> advertised_endpoints(const Listeners& listeners,
                                                     const server::Server& server) {
  std::vector<metadata::Endpoint> endpoints;
  for (const auto& listener : listeners.brokers) {
    config::ListenerAddress shown = listener;
    for (const auto& each : listeners.advertised)
      if (each.name == listener.name) shown = each;
    if (shown.host.empty() || shown.host == "0.0.0.0") {
      char host[256] = "localhost";
      ::gethostname(host, sizeof host - 1);
      shown.host = host;
    }
    if (shown.port == 0) shown.port = server.port_of(listener.name);
    endpoints.push_back({shown.name, shown.host, shown.port});
  }
  return endpoints;
}

size_t shard_count(const config::NodeProperties& properties) {
  const int64_t asked = properties.number("millrace.shards");
  return asked > 0 ? static_cast<size_t>(asked) : std::max(1U, std::thread::hardware_concurrency());
}

// This program, as a shell in the same folder calls it.
std::string own_path() {
  const std::string path = program_path();
  std::string here(4096, '\0');
  if (::getcwd(here.data(), here.size()) == nullptr) return path;
  here.resize(here.find('\0'));
  return path.starts_with(here + "/") ? path.substr(here.size() + 1) : path;
}

void announce(const node::Node& node, const std::vector<metadata::Endpoint>& endpoints,
              bool embedded) {
  fmt::print("[KafkaRaftServer nodeId={}] Kafka Server started\n", node.id());
  std::fflush(stdout);
  if (endpoints.empty()) return;
  const std::string address = fmt::format("{}:{}", endpoints[0].host, endpoints[0].port);
  const std::string to = address == Connect{}.bootstrap ? "" : " -b " + address;
  const std::string self = own_path();
  if (embedded)
    fmt::print(
        "\nMillrace listens on {0}. Try, in another terminal:\n\n"
        "  echo 'hello' | {1} produce first{2}\n"
        "  {1} consume first --offset start --until-end{2}\n"
        "  kcat -b {0} -L\n\nCtrl-C stops it.\n",
        address, self, to);
  std::fflush(stdout);
}

// Where nobody chose the address, a node does without it rather than not start: another one may
// have it.
Result<> listen_for_http(gateway::Gateway& gateway, const config::NodeProperties& properties) {
  const std::string name = "millrace.http.listener";
  const std::string text = properties.text(name);
  if (text.empty()) return {};
  ASSIGN_OR_RETURN(const auto parsed, config::parse_listeners(name, "HTTP://" + text));
  auto listening = gateway.listen({.host = parsed[0].host, .port = parsed[0].port});
  if (!listening && !properties.is_set(name)) {
    LOG_WARN("no metrics over HTTP: {}; {} chooses another address", listening.error().message,
             name);
    return {};
  }
  return listening;
}

// A node from its start to its end.
struct Running {
  runtime::Host* host;
  node::Node* node;
  server::Server* server;
  gateway::Gateway* gateway;
  bool stopping = false;
  int status = 0;

  void stop() {
    if (stopping) std::_Exit(1);  // the second one does not wait
    stopping = true;
    gateway->set_ready(false);
    LOG_INFO("stopping: what this node leads is given up; a second signal stops at once");
    node->leave([this] { server->drain([this] { host->stop(); }); });
  }
  void give_up(const Error& why) {
    status = refuse(why, "");
    stopping = true;
    host->stop();
  }
  int finish() {
    if (auto closed = node->close(); !closed) {
      LOG_ERROR("stopping: {}", closed.error().message);
      return 1;
    }
    LOG_INFO("stopped");
    return status;
  }
};

int run_start(const StartOptions& given, const std::vector<std::string>& overrides) {
  StartOptions options = given;
  for (const auto& pair : overrides) {
    auto setting = parse_setting(pair);
    if (!setting) return usage_error("--override takes NAME=VALUE", "start");
    options.overrides[setting->name] = setting->value;
  }
  return start(options);
}

}  // namespace

std::string program_path() {
  std::string path(4096, '\0');
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  if (length <= 0) return "millrace";
  path.resize(static_cast<size_t>(length));
  return path;
}

void add_start_arguments(Command& command, Command::Count files) {
  auto options = std::make_shared<StartOptions>();
  auto overrides = std::make_shared<std::vector<std::string>>();
  command.argument("FILE", options->properties_file,
                   files == Command::Count::kOne
                       ? "A server.properties"
                       : "A server.properties, as Apache Kafka takes it; without one a single "
                         "node listens on localhost:9092 and keeps its data in ./data",
                   files);
  command.option("--override", *overrides, "NAME=VALUE, stronger than the file; repeatable");
  command.runs([options, overrides] { return run_start(*options, *overrides); });
}

void add_start_command(Command& root) {
  auto command = root.add(
      "start", {"Starts a node.",
                "millrace start\nmillrace start server.properties --override log.dirs=data"});
  add_start_arguments(command, Command::Count::kOptional);
}

Result<config::NodeProperties> load_properties(const StartOptions& options) {
  config::Values values = config::NodeProperties::embedded_default();
  if (!options.properties_file.empty()) {
    runtime::PosixDisk disk;
    ASSIGN_OR_RETURN(auto text, env::read_file(disk, options.properties_file));
    values = config::parse_properties(as_text(text));
  }
  std::vector<std::string> variables;
  for (char** variable = ::environ; *variable != nullptr; ++variable)
    variables.emplace_back(*variable);
  for (auto& [name, value] : config::parse_environment(variables)) values[name] = value;
  for (const auto& [name, value] : options.overrides) values[name] = value;
  return config::NodeProperties::of(std::move(values));
}

int start(const StartOptions& options) {
  log::set_sink(write_log_line);
  auto properties = load_properties(options);
  if (!properties) return refuse(properties.error(), hint_for_file(options));
  for (const auto& name : properties->unknown())
    LOG_WARN("configuration {} is not known and has no effect", name);
  if (const auto names = properties->without_effect(); !names.empty())
    LOG_INFO("known to Apache Kafka and without effect here: {}", fmt::join(names, ", "));
  auto listeners = read_listeners(*properties);
  if (!listeners)
    return refuse(listeners.error(), "A listener looks like PLAINTEXT://localhost:9092.");

  runtime::Host host(shard_count(*properties));
  node::Node node(host, *properties);
  server::Server server(host, node);
  for (const auto* group : {&listeners->brokers, &listeners->controllers})
    for (const auto& listener : *group)
      if (auto listening = server.listen(listener); !listening)
        return refuse(listening.error(), hint_for_listening(listening.error().code));
  gateway::Gateway gateway(
      {.host = &host, .node = &node, .server = &server, .process = process_facts});
  if (auto listening = listen_for_http(gateway, *properties); !listening)
    return refuse(listening.error(), "Mend millrace.http.listener; empty: none.");
  for (auto& listener : listeners->controllers) listener.port = server.port_of(listener.name);
  const auto endpoints = advertised_endpoints(*listeners, server);
  Running running{&host, &node, &server, &gateway};
  auto opened = node.open({.advertised = endpoints,
                           .controller_endpoint = listeners->controller_endpoint(),
                           .cluster_id = options.cluster_id,
                           .failed = [&running](const Error& why) { running.give_up(why); }});
  if (!opened) return refuse(opened.error(), hint_for_directories(opened.error().code));
  host.on_signal([&](int) { running.stop(); });
  host.shard(0).post([&] {
    node.start([&](Result<> ready) {
      if (!ready) return running.give_up(ready.error());
      server.serve_clients();
      gateway.set_ready(true);
      announce(node, endpoints, options.properties_file.empty());
    });
  });
  host.run();
  return running.finish();
}

}  // namespace millrace::app
