// `millrace consume`: records of topics on standard output.
#pragma once

#include "app/command.h"
#include "client/core/fetcher.h"

namespace millrace::app {

void add_consume_command(Command& root);

// start, end, N, -N (that many before the end) or @TIME (milliseconds since 1970, or a date such as
// 2026-11-21T08:00:00, UTC). kInvalid says what is wrong.
Result<client::core::StartAt> parse_start(std::string_view text);
// @TIME's TIME.
Result<int64_t> parse_time_ms(std::string_view text);

}  // namespace millrace::app
