// The configs of Kafka's share consumer (KIP-932) that say how it reads and how it is a member.
// Not here: those of whole clients (library/client_configs.h).
// Errors: the reader's.
#pragma once

#include "client/share_consumer.h"
#include "library/config_reader.h"

namespace millrace::library {

void read_share_consumer(ConfigReader& reader, client::ShareConsumer::Options& options);

}  // namespace millrace::library
