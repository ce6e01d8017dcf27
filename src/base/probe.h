// PROBE("name"): a place that a simulation is expected to reach. The simulator lists the probes
// that no seed hit, so that a rare branch which is never exercised shows up. Costs one predictable
// branch when nobody listens.
#pragma once

namespace millrace {

using ProbeListener = void (*)(const char* name);
extern ProbeListener g_probe_listener;  // set by sim before it starts; null elsewhere

}  // namespace millrace

#define PROBE(name)                                \
  do {                                             \
    if (::millrace::g_probe_listener) [[unlikely]] \
      ::millrace::g_probe_listener(name);          \
  } while (0)
