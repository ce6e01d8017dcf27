#include "client/core/connection.h"

#include <fmt/format.h>

#include <algorithm>

#include "wire/errors.h"
#include "wire/headers.h"

namespace millrace::client::core {
namespace {

constexpr size_t kSizePrefix = 4;
constexpr size_t kLongAnswer = 16 * 1024;  // which is worth more than a copy
constexpr size_t kMostAhead = 4;           // times what has arrived

int16_t newest_of_ours() { return spoken_versions(wire::ApiKey::kApiVersions).max; }

}  // namespace

wire::VersionRange spoken_versions(wire::ApiKey api) {
  constexpr int16_t kLastWithTopicNames = 9;
  constexpr int16_t kLastAddOfProducers = 3;
  const wire::ApiInfo* known = wire::find_api(static_cast<int16_t>(api));
  if (known == nullptr) return {};
  wire::VersionRange versions = known->known;
  if (api == wire::ApiKey::kOffsetCommit || api == wire::ApiKey::kOffsetFetch)
    versions.max = std::min(versions.max, kLastWithTopicNames);
  if (api == wire::ApiKey::kAddPartitionsToTxn)
    versions.max = std::min(versions.max, kLastAddOfProducers);
  return versions;
}

Connection::Action Connection::resume(Event event) {
  Action action;
  if (state_ == State::kOver) {
    action.close = true;
    if (auto* submitted = std::get_if<Submitted>(&event))
      action.ended.push_back({submitted->id, fail(Errc::kClosed, "the connection is closed")});
    return action;
  }
  std::visit([&](auto& what) { on(what, action); }, event);
  return action;
}

void Connection::on(const Connected&, Action& action) {
  state_ = State::kAgreeing;
  ask_versions(newest_of_ours(), action);
}

void Connection::on(Submitted& event, Action& action) {
  if (state_ != State::kReady) {
    waiting_.emplace_back(event.id, std::move(event.call));
    return;
  }
  if (auto sent = send(event.id, event.call, action); !sent)
    action.ended.push_back({event.id, std::unexpected(std::move(sent).error())});
}

MutableByteView Connection::room() {
  const size_t arrived = received_.size();
  const size_t frame =
      arrived < kSizePrefix ? 0 : kSizePrefix + load_big<uint32_t>(received_.view().data());
  const size_t wanted = arrived == 0 ? std::max(kReadBytes, usual_frame_)
                                     : std::max(kReadBytes, std::min(frame, kMostAhead * arrived));
  if (received_.capacity() < wanted) {
    FrameBuffer larger(wanted);
    larger.append(received_.view());
    received_ = std::move(larger);
  }
  return received_.free_space();
}

void Connection::on(const Received& event, Action& action) {
  received_.added(event.count);
  if (auto taken = take_frames(action); !taken) end_all(taken.error(), action);
}

void Connection::on(const Lost& event, Action& action) { end_all(event.why, action); }

void Connection::end_all(const Error& why, Action& action) {
  state_ = State::kOver;
  action.close = true;
  for (const Sent& each : std::exchange(sent_, {}))
    if (each.api != wire::ApiKey::kApiVersions || each.id != CallId{})
      action.ended.push_back({each.id, std::unexpected(why)});
  for (const auto& [id, call] : std::exchange(waiting_, {}))
    action.ended.push_back({id, std::unexpected(why)});
}

void Connection::ask_versions(int16_t version, Action& action) {
  const wire::ApiVersionsRequest request{.client_software_name = "millrace",
                                         .client_software_version = options_.software_version};
  const Sent asked{.id = CallId{},
                   .api = wire::ApiKey::kApiVersions,
                   .version = version,
                   .correlation_id = next_correlation_++};
  // What versions below 3 have no place for may be left out.
  auto body = wire::encode(version >= 3 ? request : wire::ApiVersionsRequest{}, version);
  write_frame(asked, *body, action);
  sent_.push_back(asked);
}

Result<int16_t> Connection::version_for(const Call& call) const {
  const std::string_view name = wire::api_name(call.api);
  auto served = served_.find(static_cast<int16_t>(call.api));
  if (served == served_.end())
    return fail(Errc::kUnsupported, fmt::format("the broker does not serve {}", name));
  const int16_t version = std::min(served->second.max, call.versions.max);
  if (version < std::max(served->second.min, call.versions.min))
    return fail(
        Errc::kUnsupported,
        fmt::format("the broker serves {} {} to {}, this client speaks {} to {}", name,
                    served->second.min, served->second.max, call.versions.min, call.versions.max));
  return version;
}

Result<> Connection::send(CallId id, const Call& call, Action& action) {
  ASSIGN_OR_RETURN(const int16_t version, version_for(call));
  ASSIGN_OR_RETURN(const ByteBuffer body, call.encode(version));
  const Sent sent{
      .id = id, .api = call.api, .version = version, .correlation_id = next_correlation_++};
  write_frame(sent, body, action);
  if (call.has_answer)
    sent_.push_back(sent);
  else
    action.ended.push_back({id, Answer{.version = version, .body = {}}});
  return {};
}

void Connection::write_frame(const Sent& request, ByteView body, Action& action) {
  const wire::ApiInfo* api = wire::find_api(static_cast<int16_t>(request.api));
  const wire::RequestHeader header{.request_api_key = static_cast<int16_t>(request.api),
                                   .request_api_version = request.version,
                                   .correlation_id = request.correlation_id,
                                   .client_id = options_.client_id};
  wire::Writer writer;
  writer.int32(0);
  wire::write(writer, wire::request_header_version(*api, request.version), header);
  writer.patch_int32(0, static_cast<int32_t>(writer.buffer().size() - kSizePrefix + body.size()));
  const ByteBuffer& head = writer.buffer();
  action.write.insert(action.write.end(), head.begin(), head.end());
  action.write.insert(action.write.end(), body.begin(), body.end());
}

Result<> Connection::take_frames(Action& action) {
  size_t position = 0;
  while (position + kSizePrefix <= received_.size()) {
    const auto size = load_big<int32_t>(received_.view().data() + position);
    if (size < 0 || static_cast<size_t>(size) > options_.max_answer_bytes)
      return fail(Errc::kLimit,
                  fmt::format("the broker announces an answer of {} bytes; is it a Kafka port?",
                              static_cast<uint32_t>(size)));
    if (received_.size() - position - kSizePrefix < static_cast<size_t>(size)) break;
    const ByteView frame =
        received_.view().subspan(position + kSizePrefix, static_cast<size_t>(size));
    RETURN_IF_ERROR(take_frame(frame, action));
    position += kSizePrefix + static_cast<size_t>(size);
  }
  if (position >= received_.size())
    received_ = {};
  else if (position > 0)
    received_.drop_front(position);
  return {};
}

Result<> Connection::take_frame(ByteView frame, Action& action) {
  if (sent_.empty()) return fail(Errc::kCorrupt, "the broker answers what was not asked");
  const Sent asked = sent_.front();
  const wire::ApiInfo* api = wire::find_api(static_cast<int16_t>(asked.api));
  wire::Reader reader(frame);
  wire::ResponseHeader header;
  wire::read(reader, wire::response_header_version(*api, asked.version), header);
  RETURN_IF_ERROR(reader.status());
  if (header.correlation_id != asked.correlation_id)
    return fail(Errc::kCorrupt, fmt::format("answer {} came instead of {}", header.correlation_id,
                                            asked.correlation_id));
  sent_.pop_front();
  const ByteView body = frame.subspan(reader.position());
  if (state_ == State::kAgreeing) return agree(body, asked.version, action);
  action.ended.push_back({asked.id, Answer{.version = asked.version, .body = take_body(body)}});
  return {};
}

// The last one that was received takes its frame along.
AnswerBody Connection::take_body(ByteView body) {
  const ByteView received = received_.view();
  if (body.size() < kLongAnswer || body.end() != received.end()) return body;
  usual_frame_ = std::max(received.size(), usual_frame_ / 2);
  const auto begin = static_cast<size_t>(body.data() - received.data());
  return {std::exchange(received_, {}), begin};
}

// A broker that does not have our version of ApiVersions answers in version 0, and says which it
// has (KIP-511).
Result<> Connection::agree(ByteView body, int16_t version, Action& action) {
  const bool refused = body.size() >= 2 && load_big<int16_t>(body.data()) ==
                                               wire::code_of(wire::ErrorCode::kUnsupportedVersion);
  ASSIGN_OR_RETURN(broker_, wire::decode<wire::ApiVersionsResponse>(body, refused ? 0 : version));
  served_.clear();
  for (const auto& each : broker_.api_keys)
    served_[each.api_key] = {each.min_version, each.max_version};
  if (refused) {
    if (version == 0) return fail(Errc::kUnsupported, "the broker refuses ApiVersions");
    auto own = served_.find(static_cast<int16_t>(wire::ApiKey::kApiVersions));
    const int16_t theirs = own == served_.end() ? int16_t{0} : own->second.max;
    ask_versions(std::clamp<int16_t>(theirs, 0, static_cast<int16_t>(version - 1)), action);
    return {};
  }
  if (broker_.error_code != 0)
    return fail(Errc::kInvalid,
                fmt::format("ApiVersions: {}",
                            wire::error_name(static_cast<wire::ErrorCode>(broker_.error_code))));
  state_ = State::kReady;
  for (auto& [id, call] : std::exchange(waiting_, {})) {
    Submitted submitted{id, std::move(call)};
    on(submitted, action);
  }
  return {};
}

std::string Connection::describe() const {
  static constexpr const char* kNames[] = {"connecting", "agreeing", "ready", "over"};
  return fmt::format("{}, {} sent, {} waiting", kNames[static_cast<int>(state_)], sent_.size(),
                     waiting_.size());
}

}  // namespace millrace::client::core
