// A segment, or a snapshot of the metadata log, as Apache Kafka's scripts read one: whole batches
// from a position on.
// Not here: indexes (app/kafka/index_dump.cc), what is printed.
// Errors: exceptions as Kafka's FileRecords throws them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "app/kafka/ending.h"
#include "base/bytes.h"
#include "env/disk.h"
#include "record/batch.h"

namespace millrace::app::kafka {

// The whole of a small file; NoSuchFileException.
Attempt<ByteBuffer> read_bytes(const std::string& path);

class LogFile {
 public:
  static Attempt<LogFile> open(const std::string& path);

  // Walks batches; a batch lives until the next one is taken.
  class Batches {
   public:
    // Nothing: no whole batch follows. CorruptRecordException: what follows is none.
    Attempt<std::optional<record::BatchView>> next();

   private:
    friend class LogFile;
    Batches(const LogFile& file, int64_t position, int64_t end)
        : file_(file), position_(position), end_(end) {}

    const LogFile& file_;
    int64_t position_;
    int64_t end_;
    ByteBuffer bytes_;
  };

  // At most `most` bytes from `position` on.
  struct Slice {
    int64_t position = 0;
    int64_t most = INT32_MAX;
  };
  Attempt<Batches> batches(Slice slice) const;
  int64_t size() const { return size_; }

 private:
  Attempt<> read(MutableByteView into, int64_t position) const;

  std::string path_;
  std::unique_ptr<env::File> file_;
  int64_t size_ = 0;
};

}  // namespace millrace::app::kafka
