#include "app/kafka/log_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/posix_disk.h"

namespace millrace::app::kafka {
namespace {

constexpr int64_t kUpToMagic = 17;  // bytes of a batch, with the one that says its magic
constexpr int64_t kBeforeSize = static_cast<int64_t>(record::kBatchOverhead);
constexpr int32_t kLeastSize = 14;  // of a message of magic 0
constexpr size_t kSizeAt = 8;

Ending cannot_read(const Error& error, const std::string& path) {
  if (error.code == Errc::kNotFound)
    return {.type = "java.nio.file.NoSuchFileException", .message = path};
  return {.type = "java.io.IOException", .message = error.message};
}

std::unexpected<Ending> corrupt(std::string message) {
  return thrown("org.apache.kafka.common.errors.CorruptRecordException", std::move(message));
}

}  // namespace

Attempt<ByteBuffer> read_bytes(const std::string& path) {
  runtime::PosixDisk disk;
  auto bytes = env::read_file(disk, path);
  if (!bytes) return std::unexpected(cannot_read(bytes.error(), path));
  return std::move(*bytes);
}

Attempt<LogFile> LogFile::open(const std::string& path) {
  runtime::PosixDisk disk;
  LogFile log;
  log.path_ = path;
  auto opened = disk.open(path, env::OpenMode::kRead);
  if (!opened) return std::unexpected(cannot_read(opened.error(), path));
  log.file_ = std::move(*opened);
  const auto size = log.file_->size();
  if (!size) return std::unexpected(cannot_read(size.error(), path));
  log.size_ = static_cast<int64_t>(*size);
  if (log.size_ > INT32_MAX)
    return thrown("org.apache.kafka.common.KafkaException",
                  fmt::format("The size of segment {} ({}) is larger than the maximum allowed "
                              "segment size of {}",
                              path, log.size_, INT32_MAX));
  return log;
}

Attempt<LogFile::Batches> LogFile::batches(Slice slice) const {
  const auto where = [&] {
    return fmt::format("FileRecords(size={}, file={}, start=0, end={})", size_, path_, INT32_MAX);
  };
  if (slice.position < 0)
    return illegal_argument(
        fmt::format("Invalid position: {} in read from {}", slice.position, where()));
  if (slice.position > size_)
    return illegal_argument(
        fmt::format("Slice from position {} exceeds end position of {}", slice.position, where()));
  if (slice.most < 0)
    return illegal_argument(fmt::format("Invalid size: {} in read from {}", slice.most, where()));
  return Batches(*this, slice.position, std::min(size_, slice.position + slice.most));
}

Attempt<> LogFile::read(MutableByteView into, int64_t position) const {
  const auto got = file_->read_at(into, static_cast<uint64_t>(position));
  if (!got) return std::unexpected(cannot_read(got.error(), path_));
  if (*got < into.size()) return corrupt("Unexpected EOF while attempting to read the next batch");
  return {};
}

Attempt<std::optional<record::BatchView>> LogFile::Batches::next() {
  if (position_ >= end_ - kUpToMagic) return std::nullopt;
  bytes_.resize(kUpToMagic);
  RETURN_IF_ERROR(file_.read(bytes_, position_));
  const auto size = load_big<int32_t>(bytes_.data() + kSizeAt);
  if (size < kLeastSize)
    return corrupt(
        fmt::format("Found record size {} smaller than minimum record overhead ({}) in "
                    "file {}.",
                    size, kLeastSize, file_.path_));
  if (position_ > end_ - kBeforeSize - size) return std::nullopt;
  bytes_.resize(static_cast<size_t>(kBeforeSize + size));
  RETURN_IF_ERROR(file_.read(bytes_, position_));
  const auto batch = record::BatchView::parse(bytes_);
  if (!batch) return corrupt(batch.error().message);
  position_ += static_cast<int64_t>(batch->size_in_bytes());
  return *batch;
}

}  // namespace millrace::app::kafka
