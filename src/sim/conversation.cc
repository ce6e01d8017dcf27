#include "sim/conversation.h"

#include "base/assert.h"
#include "wire/api_table.h"
#include "wire/headers.h"
#include "wire/reader.h"
#include "wire/writer.h"

namespace millrace::sim {

Conversation::Conversation(Host& host, std::string client_id, env::Address broker)
    : host_(&host),
      shard_(&host.shard(0)),
      client_id_(std::move(client_id)),
      broker_(std::move(broker)) {}

Conversation::~Conversation() {
  if (timer_ != env::TimerId::kNone) shard_->cancel(timer_);
  if (stream_) stream_->set_events(nullptr);
}

void Conversation::send(Api api, const ByteBuffer& body, Done done) {
  const wire::ApiInfo& info = *wire::find_api(api.key);
  const int32_t id = ++last_correlation_id_;
  wire::Writer writer;
  writer.int32(0);
  write(writer, wire::request_header_version(info, api.version),
        wire::RequestHeader{.request_api_key = api.key,
                            .request_api_version = api.version,
                            .correlation_id = id,
                            .client_id = client_id_});
  ByteBuffer frame = std::move(writer).take();
  frame.insert(frame.end(), body.begin(), body.end());
  store_big<int32_t>(frame.data(), static_cast<int32_t>(frame.size() - 4));
  outgoing_.insert(outgoing_.end(), frame.begin(), frame.end());
  waiting_[id] = {std::move(done), wire::response_header_version(info, api.version),
                  shard_->clock().now() + timeout};
  if (timer_ == env::TimerId::kNone) timer_ = shard_->after(timeout, [this] { check_timeouts(); });
  if (!stream_) return connect();
  flush();
}

void Conversation::connect() {
  if (std::exchange(connecting_, true)) return;
  const uint64_t attempt = ++attempt_;
  host_->connect(*shard_, broker_,
                 [this, attempt,
                  alive = std::weak_ptr(alive_)](Result<std::unique_ptr<env::Connection>> stream) {
                   if (alive.expired() || attempt != attempt_) return;
                   connecting_ = false;
                   if (!stream) return give_up(stream.error().message);
                   stream_ = std::move(*stream);
                   stream_->set_events(this);
                   stream_->watch_read(true);
                   flush();
                 });
}

void Conversation::flush() {
  while (stream_ && !outgoing_.empty()) {
    const ByteView bytes = outgoing_;
    auto sent = stream_->write({&bytes, 1}, false);
    if (!sent && sent.error().code == Errc::kWouldBlock) break;
    if (!sent) return give_up(sent.error().message);
    outgoing_.erase(outgoing_.begin(), outgoing_.begin() + static_cast<ptrdiff_t>(*sent));
  }
  if (stream_) stream_->watch_write(!outgoing_.empty());
}

void Conversation::readable() {
  ByteBuffer bytes(65536);
  auto got = stream_->read(bytes);
  if (!got && got.error().code == Errc::kWouldBlock) return;
  if (!got || *got == 0) return give_up(got ? "closed by the broker" : got.error().message);
  incoming_.insert(incoming_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(*got));
  take_frames();
}

void Conversation::take_frames() {
  std::weak_ptr<int> alive = alive_;
  while (incoming_.size() >= 4) {
    const auto size = static_cast<size_t>(load_big<int32_t>(incoming_.data()));
    if (incoming_.size() < 4 + size) return;
    const ByteBuffer frame(incoming_.begin() + 4,
                           incoming_.begin() + 4 + static_cast<ptrdiff_t>(size));
    incoming_.erase(incoming_.begin(), incoming_.begin() + 4 + static_cast<ptrdiff_t>(size));
    take_response(frame);
    if (alive.expired()) return;
  }
}

void Conversation::take_response(ByteView frame) {
  auto waiting = waiting_.find(load_big<int32_t>(frame.data()));
  if (waiting == waiting_.end())
    return host_->world().violated("C1", "an answer to a request that was not made");
  if (waiting != waiting_.begin())
    return host_->world().violated("C1", "answers are not in the order of the requests");
  const Waiting request = std::move(waiting->second);
  waiting_.erase(waiting);
  wire::Reader reader(frame);
  wire::ResponseHeader header;
  read(reader, request.header_version, header);
  request.done(frame.subspan(reader.position()));
}

void Conversation::check_timeouts() {
  timer_ = env::TimerId::kNone;
  if (waiting_.empty()) return;
  const Instant first = waiting_.begin()->second.until;
  if (first <= shard_->clock().now()) return give_up("no answer in time");
  timer_ = shard_->after(first - shard_->clock().now(), [this] { check_timeouts(); });
}

void Conversation::give_up(const std::string& cause) {
  ++attempt_;
  connecting_ = false;
  if (stream_) stream_->set_events(nullptr);
  // The stream may be calling us: it goes with the next turn.
  if (stream_) shard_->post([last = std::shared_ptr(std::move(stream_))] {});
  outgoing_.clear();
  incoming_.clear();
  for (auto& [id, request] : std::exchange(waiting_, {})) request.done(fail(Errc::kClosed, cause));
}

}  // namespace millrace::sim
