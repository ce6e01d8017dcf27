#include "server/call.h"

#include <algorithm>

namespace millrace::server {

wire::Writer Call::begin_frame() const {
  wire::Writer writer;
  writer.int32(0);  // the size, known at the end
  writer.int32(header().correlation_id);
  const wire::ApiInfo* api = wire::find_api(static_cast<int16_t>(header().api));
  if (wire::response_header_version(*api, version()) == 1) writer.uvarint(0);
  return writer;
}

bool Call::finish_frame(wire::Writer& writer) {
  if (auto status = writer.status(); !status) {
    close(fmt::format("response of {} v{}: {}", wire::api_name(header().api), version(),
                      status.error().message));
    return false;
  }
  writer.patch_int32(0, static_cast<int32_t>(writer.total_size() - sizeof(int32_t)));
  return true;
}

void Call::throttle(quota::Kind why, Duration wait) {
  if (wait <= wait_) return;
  wait_ = wait;
  why_ = why;
}

Duration Call::charge_time() {
  const auto time = std::exchange(parts_.time, nullptr);
  if (!time) return {};
  constexpr double kPercent = 100;
  const Instant now = shard().clock().now();
  const Duration taken = time->taken.value_or(now - time->begun);
  const double percents = std::chrono::duration<double>(taken).count() * kPercent;
  node::ClientQuotas& quotas = node().client_quotas();
  if (parts_.is_exempt) {
    quotas.note_exempt_time(percents, now);
    return {};
  }
  const Duration wait = quotas.charge(quota::Kind::kRequest, client(), percents, now);
  throttle(quota::Kind::kRequest, wait);
  return wait;
}

Duration Call::settle_quotas() {
  charge_time();
  if (wait_ > Duration::zero() && reply_.throttle(wait_))
    node().client_quotas().note_throttle(why_, client(), wait_, shard().clock().now());
  return wait_;
}

void Call::send(wire::Writer writer, std::vector<FileRange> ranges) {
  if (writer.external_pieces().empty()) return reply_.send(std::move(writer).take());
  std::vector<OutputPiece> pieces;
  ByteView rest = writer.buffer();
  size_t done = 0;
  for (const wire::ExternalPiece& external : writer.external_pieces()) {
    pieces.push_back({.bytes = copy_of(rest.first(external.position - done))});
    rest = rest.subspan(external.position - done);
    done = external.position;
    FileRange& range = ranges[external.id];
    pieces.push_back(
        {.file = std::move(range.file), .position = range.position, .length = range.length});
  }
  pieces.push_back({.bytes = copy_of(rest)});
  reply_.send(std::move(pieces));
}

}  // namespace millrace::server
