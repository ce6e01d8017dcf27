// Metrics as text, as Prometheus reads them (exposition format 0.0.4).
// A family is announced once, before its samples; names and labels are the caller's, values of
// labels are escaped here.
// Threads: none; a value.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace millrace::gateway {

enum class MetricKind : uint8_t { kCounter, kGauge };

class Exposition {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  void family(std::string_view name, MetricKind kind, std::string_view help);
  // Of the family announced last.
  void sample(Labels labels, double value);
  void sample(const std::map<std::string, std::string, std::less<>>& labels, double value);
  // A family with one sample.
  void single(std::string_view name, MetricKind kind, std::string_view help, double value);
  const std::string& text() const { return text_; }

  // Made of any text: letters, digits and underscores, a letter first.
  static std::string name_of(std::string_view text);

 private:
  template <class List>
  void write(const List& labels, double value);

  std::string text_;
  std::string name_;
};

}  // namespace millrace::gateway
