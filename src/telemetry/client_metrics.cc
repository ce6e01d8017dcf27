#include "telemetry/client_metrics.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>

#include "base/crc32c.h"
#include "base/log.h"
#include "record/compression.h"
#include "wire/errors.h"

namespace millrace::telemetry {
namespace {

using wire::code_of;
using wire::ErrorCode;

constexpr const char* kAllMetrics = "*";
constexpr int32_t kDefaultInterval = 300'000;  // ms; as interval.ms has it
constexpr milliseconds kLeastMemory = seconds(60);
constexpr int kIntervalsOfMemory = 3;
// Uuids that Kafka gives a meaning of its own.
constexpr Uuid kMetadataTopic = Uuid::of_words({0, 1});

constexpr int8_t kAcceptedCodecs[] = {4, 3, 1, 2};  // zstd, lz4, gzip, snappy: the best first

// Kafka: of the metrics and the interval, mixed with the id.
int32_t subscription_id(const std::set<std::string>& metrics, int32_t interval_ms, const Uuid& id) {
  const std::string text = fmt::format("[{}]{}", fmt::join(metrics, ", "), interval_ms);
  return static_cast<int32_t>(crc32c(as_bytes(text)) ^
                              static_cast<uint32_t>(std::hash<Uuid>{}(id)));
}

size_t bytes_of(const std::string& name, const Labels& labels) {
  constexpr size_t kNode = 64;
  size_t bytes = 2 * kNode + name.size();
  for (const auto& [key, value] : labels)
    bytes += kNode + 2 * sizeof(std::string) + key.size() + value.size();
  return bytes;
}

}  // namespace

void ClientMetrics::subscribe(const std::map<std::string, config::Values>& subscriptions) {
  subscriptions_.clear();
  ++version_;
  for (const auto& [name, configs] : subscriptions) {
    const auto value = [&](const char* config) {
      const auto at = configs.find(config);
      return at == configs.end() ? std::string() : at->second;
    };
    Subscription& made = subscriptions_[name];
    const auto metrics = config::split_list(value("metrics"));
    made.metrics.insert(metrics.begin(), metrics.end());
    const std::string interval = value("interval.ms");
    made.interval_ms =
        interval.empty() ? kDefaultInterval : static_cast<int32_t>(config::to_number(interval));
    for (const std::string& item : config::split_list(value("match")))
      if (auto match = config::ClientMatch::parse(item)) made.match.push_back(std::move(*match));
  }
}

bool ClientMetrics::matches(const Subscription& subscription, const ClientAttributes& attributes) {
  return std::ranges::all_of(subscription.match, [&](const config::ClientMatch& match) {
    const auto at = attributes.find(match.attribute());
    return at != attributes.end() && match.matches(at->second);
  });
}

void ClientMetrics::subscribe(const Uuid& id, Client& client) const {
  client.version = version_;
  client.metrics.clear();
  client.interval_ms = kDefaultInterval;
  for (const auto& [name, subscription] : subscriptions_) {
    if (!matches(subscription, client.attributes)) continue;
    client.metrics.insert(subscription.metrics.begin(), subscription.metrics.end());
    client.interval_ms = std::min(client.interval_ms, subscription.interval_ms);
  }
  if (client.metrics.contains(kAllMetrics)) client.metrics = {kAllMetrics};
  client.subscription_id = subscription_id(client.metrics, client.interval_ms, id);
  client.asked.reset();
  client.pushed.reset();
  client.is_ending = false;
  client.last_error = 0;
}

ClientMetrics::Client& ClientMetrics::client(const Uuid& id, const Asker& asker, Instant now) {
  forget_silent(now);
  const auto [at, is_new] = clients_.try_emplace(id);
  Client& client = at->second;
  if (is_new) {
    client.attributes = asker.attributes;
    client.attributes["client_instance_id"] = id.to_string();
  } else {
    by_end_.erase({client.forgotten_at, id});
  }
  if (client.version != version_) subscribe(id, client);
  client.forgotten_at =
      now + std::max(kLeastMemory, kIntervalsOfMemory * milliseconds(client.interval_ms));
  by_end_.emplace(client.forgotten_at, id);
  while (clients_.size() > kMaxClients) {
    const auto first = std::ranges::find_if(by_end_, [&](const auto& e) { return e.second != id; });
    forget(clients_.find(first->second));
  }
  return client;
}

void ClientMetrics::forget(Clients::iterator client) {
  by_end_.erase({client->second.forgotten_at, client->first});
  series_bytes_ -= client->second.series_bytes;
  clients_.erase(client);
}

void ClientMetrics::forget_silent(Instant now) {
  while (!by_end_.empty() && by_end_.begin()->first <= now)
    forget(clients_.find(by_end_.begin()->second));
}

wire::GetTelemetrySubscriptionsResponse ClientMetrics::get_subscriptions(
    const wire::GetTelemetrySubscriptionsRequest& request, const Asker& asker, Instant now) {
  const Uuid id =
      request.client_instance_id.is_zero() ? asker.fresh_id : request.client_instance_id;
  Client& known = client(id, asker, now);
  wire::GetTelemetrySubscriptionsResponse response;
  const auto last = std::max(known.asked, known.pushed);
  const bool is_due = !last || now - *last >= milliseconds(known.interval_ms);
  if (is_due) known.asked = now;
  // Whoever was told that it does not know may ask at once.
  const bool may_ask = is_due || known.last_error == code_of(ErrorCode::kUnknownSubscriptionId) ||
                       known.last_error == code_of(ErrorCode::kUnsupportedCompressionType);
  if (!may_ask) {
    ++counts_.throttled;
    response.error_code = code_of(ErrorCode::kThrottlingQuotaExceeded);
    return response;
  }
  known.last_error = 0;
  response.client_instance_id = id;
  response.subscription_id = known.subscription_id;
  response.accepted_compression_types.assign(std::begin(kAcceptedCodecs),
                                             std::end(kAcceptedCodecs));
  response.push_interval_ms = known.interval_ms;
  response.telemetry_max_bytes = max_push_bytes_;
  response.delta_temporality = true;
  response.requested_metrics.assign(known.metrics.begin(), known.metrics.end());
  return response;
}

int16_t ClientMetrics::problem_with(const wire::PushTelemetryRequest& request, Client& client,
                                    Instant now) {
  if (client.is_ending) return code_of(ErrorCode::kInvalidRequest);
  // The first push behind an answer comes at a time of the client's choice, lest all come at once.
  const bool is_due = client.asked > client.pushed || !client.pushed ||
                      now - *client.pushed >= milliseconds(client.interval_ms);
  if (is_due) client.pushed = now;
  if (!is_due && !request.terminating) {
    ++counts_.throttled;
    return code_of(ErrorCode::kThrottlingQuotaExceeded);
  }
  if (request.subscription_id != client.subscription_id) {
    ++counts_.unknown_subscriptions;
    return code_of(ErrorCode::kUnknownSubscriptionId);
  }
  if (!record::codec_of_id(static_cast<uint8_t>(request.compression_type)))
    return code_of(ErrorCode::kUnsupportedCompressionType);
  if (std::cmp_greater(request.metrics.size(), max_push_bytes_))
    return code_of(ErrorCode::kTelemetryTooLarge);
  return 0;
}

wire::PushTelemetryResponse ClientMetrics::push(const wire::PushTelemetryRequest& request,
                                                const Asker& asker, Instant now) {
  wire::PushTelemetryResponse response;
  const Uuid& id = request.client_instance_id;
  if (id.is_zero() || id == kMetadataTopic) {
    response.error_code = code_of(ErrorCode::kInvalidRequest);
    return response;
  }
  Client& known = client(id, asker, now);
  response.error_code = problem_with(request, known, now);
  known.is_ending = request.terminating;
  if (response.error_code == 0 && !request.metrics.empty() && !take(request, known))
    response.error_code = code_of(ErrorCode::kInvalidRecord);
  known.last_error = response.error_code;
  return response;
}

bool ClientMetrics::take(const wire::PushTelemetryRequest& request, Client& client) {
  const auto codec = record::codec_of_id(static_cast<uint8_t>(request.compression_type));
  ByteBuffer payload;
  auto samples = [&]() -> Result<std::vector<Sample>> {
    RETURN_IF_ERROR(
        record::decompress(*codec, request.metrics, static_cast<size_t>(max_push_bytes_), payload));
    return decode_metrics(payload);
  }();
  if (!samples) {
    ++counts_.refused_pushes;
    LOG_INFO("metrics of client {} cannot be read: {}", client.attributes["client_instance_id"],
             samples.error().message);
    return false;
  }
  for (Sample& sample : *samples) keep(std::move(sample), client);
  return true;
}

void ClientMetrics::keep(Sample sample, Client& client) {
  for (const char* name : {"client_id", "client_instance_id"})
    if (const auto at = client.attributes.find(name); at != client.attributes.end())
      sample.labels[name] = at->second;
  std::pair key(std::move(sample.name), std::move(sample.labels));
  auto at = client.series.find(key);
  if (at == client.series.end()) {
    const size_t bytes = bytes_of(key.first, key.second);
    if (series_bytes_ + bytes > kMaxSeriesBytes) {
      ++counts_.series_left_out;
      return;
    }
    series_bytes_ += bytes;
    client.series_bytes += bytes;
    at = client.series.emplace(std::move(key), Reading{}).first;
  }
  Reading& reading = at->second;
  reading.is_counter = sample.is_counter;
  reading.value = sample.value + (sample.is_delta ? reading.value : 0);
}

std::map<std::string, std::vector<Series>> ClientMetrics::series(Instant now) {
  forget_silent(now);
  std::map<std::string, std::vector<Series>> by_name;
  for (const auto& [id, client] : clients_)
    for (const auto& [key, reading] : client.series)
      by_name[key.first].push_back({key.second, reading});
  return by_name;
}

Counts ClientMetrics::counts() const {
  Counts counts = counts_;
  counts.clients = clients_.size();
  return counts;
}

}  // namespace millrace::telemetry
