// The scripts that produce and consume. As in app/kafka/scripts.h.
#pragma once

#include "app/kafka/options.h"

namespace millrace::app::kafka::clients {

int console_consumer(const Words& words);
int console_producer(const Words& words);
int console_share_consumer(const Words& words);
int consumer_perf_test(const Words& words);
int e2e_latency(const Words& words);
int producer_perf_test(const Words& words);
int verifiable_consumer(const Words& words);
int verifiable_producer(const Words& words);

}  // namespace millrace::app::kafka::clients
