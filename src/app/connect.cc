#include "app/connect.h"

namespace millrace::app {

void add_target(Command& command, Target& target) {
  command.option("-b,--bootstrap", target.connect.bootstrap,
                 "Brokers to begin with: HOST:PORT, several between commas",
                 {.values = {}, .variable = "MILLRACE_BOOTSTRAP"});
  command.option("-o,--output", target.output, "How to print: table or json",
                 {.values = {"table", "json"}, .variable = {}});
  command.option("--timeout", target.connect.timeout_seconds,
                 "Seconds to wait for an answer of a broker");
}

}  // namespace millrace::app
