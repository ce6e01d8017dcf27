// The contract of a replicated state machine (house, section 3): controller, group, and later share
// and txn.
//
//   decide(request, now) -> Decision   reads state, changes nothing that a replay must give back,
//                                      may say no
//   apply(record)                      changes state, cannot fail on a record that decide() made
//
// The host (node/controller_host, node/partition_groups) appends the records of a decision to the
// machine's partition as one batch, applies them at once (so that the next decision sees them), and
// lets the replies go when the batch is committed and durable. A restart is a replay: apply() of
// every record from the log, then on_loaded(now). When an append fails the host throws the machine
// away, answers the waiting requests with an error that tells clients to look for the coordinator
// again, and loads it anew: state never runs ahead of the log for longer than one append.
//
// Soft state (sessions, pending joins, heartbeats) lives beside the replicated state, changes in
// decide(), and is lost on a restart by design.
//
// Threads: none of its own; the host serialises all calls to one machine.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"

namespace millrace::machine {

// A record of a coordinator's partition (__consumer_offsets, ...). No value: a tombstone.
struct KeyValueRecord {
  ByteBuffer key;
  std::optional<ByteBuffer> value;
  friend bool operator==(const KeyValueRecord&, const KeyValueRecord&) = default;
};

// Names a request that waits for its reply. Given by the host, opaque to the machine, never reused.
enum class Ticket : uint64_t {};

// One reply that is ready: it leaves when the records of its decision (if any) are committed.
template <class Response>
struct Reply {
  Ticket ticket{};
  Response response;
};

// What a step of a machine wants done. Records first, all or none; then the replies. A reply for a
// request may come out of a later step than the one that took it (a parked JoinGroup), and one step
// may release several.
template <class Record, class Response>
struct Decision {
  std::vector<Record> records;
  std::vector<Reply<Response>> replies;
};

}  // namespace millrace::machine
