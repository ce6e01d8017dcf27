// Chance for tests of random lives: base/testing/dice.h.
#pragma once

#include "base/testing/dice.h"

namespace millrace::group::testing {

using millrace::testing::Dice;

}  // namespace millrace::group::testing
