// Why a request is not done, and what several protocols refuse alike. Internal to group/.
#pragma once

#include <algorithm>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "wire/errors.h"

namespace millrace::group {

struct Refusal {
  wire::ErrorCode code = wire::ErrorCode::kNone;
  std::string message;
};

inline std::unexpected<Refusal> refuse(wire::ErrorCode code, std::string message) {
  return std::unexpected(Refusal{code, std::move(message)});
}
inline std::unexpected<Refusal> invalid(std::string message) {
  return refuse(wire::ErrorCode::kInvalidRequest, std::move(message));
}

// As Java's trim() leaves nothing.
inline bool is_blank(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<uint8_t>(c) <= ' '; });
}
inline bool is_given_blank(const std::optional<std::string>& text) {
  return text && is_blank(*text);
}

}  // namespace millrace::group
