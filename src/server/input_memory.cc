#include "server/input_memory.h"

#include <algorithm>

#include "base/assert.h"
#include "base/probe.h"

namespace millrace::server {

FrameBuffer InputMemory::make(size_t bytes) {
  held_ += bytes;
  most_held_ = std::max(most_held_, held_);
  return FrameBuffer(bytes);
}

void InputMemory::drop_spares_beyond(size_t held) {
  while (!spares_.empty() && held_ > held) {
    held_ -= spares_.back().capacity();
    spares_.pop_back();
  }
}

FrameBuffer InputMemory::take_spare(size_t bytes) {
  if (spares_.empty() || spares_.back().capacity() < bytes) return {};
  FrameBuffer spare = std::move(spares_.back());
  spares_.pop_back();
  return spare;
}

FrameBuffer InputMemory::take(size_t bytes) {
  if (FrameBuffer spare = take_spare(bytes); spare.capacity() > 0) return spare;
  if (bytes > limit_) return {};
  drop_spares_beyond(limit_ - bytes);
  if (held_ > limit_ - bytes) return {};
  FrameBuffer taken = make(bytes);
  ASSERT(held_ <= limit_, "IM1: {} bytes are held of {}", held_, limit_);
  return taken;
}

FrameBuffer InputMemory::take_beyond(size_t bytes) {
  FrameBuffer within = take(bytes);
  return within.capacity() > 0 ? std::move(within) : make(bytes);
}

void InputMemory::give_back(FrameBuffer buffer) {
  if (buffer.capacity() == 0) return;
  const bool keep = buffer.empty() && buffer.capacity() >= kSpareBytes &&
                    spares_.size() < kMostSpares && held_ <= limit_;
  if (keep) return spares_.push_back(std::move(buffer));
  held_ -= buffer.capacity();
}

bool InputMemory::favour(const std::shared_ptr<Connection>& connection) {
  const auto favoured = favoured_.lock();
  if (favoured && favoured != connection) return false;
  if (!favoured) PROBE("input_memory.favours_a_connection");
  favoured_ = connection;
  return true;
}

void InputMemory::end_favour(const Connection& connection) {
  if (favoured_.lock().get() == &connection) favoured_.reset();
}

size_t InputMemory::room() const {
  size_t spare = 0;
  for (const FrameBuffer& each : spares_) spare += each.capacity();
  const size_t used = held_ - spare;
  return used < limit_ ? limit_ - used : 0;
}

}  // namespace millrace::server
