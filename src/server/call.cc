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
