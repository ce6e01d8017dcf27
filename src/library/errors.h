// What goes wrong inside as what the public interface throws: v0::Error for what a cluster or a
// config is to blame for.
#pragma once

#include <millrace/error.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "wire/errors.h"

namespace millrace::library {

v0::Error error_of(const Error& error);
// "cannot ACTION: why"; `message`: the broker's own words, if it sent some.
v0::Error error_of(int16_t code, std::string_view action,
                   const std::optional<std::string>& message = std::nullopt);
v0::Error error_of(wire::ErrorCode code, std::string_view action);

template <class T>
T value_or_throw(Result<T> result) {
  if (!result) throw error_of(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace millrace::library
