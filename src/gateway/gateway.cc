#include "gateway/gateway.h"

namespace millrace::gateway {
namespace {

constexpr std::string_view kWelcome =
    "Millrace, a node of a Kafka cluster.\n\n"
    "/livez     it runs\n"
    "/readyz    it serves clients\n"
    "/metrics   for Prometheus; ?partitions=1 adds a series for each partition\n";

}  // namespace

Gateway::Gateway(Parts parts)
    : parts_(std::move(parts)),
      http_(*parts_.host, [this](env::Shard& shard, const http::Request& request, Respond respond) {
        serve(shard, request, std::move(respond));
      }) {}

Result<> Gateway::listen(const env::Address& address) {
  RETURN_IF_ERROR(http_.listen(address));
  parts_.server->telemetry().open();
  return {};
}

void Gateway::serve(env::Shard& shard, const http::Request& request, Respond respond) {
  if (request.method != "GET" && request.method != "HEAD")
    return respond({.status = 405, .body = "only GET is served here\n"});
  if (request.path == "/") return respond({.body = std::string(kWelcome)});
  if (request.path == "/livez") return respond({.body = "ok\n"});
  if (request.path == "/readyz") return serve_readiness(shard, std::move(respond));
  if (request.path == "/metrics")
    return serve_metrics(shard, request.parameter("partitions") == "1", std::move(respond));
  respond({.status = 404, .body = "there is no " + request.path + "; / says what there is\n"});
}

void Gateway::serve_readiness(env::Shard& shard, Respond respond) {
  parts_.host->shard(0).post([this, &shard, respond = std::move(respond)]() mutable {
    shard.post([is_ready = is_ready_, respond = std::move(respond)]() mutable {
      if (is_ready) return respond({.body = "ok\n"});
      respond({.status = 503, .body = "this node does not serve clients\n"});
    });
  });
}

void Gateway::serve_metrics(env::Shard& shard, bool with_partitions, Respond respond) {
  auto waiting = std::make_shared<Respond>(std::move(respond));
  parts_.server->collect_statistics(
      parts_.host->shard(0), [this, &shard, with_partitions, waiting](const auto& statistics) {
        http::Response response{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                                .body = metrics_page({.node = parts_.node,
                                                      .server = &statistics,
                                                      .telemetry = &parts_.server->telemetry(),
                                                      .process = parts_.process(),
                                                      .is_ready = is_ready_,
                                                      .with_partitions = with_partitions})};
        shard.post([waiting, response = std::move(response)]() mutable {
          (*waiting)(std::move(response));
        });
      });
}

}  // namespace millrace::gateway
