// Any bytes as any of the requests (wire/testing/fuzz_messages.h). Seeds: tests/seeds.py.
#include "wire/testing/fuzz_messages.h"

using namespace millrace;

namespace {

struct Requests {
  static constexpr bool has(std::string_view name) { return name.ends_with("Request"); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  wire::testing::check_any_of<Requests>({data, size});
  return 0;
}
