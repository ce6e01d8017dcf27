// What Linux says of this process in /proc/self.
// Threads: any.
#pragma once

#include "gateway/metrics.h"

namespace millrace::app {

gateway::ProcessFacts process_facts();

}  // namespace millrace::app
