// Configs of Kafka's clients among properties, with their defaults and checks.
// Not here: which configs there are (library/client_configs.h).
// Errors: kInvalid, in the words of Kafka's ConfigException; the first is kept, so that all can be
// read before it is looked at.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"

namespace millrace::library {

using Properties = std::map<std::string, std::string, std::less<>>;

class ConfigReader {
 public:
  explicit ConfigReader(const Properties& properties) : properties_(properties) {}

  bool has(std::string_view name) const { return properties_.contains(name); }
  std::string text(std::string_view name, std::string_view otherwise) const;
  bool truth(std::string_view name, bool otherwise);
  // One of `values`; case counts.
  std::string one_of(std::string_view name, std::string_view otherwise,
                     std::initializer_list<std::string_view> values);

  struct Bounds {
    std::string_view type = "INT";
    int64_t least = 0;
    int64_t most = std::numeric_limits<int32_t>::max();
  };
  int64_t number(std::string_view name, int64_t otherwise, Bounds bounds);
  int64_t number(std::string_view name, int64_t otherwise) { return number(name, otherwise, {}); }
  int64_t long_number(std::string_view name, int64_t otherwise);

  void refuse(std::string_view value, std::string_view name, std::string_view why);
  // The same in words of its own.
  void refuse(std::string words);
  const Result<>& fine() const { return fine_; }

 private:
  const Properties& properties_;
  Result<> fine_;
};

// What is longer than 30 years is taken for that.
Duration milliseconds_of(int64_t count);

}  // namespace millrace::library
