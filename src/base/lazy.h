// A value that takes memory only when it is first changed; until then it reads as T{}. For what
// most of many objects never have: a partition's producers, the transactions that are asked about.
// Threads: as T.
#pragma once

#include <memory>
#include <utility>

namespace millrace {

template <class T>
class Lazy {
 public:
  Lazy() = default;
  explicit Lazy(T value) : value_(std::make_unique<T>(std::move(value))) {}
  Lazy(const Lazy& other) : value_(other.value_ ? std::make_unique<T>(*other.value_) : nullptr) {}
  Lazy(Lazy&&) noexcept = default;
  Lazy& operator=(Lazy other) noexcept {
    value_ = std::move(other.value_);
    return *this;
  }
  ~Lazy() = default;

  const T& operator*() const {
    static const T nothing{};
    return value_ ? *value_ : nothing;
  }
  const T* operator->() const { return &**this; }
  // To change it.
  T& made() {
    if (!value_) value_ = std::make_unique<T>();
    return *value_;
  }
  // Null: it is T{}, and what changes nothing of that need not make it.
  T* if_made() { return value_.get(); }
  void reset() { value_.reset(); }

 private:
  std::unique_ptr<T> value_;
};

}  // namespace millrace
