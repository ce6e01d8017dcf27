#include "server/connection.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "base/probe.h"
#include "wire/api_table.h"

namespace millrace::server {
namespace {

constexpr size_t kSizeBytes = 4;      // the int32 in front of each frame
constexpr size_t kMinFrameBytes = 8;  // api key, version, correlation id
constexpr size_t kSmallTail = InputMemory::kSmallTail;

// What a wrong frame size most likely is: the first bytes of some other protocol.
std::string describe_bad_size(ByteView bytes, size_t limit) {
  std::string_view text = as_text(bytes.subspan(0, kSizeBytes));
  for (std::string_view method : {"GET ", "POST", "PUT ", "HEAD", "DELE", "OPTI", "PATC"})
    if (text == method) return "the peer speaks HTTP; this port speaks the Kafka protocol";
  if (bytes[0] == 0x16 && bytes[1] == 0x03)
    return "the peer began a TLS handshake; this listener is PLAINTEXT (check security.protocol of "
           "the client)";
  const auto size = load_big<int32_t>(bytes.data());
  if (size >= 0 && static_cast<size_t>(size) > limit)
    return fmt::format("a request of {} bytes is over socket.request.max.bytes={}", size, limit);
  return fmt::format("a request has the impossible size {}", size);
}

}  // namespace

Connection::Connection(Parts parts, std::string listener, ConnectionLimits limits)
    : stream_(std::move(parts.stream)),
      shard_(parts.shard),
      input_(parts.input),
      handler_(parts.handler),
      closed_(std::move(parts.closed)),
      limits_(limits),
      last_active_(shard_->clock().now()) {
  peer_.listener = std::move(listener);
  peer_.host = stream_->peer_host();
  peer_.address = stream_->peer();
}

Connection::~Connection() = default;

void Connection::start() {
  stream_->set_events(this);
  stream_->watch_read(true);
}

void Connection::close(const std::string& cause, bool expected) {
  if (!is_open()) return;
  if (expected)
    LOG_DEBUG("connection from {} on {} closed: {}", peer_.address, peer_.listener, cause);
  else
    LOG_WARN("connection from {} on {} closed: {}", peer_.address, peer_.listener, cause);
  stream_->set_events(nullptr);
  stream_.reset();
  drop_tail();
  slots_.clear();
  if (closed_) std::exchange(closed_, nullptr)(*this);
}

void Connection::readable() {
  auto self = shared_from_this();  // a handler may close and forget this connection
  last_active_ = shard_->clock().now();
  for (size_t taken = 0; is_open() && !line_is_stopped() && taken < kReadBudgetPerTurn;) {
    auto got = read_stream();
    if (!got && got.error().code == Errc::kWouldBlock) break;
    if (!got) return close(got.error().message, /*expected=*/true);
    if (*got == 0) {
      peer_finished_ = true;
      break;
    }
    taken += *got;
  }
  if (peer_finished_ && slots_.empty() && output_.empty())
    return close("the peer closed it", /*expected=*/true);
  update_watches();
}

Result<size_t> Connection::read_stream() {
  const bool large = !tail_.empty() && tail_.size() + kSmallTail > input_->scratch.size();
  const bool held_back = memory_is_short() && tail_.size() >= kSmallTail;
  return large || held_back || frame_size_at_front() > input_->scratch.size()
             ? read_into_tail()
             : read_through_scratch();
}

// What is left of a scratch full of bytes might not find room.
bool Connection::memory_is_short() const { return input_->memory.room() < input_->scratch.size(); }

// A tail is short here: it goes back to the front of the scratch and the new bytes behind it.
Result<size_t> Connection::read_through_scratch() {
  MutableByteView scratch = input_->scratch;
  if (memory_is_short()) scratch = scratch.first(kSmallTail);
  const size_t kept = tail_.size();
  if (kept > 0) std::copy_n(tail_.view().data(), kept, scratch.data());
  auto got = stream_->read(scratch.subspan(kept));
  if (!got || *got == 0) return got;
  drop_tail();
  ByteView bytes = ByteView(scratch).subspan(0, kept + *got);
  const size_t used = serve_frames(bytes);
  if (is_open()) keep_tail(bytes.subspan(used));
  return got;
}

// The frame at the front is larger than the scratch: its bytes are read to where they stay.
Result<size_t> Connection::read_into_tail() {
  if (!grow_tail()) return fail(Errc::kWouldBlock, "waits for input memory");
  MutableByteView space = tail_.free_space();
  const size_t frame = frame_size_at_front();
  if (frame > tail_.size()) space = space.subspan(0, std::min(space.size(), frame - tail_.size()));
  auto got = stream_->read(space);
  if (!got || *got == 0) return got;
  tail_.added(*got);
  if (tail_.size() >= frame) serve_tail();
  return got;
}

void Connection::serve_tail() {
  const size_t used = serve_frames(tail_.view());
  if (!is_open() || used == 0) return;
  if (used == tail_.size())
    drop_tail();
  else
    tail_.drop_front(used);
}

size_t Connection::serve_frames(ByteView bytes) {
  size_t used = 0;
  serving_ = true;
  while (is_open() && !line_is_stopped() && bytes.size() - used >= kSizeBytes) {
    ByteView rest = bytes.subspan(used);
    const auto size = load_big<int32_t>(rest.data());
    if (size < 0 || static_cast<size_t>(size) > limits_.max_request_bytes) {
      close(describe_bad_size(rest, limits_.max_request_bytes));
      break;
    }
    if (rest.size() - kSizeBytes < static_cast<size_t>(size)) break;
    serve_frame(rest.subspan(kSizeBytes, static_cast<size_t>(size)));
    used += kSizeBytes + static_cast<size_t>(size);
  }
  serving_ = false;
  return used;
}

void Connection::serve_frame(ByteView frame) {
  if (frame.size() < kMinFrameBytes)
    return close(fmt::format("a request of {} bytes has no room for its header", frame.size()));
  const auto api_key = load_big<int16_t>(frame.data());
  const uint64_t sequence = next_sequence_++;
  slots_.push_back({.sequence = sequence,
                    .api_key = api_key,
                    .begun = last_active_,
                    .overtakable = handler_->may_be_overtaken(api_key),
                    .answered = false,
                    .pieces = {}});
  ASSERT(slots_.size() <= kMaxPipelined, "C2: {} unanswered requests", slots_.size());
  handler_->handle(frame, peer_, Reply(shared_from_this(), sequence));
}

size_t Connection::frame_size_at_front() const {
  if (tail_.size() < kSizeBytes) return 0;
  return kSizeBytes + static_cast<size_t>(load_big<int32_t>(tail_.view().data()));
}

void Connection::keep_tail(ByteView rest) {
  if (rest.empty()) return;
  ASSERT(tail_.empty(), "C1: {} bytes would overtake {} that wait", rest.size(), tail_.size());
  if (tail_.capacity() < rest.size()) tail_ = buffer_for(rest);
  tail_.append(rest);
}

// A warm buffer for the front of a frame that is larger than the scratch: the rest of it is read to
// where it stays, and nothing is copied while it grows. Small tails every connection may have.
FrameBuffer Connection::buffer_for(ByteView rest) {
  const size_t frame = rest.size() < kSizeBytes ? 0 : kSizeBytes + load_big<uint32_t>(rest.data());
  if (frame > input_->scratch.size())
    if (FrameBuffer spare = input_->memory.take_spare(rest.size()); spare.capacity() > 0)
      return spare;
  return input_->memory.take_beyond(std::max(rest.size(), std::min(2 * rest.size(), kSmallTail)));
}

FrameBuffer Connection::bigger_buffer(size_t bytes) {
  FrameBuffer within = input_->memory.take(bytes);
  if (within.capacity() > 0) return within;
  // If all waited, none would ever be done: one of them goes on.
  return input_->memory.favour(shared_from_this()) ? input_->memory.take_beyond(bytes)
                                                   : FrameBuffer();
}

// Doubles the tail, up to what its frame needs. False: the shard's memory is used up, and this
// connection waits.
bool Connection::grow_tail() {
  const size_t frame = frame_size_at_front();
  if (!tail_.free_space().empty()) return true;
  const size_t wanted = std::min(std::max(frame, tail_.size() + kSmallTail), 2 * tail_.size());
  FrameBuffer bigger = bigger_buffer(wanted);
  if (bigger.capacity() == 0) {
    PROBE("connection.waits_for_input_memory");
    waiting_for_memory_ = true;
    input_->waiting_for_memory.push_back(weak_from_this());
    return false;
  }
  bigger.append(tail_.view());
  input_->memory.give_back(std::exchange(tail_, std::move(bigger)));
  return true;
}

void Connection::drop_tail() {
  if (tail_.capacity() == 0) return;
  tail_.clear();
  input_->memory.give_back(std::exchange(tail_, {}));
  input_->memory.end_favour(*this);
  wake_memory_waiters();
}

void Connection::wake_memory_waiters() {
  for (auto& waiter : std::exchange(input_->waiting_for_memory, {})) {
    shard_->post([waiter] {
      auto connection = waiter.lock();
      if (!connection || !connection->is_open()) return;
      connection->waiting_for_memory_ = false;
      connection->readable();
    });
  }
}

bool Connection::has_work_under_way() const {
  return std::ranges::any_of(slots_, [](const Slot& slot) {
    const auto api = static_cast<wire::ApiKey>(slot.api_key);
    return slot.answered || (api != wire::ApiKey::kFetch && api != wire::ApiKey::kShareFetch &&
                             api != wire::ApiKey::kJoinGroup && api != wire::ApiKey::kSyncGroup);
  });
}

bool Connection::line_is_stopped() const {
  if (muted_ || waiting_for_memory_ || slots_.size() >= kMaxPipelined) return true;
  if (output_.bytes_waiting() > kMaxUnsentBytes) return true;
  return std::ranges::any_of(slots_, [](const Slot& s) { return !s.answered && !s.overtakable; });
}

void Connection::complete(uint64_t sequence, std::vector<OutputPiece> pieces) {
  if (!is_open()) return;
  auto slot = std::ranges::find(slots_, sequence, &Slot::sequence);
  ASSERT(slot != slots_.end() && !slot->answered, "C3: request {} answered twice", sequence);
  slot->answered = true;
  slot->pieces = std::move(pieces);
  const Instant now = shard_->clock().now();
  input_->statistics.answered(slot->api_key, now - slot->begun, now);
  auto first_unanswered = std::ranges::find(slots_, false, &Slot::answered);
  for (auto ready = slots_.begin(); ready != first_unanswered; ++ready)
    output_.push(std::move(ready->pieces));
  slots_.erase(slots_.begin(), first_unanswered);
  schedule_flush();
}

void Connection::let_overtake(uint64_t sequence, bool may) {
  if (!is_open()) return;
  auto slot = std::ranges::find(slots_, sequence, &Slot::sequence);
  ASSERT(slot != slots_.end() && !slot->answered, "C3: request {} was answered", sequence);
  slot->overtakable = may;
  if (may) schedule_flush();
}

bool Connection::throttle(Duration wait) {
  if (!is_open()) return false;
  const Instant now = shard_->clock().now();
  muted_until_ = std::max(muted_until_, now + wait);
  if (!std::exchange(muted_, true))
    shard_->after(muted_until_ - now, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->end_throttle();
    });
  return true;
}

