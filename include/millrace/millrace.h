// All of the library: producers, consumers, share consumers and admin clients of Kafka clusters, in
// C++17. Link Millrace::millrace (CMake) or what `pkg-config --libs millrace` says.
#pragma once

#include "millrace/admin.h"
#include "millrace/config.h"
#include "millrace/consumer.h"
#include "millrace/error.h"
#include "millrace/producer.h"
#include "millrace/record.h"
#include "millrace/share_consumer.h"
