// How a script of Apache Kafka's ends before its work is done: by an exception, told as Java tells
// it; by words that it refuses, with its help; or with a status, everything being said.
// Not here: which of them a script catches, and what it prints then (one file a script).
// Errors: an Ending is the error of an Attempt. Exit statuses are those of Apache Kafka.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace millrace::app::kafka {

struct Ending {
  enum class Kind : uint8_t { kException, kUsage, kExit };
  Kind kind = Kind::kException;
  std::string type;     // the exception's class, whole
  std::string message;  // of the exception, or what is wrong with the words
  int status = 1;

  // What Java makes of an exception as text: its class, and behind a colon its message.
  std::string to_string() const;
  bool is(std::string_view simple_name) const;  // of the exception's class
};

template <class T = void>
using Attempt = std::expected<T, Ending>;

// The exception that the Java client makes of an error code, with the broker's own words if it sent
// some.
Ending exception_of(int16_t code, const std::optional<std::string>& message = std::nullopt);
// Of a failure of the connection while `call` was made ("listTopics").
Ending exception_of(const Error& error, std::string_view call);

// As an exception of a future's get(), and as the RuntimeException that some scripts make of that.
Ending executed(const Ending& cause);
Ending executed_at_run_time(const Ending& cause);
template <class T>
Attempt<T> as_executed(Attempt<T> attempt) {
  if (attempt) return attempt;
  return std::unexpected(executed(attempt.error()));
}

std::unexpected<Ending> thrown(std::string_view type, std::string message);
std::unexpected<Ending> illegal_argument(std::string message);  // IllegalArgumentException
std::unexpected<Ending> usage(std::string message);             // then the help, status 1
std::unexpected<Ending> ended(int status);

// A line of the log on standard error, as Apache Kafka's scripts have it configured.
void log_line(std::string_view level, std::string_view text, std::string_view logger);

// What Java says of an exception that nobody caught.
int uncaught(const Ending& ending);
// The message on standard error, and the exception beneath, where Java prints its stack.
int tell_message_and_stack(const Ending& ending);

}  // namespace millrace::app::kafka