void Connection::end_throttle() {
  if (!is_open()) return;
  const Instant now = shard_->clock().now();
  muted_ = false;
  if (muted_until_ > now) {
    throttle(muted_until_ - now);
    return;
  }
  last_active_ = now;
  resume();
}

void Connection::schedule_flush() {
  if (std::exchange(flush_scheduled_, true)) return;
  shard_->at_end_of_turn([self = shared_from_this()] {
    self->flush_scheduled_ = false;
    if (self->is_open()) self->flush();
  });
}

void Connection::flush() {
  auto sent = output_.send(*stream_, input_->scratch);
  if (!sent) return close(sent.error().message, /*expected=*/true);
  last_active_ = shard_->clock().now();
  resume();
}

// Serves what waited behind a stopped line, then lets the socket be read again.
void Connection::resume() {
  if (!serving_ && !tail_.empty() && !line_is_stopped()) serve_tail();
  if (!is_open()) return;
  if (peer_finished_ && slots_.empty() && output_.empty())
    return close("the peer closed it", /*expected=*/true);
  update_watches();
}

void Connection::writable() {
  auto self = shared_from_this();
  flush();
}

void Connection::update_watches() {
  if (!is_open()) return;
  stream_->watch_read(!peer_finished_ && !line_is_stopped());
  stream_->watch_write(!output_.empty() && !flush_scheduled_);
}

}  // namespace millrace::server
