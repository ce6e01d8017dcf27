#include "app/kafka/clients/java_date.h"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <ctime>
#include <string_view>

namespace millrace::app::kafka::clients {
namespace {

constexpr std::string_view kLetters = "GyMdhHmsSEDaKzZ";
constexpr std::array<std::string_view, 12> kMonths = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};
constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};

std::string name_of(std::string_view name, size_t count) {
  return std::string(count >= 4 ? name : name.substr(0, 3));
}

std::string zone_of(const std::tm& time, char letter) {
  if (letter == 'z') return time.tm_zone;
  const long minutes = time.tm_gmtoff / 60;
  return fmt::format("{}{:02}{:02}", minutes < 0 ? '-' : '+', std::abs(minutes) / 60,
                     std::abs(minutes) % 60);
}

struct Moment {
  std::tm time{};
  int64_t ms = 0;
};

// One run of a letter.
std::string field_of(const Moment& moment, char letter, size_t count) {
  const std::tm& time = moment.time;
  const auto padded = [&](int64_t number) { return fmt::format("{:0{}}", number, count); };
  const int year = time.tm_year + 1900;
  switch (letter) {
    case 'G': return "AD";
    case 'y': return count == 2 ? fmt::format("{:02}", year % 100) : padded(year);
    case 'M':
      return count >= 3 ? name_of(kMonths[static_cast<size_t>(time.tm_mon)], count)
                        : padded(time.tm_mon + 1);
    case 'd': return padded(time.tm_mday);
    case 'D': return padded(time.tm_yday + 1);
    case 'E': return name_of(kDays[static_cast<size_t>(time.tm_wday)], count);
    case 'a': return time.tm_hour < 12 ? "AM" : "PM";
    case 'H': return padded(time.tm_hour);
    case 'K': return padded(time.tm_hour % 12);
    case 'h': return padded(time.tm_hour % 12 == 0 ? 12 : time.tm_hour % 12);
    case 'm': return padded(time.tm_min);
    case 's': return padded(time.tm_sec);
    case 'S': return padded(moment.ms);
    default: return zone_of(time, letter);
  }
}

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

}  // namespace

Attempt<JavaDate> JavaDate::of_pattern(const std::string& pattern) {
  bool quoted = false;
  for (const char c : pattern) {
    if (c == '\'') quoted = !quoted;
    if (!quoted && is_letter(c) && !kLetters.contains(c))
      return illegal_argument(fmt::format("Illegal pattern character '{}'", c));
  }
  if (quoted) return illegal_argument("Unterminated quote");
  return JavaDate(pattern);
}

std::string JavaDate::format(int64_t ms_since_1970) const {
  Moment moment{.ms = ms_since_1970 % 1000};
  const std::time_t seconds = ms_since_1970 / 1000;
  ::localtime_r(&seconds, &moment.time);
  std::string text;
  bool quoted = false;
  for (size_t i = 0; i < pattern_.size();) {
    const char c = pattern_[i];
    if (c == '\'') {
      const bool doubled = i + 1 < pattern_.size() && pattern_[i + 1] == '\'';
      if (doubled) text += '\'';
      quoted = doubled ? quoted : !quoted;
      i += doubled ? 2 : 1;
    } else if (quoted || !is_letter(c)) {
      text += c;
      ++i;
    } else {
      size_t count = 1;
      while (i + count < pattern_.size() && pattern_[i + count] == c) ++count;
      text += field_of(moment, c, count);
      i += count;
    }
  }
  return text;
}

}  // namespace millrace::app::kafka::clients
