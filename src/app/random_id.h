// A new id, for a cluster, a directory, or whatever else a command names.
#pragma once

#include "base/uuid.h"
#include "env/random_uuid.h"
#include "runtime/shard.h"

namespace millrace::app {

inline Uuid random_id() {
  runtime::SystemRandom random;
  return env::random_uuid(random);
}

}  // namespace millrace::app
