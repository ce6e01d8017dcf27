// What an Admin holds, for the sources that its calls are in: topics, records and the cluster
// (library/admin.cc), configs (library/admin_configs.cc), groups (library/admin_groups.cc).
#pragma once

#include <millrace/admin.h>

#include "library/caller.h"

namespace millrace::v0 {

class MILLRACE_HIDDEN Admin::Impl {
 public:
  explicit Impl(const library::ClientConfigs& configs) : caller(configs) {}

  library::Caller caller;
};

}  // namespace millrace::v0
