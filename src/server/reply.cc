#include "server/reply.h"

#include <utility>

#include "base/assert.h"

namespace millrace::server {
namespace {

std::vector<OutputPiece> one_piece(ByteBuffer frame) {
  std::vector<OutputPiece> pieces;
  pieces.push_back({.bytes = std::move(frame)});
  return pieces;
}

}  // namespace

Reply& Reply::operator=(Reply&& other) noexcept {
  std::swap(target_, other.target_);
  std::swap(sequence_, other.sequence_);
  return *this;
}

Reply::~Reply() {
  if (target_) target_->abandon("the request was dropped without an answer");
}

std::shared_ptr<ReplyTarget> Reply::take() {
  ASSERT(target_, "C3: reply used twice");
  return std::exchange(target_, nullptr);
}

void Reply::send(std::vector<OutputPiece> pieces) {
  take()->complete(sequence_, std::move(pieces));
}

void Reply::send(ByteBuffer frame) { send(one_piece(std::move(frame))); }

void Reply::send_not_controller(ByteBuffer frame) {
  take()->complete_not_controller(sequence_, one_piece(std::move(frame)));
}

void Reply::send_nothing() { send(std::vector<OutputPiece>{}); }

void Reply::close(const std::string& cause) { take()->abandon(cause); }

env::Shard& Reply::shard() const { return target_->shard(); }

}  // namespace millrace::server
