// An env::Host with one broker behind every address, for unit tests: it answers what this client
// asks, in virtual time, keeps records and committed offsets in memory, and fails as the test says.
// A model of a broker, not one: it checks nothing that these tests do not need.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "client/core/assignor.h"
#include "client/core/messages.h"
#include "client/core/metadata_cache.h"
#include "client/testing/scripted_log.h"
#include "client/testing/scripted_transactions.h"
#include "env/host.h"
#include "env/testing/manual_shard.h"
#include "env/testing/memory_disk.h"
#include "record/batch.h"
#include "record/builder.h"
#include "wire/api_table.h"
#include "wire/codec.h"
#include "wire/headers.h"

namespace millrace::client::testing {

class ScriptedCluster final : public env::Host {
 public:
  // What the test sets and sees.
  bool answers = true;
  int cut_every = 0;  // each so many Produce, Fetch, EndTxn are done and then cut off, unanswered
  int left_members = 0;
  std::string member_id;  // of the member by the consumer protocol
  wire::ErrorCode heartbeat_error = wire::ErrorCode::kNone;  // that it gets
  std::map<TopicPartition, int64_t> committed;
  ScriptedTransactions transactions;

  void add_topic(const std::string& name, const std::vector<int32_t>& leaders) {
    topics_[name] = leaders;
  }
  void refuse(const std::string& address) { refused_.insert(address); }
  void cut_all() {
    for (Stream* stream : std::set(streams_)) stream->cut();
  }
  size_t open_connections() const { return streams_.size(); }
  void append(const TopicPartition& partition, const std::string& value) {
    record::BatchBuilder builder({});
    builder.append({.timestamp = TimestampMs(1), .value = as_bytes(value)});
    logs_[partition].append(std::move(builder).build());
  }
  const ScriptedLog& log(const TopicPartition& partition) { return logs_[partition]; }
  int64_t record_count() const {
    int64_t count = 0;
    for (const auto& [partition, log] : logs_) count += log.end;
    return count;
  }
  void run() { shard_.run(); }
  void advance(Duration by) {
    shard_.run();
    shard_.advance(by);
    shard_.run();
  }

  size_t shard_count() const override { return 1; }
  env::Shard& shard(size_t) override { return shard_; }
  env::Disk& disk() override { return disk_; }
  std::unique_ptr<env::DiskThread> start_disk_thread(const std::string&) override { return {}; }
  Result<std::unique_ptr<env::Listener>> listen(const env::Address&, env::AcceptFunction) override {
    return fail(Errc::kUnsupported, "nobody listens here");
  }
  void connect(env::Shard&, const env::Address& address, env::ConnectFunction done) override {
    shard_.post([this, address, done = std::move(done)]() mutable {
      if (refused_.contains(address.to_string()))
        done(fail(Errc::kClosed, "connect to " + address.to_string() + ": refused"));
      else
        done(std::make_unique<Stream>(*this));
    });
  }

 private:
  class Stream final : public env::Connection {
   public:
    explicit Stream(ScriptedCluster& cluster)
        : cluster_(&cluster), alive_(std::make_shared<int>()) {
      cluster.streams_.insert(this);
    }
    ~Stream() override { cluster_->streams_.erase(this); }
    void set_events(env::ConnectionEvents* events) override { events_ = events; }
    void watch_read(bool on) override {
      watched_ = on;
      wake();
    }
    void watch_write(bool) override {}
    Result<size_t> read(MutableByteView into) override {
      if (outgoing_.empty() && cut_) return 0;
      if (outgoing_.empty()) return fail(Errc::kWouldBlock, "nothing there");
      const size_t count = std::min<size_t>({into.size(), outgoing_.size(), 1000});
      std::copy_n(outgoing_.begin(), count, into.begin());
      outgoing_.erase(outgoing_.begin(), outgoing_.begin() + static_cast<ptrdiff_t>(count));
      return count;
    }
    Result<size_t> write(std::span<const ByteView> pieces, bool) override {
      if (cut_) return fail(Errc::kClosed, "cut");
      const ByteView some = pieces[0].first(std::min<size_t>(pieces[0].size(), 700));
      incoming_.insert(incoming_.end(), some.begin(), some.end());
      while (!cut_ && incoming_.size() >= 4) {
        const auto size = static_cast<size_t>(load_big<int32_t>(incoming_.data()));
        if (incoming_.size() < 4 + size) break;
        const ByteBuffer frame(incoming_.begin() + 4,
                               incoming_.begin() + 4 + static_cast<ptrdiff_t>(size));
        incoming_.erase(incoming_.begin(), incoming_.begin() + 4 + static_cast<ptrdiff_t>(size));
        cluster_->serve(*this, frame);
      }
      return some.size();
    }
    Result<size_t> send_file(env::File&, uint64_t, size_t) override {
      return fail(Errc::kUnsupported, "a client sends no files");
    }
    std::string peer() const override { return "scripted:9092"; }
    std::string peer_host() const override { return "scripted"; }

