#include "gateway/exposition.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace millrace::gateway {
namespace {

void append_escaped(std::string& text, std::string_view value) {
  for (const char c : value) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') text += '\\';
    text += c;
  }
}

}  // namespace

void Exposition::family(std::string_view name, MetricKind kind, std::string_view help) {
  name_ = name;
  fmt::format_to(std::back_inserter(text_), "# HELP {0} {1}\n# TYPE {0} {2}\n", name, help,
                 kind == MetricKind::kCounter ? "counter" : "gauge");
}

std::string Exposition::name_of(std::string_view text) {
  std::string name(text);
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  for (char& c : name)
    if (!is_letter(c) && (c < '0' || c > '9')) c = '_';
  if (name.empty() || !is_letter(name.front())) name.insert(0, "x");
  return name;
}

void Exposition::sample(Labels labels, double value) { write(labels, value); }
void Exposition::sample(const std::map<std::string, std::string, std::less<>>& labels,
                        double value) {
  write(labels, value);
}

template <class List>
void Exposition::write(const List& labels, double value) {
  text_ += name_;
  char before = '{';
  for (const auto& [label, text] : labels) {
    text_ += std::exchange(before, ',');
    text_ += label;
    text_ += "=\"";
    append_escaped(text_, text);
    text_ += '"';
  }
  if (labels.size() > 0) text_ += '}';
  const bool is_whole = std::abs(value) < 1e15 && value == std::trunc(value);
  if (is_whole)
    fmt::format_to(std::back_inserter(text_), " {}\n", static_cast<int64_t>(value));
  else
    fmt::format_to(std::back_inserter(text_), " {}\n", value);
}

void Exposition::single(std::string_view name, MetricKind kind, std::string_view help,
                        double value) {
  family(name, kind, help);
  sample({}, value);
}

}  // namespace millrace::gateway
