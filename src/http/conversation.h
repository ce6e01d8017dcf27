// One HTTP/1.1 connection as the server sees it (RFC 9110, 9112): bytes in, requests out, answers
// in, bytes out. Boost.Beast parses and writes.
// Not here: sockets (gateway/http_server), what a request means (gateway).
//
// Requests come one at a time, in order; the next one is parsed when this one is answered. What is
// no HTTP, or over the limits, ends the conversation with an answer of its own.
// Limits: kMaxHeaderBytes for the request line and the fields, kMaxBodyBytes for the body; nothing
// is allocated from a length that the peer declares.
// Threads: none of its own; not shared.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace millrace::http {

struct Request {
  std::string method;  // "GET"
  std::string path;    // "/metrics", as it came
  std::string query;   // behind the first '?', without it
  std::string body;

  // The value of `name` in the query; nothing: it is not there. Not percent-decoded.
  std::optional<std::string_view> parameter(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

class Conversation {
 public:
  static constexpr size_t kMaxHeaderBytes = 8 * 1024;
  static constexpr size_t kMaxBodyBytes = 1024 * 1024;

  Conversation();
  ~Conversation();

  // Bytes of the peer, in order.
  void feed(ByteView bytes);
  // The next whole request, unless one is still to be answered.
  std::optional<Request> take_request();
  // The answer to the request taken last. To HEAD without its body.
  void answer(const Response& response);
  // What is to be sent; once.
  std::string take_output();
  // When the output is sent, the connection is closed.
  bool is_over() const { return is_over_; }

 private:
  struct Parser;
  void parse();
  void refuse(int status, std::string_view why);

  std::unique_ptr<Parser> parser_;
  std::string input_;
  std::string output_;
  std::string method_;  // of the request taken last
  unsigned version_ = 11;
  bool is_answering_ = false;
  bool keeps_alive_ = true;
  bool is_over_ = false;
};

}  // namespace millrace::http