    void cut() {
      cut_ = true;
      outgoing_.clear();
      wake();
    }
    void send(const ByteBuffer& bytes) {
      outgoing_.insert(outgoing_.end(), bytes.begin(), bytes.end());
      wake();
    }
    std::weak_ptr<void> alive() const { return alive_; }

   private:
    // Level triggered: again as long as there is something to read.
    void wake() {
      if (!watched_ || (outgoing_.empty() && !cut_)) return;
      cluster_->shard_.post([this, alive = std::weak_ptr(alive_)] {
        if (alive.expired() || !watched_ || (outgoing_.empty() && !cut_)) return;
        events_->readable();
        if (!alive.expired()) wake();
      });
    }

    ScriptedCluster* cluster_;
    std::shared_ptr<void> alive_;
    env::ConnectionEvents* events_ = nullptr;
    bool watched_ = false;
    bool cut_ = false;
    ByteBuffer incoming_, outgoing_;
  };

  struct Asked {
    Stream* stream;
    wire::RequestHeader header;
    ByteBuffer body;
    template <class Request>
    Request as() const {
      return *wire::decode<Request>(body, header.request_api_version);
    }
  };

  void serve(Stream& stream, const ByteBuffer& frame) {
    if (!answers) return;
    const wire::ApiInfo* api = wire::find_api(load_big<int16_t>(frame.data()));
    wire::Reader reader(frame);
    Asked asked{.stream = &stream, .header = {}, .body = {}};
    wire::read(reader, wire::request_header_version(*api, load_big<int16_t>(frame.data() + 2)),
               asked.header);
    asked.body = copy_of(ByteView(frame).subspan(reader.position()));
    switch (api->key) {
      case wire::ApiKey::kApiVersions: return answer(asked, versions());
      case wire::ApiKey::kMetadata: return answer(asked, metadata());
      case wire::ApiKey::kProduce: return serve_produce(asked);
      case wire::ApiKey::kFetch: return serve_fetch(asked);
      case wire::ApiKey::kListOffsets: return serve_list_offsets(asked);
      default: return serve_transaction(asked);
    }
  }

  void serve_transaction(const Asked& asked) {
    switch (static_cast<wire::ApiKey>(asked.header.request_api_key)) {
      case wire::ApiKey::kInitProducerId:
        if (asked.as<wire::InitProducerIdRequest>().transactional_id)
          return answer(asked, transactions.identify(++last_producer_));
        return answer(asked, wire::InitProducerIdResponse{.producer_id = ++last_producer_});
      case wire::ApiKey::kAddPartitionsToTxn:
        return answer(asked,
                      ScriptedTransactions::add(asked.as<wire::AddPartitionsToTxnRequest>()));
      case wire::ApiKey::kAddOffsetsToTxn: return answer(asked, wire::AddOffsetsToTxnResponse{});
      case wire::ApiKey::kTxnOffsetCommit:
        return answer(asked, transactions.commit(asked.as<wire::TxnOffsetCommitRequest>()));
      case wire::ApiKey::kEndTxn: {
        const auto response = transactions.end(asked.as<wire::EndTxnRequest>());
        return cuts_now() ? asked.stream->cut() : answer(asked, response);
      }
      default: return serve_group(asked);
    }
  }

