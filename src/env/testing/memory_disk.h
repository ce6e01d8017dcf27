// A disk in memory for unit tests: it forgets what was not synced when the test says crash(), and
// fails what the test says.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "env/disk.h"

namespace millrace::env::testing {

class MemoryDisk final : public Disk {
 public:
  // Asked before each operation ("write", "sync", "rename", ...) on a path; an error fails it.
  std::function<Result<>(std::string_view operation, const std::string& path)> fault;

  // Told of each read of a file.
  std::function<void(const std::string& path, uint64_t position, size_t size)> on_read;

  // Power loss: every file keeps what was synced and `unsynced_bytes_kept` bytes of what was not.
  void crash(size_t unsynced_bytes_kept = 0) {
    for (auto& [path, content] : files_)
      content->now.resize(std::min(content->now.size(), content->synced + unsynced_bytes_kept));
  }
  ByteBuffer& content(const std::string& path) { return files_.at(path)->now; }

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    RETURN_IF_ERROR(ask("open", path));
    auto found = files_.find(path);
    if (found == files_.end() && (mode == OpenMode::kRead || mode == OpenMode::kReadWrite))
      return fail(Errc::kNotFound, "open " + path + ": not there");
    auto& content = files_[path];
    if (!content) content = std::make_shared<Content>();
    if (mode == OpenMode::kReplace) *content = {};
    return std::make_unique<MemoryFile>(*this, path, content);
  }
  Result<> make_directories(const std::string& path) override {
    directories_.insert(path);
    return {};
  }
  Result<std::vector<DirectoryEntry>> list(const std::string& path) override {
    RETURN_IF_ERROR(ask("list", path));
    std::vector<DirectoryEntry> entries;
    const std::string prefix = path + "/";
    auto inside = [&](const std::string& name) {
      return name.starts_with(prefix) && name.find('/', prefix.size()) == std::string::npos;
    };
    for (const auto& [name, content] : files_)
      if (inside(name)) entries.push_back({name.substr(prefix.size()), false, content->now.size()});
    for (const auto& name : directories_)
      if (inside(name)) entries.push_back({name.substr(prefix.size()), true, 0});
    return entries;
  }
  bool exists(const std::string& path) override {
    return ask("exists", path) && (files_.contains(path) || directories_.contains(path));
  }
  Result<> rename(const std::string& from, const std::string& to) override {
    RETURN_IF_ERROR(ask("rename", from));
    if (!exists(from)) return fail(Errc::kNotFound, "rename " + from + ": not there");
    if (directories_.contains(from)) return rename_directory(from, to);
    files_[to] = files_.at(from);
    files_.erase(from);
    return {};
  }
  Result<> remove(const std::string& path) override {
    files_.erase(path);
    directories_.erase(path);
    return {};
  }
  Result<> set_read_only(const std::string&) override { return {}; }
  Result<> sync_directory(const std::string& path) override { return ask("sync directory", path); }
  Result<> sync_filesystem(const std::string&) override {
    for (auto& [path, content] : files_) content->synced = content->now.size();
    return {};
  }
  Result<SpaceInfo> space(const std::string&) override { return SpaceInfo{1 << 30, 1 << 30}; }
  Result<std::unique_ptr<FileLock>> lock(const std::string&) override {
    return std::make_unique<FileLock>();
  }

 private:
  struct Content {
    ByteBuffer now;
    size_t synced = 0;
  };

  class MemoryFile final : public File {
   public:
    MemoryFile(MemoryDisk& disk, std::string path, std::shared_ptr<Content> content)
        : disk_(&disk), path_(std::move(path)), content_(std::move(content)) {}
    Result<size_t> read_at(MutableByteView into, uint64_t position) override {
      RETURN_IF_ERROR(disk_->ask("read", path_));
      const ByteBuffer& bytes = content_->now;
      if (position >= bytes.size()) return 0;
      const size_t count = std::min<size_t>(into.size(), bytes.size() - position);
      std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(position), count, into.begin());
      if (disk_->on_read) disk_->on_read(path_, position, count);
      return count;
    }
    Result<size_t> read_cached_at(MutableByteView into, uint64_t position) override {
      return read_at(into, position);
    }
    Result<> write_at(std::span<const ByteView> pieces, uint64_t position) override {
      const auto allowed = disk_->ask("write", path_);
      for (ByteView piece : pieces) {
        const size_t count = allowed ? piece.size() : piece.size() / 2;  // fails half way
        content_->now.resize(std::max<size_t>(content_->now.size(), position + count));
        std::copy_n(piece.begin(), count, content_->now.begin() + static_cast<ptrdiff_t>(position));
        if (!allowed) return allowed;
        position += count;
      }
      return {};
    }
    Result<uint64_t> size() override { return content_->now.size(); }
    Result<> truncate(uint64_t size) override {
      content_->now.resize(size);
      content_->synced = std::min<size_t>(content_->synced, size);
      return {};
    }
    Result<> sync() override {
      RETURN_IF_ERROR(disk_->ask("sync", path_));
      content_->synced = content_->now.size();
      return {};
    }
    Result<> preallocate(uint64_t) override { return {}; }
    void start_writeback(ByteRange) override {}

   private:
    MemoryDisk* disk_;
    std::string path_;
    std::shared_ptr<Content> content_;
  };

  Result<> rename_directory(const std::string& from, const std::string& to) {
    auto moved = [&](const std::string& path) { return to + path.substr(from.size()); };
    auto inside = [&](const std::string& path) {
      return path == from || path.starts_with(from + "/");
    };
    for (auto it = files_.begin(); it != files_.end();)
      if (inside(it->first)) {
        files_[moved(it->first)] = it->second;
        it = files_.erase(it);
      } else {
        ++it;
      }
    for (const auto& path : std::set(directories_))
      if (inside(path)) directories_.erase(path), directories_.insert(moved(path));
    return {};
  }

  Result<> ask(std::string_view operation, const std::string& path) {
    return fault ? fault(operation, path) : Result<>{};
  }

  std::map<std::string, std::shared_ptr<Content>> files_;
  std::set<std::string> directories_;
};

}  // namespace millrace::env::testing
