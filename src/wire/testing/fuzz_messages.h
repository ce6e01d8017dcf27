// What the fuzz targets of messages share: any bytes as any message of a family at any version.
// What decodes must encode, and its bytes must come back the same: a message has one form.
#pragma once

#include <string_view>
#include <vector>

#include "base/assert.h"
#include "wire/all_messages.h"
#include "wire/codec.h"

namespace millrace::wire::testing {

struct FuzzedMessage {
  std::string_view name;
  int16_t least, most;
  void (*check)(ByteView body, int16_t version);
};

template <class Message>
void check_round_trip(ByteView body, int16_t version) {
  auto message = decode<Message>(body, version);
  if (!message) {
    ASSERT(!message.error().message.empty(), "{} v{}", Message::kName, version);
    return;
  }
  auto first = encode(*message, version);
  ASSERT(first.has_value(), "{} v{}: {}", Message::kName, version, first.error().message);
  auto again = decode<Message>(*first, version);
  ASSERT(again.has_value(), "{} v{}: {}", Message::kName, version, again.error().message);
  auto second = encode(*again, version);
  ASSERT(second.has_value() && *second == *first, "{} v{} has two forms", Message::kName, version);
}

// The messages of which `Family::has(name)` is true, in the order of the schema. The others are not
// even instantiated: that is most of what compiling this costs.
template <class Family>
const std::vector<FuzzedMessage>& family() {
  static const auto kAll = [] {
    std::vector<FuzzedMessage> all;
    auto add = [&]<class Message>() {
      if constexpr (Family::has(Message::kName))
        all.push_back({Message::kName, Message::kMinVersion, Message::kMaxVersion,
                       check_round_trip<Message>});
    };
#define X(Name) add.template operator()<Name>();
    MILLRACE_FOR_EACH_MESSAGE(X)
#undef X
    return all;
  }();
  return kAll;
}

// The input: uint16 which message (as far as there are any), uint8 version above its least, body.
template <class Family>
void check_any_of(ByteView input) {
  if (input.size() < 3) return;
  const auto& all = family<Family>();
  const FuzzedMessage& chosen = all[load_big<uint16_t>(input.data()) % all.size()];
  const int versions = chosen.most - chosen.least + 1;
  chosen.check(input.subspan(3), static_cast<int16_t>(chosen.least + input[2] % versions));
}

}  // namespace millrace::wire::testing
