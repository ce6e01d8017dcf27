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

Result<bool> OutputQueue::send(env::Connection& connection, MutableByteView scratch) {
  while (!empty()) {
    auto sent = send_front(connection, is_held_up_ ? MutableByteView{} : scratch);
    if (!sent) {
      if (sent.error().code != Errc::kWouldBlock) return std::unexpected(std::move(sent).error());
      is_held_up_ = true;
      return false;
    }
    consume(*sent);
  }
  pieces_.clear();
  next_ = 0;
  is_held_up_ = false;
  return true;
}

struct OutputQueue::Gathered {
  std::array<ByteView, kMaxGather> views;
  size_t count = 0;
  size_t bytes = 0;
};

OutputQueue::Gathered OutputQueue::gather(MutableByteView scratch) const {
  Gathered gathered;
  for (size_t at = next_; at < pieces_.size() && gathered.count < kMaxGather; ++at) {
    const OutputPiece& piece = pieces_[at];
    const size_t sent = at == next_ ? sent_of_front_ : 0;
    ByteView view = ByteView(piece.bytes);
    if (piece.file) {
      if (piece.length - sent > scratch.size()) break;
      const MutableByteView copy = scratch.first(piece.length - sent);
      auto got = piece.file->read_cached_at(copy, piece.position + sent);
      if (!got || *got < copy.size()) break;
      scratch = scratch.subspan(copy.size());
      view = copy;
    } else {
      view = view.subspan(sent);
    }
    gathered.views[gathered.count++] = view;
    gathered.bytes += view.size();
  }
  return gathered;
}

Result<size_t> OutputQueue::send_front(env::Connection& connection, MutableByteView scratch) {
  // Most answers are one piece: no array is filled for it.
  if (next_ + 1 == pieces_.size() && !pieces_[next_].file) {
    const ByteView rest = ByteView(pieces_[next_].bytes).subspan(sent_of_front_);
    return connection.write({&rest, 1}, /*more=*/false);
  }
  const Gathered gathered = gather(scratch);
  if (gathered.count == 0) return send_file(connection);
  const bool more = next_ + gathered.count < pieces_.size();
  auto sent = connection.write({gathered.views.data(), gathered.count}, more);
  is_held_up_ |= sent && *sent < gathered.bytes;
  return sent;
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
