// The scripts that list, describe, reset and delete groups of all kinds. As in app/kafka/scripts.h.
#pragma once

#include "app/kafka/options.h"

namespace millrace::app::kafka::groups {

int consumer_groups(const Words& words);
int groups(const Words& words);
int share_groups(const Words& words);
int streams_groups(const Words& words);

}  // namespace millrace::app::kafka::groups
