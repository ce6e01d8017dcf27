#include "client/link.h"

#include <utility>

namespace millrace::client {
namespace {

constexpr int kReadsATurn = 16;  // then others get their turn

std::string in_seconds(Duration duration) {
  return fmt::format("{:g} s", std::chrono::duration<double>(duration).count());
}

}  // namespace

void Link::open(env::Host& host) {
  connecting_ = lose_after(options_.connect_timeout, "connecting");
  host.connect(*shard_, options_.address,
               [weak = weak_from_this()](Result<std::unique_ptr<env::Connection>> stream) {
                 if (auto self = weak.lock()) self->opened(std::move(stream));
               });
}

void Link::opened(Result<std::unique_ptr<env::Connection>> opened) {
  if (conversation_.over()) return;
  if (!opened) return run(core::Connection::Lost{std::move(opened).error()});
  was_connected_ = true;
  stream_ = std::move(*opened);
  stream_->set_events(this);
  stream_->watch_read(true);
  run(core::Connection::Connected{});
}

void Link::submit(core::Call call, Done<core::Answer> done) {
  const auto id = static_cast<core::CallId>(++last_call_);
  const Duration timeout = call.timeout > Duration{} ? call.timeout : options_.request_timeout;
  calls_[id] = {.done = std::move(done),
                .timer = lose_after(timeout, fmt::format("waiting for the answer to {}",
                                                         wire::api_name(call.api)))};
  run(core::Connection::Submitted{id, std::move(call)});
}

void Link::when_ready(Done<void> done) {
  waiters_.push_back(std::move(done));
  if (ready() || over()) tell_waiters();
}

void Link::tell_waiters() {
  const Result<> outcome = over() ? Result<>(std::unexpected(why_over_)) : Result<>{};
  for (auto& waiter : std::exchange(waiters_, {}))
    shard_->post([self = shared_from_this(), waiter = std::move(waiter), outcome]() mutable {
      if (!self->options_.owner.expired()) waiter(outcome);
    });
}

env::TimerId Link::lose_after(Duration timeout, std::string what) {
  return shard_->after(timeout, [weak = weak_from_this(), timeout, what = std::move(what)] {
    if (auto self = weak.lock())
      self->lose(Errc::kTimedOut,
                 fmt::format("{}: no answer within {}", what, in_seconds(timeout)));
  });
}

void Link::lose(Errc code, std::string_view what) {
  if (over()) return;
  run(core::Connection::Lost{{code, fmt::format("{}: {}", options_.address.to_string(), what)}});
}

void Link::run(core::Connection::Event event) {
  const auto self = shared_from_this();
  if (const auto* lost = std::get_if<core::Connection::Lost>(&event)) why_over_ = lost->why;
  auto action = conversation_.resume(std::move(event));
  outgoing_.insert(outgoing_.end(), action.write.begin(), action.write.end());
  for (auto& each : action.ended) {
    if (!each.answer && action.close) why_over_ = each.answer.error();
    shard_->post([self, id = each.id, answer = std::move(each.answer)]() mutable {
      self->finish(id, std::move(answer));
    });
  }
  if (action.close) return close();
  if (ready()) {
    shard_->cancel(std::exchange(connecting_, env::TimerId::kNone));
    tell_waiters();
  }
  flush();
}

void Link::finish(core::CallId id, Result<core::Answer> answer) {
  auto found = calls_.extract(id);
  if (found.empty()) return;
  shard_->cancel(found.mapped().timer);
  if (!options_.owner.expired()) found.mapped().done(std::move(answer));
}

void Link::close() {
  if (why_over_.message.empty()) why_over_ = {Errc::kClosed, "the connection is closed"};
  shard_->cancel(std::exchange(connecting_, env::TimerId::kNone));
  stream_.reset();
  tell_waiters();
  if (!mourner_) return;
  shard_->post([self = shared_from_this(), mourner = std::exchange(mourner_, nullptr)]() mutable {
    if (!self->options_.owner.expired()) mourner(self->why_over_);
  });
}

void Link::flush() {
  while (stream_ && sent_ < outgoing_.size()) {
    const ByteView rest = ByteView(outgoing_).subspan(sent_);
    auto taken = stream_->write({&rest, 1}, false);
    if (!taken && taken.error().code == Errc::kWouldBlock) return stream_->watch_write(true);
    if (!taken) return lose(Errc::kClosed, taken.error().message);
    sent_ += *taken;
  }
  outgoing_.clear();
  sent_ = 0;
  if (stream_) stream_->watch_write(false);
}

void Link::readable() {
  const auto self = shared_from_this();
  for (int i = 0; i < kReadsATurn && stream_; ++i) {
    auto got = stream_->read(conversation_.room());
    if (!got && got.error().code == Errc::kWouldBlock) return;
    if (!got) return lose(Errc::kClosed, got.error().message);
    if (*got == 0) return lose(Errc::kClosed, "the broker closed the connection");
    run(core::Connection::Received{*got});
  }
}

}  // namespace millrace::client
