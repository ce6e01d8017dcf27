// A fresh Uuid: of a topic, a process, a log directory, a member of a group.
// Not here: what it is (base/uuid.h).
#pragma once

#include "base/uuid.h"
#include "env/clock.h"

namespace millrace::env {

// Never one that starts with a dash.
inline Uuid random_uuid(env::Random& random) {
  Uuid id;
  do id = Uuid::from_random({random.next(), random.next()});
  while (id.starts_with_dash());
  return id;
}

}  // namespace millrace::env