  void serve_group(const Asked& asked) {
    switch (static_cast<wire::ApiKey>(asked.header.request_api_key)) {
      case wire::ApiKey::kFindCoordinator: {
        wire::FindCoordinatorResponse response;
        response.coordinators.push_back({.node_id = 1, .host = "broker1", .port = 9092});
        return answer(asked, response);
      }
      case wire::ApiKey::kJoinGroup: {
        const auto request = asked.as<wire::JoinGroupRequest>();
        wire::JoinGroupResponse response{.generation_id = 1,
                                         .protocol_name = request.protocols.at(0).name,
                                         .leader = "m",
                                         .member_id = "m"};
        response.members.push_back(
            {.member_id = "m", .metadata = request.protocols.at(0).metadata});
        return answer(asked, response);
      }
      case wire::ApiKey::kSyncGroup:
        return answer(
            asked,
            wire::SyncGroupResponse{
                .assignment = asked.as<wire::SyncGroupRequest>().assignments.at(0).assignment});
      case wire::ApiKey::kConsumerGroupHeartbeat: return serve_consumer_heartbeat(asked);
      case wire::ApiKey::kOffsetFetch: return serve_offset_fetch(asked);
      case wire::ApiKey::kOffsetCommit: {
        wire::OffsetCommitResponse response;
        for (const auto& topic : asked.as<wire::OffsetCommitRequest>().topics)
          for (const auto& each : topic.partitions)
            committed[{topic.name, PartitionIndex(each.partition_index)}] = each.committed_offset;
        return answer(asked, response);
      }
      case wire::ApiKey::kLeaveGroup:
        ++left_members;
        return answer(asked, wire::LeaveGroupResponse{});
      default: return answer(asked, wire::HeartbeatResponse{});
    }
  }

  template <class Response>
  void answer(const Asked& asked, const Response& response) {
    const int16_t version = asked.header.request_api_version;
    const wire::ApiInfo* api = wire::find_api(asked.header.request_api_key);
    wire::Writer writer;
    writer.int32(0);
    wire::write(writer, wire::response_header_version(*api, version),
                wire::ResponseHeader{.correlation_id = asked.header.correlation_id});
    wire::write(writer, version, response);
    writer.patch_int32(0, static_cast<int32_t>(writer.buffer().size() - 4));
    asked.stream->send(std::move(writer).take());
  }
  bool cuts_now() { return cut_every > 0 && ++data_requests_ % cut_every == 0; }

  wire::ApiVersionsResponse versions() const {
    wire::ApiVersionsResponse response;
    response.finalized_features.push_back({.name = "transaction.version",
                                           .max_version_level = transactions.version,
                                           .min_version_level = transactions.version});
    for (const auto& api : wire::all_apis())
      response.api_keys.push_back({.api_key = static_cast<int16_t>(api.key),
                                   .min_version = api.known.min,
                                   .max_version = api.known.max});
    return response;
  }
  static Uuid id_of(const std::string& topic) {
    return Uuid::of_words({1, std::hash<std::string>{}(topic)});
  }
  wire::MetadataResponse metadata() const {
    wire::MetadataResponse response;
    response.brokers.push_back({.node_id = 1, .host = "broker1", .port = 9092});
    for (const auto& [name, leaders] : topics_) {
      auto& topic = response.topics.emplace_back();
      topic.name = name;
      topic.topic_id = id_of(name);
      for (size_t i = 0; i < leaders.size(); ++i)
        topic.partitions.push_back(
            {.partition_index = static_cast<int32_t>(i), .leader_id = leaders[i]});
    }
    return response;
  }
  // By name in the versions of before the ids.
  template <class Topic>
  std::string name_of(const Topic& topic) const {
    return topic.name.empty() ? name_of(topic.topic_id) : topic.name;
  }
  std::string name_of(const Uuid& id) const {
    for (const auto& [name, leaders] : topics_)
      if (id_of(name) == id) return name;
    return {};
  }

  void serve_produce(const Asked& asked) {
    const auto request = asked.as<wire::ProduceRequest>();
    wire::ProduceResponse response;
    for (const auto& topic : request.topic_data) {
      auto& answered = response.responses.emplace_back();
      answered.topic_id = topic.topic_id;
      answered.name = topic.name;
      for (const auto& each : topic.partition_data)
        answered.partition_responses.push_back(
            {.index = each.index,
             .base_offset = logs_[{name_of(topic), PartitionIndex(each.index)}].append(
                 copy_of(each.records.bytes))});
    }
    if (cuts_now()) return asked.stream->cut();
    if (request.acks != 0) answer(asked, response);
  }

