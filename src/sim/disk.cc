#include "sim/disk.h"

#include <algorithm>
#include <functional>

#include "base/assert.h"
#include "base/probe.h"

namespace millrace::sim {
namespace {

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (end > at) parts.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

bool is_below(const std::string& path, const std::string& directory) {
  return path == directory || path.starts_with(directory + "/");
}

size_t pages_of(size_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes; }

void copy_range(const ByteBuffer& from, ByteBuffer& to, size_t begin, size_t end) {
  end = std::min(end, to.size());
  for (size_t i = begin; i < end; ++i) to[i] = i < from.size() ? from[i] : 0;
}

class File final : public env::File {
 public:
  File(Medium& medium, std::string path, std::shared_ptr<Inode> inode)
      : medium_(&medium), path_(std::move(path)), inode_(std::move(inode)) {}

  Result<size_t> read_at(MutableByteView into, uint64_t position) override {
    RETURN_IF_ERROR(medium_->check(path_));
    if (medium_->world().disk.chance(medium_->read_failure_chance))
      return medium_->failed(path_, {Errc::kIo, "read: Input/output error"});
    const ByteBuffer& content = inode_->content;
    if (position >= content.size()) return 0;
    const size_t count = std::min<size_t>(into.size(), content.size() - position);
    std::copy_n(content.begin() + static_cast<ptrdiff_t>(position), count, into.begin());
    return count;
  }
  Result<size_t> read_cached_at(MutableByteView into, uint64_t position) override {
    return read_at(into, position);
  }
  Result<> write_at(std::span<const ByteView> pieces, uint64_t position) override {
    RETURN_IF_ERROR(medium_->check(path_));
    return told(medium_->write(*inode_, pieces, position), "write");
  }
  Result<uint64_t> size() override { return inode_->content.size(); }
  Result<> truncate(uint64_t size) override {
    RETURN_IF_ERROR(medium_->check(path_));
    const ByteView durable = inode_->durable;
    if (medium_->on_cut && size < durable.size()) medium_->on_cut(path_, durable.subspan(size));
    return told(medium_->truncate(*inode_, size), "truncate");
  }
  Result<> sync() override {
    RETURN_IF_ERROR(medium_->check(path_));
    return told(medium_->sync(*inode_), "fdatasync");
  }
  Result<> preallocate(uint64_t) override { return {}; }
  void start_writeback(env::ByteRange) override {}

 private:
  Result<> told(Result<> result, std::string_view operation) const {
    if (result) return result;
    return medium_->failed(path_, std::move(result).error().within(operation));
  }

  Medium* medium_;
  std::string path_;
  std::shared_ptr<Inode> inode_;
};

class Lock final : public env::FileLock {
 public:
  Lock(Medium& medium, std::string path) : medium_(&medium), path_(std::move(path)) {}
  ~Lock() override { medium_->locks.erase(path_); }

