// Any bytes as any record of Kafka's own topics and files (wire/testing/fuzz_messages.h), and as a
// metadata record in its frame. Seeds: tests/seeds.py.
#include "wire/metadata_record.h"
#include "wire/testing/fuzz_messages.h"

using namespace millrace;

namespace {

struct Records {
  static constexpr bool has(std::string_view name) {
    return !name.ends_with("Request") && !name.ends_with("Response");
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  wire::testing::check_any_of<Records>({data, size});
  (void)wire::decode_metadata_record({data, size});
  return 0;
}
