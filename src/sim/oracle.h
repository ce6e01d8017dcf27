// What the clients of a simulation were told, and what must therefore be true. The checkers of the
// client's side: each rule has the name of its invariant.
//
//   IS3  a record that was acknowledged (acks=all) is in the log, at its offset
//   IS5  what was consumed at an offset never changes or disappears
//   ID1  of an idempotent producer: no record twice, none left out, in order
//   ID2  a repeated batch is answered with its first offset
//   ID4  of a plain producer: a request that was sent once is appended at most once, and behind
//        what of it was acknowledged before
//   MD7  a producer id is given once
//   ST3  every batch that is served has a right checksum, but for those that rotted (sim/rot)
//   GR1-GR7, MD3, MD4 in group_oracle.h, expiry.h and admin.h
// Suspended: IS3, IS5, ID1, ID2 and ID4 for a partition that had an unclean election, which is
// noted.
// Records below what DeleteRecords may have removed are excused; those that rotted may be missing,
// but not be others.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "sim/world.h"

namespace millrace::sim {

// A value says who wrote it: "<producer>/<partition>/<number>".
struct Value {
  std::string producer;
  int32_t partition = 0;
  int64_t number = 0;
  std::string to_string() const;
  static std::optional<Value> parse(std::string_view text);
};

class Oracle {
 public:
  explicit Oracle(World& world) : world_(&world) {}

  // For the first time.
  void sent(int32_t partition, const Value& value);
  void acknowledged(int32_t partition, int64_t offset, const std::string& value);
  void consumed(int32_t partition, int64_t offset, const std::string& value);
  // DeleteRecords below `offset` was asked for, so it may have happened.
  void may_delete_below(int32_t partition, int64_t offset);
  // Partitions may have other leaders now than before.
  void expect_other_leaders() { other_leaders_ = true; }
  bool may_be_led_by_others() const { return other_leaders_; }
  // The partition got a leader that may lack records (an unclean election): what was said of it
  // until settled() is not held against it.
  void may_have_lost(int32_t partition);
  void settled() { losing_.clear(); }
  // Finds out whether one has just been, before anything is held against a partition.
  std::function<void()> look_again;
  bool had_unclean_election(int32_t partition) const { return unclean_.contains(partition); }
  void given_producer_id(int64_t id);
  void is_idempotent(const std::string& producer) { idempotent_.insert(producer); }

  struct Span {
    int64_t first = 0, end = 0;
    bool must_be_cut = false;  // a broker that has started since serves nothing of it
  };
  // The records of the span cannot be read until they are repaired.
  void damaged(int32_t partition, Span span) { damaged_[partition].push_back(span); }
  void repaired() { damaged_.clear(); }
  // The damage that the offset lies in.
  std::optional<Span> damage_at(int32_t partition, int64_t offset) const;
  bool has_damage(int32_t partition) const { return damaged_.contains(partition); }
  World& world() { return *world_; }

  using Contents = std::map<int64_t, std::string>;  // by offset
  // The whole of a partition as it was just read, when nothing is under way.
  void check_contents(int32_t partition, const Contents& contents);
  size_t acknowledged_count() const;
  // Of the partition, as producers were told.
  const Contents& acknowledged(int32_t partition) { return acknowledged_[partition]; }
  int64_t excused_below(int32_t partition) const;

 private:
  bool is_excused(int32_t partition);
  void check_order(int32_t partition, int64_t offset, const Value& value);
  void check_producers(int32_t partition, const Contents& contents);

  World* world_;
  std::map<int32_t, Contents> acknowledged_;
  std::map<int32_t, Contents> consumed_;
  std::map<int32_t, int64_t> may_be_deleted_;
  std::set<int32_t> unclean_, losing_;  // partitions that had an unclean election; not settled yet
  std::map<int32_t, std::vector<Span>> damaged_;
  std::set<std::string> idempotent_;
  std::set<int64_t> producer_ids_;
  using Lane = std::pair<std::string, int32_t>;  // a producer and a partition
  std::map<Lane, int64_t> last_acknowledged_;    // the highest offset
  // What that was when the value was sent; until it is acknowledged.
  std::map<std::string, int64_t> sent_behind_;
  bool other_leaders_ = false;
};

}  // namespace millrace::sim
