// What the console consumers have in common beside the form of records
// (app/kafka/message_formatter.h).
#pragma once

#include <string>
#include <string_view>

#include "app/kafka/clients/message_formatter.h"
#include "app/kafka/options.h"

namespace millrace::app::kafka::clients {

// The formatter that --formatter and what goes with it describe.
Attempt<MessageFormatter> formatter_of(const Options& options);

// On standard output; false: nobody reads any more, and that was said.
bool write_out(const std::string& text);

// What ended the reading, as an exception of Java's.
void tell_end(std::string_view logger, std::string_view exception);

// A consumer that cannot be made: what is said, and the end.
std::unexpected<Ending> not_made(std::string_view logger, const Ending& why);

}  // namespace millrace::app::kafka::clients
