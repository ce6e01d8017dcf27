#include "node/slice_batches.h"

#include <algorithm>
#include <utility>

namespace millrace::node {
namespace {

// Small batches come many at a time, of a large one little more than its header.
constexpr size_t kPiece = 16 * 1024;

}  // namespace

Result<std::vector<SliceBatch>> batches_of(const storage::ReadSlice& slice) {
  std::vector<SliceBatch> batches;
  ByteBuffer piece(std::min(kPiece, slice.length));
  size_t at = 0;          // in the slice, of the next batch
  size_t piece_from = 0;  // in the slice
  size_t piece_size = 0;
  while (at < slice.length) {
    const bool is_there =
        at >= piece_from && at + record::kBatchHeaderSize <= piece_from + piece_size;
    if (!is_there) {
      const size_t wanted = std::min(piece.size(), slice.length - at);
      ASSIGN_OR_RETURN(piece_size, slice.file->read_at(MutableByteView(piece).first(wanted),
                                                       slice.position + at));
      piece_from = at;
    }
    const ByteView rest = ByteView(piece).first(piece_size).subspan(at - piece_from);
    ASSIGN_OR_RETURN(const auto header, record::peek_header(rest));
    // The rest was not read.
    if (!header || std::cmp_greater(header->size_in_bytes(), slice.length - at)) break;
    batches.push_back({.header = *header, .position = slice.position + at});
    at += static_cast<size_t>(header->size_in_bytes());
  }
  return batches;
}

}  // namespace millrace::node
