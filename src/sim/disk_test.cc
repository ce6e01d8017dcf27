#include "sim/disk.h"

#include <gtest/gtest.h>
#include <algorithm>

namespace millrace::sim {
namespace {

ByteBuffer bytes_of(size_t count, uint8_t value) { return ByteBuffer(count, value); }

class DiskTest : public testing::Test {
 protected:
  void write(const std::string& path, const ByteBuffer& bytes, bool synced) {
    auto file = *disk_.open(path, env::OpenMode::kCreate);
    ASSERT_TRUE(file->write_at(bytes, 0).has_value());
    if (synced) ASSERT_TRUE(file->sync().has_value());
  }
  ByteBuffer read(const std::string& path) { return *env::read_file(disk_, path); }

  World world_{7};
  Medium medium_{world_};
  Disk disk_{medium_};
};

TEST_F(DiskTest, a_killed_process_leaves_all_that_it_wrote) {
  write("/a", bytes_of(10'000, 1), false);
  medium_.process_ended();
  EXPECT_EQ(read("/a"), bytes_of(10'000, 1));
}

TEST_F(DiskTest, what_was_synced_survives_power_loss) {
  write("/a", bytes_of(10'000, 1), true);
  ASSERT_TRUE(disk_.sync_directory("").has_value());
  medium_.lose_power();
  EXPECT_EQ(read("/a"), bytes_of(10'000, 1));
}

TEST_F(DiskTest, a_synced_file_may_vanish_when_its_directory_was_not) {
  int vanished = 0;
  for (int i = 0; i < 40; ++i) {
    const std::string path = "/a" + std::to_string(i);
    write(path, bytes_of(10, 1), true);
    medium_.lose_power();
    vanished += !disk_.exists(path);
  }
  EXPECT_GT(vanished, 0);
  EXPECT_LT(vanished, 40);
}

TEST_F(DiskTest, unsynced_pages_are_kept_lost_or_torn_at_sectors) {
  int kept = 0, lost = 0, torn = 0;
  for (int i = 0; i < 200; ++i) {
    write("/a", bytes_of(kPageBytes, 1), true);
    ASSERT_TRUE(disk_.sync_directory("").has_value());
    write("/a", bytes_of(kPageBytes, 2), false);
    medium_.lose_power();
    const ByteBuffer found = read("/a");
    const auto changed = std::ranges::count(found, 2);
    EXPECT_EQ(changed % static_cast<ptrdiff_t>(kSectorBytes), 0);
    ++(changed == 0 ? lost : changed == static_cast<ptrdiff_t>(kPageBytes) ? kept : torn);
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(lost, 0);
  EXPECT_GT(torn, 0);
}

TEST_F(DiskTest, a_failed_sync_is_told_once_and_its_pages_never_reach_the_medium) {
  write("/a", bytes_of(100, 1), true);
  ASSERT_TRUE(disk_.sync_directory("").has_value());
  auto file = *disk_.open("/a", env::OpenMode::kReadWrite);
  ASSERT_TRUE(file->write_at(bytes_of(100, 2), 0).has_value());
  medium_.sync_failure_chance = 1;
  EXPECT_FALSE(file->sync().has_value());
  medium_.sync_failure_chance = 0;
  EXPECT_TRUE(file->sync().has_value());
  EXPECT_EQ(read("/a"), bytes_of(100, 2));
  medium_.lose_power();
  EXPECT_EQ(read("/a"), bytes_of(100, 1));
}

TEST_F(DiskTest, a_full_disk_takes_what_fits) {
  medium_.capacity_bytes = 150;
  write("/a", bytes_of(100, 1), true);
  auto file = *disk_.open("/a", env::OpenMode::kReadWrite);
  auto written = file->write_at(bytes_of(100, 2), 100);
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, Errc::kNoSpace);
  EXPECT_EQ(read("/a").size(), 150u);
  EXPECT_EQ(medium_.used_bytes(), 150u);
}

TEST_F(DiskTest, a_process_that_dies_at_a_change_leaves_the_medium_as_it_was_before_it) {
  write("/a", bytes_of(10, 1), true);
  bool dead = false;
  medium_.die_at(2, [&] { dead = true; });
  auto file = *disk_.open("/a", env::OpenMode::kReadWrite);
  ASSERT_TRUE(file->write_at(bytes_of(10, 2), 0).has_value());
  EXPECT_FALSE(dead);
  ASSERT_TRUE(file->write_at(bytes_of(10, 3), 0).has_value());
  EXPECT_TRUE(dead);
  EXPECT_EQ(read("/a"), bytes_of(10, 3));  // the process does not know
  medium_.process_ended();
  EXPECT_EQ(read("/a"), bytes_of(10, 2));
}

TEST_F(DiskTest, a_renamed_file_is_there_under_one_of_its_names) {
  for (int i = 0; i < 40; ++i) {
    write("/new", bytes_of(10, 2), true);
    write("/old", bytes_of(10, 1), true);
    ASSERT_TRUE(disk_.sync_directory("").has_value());
    ASSERT_TRUE(disk_.rename("/new", "/old").has_value());
    medium_.lose_power();
    EXPECT_EQ(read("/old"), bytes_of(10, disk_.exists("/new") ? 1 : 2));
  }
}

TEST_F(DiskTest, a_broken_directory_fails_until_it_is_mended_and_others_go_on) {
  ASSERT_TRUE(disk_.make_directories("/one"));
  ASSERT_TRUE(disk_.make_directories("/other"));
  write("/one/a", bytes_of(10, 1), true);
  medium_.break_directory("/one");
  EXPECT_EQ(disk_.open("/one/a", env::OpenMode::kRead).error().code, Errc::kIo);
  EXPECT_EQ(disk_.list("/one").error().code, Errc::kIo);
  EXPECT_FALSE(disk_.sync_filesystem("/one"));
  write("/other/a", bytes_of(10, 2), true);
  EXPECT_TRUE(medium_.has_failed("/one"));
  EXPECT_FALSE(medium_.has_failed("/other"));
  medium_.mend_directory("/one");
  medium_.process_ended();
  EXPECT_EQ(read("/one/a"), bytes_of(10, 1));
  EXPECT_FALSE(medium_.has_failed("/one"));
}

TEST_F(DiskTest, a_disk_is_synced_without_the_others) {
  ASSERT_TRUE(disk_.make_directories("/one"));
  ASSERT_TRUE(disk_.make_directories("/other"));
  write("/one/a", bytes_of(10, 1), false);
  write("/other/a", bytes_of(10, 1), false);
  ASSERT_TRUE(disk_.sync_filesystem("/one"));
  EXPECT_NE(medium_.durable_file("/one/a"), nullptr);
  EXPECT_EQ(medium_.durable_file("/other/a"), nullptr);
}

TEST_F(DiskTest, a_directory_that_was_renamed_has_either_name) {
  ASSERT_TRUE(disk_.make_directories("/disk/copy"));
  write("/disk/copy/a", bytes_of(10, 1), true);
  ASSERT_TRUE(disk_.sync_filesystem("/disk"));
  ASSERT_TRUE(disk_.rename("/disk/copy", "/disk/log"));
  EXPECT_NE(medium_.durable_file("/disk/log/a"), nullptr);
  EXPECT_NE(medium_.durable_file("/disk/copy/a"), nullptr);
}

}  // namespace
}  // namespace millrace::sim
