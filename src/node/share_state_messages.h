// The five APIs of share coordinators (83 to 87, KIP-932) as questions and answers of
// share/share_coordinator.h, and back: for who asks and who is asked.
// Not here: who asks (node/share_state_persister) and who answers (server).
// Threads: values.
#pragma once

#include <utility>

#include "share/share_coordinator.h"
#include "share/wire_batches.h"
#include "wire/api_table.h"
#include "wire/delete_share_group_state.h"
#include "wire/initialize_share_group_state.h"
#include "wire/read_share_group_state.h"
#include "wire/read_share_group_state_summary.h"
#include "wire/write_share_group_state.h"

namespace millrace::node {

// Of a question: Request, Response; fill() and question() are what a request says of a partition,
// tell() and hear() what a response says of one that has no error.
template <class Question>
struct ShareStateApi;

template <>
struct ShareStateApi<share::InitializeState> {
  using Request = wire::InitializeShareGroupStateRequest;
  using Response = wire::InitializeShareGroupStateResponse;
  static constexpr const char* kDoes = "initialize share group state";
  static void fill(Request::PartitionData& to, const share::InitializeState& question) {
    to.state_epoch = question.state_epoch;
    to.start_offset = question.start.value();
  }
  static share::InitializeState question(const Request::PartitionData& from) {
    return {.state_epoch = from.state_epoch, .start = Offset(from.start_offset)};
  }
  static void tell(Response::PartitionResult&, const share::PersistedState&) {}
  static share::PersistedState hear(const Response::PartitionResult&) { return {}; }
};

template <>
struct ShareStateApi<share::ReadState> {
  using Request = wire::ReadShareGroupStateRequest;
  using Response = wire::ReadShareGroupStateResponse;
  static constexpr const char* kDoes = "read share group state";
  static void fill(Request::PartitionData& to, const share::ReadState& question) {
    to.leader_epoch = question.leader_epoch.value();
  }
  static share::ReadState question(const Request::PartitionData& from) {
    return {.leader_epoch = LeaderEpoch(from.leader_epoch)};
  }
  static void tell(Response::PartitionResult& to, const share::PersistedState& state) {
    to.state_epoch = state.state_epoch;
    to.start_offset = state.start_offset.value();
    to.state_batches = share::to_wire<Response::StateBatch>(state.batches);
  }
  static share::PersistedState hear(const Response::PartitionResult& from) {
    return {.state_epoch = from.state_epoch,
            .start_offset = Offset(from.start_offset),
            .batches = share::of_wire(from.state_batches)};
  }
};

template <>
struct ShareStateApi<share::WriteState> {
  using Request = wire::WriteShareGroupStateRequest;
  using Response = wire::WriteShareGroupStateResponse;
  static constexpr const char* kDoes = "write share group state";
  static void fill(Request::PartitionData& to, const share::WriteState& question) {
    to.state_epoch = question.state.state_epoch;
    to.leader_epoch = question.state.leader_epoch.value();
    to.start_offset = question.state.start_offset.value();
    to.delivery_complete_count = question.state.delivery_complete_count;
    to.state_batches = share::to_wire<Request::StateBatch>(question.state.batches);
  }
  static share::WriteState question(const Request::PartitionData& from) {
    return {.state = {.state_epoch = from.state_epoch,
                      .leader_epoch = LeaderEpoch(from.leader_epoch),
                      .start_offset = Offset(from.start_offset),
                      .delivery_complete_count = from.delivery_complete_count,
                      .batches = share::of_wire(from.state_batches)}};
  }
  static void tell(Response::PartitionResult&, const share::PersistedState&) {}
  static share::PersistedState hear(const Response::PartitionResult&) { return {}; }
};

template <>
struct ShareStateApi<share::DeleteState> {
  using Request = wire::DeleteShareGroupStateRequest;
  using Response = wire::DeleteShareGroupStateResponse;
  static constexpr const char* kDoes = "delete share group state";
  static void fill(Request::PartitionData&, const share::DeleteState&) {}
  static share::DeleteState question(const Request::PartitionData&) { return {}; }
  static void tell(Response::PartitionResult&, const share::PersistedState&) {}
  static share::PersistedState hear(const Response::PartitionResult&) { return {}; }
};

template <>
struct ShareStateApi<share::ReadStateSummary> {
  using Request = wire::ReadShareGroupStateSummaryRequest;
  using Response = wire::ReadShareGroupStateSummaryResponse;
  static constexpr const char* kDoes = "read share group state summary";
  static void fill(Request::PartitionData& to, const share::ReadStateSummary& question) {
    to.leader_epoch = question.leader_epoch.value();
  }
  static share::ReadStateSummary question(const Request::PartitionData& from) {
    return {.leader_epoch = LeaderEpoch(from.leader_epoch)};
  }
  static void tell(Response::PartitionResult& to, const share::PersistedState& state) {
    to.state_epoch = state.state_epoch;
    to.leader_epoch = state.leader_epoch.value();
    to.start_offset = state.start_offset.value();
    to.delivery_complete_count = state.delivery_complete_count;
  }
  static share::PersistedState hear(const Response::PartitionResult& from) {
    return {.state_epoch = from.state_epoch,
            .leader_epoch = LeaderEpoch(from.leader_epoch),
            .start_offset = Offset(from.start_offset),
            .delivery_complete_count = from.delivery_complete_count};
  }
};

// A request about one share partition.
template <class Question>
typename ShareStateApi<Question>::Request share_state_request(const share::SharePartitionKey& key,
                                                              const Question& question) {
  typename ShareStateApi<Question>::Request request;
  request.group_id = key.group;
  auto& topic = request.topics.emplace_back();
  topic.topic_id = key.topic;
  auto& partition = topic.partitions.emplace_back();
  partition.partition = key.partition.value();
  ShareStateApi<Question>::fill(partition, question);
  return request;
}

// What a response says of the one share partition that was asked about; UNKNOWN_SERVER_ERROR when
// it says nothing of it, as Kafka has it.
template <class Question>
share::Answer share_state_answer(const share::SharePartitionKey& key,
                                 const typename ShareStateApi<Question>::Response& response) {
  for (const auto& topic : response.results)
    for (const auto& each : topic.partitions) {
      if (topic.topic_id != key.topic || each.partition != key.partition.value()) continue;
      const auto code = static_cast<wire::ErrorCode>(each.error_code);
      if (code != wire::ErrorCode::kNone) return {.error = code, .message = each.error_message};
      return {.state = ShareStateApi<Question>::hear(each)};
    }
  return {.error = wire::ErrorCode::kUnknownServerError};
}

}  // namespace millrace::node