  void serve_fetch(const Asked& asked) {
    const auto request = asked.as<wire::FetchRequest>();
    wire::FetchResponse response;
    std::vector<ByteBuffer> bytes;
    bytes.reserve(64);
    bool empty = true;
    for (const auto& topic : request.topics) {
      auto& answered = response.responses.emplace_back();
      answered.topic_id = topic.topic_id;
      for (const auto& each : topic.partitions) {
        const ScriptedLog& log = logs_[{name_of(topic.topic_id), PartitionIndex(each.partition)}];
        bytes.push_back(log.read(each.fetch_offset, each.partition_max_bytes));
        empty = empty && bytes.back().empty();
        answered.partitions.push_back({.partition_index = each.partition,
                                       .high_watermark = log.end,
                                       .last_stable_offset = log.end,
                                       .records = wire::Records::of(bytes.back())});
      }
    }
    if (cuts_now()) return asked.stream->cut();
    if (!empty || request.max_wait_ms == 0) return answer(asked, response);
    shard_.after(milliseconds(request.max_wait_ms), [this, asked, alive = asked.stream->alive()] {
      if (!alive.expired()) serve_fetch_again(asked);
    });
  }
  void serve_fetch_again(const Asked& asked) {
    auto request = asked.as<wire::FetchRequest>();
    request.max_wait_ms = 0;
    Asked now = asked;
    now.body = *wire::encode(request, asked.header.request_api_version);
    serve_fetch(now);
  }
  void serve_list_offsets(const Asked& asked) {
    wire::ListOffsetsResponse response;
    for (const auto& topic : asked.as<wire::ListOffsetsRequest>().topics) {
      auto& answered = response.topics.emplace_back();
      answered.name = topic.name;
      for (const auto& each : topic.partitions) {
        const ScriptedLog& log = logs_[{topic.name, PartitionIndex(each.partition_index)}];
        answered.partitions.push_back({.partition_index = each.partition_index,
                                       .offset = each.timestamp == -1 ? log.end : 0});
      }
    }
    answer(asked, response);
  }

  // Everything goes to the member, whoever it is.
  void serve_consumer_heartbeat(const Asked& asked) {
    const auto request = asked.as<wire::ConsumerGroupHeartbeatRequest>();
    member_id = request.member_id;
    if (request.member_epoch < 0) ++left_members;
    wire::ConsumerGroupHeartbeatResponse response{.error_code = wire::code_of(heartbeat_error),
                                                  .member_epoch = request.member_epoch < 0 ? -1 : 1,
                                                  .heartbeat_interval_ms = 1000};
    if (request.subscribed_topic_names) {
      auto& topics = response.assignment.emplace().topic_partitions;
      for (const auto& name : *request.subscribed_topic_names) {
        topics.push_back({.topic_id = id_of(name)});
        for (size_t i = 0; i < topics_.at(name).size(); ++i)
          topics.back().partitions.push_back(static_cast<int32_t>(i));
      }
    }
    answer(asked, response);
  }

  void serve_offset_fetch(const Asked& asked) {
    wire::OffsetFetchResponse response;
    auto& group = response.groups.emplace_back();
    const auto request = asked.as<wire::OffsetFetchRequest>();
    for (const auto& topic : *request.groups.at(0).topics) {
      auto& answered = group.topics.emplace_back();
      answered.name = topic.name;
      for (int32_t index : topic.partition_indexes) {
        auto found = committed.find({topic.name, PartitionIndex(index)});
        answered.partitions.push_back(
            {.partition_index = index,
             .committed_offset = found == committed.end() ? -1 : found->second});
      }
    }
    answer(asked, response);
  }

  env::testing::ManualShard shard_;
  env::testing::MemoryDisk disk_;
  std::set<std::string> refused_;
  std::set<Stream*> streams_;
  std::map<std::string, std::vector<int32_t>> topics_;
  std::map<TopicPartition, ScriptedLog> logs_;
  int64_t last_producer_ = 0;
  int data_requests_ = 0;
};

}  // namespace millrace::client::testing
