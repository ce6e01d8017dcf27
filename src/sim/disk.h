// A medium that outlives the processes that use it, and the view of it that one process has.
//
// What power loss leaves (Medium::lose_power): of each file, page by page, what was synced or what
// was written since, or a page torn at a sector; of each directory, the names that were synced and
// any part of what was done since. What a killed process leaves (nothing called): all it has done.
// Faults: a sync that fails, once, and forgets what it should have written (as Linux does); a disk
// that is full; reads that fail; a directory, a disk of its own, of which everything fails; bits
// that rot; a process that dies at its n-th change of the disk.
// Not here: how long things take (sim/host).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "env/disk.h"
#include "sim/world.h"

namespace millrace::sim {

inline constexpr size_t kPageBytes = 4096;
inline constexpr size_t kSectorBytes = 512;

// A file or a directory: as processes see it, and as it would be found after power loss.
struct Inode {
  bool is_directory = false;
  std::string disk;  // the first directory of its path
  std::map<std::string, std::shared_ptr<Inode>> entries;
  std::map<std::string, std::shared_ptr<Inode>> durable_entries;
  ByteBuffer content;
  ByteBuffer durable;
  std::set<size_t> dirty_pages;  // written since the last sync

  // Whole batches that sim/stored_log found at the beginning of the file; forgotten when bytes that
  // were there change or are cut off.
  struct Found {
    size_t bytes = 0;
    int64_t end = -1;  // offset behind them; -1: there is none
  };
  Found found;
  Found durable_found;
  bool is_rewritten = false;  // a sync may change bytes that are durable, not only add to them

  // Among durable_entries, the directory that has this name by now; end: none.
  std::map<std::string, std::shared_ptr<Inode>>::const_iterator find_renamed(
      const std::string& name) const;
};

class Medium {
 public:
  explicit Medium(World& world);

  // The switches.
  uint64_t capacity_bytes = UINT64_MAX;
  double sync_failure_chance = 0;
  double read_failure_chance = 0;
  // None of them is on, whatever single directories do.
  bool is_sound() const {
    return capacity_bytes == UINT64_MAX && sync_failure_chance == 0 && read_failure_chance == 0;
  }
  // Whatever is asked of what lies there fails, until it is mended; what is there stays.
  void break_directory(const std::string& path) { broken_.insert(path); }
  void mend_directory(const std::string& path) { broken_.erase(path); }
  bool has_broken_directory() const { return !broken_.empty(); }
  // The process was told of an error of something there.
  bool has_failed(const std::string& directory) const;
  // At the n-th change of the disk from now the process is dead, though it has not noticed: what it
  // does from then on does not reach the medium. `dead` is called at that moment.
  void die_at(uint64_t changes_from_now, std::function<void()> dead);
  // The process is gone: if it had died before (die_at), the medium is as it was then.
  void process_ended();

  void lose_power();
  // A new disk: everything below the directory is gone, for good. Nobody runs on it.
  void wipe(const std::string& directory);
  // Flips bits of one byte, in what processes see and in what power loss leaves.
  struct Flip {
    std::string path;
    uint64_t position = 0;
    uint8_t bits = 0;
  };
  void rot(const Flip& flip);
  // Flips them back, unless something else stands there by now.
  void restore(const Flip& flip, uint8_t rotten);

  // Is told what a process cuts off the end of a file, before it does: that of it which power loss
  // would have left.
  std::function<void(const std::string& path, ByteView gone)> on_cut;

  uint64_t used_bytes() const { return used_bytes_; }
  // As lose_power() would leave it if it were kind to nothing that is not synced; none: not there.
  // A directory that was renamed may have either name.
  const ByteBuffer* durable_file(const std::string& path) const {
    const Inode* inode = find_durable(path);
    return inode ? &inode->durable : nullptr;
  }
  // The file or directory itself, found by its durable name.
  Inode* find_durable(const std::string& path) const;
  std::vector<std::string> files_below(const std::string& path) const;
  World& world() { return *world_; }

  // For Disk and its files.
  std::shared_ptr<Inode> find(const std::string& path) const;
  Result<> make_directories(const std::string& path);
  Result<std::shared_ptr<Inode>> create(const std::string& path);
  Result<> rename(const std::string& from, const std::string& to);
  Result<> remove(const std::string& path);
  Result<> write(Inode& file, std::span<const ByteView> pieces, uint64_t position);
  Result<> truncate(Inode& file, uint64_t size);
  Result<> sync(Inode& file);
  Result<> sync_directory(const std::string& path);
  // Everything below the first directory of the path, which is a disk of its own.
  Result<> sync_disk(const std::string& path);
  // What a call that reads or changes the file meets first.
  Result<> check(const std::string& path);
  // The process is told of this error.
  std::unexpected<Error> failed(const std::string& path, Error error);
  std::set<std::string> locks;

 private:
  // One change of names: all of it happens, or nothing.
  struct NameChange {
    std::shared_ptr<Inode> directory;
    std::string name;
    std::shared_ptr<Inode> target;  // null: the name goes
  };
  using NameOperation = std::vector<NameChange>;
  struct Image {
    std::shared_ptr<Inode> root;
    std::vector<NameOperation> pending;
  };

  struct Place {
    std::shared_ptr<Inode> directory;
    std::string name;
  };
  Result<Place> place_of(const std::string& path) const;
  void changed();
  void apply(NameOperation operation);
  static void make_durable(const NameOperation& operation);
  Image clone() const;
  void settle_names();
  void settle_content(Inode& file);
  static void rewritten(Inode& file);
  bool sync_fails();

  World* world_;
  std::shared_ptr<Inode> root_ = std::make_shared<Inode>();
  std::vector<NameOperation> pending_;
  uint64_t used_bytes_ = 0;
  uint64_t changes_left_ = 0;  // until the process dies; 0: it does not
  std::function<void()> dead_;
  std::unique_ptr<Image> at_death_;
  std::set<std::string> broken_;
  std::set<std::string> failed_;  // paths of which this process got errors
};

// What one process sees of a medium.
class Disk final : public env::Disk {
 public:
  explicit Disk(Medium& medium) : medium_(&medium) {}

  Result<std::unique_ptr<env::File>> open(const std::string& path, env::OpenMode mode) override;
  Result<> make_directories(const std::string& path) override;
  Result<std::vector<env::DirectoryEntry>> list(const std::string& path) override;
  bool exists(const std::string& path) override;
  Result<> rename(const std::string& from, const std::string& to) override;
  Result<> remove(const std::string& path) override;
  Result<> set_read_only(const std::string&) override { return {}; }
  Result<> sync_directory(const std::string& path) override;
  Result<> sync_filesystem(const std::string& path) override;
  Result<env::SpaceInfo> space(const std::string& path) override;
  Result<std::unique_ptr<env::FileLock>> lock(const std::string& path) override;

 private:
  Medium* medium_;
};

}  // namespace millrace::sim
