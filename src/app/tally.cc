#include "app/tally.h"

#include <cstdio>

namespace millrace::app {

void Tally::done(const std::string& name, std::string_view what) {
  rows_.push_back(json::object{{"name", name}, {"result", what}});
}

void Tally::failed(const std::string& name, Failure failure) {
  rows_.push_back(json::object{{"name", name}, {"result", "failed"}, {"error", failure.problem}});
  failures_.push_back(std::move(failure));
}

Outcome<> Tally::finish() const {
  constexpr std::string_view kColumns[] = {"name", "result"};
  print_rows(format_, rows_, kColumns);
  std::fflush(stdout);
  if (failures_.empty()) return {};
  for (size_t i = 1; i < failures_.size(); ++i) tell(failures_[i]);
  return std::unexpected(failures_.front());
}

}  // namespace millrace::app
