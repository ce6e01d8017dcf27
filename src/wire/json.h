// Writes JSON text for messages and records, in the style of Kafka's own converters: camelCase
// names, uuids as Kafka prints them, bytes in base64. Used by the generated to_json functions, for
// people (`log dump`) and tests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/uuid.h"
#include "wire/types.h"

namespace millrace::wire {

class JsonWriter {
 public:
  std::string take() && { return std::move(text_); }

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }
  void name(std::string_view name);  // then exactly one value

  void value(int64_t number);
  void value(double number);
  void value(bool truth);
  void value(std::string_view text);
  void value(const Uuid& id) { value(std::string_view(id.to_string())); }
  void value(ByteView bytes);  // base64
  void value(const Records& records);
  void null();

 private:
  void open(char bracket);
  void close(char bracket);
  void separate();

  std::string text_;
  bool needs_comma_ = false;
};

std::string to_base64(ByteView bytes);

}  // namespace millrace::wire
