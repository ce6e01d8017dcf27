// `millrace doctor`: looks at a cluster for what is most often configured wrong, and says how to
// mend it.
// Not here: what is wrong with it now (app/cluster_health), the checks (app/doctor_checks).
#pragma once

#include "app/command.h"

namespace millrace::app {

void add_doctor_command(Command& root);

}  // namespace millrace::app
