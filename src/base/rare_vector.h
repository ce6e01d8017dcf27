// A vector that is one pointer while it is empty: for what few of many objects have, such as the
// replicas that are being added to a partition. Reads as the std::vector that it stands for.
// Threads: as std::vector.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "base/lazy.h"

namespace millrace {

template <class T>
class RareVector {
 public:
  using value_type = T;
  using const_iterator = typename std::vector<T>::const_iterator;

  RareVector() = default;
  RareVector(std::vector<T> values) {  // NOLINT(google-explicit-constructor): stands for it
    if (!values.empty()) values_.made() = std::move(values);
  }
  RareVector(std::initializer_list<T> values) : RareVector(std::vector<T>(values)) {}
  operator const std::vector<T>&() const { return *values_; }  // NOLINT: stands for it
  const std::vector<T>& operator*() const { return *values_; }

  const_iterator begin() const { return values_->begin(); }
  const_iterator end() const { return values_->end(); }
  const T& front() const { return values_->front(); }
  bool empty() const { return values_->empty(); }
  size_t size() const { return values_->size(); }
  void clear() { values_.reset(); }
  void push_back(T value) { values_.made().push_back(std::move(value)); }

  friend bool operator==(const RareVector& a, const RareVector& b) {
    return *a.values_ == *b.values_;
  }

 private:
  Lazy<std::vector<T>> values_;
};

}  // namespace millrace
