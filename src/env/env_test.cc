#include <gtest/gtest.h>

#include "env/host.h"

namespace millrace::env {
namespace {

TEST(Address, prints_as_host_and_port) {
  EXPECT_EQ((Address{.host = "localhost", .port = 9092}.to_string()), "localhost:9092");
}

}  // namespace
}  // namespace millrace::env
