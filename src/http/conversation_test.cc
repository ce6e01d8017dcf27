#include "http/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::http {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class HttpConversation : public testing::Test {
 protected:
  void feed(std::string_view text) { conversation_.feed(as_bytes(text)); }
  Request taken() { return conversation_.take_request().value_or(Request{.method = "none"}); }

  Conversation conversation_;
};

TEST_F(HttpConversation, a_request_has_a_path_and_a_query) {
  feed("GET /metrics?a=1&b=two&c HTTP/1.1\r\nHost: x\r\n\r\n");
  const Request request = taken();
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.path, "/metrics");
  EXPECT_EQ(request.parameter("a"), "1");
  EXPECT_EQ(request.parameter("b"), "two");
  EXPECT_EQ(request.parameter("c"), "");
  EXPECT_EQ(request.parameter("d"), std::nullopt);
}

TEST_F(HttpConversation, bytes_may_come_one_by_one) {
  const std::string text = "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_FALSE(conversation_.take_request()) << i;
    feed(std::string_view(text).substr(i, 1));
  }
  EXPECT_EQ(taken().body, "hello");
}

TEST_F(HttpConversation, the_next_request_waits_until_this_one_is_answered) {
  feed("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(taken().path, "/1");
  EXPECT_FALSE(conversation_.take_request());
  conversation_.answer({.body = "one"});
  EXPECT_THAT(conversation_.take_output(),
              testing::AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Length: 3\r\n"),
                             EndsWith("\r\n\r\none")));
  EXPECT_EQ(taken().path, "/2");
  EXPECT_FALSE(conversation_.is_over());
}

TEST_F(HttpConversation, a_peer_that_wants_no_more_gets_no_more) {
  feed("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  taken();
  conversation_.answer({.status = 404});
  EXPECT_THAT(conversation_.take_output(), StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_TRUE(conversation_.is_over());
}

TEST_F(HttpConversation, head_is_answered_without_the_body) {
  feed("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
  taken();
  conversation_.answer({.body = "four"});
  EXPECT_THAT(conversation_.take_output(),
              testing::AllOf(HasSubstr("Content-Length: 4\r\n"), EndsWith("\r\n\r\n")));
}

TEST_F(HttpConversation, what_is_no_http_is_refused) {
  feed("\x16\x03\x01 this is TLS\r\n\r\n");
  EXPECT_FALSE(conversation_.take_request());
  EXPECT_THAT(conversation_.take_output(), StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_TRUE(conversation_.is_over());
}

TEST_F(HttpConversation, a_header_without_end_is_refused) {
  feed("GET / HTTP/1.1\r\nx: ");
  for (size_t i = 0; i < 2 * Conversation::kMaxHeaderBytes && !conversation_.is_over(); ++i)
    feed("y");
  EXPECT_THAT(conversation_.take_output(), StartsWith("HTTP/1.1 431 "));
  EXPECT_TRUE(conversation_.is_over());
}

TEST_F(HttpConversation, a_body_that_is_too_long_is_refused_before_it_comes) {
  feed("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n");
  EXPECT_THAT(conversation_.take_output(), StartsWith("HTTP/1.1 413 "));
  EXPECT_TRUE(conversation_.is_over());
}

}  // namespace
}  // namespace millrace::http
