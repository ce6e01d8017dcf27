// What became of several things that one request asked for: those that were done are printed, those
// that failed are told one by one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/failure.h"
#include "app/output.h"

namespace millrace::app {

class Tally {
 public:
  explicit Tally(OutputFormat format) : format_(format) {}
  void done(const std::string& name, std::string_view what);
  void failed(const std::string& name, Failure failure);
  // Prints the results and gives the first failure, after having told the others.
  Outcome<> finish() const;

 private:
  OutputFormat format_;
  json::array rows_;
  std::vector<Failure> failures_;
};

}  // namespace millrace::app
