#include "gateway/http_server.h"

namespace millrace::gateway {

// Keeps itself alive by its idle timer, until it is closed.
class HttpServer::HttpConnection final : public env::ConnectionEvents,
                                         public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(env::Shard& shard, std::unique_ptr<env::Connection> stream,
                 std::shared_ptr<Shared> shared)
      : shard_(&shard), stream_(std::move(stream)), shared_(std::move(shared)) {}

  void start() {
    shared_->open[shard_->index()].insert(this);
    stream_->set_events(this);
    stream_->watch_read(true);
    touch();
  }

  void close() {
    if (!stream_) return;
    shared_->open[shard_->index()].erase(this);
    shard_->cancel(idle_);
    stream_->set_events(nullptr);
    stream_.reset();
  }

 private:
  void readable() override {
    const auto self = shared_from_this();
    uint8_t bytes[4096];
    const auto got = stream_->read(bytes);
    if (!got && got.error().code == Errc::kWouldBlock) return;
    if (!got || *got == 0) return close();
    touch();
    conversation_.feed(ByteView(bytes, *got));
    proceed();
  }

  void writable() override {
    const auto self = shared_from_this();
    touch();
    proceed();
  }

  void proceed() {
    do {
      output_ += conversation_.take_output();
      if (!send()) return close();
      if (!output_.empty() || is_serving_) break;
      if (conversation_.is_over()) return close();
    } while (serve_next());
    stream_->watch_write(!output_.empty());
    stream_->watch_read(output_.empty() && !is_serving_);
  }

  // False: there is no whole request.
  bool serve_next() {
    const auto request = conversation_.take_request();
    if (!request) return false;
    is_serving_ = true;
    shared_->serve(*shard_, *request, [weak = weak_from_this()](http::Response response) {
      if (const auto self = weak.lock()) self->answer(response);
    });
    return true;
  }

  void answer(const http::Response& response) {
    if (!stream_) return;
    conversation_.answer(response);
    is_serving_ = false;
    shard_->post([self = shared_from_this()] {
      if (self->stream_) self->proceed();
    });
  }

  // False: the peer is gone.
  bool send() {
    while (!output_.empty()) {
      const ByteView piece = as_bytes(output_);
      const auto sent = stream_->write(std::span(&piece, 1), /*more=*/false);
      if (!sent) return sent.error().code == Errc::kWouldBlock;
      output_.erase(0, *sent);
    }
    return true;
  }

  void touch() {
    shard_->cancel(idle_);
    idle_ = shard_->after(kIdleTime, [self = shared_from_this()] { self->close(); });
  }

  env::Shard* shard_;
  std::unique_ptr<env::Connection> stream_;
  std::shared_ptr<Shared> shared_;
  http::Conversation conversation_;
  std::string output_;
  bool is_serving_ = false;
  env::TimerId idle_ = env::TimerId::kNone;
};

HttpServer::HttpServer(env::Host& host, Serve serve)
    : host_(&host), shared_(std::make_shared<Shared>(std::move(serve))) {
  shared_->open.resize(host.shard_count());
}

HttpServer::~HttpServer() {
  for (auto& shard : shared_->open)
    for (HttpConnection* connection : std::set(shard)) connection->shared_from_this()->close();
}

Result<> HttpServer::listen(const env::Address& address) {
  ASSIGN_OR_RETURN(
      listener_,
      host_->listen(address,
                    [shared = shared_](env::Shard& shard, std::unique_ptr<env::Connection> stream) {
                      if (shared->open[shard.index()].size() >= kMaxConnections) return;
                      std::make_shared<HttpConnection>(shard, std::move(stream), shared)->start();
                    }));
  return {};
}

}  // namespace millrace::gateway
