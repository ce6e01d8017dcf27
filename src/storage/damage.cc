#include "storage/damage.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace millrace::storage {
namespace {

constexpr size_t kSearchPiece = 1 << 20;
constexpr size_t kMagicAt = 16;

// Takes digits up to `until` off the front.
std::optional<int64_t> take_number(std::string_view& text, char until) {
  int64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto length = static_cast<size_t>(stop - text.data());
  const bool whole = error == std::errc() && length < text.size() && *stop == until;
  if (!whole || value < 0) return std::nullopt;
  text.remove_prefix(length + 1);
  return value;
}

}  // namespace

std::string DamagedRange::to_string() const {
  return fmt::format("bytes [{}, {}), offsets [{}, {})", position, end, from, below);
}

std::string damage_file_name(const NamedDamage& damage) {
  const DamagedRange& range = damage.range;
  return fmt::format("{:020}.{}-{}.{}-{}{}", damage.segment.value(), range.from, range.below,
                     range.position, range.end, kDamagedSuffix);
}

std::optional<NamedDamage> parse_damage_file_name(std::string_view name) {
  if (!name.ends_with(kDamagedSuffix)) return std::nullopt;
  std::array<int64_t, 5> numbers{};
  constexpr std::array<char, 5> kBehind = {'.', '-', '.', '-', '.'};
  for (size_t i = 0; i < numbers.size(); ++i) {
    const auto number = take_number(name, kBehind[i]);
    if (!number) return std::nullopt;
    numbers[i] = *number;
  }
  const auto [segment, from, below, position, end] = numbers;
  const bool is_whole = name == kDamagedSuffix.substr(1);
  if (!is_whole || from >= below || position >= end) return std::nullopt;
  return NamedDamage{.segment = Offset(segment),
                     .range = {.position = static_cast<uint64_t>(position),
                               .end = static_cast<uint64_t>(end),
                               .from = Offset(from),
                               .below = Offset(below)}};
}

bool are_good_batches(ByteView bytes, const DamagedRange& of) {
  record::BatchIterator batches(bytes);
  Offset next = of.from;
  for (;;) {
    auto batch = batches.next();
    if (!batch) return false;
    if (!*batch) return batches.remaining() == 0 && next > of.from;
    if ((*batch)->base_offset() < next || (*batch)->last_offset() < (*batch)->base_offset() ||
        (*batch)->next_offset() > of.below || !(*batch)->verify_crc())
      return false;
    next = (*batch)->next_offset();
  }
}

Scrubbed scrub(const ScrubbedBytes& of) {
  record::BatchIterator batches(of.bytes);
  Offset next = of.from;
  std::optional<Offset> first_gap, gap, odd;  // `gap` before the batch looked at last; `odd` it
  for (bool is_first = true;; is_first = false) {
    auto batch = batches.next();
    if (batch && !*batch && odd && *odd > of.from) return {*odd, gap ? gap : first_gap};
    if (batch && !*batch) return {next, gap ? gap : first_gap};
    if (!batch || !(*batch)->verify_crc()) return {next, next};
    const record::BatchHeader& header = (*batch)->header();
    if (!is_first && header.base_offset < next) return {next, gap.value_or(next)};
    if (header.base_offset >= of.segment_end || header.next_offset() > of.segment_end)
      return {next, next};
    const bool has_epoch = header.leader_epoch == epoch_of(of.epochs, header.base_offset);
    if (odd && has_epoch) return {next, odd};
    odd = has_epoch ? std::nullopt : std::optional(header.base_offset);
    gap = header.base_offset > next ? std::optional(next) : std::nullopt;
    if (is_first) first_gap = gap;
    next = std::max(next, header.next_offset());
  }
}

Result<std::optional<record::BatchHeader>> header_at(env::File& file, uint64_t position) {
  uint8_t bytes[record::kBatchHeaderSize];
  ASSIGN_OR_RETURN(const size_t got, file.read_at(bytes, position));
  auto header = record::peek_header({bytes, got});
  return header ? *header : std::nullopt;
}

Result<bool> is_good_batch(env::File& file, uint64_t position) {
  ASSIGN_OR_RETURN(auto header, header_at(file, position));
  ASSIGN_OR_RETURN(const uint64_t file_size, file.size());
  if (!header || std::cmp_greater(header->size_in_bytes(), file_size - position)) return false;
  ByteBuffer bytes(static_cast<size_t>(header->size_in_bytes()));
  ASSIGN_OR_RETURN(const size_t got, file.read_at(bytes, position));
  auto batch = record::BatchView::parse(ByteView(bytes).first(got));
  return batch && batch->verify_crc();
}

namespace {

// Wherever it begins.
Result<std::optional<BatchFound>> first_good_batch(env::File& file, const BatchSearch& search) {
  ByteBuffer piece(kSearchPiece);
  for (uint64_t begin = search.position; begin + record::kBatchHeaderSize <= search.size;) {
    const auto wanted = static_cast<size_t>(std::min<uint64_t>(kSearchPiece, search.size - begin));
    ASSIGN_OR_RETURN(const size_t got, file.read_at(MutableByteView(piece).first(wanted), begin));
    if (got < record::kBatchHeaderSize) return std::nullopt;
    const size_t last = got - record::kBatchHeaderSize;
    for (size_t at = 0; at <= last; ++at) {
      if (piece[at + kMagicAt] != record::kCurrentMagic) continue;
      auto header = record::peek_header(ByteView(piece).subspan(at, record::kBatchHeaderSize));
      if (!header || !*header) continue;
      const Offset base = (*header)->base_offset;
      if (base < search.from || base >= search.below) continue;
      ASSIGN_OR_RETURN(const bool good, is_good_batch(file, begin + at));
      if (good)
        return BatchFound{.position = begin + at,
                          .end = begin + at + static_cast<uint64_t>((*header)->size_in_bytes()),
                          .base_offset = base,
                          .next_offset = (*header)->next_offset()};
    }
    begin += last + 1;
  }
  return std::nullopt;
}

}  // namespace

Result<std::optional<BatchFound>> find_batch(env::File& file, BatchSearch search) {
  ASSIGN_OR_RETURN(auto found, first_good_batch(file, search));
  while (found) {
    search.position = found->end;
    ASSIGN_OR_RETURN(auto behind, first_good_batch(file, search));
    if (!behind || behind->base_offset >= found->next_offset) return found;
    found = behind;
  }
  return std::nullopt;
}

}  // namespace millrace::storage
