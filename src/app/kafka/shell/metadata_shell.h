// kafka-metadata-shell: a snapshot or log of metadata as a tree of files. As in
// app/kafka/scripts.h.
#pragma once

#include "app/kafka/options.h"

namespace millrace::app::kafka::shell {

int metadata_shell(const Words& words);

}  // namespace millrace::app::kafka::shell
