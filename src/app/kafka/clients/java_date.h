// Moments as Java's SimpleDateFormat prints them, in the local time zone and in English.
// Not here: the letters for weeks, and ISO time zones (w, W, F, Y, u, X, k are refused).
#pragma once

#include <cstdint>
#include <string>

#include "app/kafka/ending.h"

namespace millrace::app::kafka::clients {

class JavaDate {
 public:
  // "yyyy-MM-dd HH:mm:ss:SSS". IllegalArgumentException.
  static Attempt<JavaDate> of_pattern(const std::string& pattern);

  std::string format(int64_t ms_since_1970) const;

 private:
  explicit JavaDate(std::string pattern) : pattern_(std::move(pattern)) {}
  std::string pattern_;
};

}  // namespace millrace::app::kafka::clients
