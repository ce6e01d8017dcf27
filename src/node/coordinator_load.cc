#include "node/coordinator_load.h"

#include <fmt/format.h>

#include <algorithm>

#include "node/coordinator_kinds.h"
#include "record/control.h"
#include "record/record.h"

namespace millrace::node {
namespace {

constexpr size_t kMaxUnpacked = 64 << 20;  // of a batch that is compressed
constexpr size_t kPieceBytes = 1 << 20;    // but for a batch that is larger

template <class Machine>
constexpr bool kTakesTransactions =
    requires(Machine& machine, ProducerId producer) { machine.apply_marker(producer, true); };

template <class Machine>
Result<> apply_record(Machine& machine, const machine::KeyValueRecord& record, Offset offset,
                      ProducerId producer) {
  if constexpr (TakesOffsets<Machine>) return machine.apply(record, offset);
  if constexpr (kTakesTransactions<Machine>)
    if (producer != kNoProducerId) return machine.apply_transactional(record, producer);
  if constexpr (!TakesOffsets<Machine>) return machine.apply(record);
}

}  // namespace

template <class Machine>
Result<std::optional<storage::ReadSlice>> CoordinatorLoad<Machine>::next_piece(
    storage::Log& log) const {
  ASSIGN_OR_RETURN(auto piece, log.read({.from = std::max(next_, log.log_start()),
                                         .below = log.log_end(),
                                         .max_bytes = kPieceBytes}));
  if (piece.length == 0) return std::nullopt;
  return piece;
}

template <class Machine>
Result<> CoordinatorLoad<Machine>::replay(const storage::ReadSlice& piece) {
  ByteBuffer bytes(piece.length);
  ASSIGN_OR_RETURN(const size_t got, piece.file->read_at(bytes, piece.position));
  ByteView left = ByteView(bytes).first(got);
  const Offset before = next_;
  for (;;) {
    ASSIGN_OR_RETURN(const auto header, record::peek_header(left));
    if (!header || std::cmp_greater(header->size_in_bytes(), left.size())) break;
    const auto size = static_cast<size_t>(header->size_in_bytes());
    RETURN_IF_ERROR(replay(left.first(size)));
    left = left.subspan(size);
    next_ = std::max(next_, header->next_offset());
  }
  if (next_ > before) return {};
  return fail(Errc::kCorrupt, fmt::format("no whole batch at offset {}", before.value()));
}

template <class Machine>
Result<> CoordinatorLoad<Machine>::replay(ByteView bytes) {
  ASSIGN_OR_RETURN(auto batch, record::BatchView::parse(bytes));
  const record::BatchHeader& header = batch.header();
  if (!batch.verify_crc())
    return fail(Errc::kCorrupt, fmt::format("the batch at offset {} has a wrong checksum",
                                            header.base_offset.value()));
  const ProducerId producer =
      header.attributes.transactional() ? header.producer_id : kNoProducerId;
  record::ReadScratch scratch;
  ASSIGN_OR_RETURN(auto reader, record::RecordReader::open(batch, scratch, kMaxUnpacked));
  record::RecordView record;
  machine::KeyValueRecord each;
  for (;;) {
    ASSIGN_OR_RETURN(bool more, reader.next(record));
    if (!more) return {};
    if (!record.key) continue;
    if (header.attributes.control()) {
      ASSIGN_OR_RETURN(auto type, record::parse_control_key(*record.key));
      const bool commits = type == record::ControlType::kCommit;
      if constexpr (kTakesTransactions<Machine>)
        if (commits || type == record::ControlType::kAbort)
          machine_->apply_marker(producer, commits);
      continue;
    }
    each.key.assign(record.key->begin(), record.key->end());
    if (!record.value)
      each.value.reset();
    else if (each.value)
      each.value->assign(record.value->begin(), record.value->end());
    else
      each.value = copy_of(*record.value);
    RETURN_IF_ERROR(apply_record(*machine_, each, record.offset, producer));
  }
}

template class CoordinatorLoad<group::Coordinator>;
template class CoordinatorLoad<txn::Coordinator>;
template class CoordinatorLoad<share::ShareCoordinator>;

}  // namespace millrace::node
