// A run of bytes with a capacity, which are never zeroed first: where a frame is collected as it
// arrives. It does not grow by itself.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "base/bytes.h"

namespace millrace {

class FrameBuffer {
 public:
  FrameBuffer() = default;
  explicit FrameBuffer(size_t capacity)
      : bytes_(std::make_unique_for_overwrite<uint8_t[]>(capacity)), capacity_(capacity) {}
  FrameBuffer(FrameBuffer&& other) noexcept { swap(other); }
  FrameBuffer& operator=(FrameBuffer&& other) noexcept {
    FrameBuffer taken(std::move(other));
    swap(taken);
    return *this;
  }

  ByteView view() const { return {bytes_.get(), size_}; }
  MutableByteView free_space() { return {bytes_.get() + size_, capacity_ - size_}; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }

  void clear() { size_ = 0; }
  void added(size_t count) { size_ += count; }
  void append(ByteView more) {  // there is room
    if (!more.empty()) std::memcpy(bytes_.get() + size_, more.data(), more.size());
    size_ += more.size();
  }
  void drop_front(size_t count) {
    std::memmove(bytes_.get(), bytes_.get() + count, size_ - count);
    size_ -= count;
  }
  void swap(FrameBuffer& other) {
    std::swap(bytes_, other.bytes_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  std::unique_ptr<uint8_t[]> bytes_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace millrace
