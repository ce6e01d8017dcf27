// The features that a new cluster begins with: those of a release of Apache Kafka, and what was
// asked for beside it.
// Not here: the levels that are supported (metadata/features.h), changing them later (controller).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "metadata/record_version.h"

namespace millrace::app {

class FirstFeatures {
 public:
  // `release`: "4.3-IV0", or "4.3" for the newest of its kind; "": the newest of all. `asked`:
  // NAME=LEVEL each. kInvalid says what is allowed.
  static Result<FirstFeatures> of(const std::string& release,
                                  const std::vector<std::string>& asked);

  std::string_view release_name() const;  // of the metadata.version
  // Not among the records: the voters' snapshot says it. Nothing: it was not asked for.
  std::optional<int16_t> kraft_version() const { return kraft_version_; }
  std::vector<wire::MetadataRecord> records() const;

 private:
  std::map<std::string, int16_t, std::less<>> levels_;
  std::optional<int16_t> kraft_version_;
};

}  // namespace millrace::app
