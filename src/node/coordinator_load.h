// Replays the log of a coordinator's partition into a new machine, a piece at a time, so that
// whoever wants the partition's lock meanwhile waits for one read of an index at most.
// Not here: when, and on which thread (node/partition_coordinators); what a record
// means (the machine).
//
// Failure: bytes of the disk are checked (kCorrupt names the offset); a log that changes under the
// hands of its reader, because the partition became a follower, may look damaged: the caller knows.
// Threads: one caller at a time.
#pragma once

#include <memory>
#include <optional>

#include "machine/replicated.h"
#include "storage/log.h"

namespace millrace::node {

// Of machines that want to know where in the log their records lie.
template <class Machine>
concept TakesOffsets = requires(Machine& machine, const machine::KeyValueRecord& record,
                                Offset offset) { machine.apply(record, offset); };

// Machine: made of a Config; apply(record), with its offset if it wants it; and where producers
// write into its partition, apply_transactional(record, producer) and apply_marker(producer,
// commit).
template <class Machine>
class CoordinatorLoad {
 public:
  CoordinatorLoad(std::unique_ptr<Machine> machine, Offset from)
      : machine_(std::move(machine)), next_(from) {}

  // Under the partition's lock. Nothing: the log is replayed to its end.
  Result<std::optional<storage::ReadSlice>> next_piece(storage::Log& log) const;
  // Outside of it.
  Result<> replay(const storage::ReadSlice& piece);
  std::unique_ptr<Machine> take() { return std::move(machine_); }

 private:
  Result<> replay(ByteView batch);

  std::unique_ptr<Machine> machine_;
  Offset next_;
};

}  // namespace millrace::node
