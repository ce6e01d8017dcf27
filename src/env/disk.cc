#include "env/disk.h"

namespace millrace::env {
namespace {

std::string parent_of(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Result<ByteBuffer> read_file(Disk& disk, const std::string& path) {
  ASSIGN_OR_RETURN(auto file, disk.open(path, OpenMode::kRead));
  ASSIGN_OR_RETURN(uint64_t size, file->size());
  ByteBuffer content(size);
  ASSIGN_OR_RETURN(size_t got, file->read_at(content, 0));
  content.resize(got);
  return content;
}

Result<> write_file_atomically(Disk& disk, const std::string& path, ByteView content) {
  const std::string temporary = path + ".tmp";
  {
    ASSIGN_OR_RETURN(auto file, disk.open(temporary, OpenMode::kReplace));
    RETURN_IF_ERROR(file->write_at(content, 0));
    RETURN_IF_ERROR(file->sync());
  }
  RETURN_IF_ERROR(disk.rename(temporary, path));
  return disk.sync_directory(parent_of(path));
}

Result<> make_durable_directories(Disk& disk, const std::string& path) {
  if (path.empty() || disk.exists(path)) return {};
  const std::string parent = parent_of(path);
  if (parent != path) RETURN_IF_ERROR(make_durable_directories(disk, parent));
  RETURN_IF_ERROR(disk.make_directories(path));
  return disk.sync_directory(parent);
}

}  // namespace millrace::env
