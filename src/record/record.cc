#include "record/record.h"

#include "base/assert.h"
#include "record/varint.h"

namespace millrace::record {
namespace {

std::unexpected<Error> broken(const char* what) { return fail(Errc::kCorrupt, what); }

// What a peer sent may be any number: a sum beyond 64 bits wraps, as Java's does.
int64_t sum_wrapped(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

// A nullable length-prefixed run of bytes. False: it is not there as it must be.
bool take_bytes(ByteView body, size_t& at, std::optional<ByteView>& into) {
  auto length = get_varint(body, at);
  if (!length || *length < -1) return false;
  if (*length == -1) {
    into.reset();
    return true;
  }
  if (static_cast<size_t>(*length) > body.size() - at) return false;
  into = body.subspan(at, static_cast<size_t>(*length));
  at += static_cast<size_t>(*length);
  return true;
}

bool skip_headers(ByteView body, size_t& at, int32_t count) {
  std::optional<ByteView> piece;
  for (int32_t i = 0; i < count; ++i) {
    if (!take_bytes(body, at, piece) || !piece) return false;
    if (!take_bytes(body, at, piece)) return false;
  }
  return true;
}

}  // namespace

// The bytes were walked once by RecordReader::next, so the lengths are right.
void HeaderList::Iterator::load() {
  if (left_ <= 0) return;
  ByteView rest(at_, SIZE_MAX / 2);
  size_t at = 0;
  std::optional<ByteView> piece;
  ASSERT(take_bytes(rest, at, piece) && piece);
  current_.key = as_text(*piece);
  ASSERT(take_bytes(rest, at, current_.value));
  at_ += at;
}

Result<RecordReader> RecordReader::open(const BatchView& batch, ReadScratch& scratch,
                                        size_t max_decompressed) {
  if (batch.header().is_legacy())
    return fail(Errc::kUnsupported, "messages of magic 0 and 1 are not looked into");
  if (batch.header().record_count < 0) return broken("the record count is negative");
  ASSIGN_OR_RETURN(Codec codec, batch.header().attributes.codec());
  if (codec == Codec::kNone) return RecordReader(batch.header(), batch.payload());
  scratch.unpacked.clear();
  RETURN_IF_ERROR(decompress(codec, batch.payload(), max_decompressed, scratch.unpacked));
  return RecordReader(batch.header(), scratch.unpacked);
}

Result<bool> RecordReader::check_end() const {
  if (position_ != payload_.size()) return broken("there are bytes behind the last record");
  return false;
}

Result<bool> RecordReader::next(RecordView& record) {
  if (index_ >= header_.record_count) return check_end();
  const size_t begin = position_;
  auto length = get_varint(payload_, position_);
  if (!length || *length < 0 || static_cast<size_t>(*length) > payload_.size() - position_)
    return broken("a record is longer than its batch");
  ByteView body = payload_.subspan(position_, static_cast<size_t>(*length));
  position_ += body.size();
  if (body.empty()) return broken("a record has no attributes");
  size_t at = 1;  // record attributes: unused
  auto timestamp_delta = get_varlong(body, at);
  auto offset_delta = get_varint(body, at);
  if (!timestamp_delta || !offset_delta) return broken("a record ends in its deltas");
  if (!take_bytes(body, at, record.key)) return broken("the key of a record is broken");
  if (!take_bytes(body, at, record.value)) return broken("the value of a record is broken");
  auto header_count = get_varint(body, at);
  if (!header_count || *header_count < 0 || static_cast<size_t>(*header_count) > body.size() - at)
    return broken("the header count of a record is broken");
  record.headers = HeaderList(body.data() + at, *header_count);
  if (*header_count > 0 && !skip_headers(body, at, *header_count))
    return broken("a header of a record is broken");
  if (at != body.size()) return broken("there are bytes behind a record's headers");
  record.offset = Offset(sum_wrapped(header_.base_offset.value(), *offset_delta));
  record.timestamp =
      header_.timestamp_type() == TimestampType::kLogAppendTime
          ? header_.max_timestamp
          : TimestampMs(sum_wrapped(header_.base_timestamp.value(), *timestamp_delta));
  record.sequence = header_.base_sequence == kNoSequence
                        ? kNoSequence
                        : advance_sequence(header_.base_sequence, index_);
  record.size_in_bytes = static_cast<int32_t>(position_ - begin);
  ++index_;
  return true;
}

}  // namespace millrace::record
