// Whole messages to and from bytes: the thin layer over the generated `read` and `write` of each
// message.
//
// A request or response body is decoded at a version that its API advertises; trailing bytes are
// ignored, as Kafka does. Records on disk carry their version: metadata records in a frame of their
// own (wire/metadata_records.h), coordinator keys behind their int16 type, coordinator values
// behind their int16 version.
#pragma once

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/error.h"
#include "wire/reader.h"
#include "wire/writer.h"

namespace millrace::wire {

template <class Message>
Result<Message> decode(ByteView body, int16_t version) {
  Reader reader(body);
  Message message;
  read(reader, version, message);
  RETURN_IF_ERROR(reader.status());
  return message;
}

template <class Message>
Result<ByteBuffer> encode(const Message& message, int16_t version) {
  Writer writer;
  write(writer, version, message);
  RETURN_IF_ERROR(writer.status());
  return std::move(writer).take();
}

// int16 type + body at version 0, the only one that keys have.
template <class Key>
ByteBuffer encode_key(const Key& key) {
  Writer writer;
  writer.int16(Key::kApiKey);
  write(writer, 0, key);
  return std::move(writer).take();
}

// int16 version + body.
template <class Value>
ByteBuffer encode_value(const Value& value, int16_t version) {
  Writer writer;
  writer.int16(version);
  write(writer, version, value);
  return std::move(writer).take();
}

template <class Key>
Result<Key> decode_key(ByteView framed) {
  Reader reader(framed);
  const int16_t type = reader.int16("type");
  RETURN_IF_ERROR(reader.status());
  if (type != Key::kApiKey)
    return fail(Errc::kInvalid, fmt::format("key has type {}, not {}", type, Key::kApiKey));
  Key key;
  read(reader, 0, key);
  RETURN_IF_ERROR(reader.status());
  return key;
}

template <class Value>
Result<Value> decode_value(ByteView framed) {
  Reader reader(framed);
  const int16_t version = reader.int16("version");
  RETURN_IF_ERROR(reader.status());
  if (version < Value::kMinVersion || version > Value::kMaxVersion)
    return fail(Errc::kUnsupported,
                fmt::format("{} has the unknown version {}", Value::kName, version));
  Value value;
  read(reader, version, value);
  RETURN_IF_ERROR(reader.status());
  return value;
}

}  // namespace millrace::wire
