// Bytes of a peer, in pieces: never a crash, and every request that is taken can be answered.
#include "http/conversation.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  millrace::http::Conversation conversation;
  millrace::ByteView rest(data, size);
  while (!rest.empty() && !conversation.is_over()) {
    const size_t piece = std::min<size_t>(1 + rest[0] % 64, rest.size());
    conversation.feed(rest.first(piece));
    rest = rest.subspan(piece);
    while (const auto request = conversation.take_request())
      conversation.answer({.body = request->path + request->query + request->body});
    conversation.take_output();
  }
  return 0;
}
