// The configs of Kafka's consumer that say how it reads and how it is a member of a classic group.
// Not here: those of whole clients (library/client_configs.h).
// Errors: the reader's.
#pragma once

#include "client/core/fetcher.h"
#include "client/core/membership.h"
#include "library/config_reader.h"

namespace millrace::library {

// But for auto.offset.reset.
void read_fetcher(ConfigReader& reader, client::core::FetcherOptions& options);
// Of a classic member.
void read_membership(ConfigReader& reader, client::core::MembershipOptions& options);

}  // namespace millrace::library
