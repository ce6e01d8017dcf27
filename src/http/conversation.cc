#include "http/conversation.h"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <sstream>

#include "base/assert.h"

namespace millrace::http {

namespace beast = boost::beast;

struct Conversation::Parser {
  Parser() {
    request.header_limit(kMaxHeaderBytes);
    request.body_limit(kMaxBodyBytes);
    request.eager(true);
  }
  beast::http::request_parser<beast::http::string_body> request;
};

Conversation::Conversation() : parser_(std::make_unique<Parser>()) {}
Conversation::~Conversation() = default;

std::optional<std::string_view> Request::parameter(std::string_view name) const {
  for (std::string_view rest = query; !rest.empty();) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equals) != name) continue;
    return equals < pair.size() ? pair.substr(equals + 1) : std::string_view();
  }
  return std::nullopt;
}

// Bytes beyond one request wait unparsed, no more of them than a request may have.
void Conversation::feed(ByteView bytes) {
  if (is_over_) return;
  input_ += as_text(bytes);
  if (!is_answering_) return parse();
  if (input_.size() > kMaxHeaderBytes + kMaxBodyBytes) {
    is_over_ = true;
    input_.clear();
  }
}

void Conversation::parse() {
  auto& request = parser_->request;
  while (!is_over_ && !request.is_done() && !input_.empty()) {
    beast::error_code error;
    const size_t used = request.put(boost::asio::const_buffer(input_.data(), input_.size()), error);
    input_.erase(0, used);
    if (error == beast::http::error::need_more) return;
    if (error == beast::http::error::header_limit) return refuse(431, "the header is too long");
    if (error == beast::http::error::body_limit) return refuse(413, "the body is too long");
    if (error) return refuse(400, error.message());
  }
}

std::optional<Request> Conversation::take_request() {
  if (is_over_ || is_answering_ || !parser_->request.is_done()) return std::nullopt;
  auto message = parser_->request.release();
  parser_ = std::make_unique<Parser>();
  is_answering_ = true;
  keeps_alive_ = message.keep_alive();
  version_ = message.version();
  method_ = std::string(message.method_string());
  const std::string_view target(message.target().data(), message.target().size());
  const size_t question = std::min(target.find('?'), target.size());
  return Request{.method = method_,
                 .path = std::string(target.substr(0, question)),
                 .query = std::string(target.substr(std::min(question + 1, target.size()))),
                 .body = std::move(message.body())};
}

void Conversation::answer(const Response& response) {
  ASSERT(is_answering_, "an answer of status {} to nothing", response.status);
  is_answering_ = false;
  is_over_ = !keeps_alive_;
  beast::http::response<beast::http::string_body> message(
      static_cast<beast::http::status>(response.status), version_);
  message.set(beast::http::field::server, "Millrace");
  message.set(beast::http::field::content_type, response.content_type);
  message.set(beast::http::field::cache_control, "no-store");
  message.keep_alive(keeps_alive_);
  message.content_length(response.body.size());
  if (method_ != "HEAD") message.body() = response.body;
  std::ostringstream text;
  text << message.base() << message.body();
  output_ += text.str();
  parse();
}

void Conversation::refuse(int status, std::string_view why) {
  keeps_alive_ = false;
  is_answering_ = true;
  method_ = "GET";
  input_.clear();
  answer({.status = status, .body = std::string(why) + "\n"});
}

std::string Conversation::take_output() { return std::exchange(output_, {}); }

}  // namespace millrace::http
