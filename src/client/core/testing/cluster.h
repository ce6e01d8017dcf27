// What tests of client/core share: Metadata responses of small clusters, and frames of answers.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "client/core/metadata_cache.h"
#include "wire/api_table.h"
#include "wire/codec.h"
#include "wire/headers.h"

namespace millrace::client::core::testing {

struct TestTopic {
  std::string name;
  std::vector<int32_t> leaders;  // of partitions 0, 1, ...; -1: none now
  wire::ErrorCode error = wire::ErrorCode::kNone;
};

inline Uuid id_of_topic(const std::string& name) {
  return Uuid::of_words({1, std::hash<std::string>{}(name)});
}

// Brokers 1 to 3, and the topics.
inline wire::MetadataResponse metadata_of(const std::vector<TestTopic>& topics) {
  wire::MetadataResponse response;
  for (int32_t id = 1; id <= 3; ++id)
    response.brokers.push_back(
        {.node_id = id, .host = "broker" + std::to_string(id), .port = 9092});
  for (const auto& topic : topics) {
    auto& described = response.topics.emplace_back();
    described.name = topic.name;
    described.topic_id = id_of_topic(topic.name);
    described.error_code = wire::code_of(topic.error);
    for (size_t i = 0; i < topic.leaders.size(); ++i)
      described.partitions.push_back(
          {.partition_index = static_cast<int32_t>(i), .leader_id = topic.leaders[i]});
  }
  return response;
}

inline MetadataCache cache_of(const std::vector<TestTopic>& topics) {
  MetadataCache cache;
  cache.update(metadata_of(topics));
  return cache;
}

// The bytes of an answer as they come over a connection.
template <class Response>
ByteBuffer answer_frame(const Response& response, int16_t version, int32_t correlation_id) {
  const wire::ApiInfo* api = wire::find_api(Response::kApiKey);
  wire::Writer writer;
  writer.int32(0);
  wire::write(writer, wire::response_header_version(*api, version),
              wire::ResponseHeader{.correlation_id = correlation_id});
  wire::write(writer, version, response);
  writer.patch_int32(0, static_cast<int32_t>(writer.buffer().size() - 4));
  return std::move(writer).take();
}

}  // namespace millrace::client::core::testing