 private:
  Medium* medium_;
  std::string path_;
};

}  // namespace

Medium::Medium(World& world) : world_(&world) { root_->is_directory = true; }

std::unexpected<Error> Medium::failed(const std::string& path, Error error) {
  failed_.insert(path);
  return std::unexpected(std::move(error).within(path));
}

Result<> Medium::check(const std::string& path) {
  if (std::ranges::none_of(broken_, [&](const auto& each) { return is_below(path, each); }))
    return {};
  PROBE("sim.broken_directory");
  return failed(path, {Errc::kIo, "Input/output error"});
}

bool Medium::has_failed(const std::string& directory) const {
  return std::ranges::any_of(failed_, [&](const auto& path) { return is_below(path, directory); });
}

void Medium::die_at(uint64_t changes_from_now, std::function<void()> dead) {
  changes_left_ = changes_from_now;
  dead_ = std::move(dead);
}

void Medium::process_ended() {
  changes_left_ = 0;
  locks.clear();
  failed_.clear();
  if (!at_death_) return;
  root_ = std::move(at_death_->root);
  pending_ = std::move(at_death_->pending);
  at_death_.reset();
  used_bytes_ = 0;
  for (const auto& path : files_below("")) used_bytes_ += find(path)->content.size();
}

// Called before each change: the one at which the process dies no longer reaches the medium.
void Medium::changed() {
  if (changes_left_ == 0 || --changes_left_ > 0) return;
  at_death_ = std::make_unique<Image>(clone());
  std::exchange(dead_, nullptr)();
}

Medium::Image Medium::clone() const {
  std::map<const Inode*, std::shared_ptr<Inode>> copies;
  std::function<std::shared_ptr<Inode>(const std::shared_ptr<Inode>&)> copy =
      [&](const std::shared_ptr<Inode>& from) -> std::shared_ptr<Inode> {
    if (from == nullptr) return nullptr;
    if (auto known = copies.find(from.get()); known != copies.end()) return known->second;
    auto to = copies[from.get()] = std::make_shared<Inode>(*from);
    for (auto& [name, target] : to->entries) target = copy(target);
    for (auto& [name, target] : to->durable_entries) target = copy(target);
    return to;
  };
  Image image{.root = copy(root_), .pending = pending_};
  for (NameOperation& operation : image.pending)
    for (NameChange& change : operation) {
      change.directory = copy(change.directory);
      change.target = copy(change.target);
    }
  return image;
}

std::map<std::string, std::shared_ptr<Inode>>::const_iterator Inode::find_renamed(
    const std::string& name) const {
  auto target = entries.find(name);
  if (target == entries.end() || !target->second->is_directory) return durable_entries.end();
  return std::ranges::find(durable_entries, target->second,
                           &std::pair<const std::string, std::shared_ptr<Inode>>::second);
}

std::shared_ptr<Inode> Medium::find(const std::string& path) const {
  std::shared_ptr<Inode> inode = root_;
  for (const auto& part : parts_of(path)) {
    auto found = inode->entries.find(part);
    if (found == inode->entries.end()) return nullptr;
    inode = found->second;
  }
  return inode;
}

Result<Medium::Place> Medium::place_of(const std::string& path) const {
  const auto parts = parts_of(path);
  ASSERT(!parts.empty(), "a path without a name");
  const size_t slash = path.rfind('/');
  auto directory = find(slash == std::string::npos ? "" : path.substr(0, slash));
  if (!directory) return fail(Errc::kNotFound, path + ": No such file or directory");
  return Place{std::move(directory), parts.back()};
}

void Medium::apply(NameOperation operation) {
  for (const NameChange& change : operation) {
    if (change.target)
      change.directory->entries[change.name] = change.target;
    else
      change.directory->entries.erase(change.name);
  }
  pending_.push_back(std::move(operation));
}

void Medium::make_durable(const NameOperation& operation) {
  for (const NameChange& change : operation) {
    if (change.target)
      change.directory->durable_entries[change.name] = change.target;
    else
      change.directory->durable_entries.erase(change.name);
  }
}

Result<> Medium::make_directories(const std::string& path) {
  std::shared_ptr<Inode> inode = root_;
  for (const auto& part : parts_of(path)) {
    auto found = inode->entries.find(part);
    if (found == inode->entries.end()) {
      changed();
      auto made = std::make_shared<Inode>();
      made->is_directory = true;
      made->disk = parts_of(path).front();
      apply({{inode, part, made}});
      found = inode->entries.find(part);
    }
    inode = found->second;
  }
  return {};
}

Result<std::shared_ptr<Inode>> Medium::create(const std::string& path) {
  ASSIGN_OR_RETURN(Place place, place_of(path));
  changed();
  auto inode = std::make_shared<Inode>();
  inode->disk = parts_of(path).front();
  apply({{place.directory, place.name, inode}});
  return inode;
}

Result<> Medium::rename(const std::string& from, const std::string& to) {
  ASSIGN_OR_RETURN(Place source, place_of(from));
  ASSIGN_OR_RETURN(Place target, place_of(to));
  auto inode = find(from);
  if (!inode) return fail(Errc::kNotFound, "rename " + from + ": No such file or directory");
  changed();
  if (auto replaced = find(to)) used_bytes_ -= replaced->content.size();
  apply({{source.directory, source.name, nullptr}, {target.directory, target.name, inode}});
  return {};
}

Result<> Medium::remove(const std::string& path) {
  ASSIGN_OR_RETURN(Place place, place_of(path));
  auto inode = find(path);
  if (!inode) return fail(Errc::kNotFound, "remove " + path + ": No such file or directory");
  if (!inode->entries.empty()) return fail(Errc::kIo, "remove " + path + ": Directory not empty");
  changed();
  used_bytes_ -= inode->content.size();
  apply({{place.directory, place.name, nullptr}});
  return {};
}

Result<> Medium::write(Inode& file, std::span<const ByteView> pieces, uint64_t position) {
  changed();
  if (position < file.content.size()) rewritten(file);
  for (ByteView piece : pieces) {
    const uint64_t end = position + piece.size();
    const uint64_t growth = end > file.content.size() ? end - file.content.size() : 0;
    size_t taken = piece.size();
    if (used_bytes_ + growth > capacity_bytes)  // as much as fits is written
      taken -= std::min<size_t>(taken, used_bytes_ + growth - capacity_bytes);
    if (position + taken > file.content.size()) {
      used_bytes_ += position + taken - file.content.size();
      file.content.resize(position + taken);
    }
    std::copy_n(piece.begin(), taken, file.content.begin() + static_cast<ptrdiff_t>(position));
    for (size_t page = position / kPageBytes; page < pages_of(position + taken); ++page)
      file.dirty_pages.insert(page);
    if (taken < piece.size()) {
      PROBE("sim.disk_full");
      return fail(Errc::kNoSpace, "No space left on device");
    }
    position += taken;
  }
  return {};
}

void Medium::rewritten(Inode& file) {
  file.found = {};
  file.is_rewritten = true;
}

Result<> Medium::truncate(Inode& file, uint64_t size) {
  changed();
  if (size < file.content.size()) rewritten(file);
  for (size_t page = std::min<size_t>(size, file.content.size()) / kPageBytes;
       page < pages_of(std::max<size_t>(size, file.content.size())); ++page)
    file.dirty_pages.insert(page);
  used_bytes_ += size;
  used_bytes_ -= file.content.size();
  file.content.resize(size);
  return {};
}

bool Medium::sync_fails() { return world_->disk.chance(sync_failure_chance); }

Result<> Medium::sync(Inode& file) {
  changed();
  if (sync_fails()) {
    PROBE("sim.sync_failed");
    file.dirty_pages.clear();  // clean by name: the next sync succeeds and has nothing to write
    return fail(Errc::kIo, "Input/output error");
  }
  if (file.is_rewritten) file.durable_found = {};
  file.durable.resize(file.content.size());
  for (size_t page : file.dirty_pages)
    copy_range(file.content, file.durable, page * kPageBytes, (page + 1) * kPageBytes);
  file.dirty_pages.clear();
  return {};
}

Result<> Medium::sync_directory(const std::string& path) {
  changed();
  auto directory = find(path);
  if (!directory) return fail(Errc::kNotFound, "sync " + path + ": No such file or directory");
  if (sync_fails()) return failed(path, {Errc::kIo, "sync: Input/output error"});
  std::erase_if(pending_, [&](const NameOperation& operation) {
    if (std::ranges::none_of(operation, [&](auto& c) { return c.directory == directory; }))
      return false;
    make_durable(operation);
    return true;
  });
  return {};
}

Result<> Medium::sync_disk(const std::string& path) {
  const std::string disk = "/" + parts_of(path).front();
  for (const auto& file : files_below(disk))
    if (auto synced = sync(*find(file)); !synced)
      return failed(disk, std::move(synced).error().within("syncfs"));
  std::erase_if(pending_, [&](const NameOperation& operation) {
    if (std::ranges::none_of(operation, [&](const NameChange& change) {
          return change.directory == root_ || "/" + change.directory->disk == disk;
        }))
      return false;
    make_durable(operation);
    return true;
  });
  return {};
}

std::vector<std::string> Medium::files_below(const std::string& path) const {
  std::vector<std::string> files;
  std::function<void(const std::string&, const Inode&)> walk = [&](const std::string& at,
                                                                   const Inode& inode) {
    if (!inode.is_directory) files.push_back(at);
    for (const auto& [name, target] : inode.entries) walk(at + "/" + name, *target);
  };
  if (auto inode = find(path)) walk(path, *inode);
  return files;
}

Inode* Medium::find_durable(const std::string& path) const {
  Inode* inode = root_.get();
  for (const auto& part : parts_of(path)) {
    auto found = std::as_const(inode->durable_entries).find(part);
    if (found == inode->durable_entries.end()) found = inode->find_renamed(part);
    if (found == inode->durable_entries.end()) return nullptr;
    inode = found->second.get();
  }
  return inode;
}

void Medium::rot(const Flip& flip) {
  auto inode = find(flip.path);
  ASSERT(inode && flip.position < inode->content.size(), "{} has no byte {}", flip.path,
         flip.position);
  inode->found = inode->durable_found = {};
  inode->content[flip.position] ^= flip.bits;
  if (flip.position < inode->durable.size()) inode->durable[flip.position] ^= flip.bits;
}

void Medium::restore(const Flip& flip, uint8_t rotten) {
  auto inode = find(flip.path);
  if (inode && flip.position < inode->content.size() && inode->content[flip.position] == rotten)
    rot(flip);
}

void Medium::lose_power() {
  settle_names();
  used_bytes_ = 0;
  for (const auto& path : files_below("")) {
    auto inode = find(path);
    settle_content(*inode);
    used_bytes_ += inode->content.size();
  }
}

void Medium::wipe(const std::string& directory) {
  auto inode = find(directory);
  if (!inode) return;
  for (const auto& path : files_below(directory)) used_bytes_ -= find(path)->content.size();
  inode->entries.clear();
  inode->durable_entries.clear();
  std::erase_if(pending_, [&](const NameOperation& operation) {
    return std::ranges::any_of(operation,
                               [&](const NameChange& change) { return change.directory == inode; });
  });
}

// Names that were not synced: all, none, those up to a moment, or any that do not rest on a lost
// one.
void Medium::settle_names() {
  const uint64_t kind = world_->disk.below(4);
  const size_t moment = pending_.empty() ? 0 : world_->disk.below(pending_.size() + 1);
  std::set<std::pair<const Inode*, std::string>> lost;
  for (size_t i = 0; i < pending_.size(); ++i) {
    bool kept = kind == 0 || (kind == 2 && i < moment) || (kind == 3 && world_->disk.chance(0.5));
    for (const NameChange& change : pending_[i])
      if (lost.contains({change.directory.get(), change.name})) kept = false;
    if (kept) {
      make_durable(pending_[i]);
      continue;
    }
    for (const NameChange& change : pending_[i]) lost.insert({change.directory.get(), change.name});
  }
  pending_.clear();
  std::function<void(Inode&)> restore = [&](Inode& inode) {
    inode.entries = inode.durable_entries;
    for (auto& [name, target] : inode.entries) restore(*target);
  };
  restore(*root_);
}

// All that was written since the last sync is there, nothing of it, or any pages of it, torn ones
// among them. A size that grew may be there without its content.
void Medium::settle_content(Inode& file) {
  Stream& dice = world_->disk;
  const uint64_t kind = dice.below(4);  // 0: all, 1: nothing, else: in part
  const size_t before = file.durable.size();
  const size_t after = file.content.size();
  size_t size = kind == 0 ? after : kind == 1 ? before : dice.chance(0.5) ? after : before;
  if (kind == 3 && after > before) size = before + dice.below(after - before + 1);
  ByteBuffer result = file.durable;
  result.resize(size);
  for (size_t page : file.dirty_pages) {
    const size_t begin = page * kPageBytes;
    if (kind == 0) copy_range(file.content, result, begin, begin + kPageBytes);
    if (kind <= 1 || dice.chance(0.4)) continue;
    const size_t sectors = dice.chance(0.5) ? kPageBytes / kSectorBytes : dice.below(9);
    copy_range(file.content, result, begin, begin + sectors * kSectorBytes);
  }
  file.dirty_pages.clear();
  file.durable = file.content = std::move(result);
  file.found = file.durable_found = {};
  file.is_rewritten = false;
}

Result<std::unique_ptr<env::File>> Disk::open(const std::string& path, env::OpenMode mode) {
  RETURN_IF_ERROR(medium_->check(path));
  auto inode = medium_->find(path);
  if (inode && inode->is_directory) return fail(Errc::kIo, "open " + path + ": Is a directory");
  if (!inode) {
    if (mode == env::OpenMode::kRead || mode == env::OpenMode::kReadWrite)
      return fail(Errc::kNotFound, "open " + path + ": No such file or directory");
    ASSIGN_OR_RETURN(inode, medium_->create(path));
  } else if (mode == env::OpenMode::kReplace) {
    RETURN_IF_ERROR(medium_->truncate(*inode, 0));
  }
  return std::make_unique<File>(*medium_, path, std::move(inode));
}

Result<> Disk::make_directories(const std::string& path) {
  RETURN_IF_ERROR(medium_->check(path));
  return medium_->make_directories(path);
}

Result<std::vector<env::DirectoryEntry>> Disk::list(const std::string& path) {
  RETURN_IF_ERROR(medium_->check(path));
  auto inode = medium_->find(path);
  if (!inode) return fail(Errc::kNotFound, "list " + path + ": No such file or directory");
  std::vector<env::DirectoryEntry> entries;
  for (const auto& [name, target] : inode->entries)
    entries.push_back({name, target->is_directory, target->content.size()});
  return entries;
}

bool Disk::exists(const std::string& path) {
  return medium_->check(path) && medium_->find(path) != nullptr;
}

Result<> Disk::rename(const std::string& from, const std::string& to) {
  RETURN_IF_ERROR(medium_->check(from));
  return medium_->rename(from, to);
}

Result<> Disk::remove(const std::string& path) {
  RETURN_IF_ERROR(medium_->check(path));
  return medium_->remove(path);
}

Result<> Disk::sync_directory(const std::string& path) {
  RETURN_IF_ERROR(medium_->check(path));
  return medium_->sync_directory(path);
}

Result<> Disk::sync_filesystem(const std::string& path) {
  RETURN_IF_ERROR(medium_->check(path));
  return medium_->sync_disk(path);
}

Result<env::SpaceInfo> Disk::space(const std::string& path) {
  RETURN_IF_ERROR(medium_->check(path));
  const uint64_t used = std::min(medium_->used_bytes(), medium_->capacity_bytes);
  return env::SpaceInfo{.total_bytes = medium_->capacity_bytes,
                        .usable_bytes = medium_->capacity_bytes - used};
}

Result<std::unique_ptr<env::FileLock>> Disk::lock(const std::string& path) {
  RETURN_IF_ERROR(medium_->check(path));
  if (!medium_->locks.insert(path).second)
    return fail(Errc::kLocked, "lock " + path + ": held by another process");
  return std::make_unique<Lock>(*medium_, path);
}

}  // namespace millrace::sim
