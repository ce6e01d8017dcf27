#include "library/client_configs.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "library/consumer_options.h"
#include "library/share_options.h"
#include "library/text.h"

namespace millrace::library {
namespace {

using Names = std::vector<std::string_view>;

struct Kind {
  std::string_view article;  // "a producer"
  Names names;
};

const Names kOfAll = {"bootstrap.servers", "client.id", "request.timeout.ms", "retry.backoff.ms",
                      "security.protocol"};

Names with_all(std::initializer_list<std::string_view> more) {
  Names names = kOfAll;
  names.insert(names.end(), more);
  return names;
}

const Kind& producer_kind() {
  static const Kind kKind{
      "a producer", with_all({"acks", "batch.size", "buffer.memory", "compression.gzip.level",
                              "compression.lz4.level", "compression.type", "compression.zstd.level",
                              "delivery.timeout.ms", "enable.idempotence", "linger.ms",
                              "max.block.ms", "max.in.flight.requests.per.connection",
                              "max.request.size", "transaction.timeout.ms", "transactional.id"})};
  return kKind;
}

const Kind& consumer_kind() {
  static const Kind kKind{
      "a consumer",
      with_all({"auto.commit.interval.ms", "auto.offset.reset", "client.rack",
                "default.api.timeout.ms", "enable.auto.commit", "fetch.max.bytes",
                "fetch.max.wait.ms", "fetch.min.bytes", "group.id", "group.instance.id",
                "group.protocol", "group.remote.assignor", "heartbeat.interval.ms",
                "isolation.level", "max.partition.fetch.bytes", "max.poll.interval.ms",
                "max.poll.records", "partition.assignment.strategy", "session.timeout.ms"})};
  return kKind;
}

const Kind& share_consumer_kind() {
  static const Kind kKind{
      "a share consumer",
      with_all({"client.rack", "default.api.timeout.ms", "fetch.max.bytes", "fetch.max.wait.ms",
                "fetch.min.bytes", "group.id", "max.poll.records", "share.acknowledgement.mode",
                "share.acquire.mode"})};
  return kKind;
}

const Kind& admin_kind() {
  static const Kind kKind{"an admin client", with_all({"default.api.timeout.ms"})};
  return kKind;
}

// What of these properties is no config of this kind of client.
Result<> check_names(const Properties& properties, const Kind& kind) {
  for (const auto& [name, value] : properties) {
    if (std::ranges::find(kind.names, name) != kind.names.end()) continue;
    for (const Kind* other : {&producer_kind(), &consumer_kind(), &share_consumer_kind()})
      if (std::ranges::find(other->names, name) != other->names.end())
        return fail(Errc::kInvalid, fmt::format("{} is a config of {}, not of {}", name,
                                                other->article, kind.article));
    const std::string meant = nearest(name, kind.names);
    return fail(Errc::kInvalid,
                fmt::format("Unknown configuration {} of {}{}", name, kind.article,
                            meant.empty() ? "" : fmt::format("; is it {}?", meant)));
  }
  return {};
}

void read_client(ConfigReader& reader, ClientConfigs& configs) {
  auto& options = configs.options;
  if (!reader.has("bootstrap.servers"))
    return reader.refuse(
        "Missing required configuration \"bootstrap.servers\" which has no default value.");
  const std::string servers = reader.text("bootstrap.servers", "");
  auto bootstrap = client::parse_bootstrap(servers);
  if (!bootstrap) return reader.refuse(servers, "bootstrap.servers", bootstrap.error().message);
  options.bootstrap = std::move(*bootstrap);
  options.client_id = reader.text("client.id", "millrace");
  options.software_version = MILLRACE_VERSION;
  const std::string protocol = reader.text("security.protocol", "PLAINTEXT");
  if (protocol != "PLAINTEXT")
    reader.refuse(protocol, "security.protocol", "only PLAINTEXT is there");
  options.request_timeout =
      milliseconds_of(reader.number("request.timeout.ms", 30'000, {.least = 1}));
  options.connect_timeout = std::min<Duration>(options.request_timeout, seconds(10));
  configs.retry_backoff = milliseconds_of(reader.long_number("retry.backoff.ms", 100));
  configs.api_timeout = milliseconds_of(reader.number("default.api.timeout.ms", 60'000));
}

void read_codec(ConfigReader& reader, client::core::ProducerOptions& options) {
  const std::string codec =
      reader.one_of("compression.type", "none", {"none", "gzip", "snappy", "lz4", "zstd"});
  for (uint8_t id = 0; const auto each = record::codec_of_id(id); ++id) {
    const std::string name = fmt::format("compression.{}.level", record::codec_name(*each));
    if (reader.has(name)) {
      constexpr int64_t kLeast = std::numeric_limits<int32_t>::min();
      const auto level = static_cast<int>(reader.number(name, 0, {.least = kLeast}));
      if (!record::level_is_valid(*each, level))
        reader.refuse(reader.text(name, ""), name, "it is no level of this codec");
      if (codec == record::codec_name(*each)) options.level = level;
    }
    if (codec == record::codec_name(*each)) options.codec = *each;
  }
}

void read_acks(ConfigReader& reader, client::core::ProducerOptions& options) {
  const std::string acks = reader.one_of("acks", "all", {"all", "-1", "0", "1"});
  options.acks = static_cast<int16_t>(acks == "0" ? 0 : acks == "1" ? 1 : -1);
  options.idempotent = reader.truth("enable.idempotence", true);
  if (options.acks != -1 && options.idempotent && reader.has("enable.idempotence"))
    reader.refuse(
        "Must set acks to all in order to use the idempotent producer. Otherwise we "
        "cannot guarantee idempotence.");
}

// Transactions are idempotent, which other configs may forbid.
void read_transaction(ConfigReader& reader, client::core::ProducerOptions& options) {
  const int64_t timeout = reader.number("transaction.timeout.ms", 60'000);
  if (!reader.has("transactional.id")) return;
  const std::string id = reader.text("transactional.id", "");
  if (id.empty()) reader.refuse(id, "transactional.id", "String must be non-empty");
  if (!options.idempotent || options.acks != -1)
    reader.refuse("Cannot set a transactional.id without also enabling idempotence.");
  options.transaction = {.id = id,
                         .timeout = milliseconds(timeout),
                         .retry_backoff = options.retry_backoff,
                         .patience = options.topic_patience};
}

void read_reset(ConfigReader& reader, client::core::FetcherOptions& options) {
  const std::string reset = lower_case(reader.text("auto.offset.reset", "latest"));
  if (reset == "earliest")
    options.reset = client::core::StartAt::earliest();
  else if (reset == "latest")
    options.reset = client::core::StartAt::latest();
  else if (reset == "none")
    options.reset.reset();
  else
    reader.refuse(reset, "auto.offset.reset", "it is earliest, latest or none");
}

// What the protocol of KIP-848 leaves to the broker may not be set with it, and vice versa.
void check_protocol(ConfigReader& reader, bool classic) {
  const auto names = classic ? Names{"group.remote.assignor"}
                             : Names{"heartbeat.interval.ms", "partition.assignment.strategy",
                                     "session.timeout.ms"};
  for (const auto name : names)
    if (reader.has(name))
      reader.refuse(fmt::format("{} cannot be set when group.protocol={}", name,
                                classic ? "classic" : "consumer"));
}

void read_group(ConfigReader& reader, ConsumerConfigs& configs) {
  const std::string protocol = lower_case(reader.text("group.protocol", "classic"));
  if (protocol != "classic" && protocol != "consumer")
    reader.refuse(protocol, "group.protocol", "it is classic or consumer");
  configs.classic = protocol == "classic";
  check_protocol(reader, configs.classic);
  read_membership(reader, configs.classic_member);
  const auto& classic = configs.classic_member;
  if (configs.classic && classic.heartbeat_interval >= classic.session_timeout)
    reader.refuse("heartbeat.interval.ms must be less than session.timeout.ms");
  configs.group = classic.group;
  configs.max_poll_interval = classic.rebalance_timeout;
  auto& member = configs.member;
  member.group = classic.group;
  member.instance_id = classic.instance_id;
  if (reader.has("client.rack")) member.rack_id = reader.text("client.rack", "");
  if (reader.has("group.remote.assignor"))
    member.server_assignor = reader.text("group.remote.assignor", "");
  member.rebalance_timeout = classic.rebalance_timeout;
  member.retry_backoff = classic.retry_backoff;
}

}  // namespace

Result<ClientConfigs> admin_configs(const Properties& properties) {
  RETURN_IF_ERROR(check_names(properties, admin_kind()));
  ConfigReader reader(properties);
  ClientConfigs configs;
  read_client(reader, configs);
  RETURN_IF_ERROR(reader.fine());
  return configs;
}

Result<ProducerConfigs> producer_configs(const Properties& properties) {
  RETURN_IF_ERROR(check_names(properties, producer_kind()));
  ConfigReader reader(properties);
  ProducerConfigs configs;
  auto& options = configs.options;
  read_client(reader, configs.client);
  read_acks(reader, options);
  read_codec(reader, options);
  configs.buffer_memory = static_cast<size_t>(reader.long_number("buffer.memory", 32 << 20));
  configs.max_block = milliseconds_of(reader.long_number("max.block.ms", 60'000));
  options.batch_bytes =
      static_cast<size_t>(std::max<int64_t>(1, reader.number("batch.size", 16'384)));
  options.linger = milliseconds_of(reader.long_number("linger.ms", 5));
  options.delivery_timeout = milliseconds_of(reader.number("delivery.timeout.ms", 120'000));
  options.request_bytes = options.max_record_bytes =
      static_cast<size_t>(std::max<int64_t>(1, reader.number("max.request.size", 1 << 20)));
  options.requests_in_flight =
      static_cast<size_t>(reader.number("max.in.flight.requests.per.connection", 5, {.least = 1}));
  options.retry_backoff = configs.client.retry_backoff;
  options.request_timeout = configs.client.options.request_timeout;
  options.topic_patience = configs.max_block;
  configs.client.api_timeout = configs.max_block;
  read_transaction(reader, options);
  if (reader.has("delivery.timeout.ms") &&
      options.delivery_timeout < options.linger + options.request_timeout)
    reader.refuse(
        "delivery.timeout.ms should be equal to or larger than linger.ms + request.timeout.ms");
  RETURN_IF_ERROR(reader.fine());
  return configs;
}

Result<ShareConsumerConfigs> share_consumer_configs(const Properties& properties) {
  RETURN_IF_ERROR(check_names(properties, share_consumer_kind()));
  ConfigReader reader(properties);
  ShareConsumerConfigs configs;
  read_client(reader, configs.client);
  read_share_consumer(reader, configs.options);
  configs.is_implicit = reader.one_of("share.acknowledgement.mode", "implicit",
                                      {"implicit", "explicit"}) == "implicit";
  if (configs.options.member.group.empty())
    reader.refuse("Missing required configuration \"group.id\" which has no default value.");
  RETURN_IF_ERROR(reader.fine());
  return configs;
}

Result<ConsumerConfigs> consumer_configs(const Properties& properties) {
  RETURN_IF_ERROR(check_names(properties, consumer_kind()));
  ConfigReader reader(properties);
  ConsumerConfigs configs;
  read_client(reader, configs.client);
  read_fetcher(reader, configs.fetcher);
  read_reset(reader, configs.fetcher);
  read_group(reader, configs);
  configs.auto_commit = reader.truth("enable.auto.commit", true);
  configs.auto_commit_interval = milliseconds_of(reader.number("auto.commit.interval.ms", 5'000));
  configs.max_poll_records =
      static_cast<size_t>(reader.number("max.poll.records", 500, {.least = 1}));
  if (configs.group.empty() && configs.auto_commit && reader.has("enable.auto.commit"))
    reader.refuse("enable.auto.commit cannot be set to true when default group id (null) is used.");
  configs.auto_commit = configs.auto_commit && !configs.group.empty();
  RETURN_IF_ERROR(reader.fine());
  return configs;
}

}  // namespace millrace::library
