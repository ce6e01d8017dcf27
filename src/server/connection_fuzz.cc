// Any bytes on a connection of a whole broker in memory: it may close the connection, nothing else.
// Then the broker must still serve another one. Seeds: tests/seeds.py.
#include "base/log.h"
#include "server/testing/broker.h"
#include "wire/api_versions.h"

using namespace millrace;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  log::set_level(log::Level::kOff);
  server::testing::Broker broker({{"offsets.topic.num.partitions", "2"}});
  {
    server::testing::Broker::Client client(broker);
    client.receive({data, size});
    broker.shard().advance(seconds(70));
  }
  server::testing::Broker::Client other(broker);
  const auto answer = other.ask<wire::ApiVersionsResponse>(
      wire::ApiVersionsRequest{.client_software_name = "fuzz", .client_software_version = "1"});
  ASSERT(answer.error_code == 0 && !answer.api_keys.empty());
  return 0;
}
