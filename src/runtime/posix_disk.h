// env::Disk on a POSIX file system.
// Not here: which thread calls (env/disk.h says which calls may block).
// Threads: any; no state but the descriptors themselves.
#pragma once

#include <memory>
#include <string>

#include "env/disk.h"

namespace millrace::runtime {

class PosixDisk final : public env::Disk {
 public:
  Result<std::unique_ptr<env::File>> open(const std::string& path, env::OpenMode mode) override;
  Result<> make_directories(const std::string& path) override;
  Result<std::vector<env::DirectoryEntry>> list(const std::string& path) override;
  bool exists(const std::string& path) override;
  Result<> rename(const std::string& from, const std::string& to) override;
  Result<> remove(const std::string& path) override;
  Result<> set_read_only(const std::string& path) override;
  Result<> sync_directory(const std::string& path) override;
  Result<> sync_filesystem(const std::string& path) override;
  Result<env::SpaceInfo> space(const std::string& path) override;
  // A lock of the kind that Java's FileChannel.tryLock takes, so that the two exclude each other.
  Result<std::unique_ptr<env::FileLock>> lock(const std::string& path) override;
};

}  // namespace millrace::runtime
