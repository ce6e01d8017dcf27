#include "base/probe.h"

namespace millrace {

ProbeListener g_probe_listener = nullptr;

}  // namespace millrace
