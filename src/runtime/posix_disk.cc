#include "runtime/posix_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "runtime/descriptor.h"

namespace millrace::runtime {
namespace {

std::unexpected<Error> os_error(std::string_view operation, const std::string& path) {
  const int cause = errno;
  Errc code = Errc::kIo;
  if (cause == ENOENT) code = Errc::kNotFound;
  if (cause == EEXIST) code = Errc::kExists;
  if (cause == ENOSPC || cause == EDQUOT) code = Errc::kNoSpace;
  return fail(code, fmt::format("{} {}: {}", operation, path, std::strerror(cause)));
}

Result<> checked(int result, std::string_view operation, const std::string& path) {
  if (result < 0) return os_error(operation, path);
  return {};
}

class PosixFile final : public env::File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  Result<size_t> read_at(MutableByteView into, uint64_t position) override {
    size_t done = 0;
    while (done < into.size()) {
      const ssize_t got = ::pread(fd_.get(), into.data() + done, into.size() - done,
                                  static_cast<off_t>(position + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return os_error("read", path_);
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  Result<size_t> read_cached_at(MutableByteView into, uint64_t position) override {
    iovec piece{into.data(), into.size()};
    const ssize_t got = ::preadv2(fd_.get(), &piece, 1, static_cast<off_t>(position), RWF_NOWAIT);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno == EAGAIN) return fail(Errc::kWouldBlock, "not in the page cache");
    return read_at(into, position);  // file systems without NOWAIT
  }

  Result<> write_at(std::span<const ByteView> pieces, uint64_t position) override {
    return pieces.size() == 1 ? write_one(pieces[0], position) : write_many(pieces, position);
  }

  Result<uint64_t> size() override {
    struct stat info;
    if (::fstat(fd_.get(), &info) < 0) return os_error("stat", path_);
    return static_cast<uint64_t>(info.st_size);
  }

  Result<> truncate(uint64_t size) override {
    return checked(::ftruncate(fd_.get(), static_cast<off_t>(size)), "truncate", path_);
  }
  Result<> sync() override { return checked(::fdatasync(fd_.get()), "sync", path_); }

  Result<> preallocate(uint64_t end) override {
    if (::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(end)) == 0) return {};
    if (errno == ENOSPC || errno == EDQUOT) return os_error("preallocate", path_);
    return {};
  }

  void start_writeback(env::ByteRange range) override {
    ::sync_file_range(fd_.get(), static_cast<off_t>(range.position),
                      static_cast<off_t>(range.length), SYNC_FILE_RANGE_WRITE);
  }
  int native_handle() const override { return fd_.get(); }

 private:
  // The usual case, without a vector to be filled and copied by the kernel.
  Result<> write_one(ByteView bytes, uint64_t position) {
    while (!bytes.empty()) {
      const ssize_t written =
          ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(position));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return os_error("write", path_);
      position += static_cast<uint64_t>(written);
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return {};
  }

  Result<> write_many(std::span<const ByteView> pieces, uint64_t position) {
    constexpr size_t kMostPieces = 256;
    std::array<iovec, kMostPieces> vectors;
    size_t next = 0, skip = 0;  // pieces[next], `skip` bytes of it are written
    while (next < pieces.size()) {
      size_t count = 0;
      for (size_t i = next; i < pieces.size() && count < kMostPieces; ++i, ++count) {
        ByteView piece = pieces[i].subspan(i == next ? skip : 0);
        vectors[count] = {const_cast<uint8_t*>(piece.data()), piece.size()};
      }
      const ssize_t written = ::pwritev(fd_.get(), vectors.data(), static_cast<int>(count),
                                        static_cast<off_t>(position));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return os_error("write", path_);
      position += static_cast<uint64_t>(written);
      size_t left = static_cast<size_t>(written) + skip;
      while (next < pieces.size() && left >= pieces[next].size()) left -= pieces[next++].size();
      skip = left;
    }
    return {};
  }

  Descriptor fd_;
  std::string path_;
};

class PosixLock final : public env::FileLock {
 public:
  explicit PosixLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  Descriptor fd_;  // closing it releases the lock
};

int flags_of(env::OpenMode mode) {
  switch (mode) {
    case env::OpenMode::kRead: return O_RDONLY;
    case env::OpenMode::kReadWrite: return O_RDWR;
    case env::OpenMode::kCreate: return O_RDWR | O_CREAT;
    case env::OpenMode::kReplace: return O_RDWR | O_CREAT | O_TRUNC;
  }
  return O_RDONLY;
}

}  // namespace

Result<std::unique_ptr<env::File>> PosixDisk::open(const std::string& path, env::OpenMode mode) {
  const int fd = ::open(path.c_str(), flags_of(mode) | O_CLOEXEC, 0644);
  if (fd < 0) return os_error("open", path);
  return std::make_unique<PosixFile>(fd, path);
}

Result<> PosixDisk::make_directories(const std::string& path) {
  for (size_t at = 1; at != std::string::npos;) {
    at = path.find('/', at + 1);
    const std::string prefix = path.substr(0, at);
    if (::mkdir(prefix.c_str(), 0755) < 0 && errno != EEXIST) return os_error("mkdir", prefix);
  }
  return {};
}

Result<std::vector<env::DirectoryEntry>> PosixDisk::list(const std::string& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return os_error("list", path);
  std::unique_ptr<DIR, decltype(&::closedir)> closer(directory, ::closedir);
  std::vector<env::DirectoryEntry> entries;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory);
    if (entry == nullptr && errno != 0) return os_error("list", path);
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat info;
    if (::fstatat(::dirfd(directory), name.c_str(), &info, 0) == 0)
      entries.push_back({name, S_ISDIR(info.st_mode), static_cast<uint64_t>(info.st_size)});
    else if (errno != ENOENT)  // gone since
      return os_error("list", path + "/" + name);
  }
  std::ranges::sort(entries, {}, &env::DirectoryEntry::name);
  return entries;
}

bool PosixDisk::exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<> PosixDisk::rename(const std::string& from, const std::string& to) {
  return checked(::rename(from.c_str(), to.c_str()), "rename", from);
}

Result<> PosixDisk::remove(const std::string& path) {
  return checked(::remove(path.c_str()), "remove", path);
}

Result<> PosixDisk::set_read_only(const std::string& path) {
  return checked(::chmod(path.c_str(), 0400), "chmod", path);
}

Result<> PosixDisk::sync_directory(const std::string& path) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return os_error("open", path);
  return checked(::fsync(fd.get()), "sync", path);
}

Result<> PosixDisk::sync_filesystem(const std::string& path) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return os_error("open", path);
  return checked(::syncfs(fd.get()), "sync file system of", path);
}

Result<env::SpaceInfo> PosixDisk::space(const std::string& path) {
  struct statvfs info;
  if (::statvfs(path.c_str(), &info) < 0) return os_error("statvfs", path);
  return env::SpaceInfo{.total_bytes = info.f_blocks * info.f_frsize,
                        .usable_bytes = info.f_bavail * info.f_frsize};
}

Result<std::unique_ptr<env::FileLock>> PosixDisk::lock(const std::string& path) {
  Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (fd.get() < 0) return os_error("open", path);
  struct flock whole{};
  whole.l_type = F_WRLCK;
  if (::fcntl(fd.get(), F_OFD_SETLK, &whole) == 0)
    return std::make_unique<PosixLock>(std::move(fd));
  if (errno == EAGAIN || errno == EACCES)
    return fail(Errc::kLocked, fmt::format("{} is locked by another process", path));
  return os_error("lock", path);
}

}  // namespace millrace::runtime
