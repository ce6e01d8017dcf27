// Records as text: how `consume` prints them and how `produce` reads them. A format is text with
// fields: %t topic, %p partition, %o offset, %k key, %v (or %s) value, %h headers as NAME=VALUE
// between commas, %T timestamp in milliseconds, %K and %S the sizes of key and value, %% a percent
// sign; and \n \t \r \0 \\ \xHH.
// Not here: JSON (app/consume.cc).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "client/core/fetcher.h"
#include "client/core/producer.h"

namespace millrace::app {

class RecordFormat {
 public:
  // kInvalid names the field or escape that is none.
  static Result<RecordFormat> parse(std::string_view text);

  // A newline ends each record unless the format does, or ends with \c.
  void print(const client::core::ConsumedRecord& record, std::string& out) const;

  // Takes a line apart: a field goes up to the text that follows it in the format, the last one to
  // the end. %k %v %p %T %h only; `record` has the defaults. kInvalid says what does not fit.
  Result<> read(std::string_view line, client::core::OutgoingRecord& record) const;
  // Whether it can be used to read: no field twice, none that a producer does not choose, and text
  // between any two.
  Result<> check_readable() const;

 private:
  struct Piece {
    char field = 0;  // 0: text
    std::string text;
  };
  std::vector<Piece> pieces_;
  bool newline_ = true;
};

// "NAME=VALUE" as a header; without '=' it has no value.
client::core::Header parse_header(std::string_view text);

}  // namespace millrace::app
