// Any bytes as any of the responses (wire/testing/fuzz_messages.h). Seeds: tests/seeds.py.
#include "wire/testing/fuzz_messages.h"

using namespace millrace;

namespace {

struct Responses {
  static constexpr bool has(std::string_view name) { return name.ends_with("Response"); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  wire::testing::check_any_of<Responses>({data, size});
  return 0;
}
