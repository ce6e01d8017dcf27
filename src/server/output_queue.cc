#include "server/output_queue.h"

#include <algorithm>
#include <array>

namespace millrace::server {
namespace {

constexpr size_t kMaxGather = 64;  // pieces in one sendmsg; far below IOV_MAX
constexpr size_t kMaxFileRun =
    1024 * 1024;  // one sendfile call, so that one reader cannot hold the shard

}  // namespace

void OutputQueue::push(std::vector<OutputPiece> pieces) {
  for (auto& piece : pieces) {
    if (piece.size() == 0) continue;
    bytes_waiting_ += piece.size();
    pieces_.push_back(std::move(piece));
  }
}

Result<bool> OutputQueue::send(env::Connection& connection) {
  while (!empty()) {
    auto sent = pieces_[next_].file ? send_file(connection) : send_memory(connection);
    if (!sent) {
      if (sent.error().code == Errc::kWouldBlock) return false;
      return std::unexpected(std::move(sent).error());
    }
    consume(*sent);
  }
  pieces_.clear();
  next_ = 0;
  return true;
}

// Most answers are one piece: no array is filled for it.
Result<size_t> OutputQueue::send_memory(env::Connection& connection) {
  const bool is_last = next_ + 1 == pieces_.size();
  if (!is_last && !pieces_[next_ + 1].file) return send_gathered(connection);
  const ByteView rest = ByteView(pieces_[next_].bytes).subspan(sent_of_front_);
  return connection.write({&rest, 1}, /*more=*/!is_last);
}

Result<size_t> OutputQueue::send_gathered(env::Connection& connection) {
  std::array<ByteView, kMaxGather> gather;
  size_t count = 0, at = next_;
  for (; at < pieces_.size() && count < kMaxGather && !pieces_[at].file; ++at)
    gather[count++] = ByteView(pieces_[at].bytes).subspan(at == next_ ? sent_of_front_ : 0);
  const bool file_follows = at < pieces_.size();
  return connection.write({gather.data(), count}, file_follows);
}

Result<size_t> OutputQueue::send_file(env::Connection& connection) {
  const OutputPiece& piece = pieces_[next_];
  auto sent = connection.send_file(*piece.file, piece.position + sent_of_front_,
                                   std::min(piece.length - sent_of_front_, kMaxFileRun));
  if (sent && *sent == 0)
    return fail(Errc::kTruncated, "log file ends before the range being sent");
  return sent;
}

void OutputQueue::consume(size_t count) {
  bytes_waiting_ -= count;
  while (count > 0) {
    const size_t left = pieces_[next_].size() - sent_of_front_;
    if (count < left) {
      sent_of_front_ += count;
      return;
    }
    count -= left;
    sent_of_front_ = 0;
    pieces_[next_++] = {};
  }
}

}  // namespace millrace::server
