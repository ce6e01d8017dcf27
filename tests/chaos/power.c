/* Preloaded into a node: notes how much of each file is durable, so that a test can take the rest away as a power loss would; and refuses to write
 * while the test says that the disk is full (the size in the table's first row is not 0).
 *
 * For each file that was synced the table (a file named by POWER_TABLE, shared by mmap) has its device, inode and the size that it had
 * before the sync began. A sync that another thread's write overlaps counts for the size from before. chaos/power.py cuts the files.
 * What this does not model: bytes below the durable size that were written again and not synced, and renames that did not last. Logs only
 * grow, and files that are replaced are synced before their rename. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kRows = 1 << 16 };

struct Row {
  uint64_t device, inode, size;
};

static struct Row* table;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void open_table(void) {
  const char* path = getenv("POWER_TABLE");
  if (path == NULL) return;
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0 || ftruncate(fd, sizeof(struct Row) * kRows) != 0) abort();
  void* memory = mmap(NULL, sizeof(struct Row) * kRows, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED) abort();
  table = memory;
}

/* The first row is no file's. */
static int is_full(void) { return table != NULL && __atomic_load_n(&table[0].size, __ATOMIC_RELAXED) != 0; }

static int refuse(void) {
  errno = ENOSPC;
  return -1;
}

static struct Row* row_of(uint64_t device, uint64_t inode) {
  for (uint64_t i = 0, at = inode * 0x9E3779B97F4A7C15ULL; i < kRows; ++i) {
    struct Row* row = &table[1 + (at + i) % (kRows - 1)];
    if (row->inode == 0) {
      row->device = device;
      row->inode = inode;
    }
    if (row->device == device && row->inode == inode) return row;
  }
  abort();
}

static void note(const struct stat* before) {
  if (table == NULL || !S_ISREG(before->st_mode)) return;
  pthread_mutex_lock(&lock);
  struct Row* row = row_of(before->st_dev, before->st_ino);
  if ((uint64_t)before->st_size > row->size) row->size = (uint64_t)before->st_size;
  pthread_mutex_unlock(&lock);
}

/* A file that became shorter holds no more than that. */
static void note_shorter(int fd, off_t size) {
  struct stat now;
  if (table == NULL || fstat(fd, &now) != 0 || !S_ISREG(now.st_mode)) return;
  pthread_mutex_lock(&lock);
  struct Row* row = row_of(now.st_dev, now.st_ino);
  if ((uint64_t)size < row->size) row->size = (uint64_t)size;
  pthread_mutex_unlock(&lock);
}

static int synced(const char* name, int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  struct stat before;
  const int known = fstat(fd, &before) == 0;
  const int result = real(fd);
  if (result == 0 && known) note(&before);
  return result;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }

/* All open files of the same device. */
int syncfs(int fd) {
  enum { kMost = 4096 };
  struct stat of, *before = malloc(sizeof(struct stat) * kMost);
  int count = 0;
  DIR* open_files = before != NULL && fstat(fd, &of) == 0 ? opendir("/proc/self/fd") : NULL;
  for (struct dirent* each; open_files != NULL && count < kMost && (each = readdir(open_files)) != NULL;)
    if (fstat(atoi(each->d_name), &before[count]) == 0 && before[count].st_dev == of.st_dev) ++count;
  if (open_files != NULL) closedir(open_files);
  const int result = ((int (*)(int))dlsym(RTLD_NEXT, "syncfs"))(fd);
  for (int i = 0; result == 0 && i < count; ++i) note(&before[i]);
  free(before);
  return result;
}

int ftruncate(int fd, off_t size) {
  const int result = ((int (*)(int, off_t))dlsym(RTLD_NEXT, "ftruncate"))(fd, size);
  if (result == 0) note_shorter(fd, size);
  return result;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

ssize_t pwrite(int fd, const void* from, size_t size, off_t at) {
  return is_full() ? refuse() : ((ssize_t(*)(int, const void*, size_t, off_t))dlsym(RTLD_NEXT, "pwrite"))(fd, from, size, at);
}

ssize_t pwritev(int fd, const struct iovec* from, int count, off_t at) {
  return is_full() ? refuse() : ((ssize_t(*)(int, const struct iovec*, int, off_t))dlsym(RTLD_NEXT, "pwritev"))(fd, from, count, at);
}

int fallocate(int fd, int mode, off_t at, off_t size) {
  return is_full() ? refuse() : ((int (*)(int, int, off_t, off_t))dlsym(RTLD_NEXT, "fallocate"))(fd, mode, at, size);
}
