// What a command says when it fails: what it could not do, why, and what to try. Error codes of the
// protocol become sentences here.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "base/error.h"
#include "wire/errors.h"

namespace millrace::app {

struct Failure {
  std::string problem;  // what could not be done, and why
  std::string hint;     // what to try; may be empty

  Failure() = default;
  Failure(std::string what, std::string try_this)
      : problem(std::move(what)), hint(std::move(try_this)) {}
  // A failure of the client: a connection, a timeout, an answer that cannot be read.
  Failure(Error error);  // NOLINT: Error is one kind of failure
};

template <class T = void>
using Outcome = std::expected<T, Failure>;

// What an error code was answered to.
struct Subject {
  std::string action;  // "delete topic 'x'"
  std::string topic;   // for the hint; may be empty
  std::string group;
};
// `message`: the broker's own words, if it sent some.
Failure refusal(const Subject& subject, int16_t code,
                const std::optional<std::string>& message = std::nullopt);

// "why" alone, for a cell or a line of its own.
std::string reason(int16_t code, const std::optional<std::string>& message = std::nullopt);

// Tells the failure on standard error.
void tell(const Failure& failure);
// The exit status of an outcome; a failure is told.
int exit_status(const Outcome<>& outcome);

}  // namespace millrace::app
