// The door to files. Two implementations: runtime (POSIX) and sim (pages that can be lost, torn,
// rotted).
//
// Paths are plain strings, absolute or relative to the working directory, separated by '/'.
// Errors: Errc::kNotFound, kExists, kNoSpace, kLocked, else kIo; the message names operation, path
// and cause. After a failed sync nothing that was written since the last good sync may be counted
// on (fsyncgate): the owner takes the log directory offline and never calls sync again on it.
// Blocking: read_at, write_at and size touch the page cache and are allowed on a shard; a read that
// may miss the cache uses read_cached_at first. Everything else (open, sync*, preallocate, rename,
// remove, ...) may block and belongs on a DiskThread (env/host.h) once the node is serving; during
// start-up and in tools it may be called directly.
// Threads: a File may be read, written and synced from several threads at once; write_at ranges
// must not overlap.
// Crash rules that callers must obey, and sim enforces: file data survives power loss only after
// sync(); creation, rename and removal only after sync_directory() of the parent. Between, anything
// from "not there" to "all there" may be found, page by page.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace millrace::env {

struct ByteRange {
  uint64_t position = 0;
  uint64_t length = 0;
};

class File {
 public:
  virtual ~File() = default;  // closes; never syncs

  // Bytes read; fewer than asked only at the end of the file.
  virtual Result<size_t> read_at(MutableByteView into, uint64_t position) = 0;
  // As read_at, but kWouldBlock when the range is not in the page cache.
  virtual Result<size_t> read_cached_at(MutableByteView into, uint64_t position) = 0;
  // Writes all pieces, one behind the other. On failure any prefix may have been written.
  virtual Result<> write_at(std::span<const ByteView> pieces, uint64_t position) = 0;
  Result<> write_at(ByteView bytes, uint64_t position) { return write_at({&bytes, 1}, position); }

  virtual Result<uint64_t> size() = 0;
  virtual Result<> truncate(uint64_t size) = 0;  // extends with zeros, or cuts
  virtual Result<> sync() = 0;                   // fdatasync: data and size are on the medium
  // Reserves blocks up to `end` without changing the size. A hint: failing to is no error unless
  // kNoSpace.
  virtual Result<> preallocate(uint64_t end) = 0;
  virtual void start_writeback(ByteRange range) = 0;  // a hint
  virtual int native_handle() const { return -1; }    // for sendfile; -1: there is none
};

// A held exclusive lock on a file; released by destruction or process death.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

enum class OpenMode {
  kRead,       // must exist
  kReadWrite,  // must exist
  kCreate,     // read and write, created empty when missing
  kReplace,    // read and write, created or emptied
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;
  uint64_t size = 0;
};

struct SpaceInfo {
  uint64_t total_bytes = 0;
  uint64_t usable_bytes = 0;
};

class Disk {
 public:
  virtual ~Disk() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  virtual Result<> make_directories(const std::string& path) = 0;  // existing ones are fine
  virtual Result<std::vector<DirectoryEntry>> list(const std::string& path) = 0;  // sorted by name
  virtual bool exists(const std::string& path) = 0;
  virtual Result<> rename(const std::string& from, const std::string& to) = 0;  // replaces `to`
  virtual Result<> remove(const std::string& path) = 0;         // a file or an empty directory
  virtual Result<> set_read_only(const std::string& path) = 0;  // mode 0400, as Kafka's snapshots
  virtual Result<> sync_directory(const std::string& path) = 0;
  virtual Result<> sync_filesystem(const std::string& path) = 0;  // syncfs
  virtual Result<SpaceInfo> space(const std::string& path) = 0;
  virtual Result<std::unique_ptr<FileLock>> lock(
      const std::string& path) = 0;  // kLocked when held elsewhere
};

// The whole of a small file.
Result<ByteBuffer> read_file(Disk& disk, const std::string& path);
// Makes the directory and those above it; they are there after power loss.
Result<> make_durable_directories(Disk& disk, const std::string& path);
// Replaces a small file so that after a crash it is either the old or the new one: writes PATH.tmp,
// syncs, renames, syncs the directory.
Result<> write_file_atomically(Disk& disk, const std::string& path, ByteView content);

}  // namespace millrace::env
