// What a client pushes as its metrics, from any bytes.
#include "telemetry/otlp.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)millrace::telemetry::decode_metrics({data, size});
  return 0;
}
