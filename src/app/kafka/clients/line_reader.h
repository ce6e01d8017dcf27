// Lines as records, as kafka-console-producer reads them: headers, key and value between
// separators.
#pragma once

#include <string>
#include <string_view>

#include "app/kafka/admin.h"
#include "client/core/producer.h"

namespace millrace::app::kafka::clients {

class LineReader {
 public:
  // Of parse.key, key.separator, parse.headers, headers.delimiter, headers.separator,
  // headers.key.separator, ignore.error and null.marker.
  static Attempt<LineReader> configure(const Properties& properties);

  Attempt<client::core::OutgoingRecord> read(std::string_view line);

 private:
  struct Part {
    std::optional<std::string_view> text;  // none: it is not parsed
    size_t next = 0;                       // where the line goes on
  };
  Attempt<Part> take(bool parsed, std::string_view line, size_t begin,
                     const std::pair<std::string, std::string_view>& separator) const;
  Attempt<> add_headers(std::string_view text, client::core::OutgoingRecord& record) const;
  std::optional<ByteBuffer> bytes_of(std::string_view text) const;
  bool is_null(std::string_view text) const { return null_marker_ && text == *null_marker_; }

  bool parse_key_ = false;
  bool parse_headers_ = false;
  bool ignore_error_ = false;
  std::string key_separator_ = "\t";
  std::string headers_delimiter_ = "\t";
  std::string headers_separator_ = ",";
  std::string header_key_separator_ = ":";
  std::optional<std::string> null_marker_;
  size_t line_number_ = 0;
};

}  // namespace millrace::app::kafka::clients
