/* faultfs: a file system that fails, for one process tree, by LD_PRELOAD.
 *
 * Counts every call that changes files under FAULTFS_DIR (creating, writing, truncating, syncing, renaming, deleting)
 * and, at the call that the control block names, kills the process, tears the write, or returns an error. The control
 * block is a file mapped shared, so that the count goes over all processes and a test can arm and disarm while they run.
 * With FAULTFS_LOG each change is also written to a log from which tests/crash/power_cut.py builds what a disk could
 * hold after a power cut. FAULTFS_NOTES names a file whose writes are only logged: what the process told the world.
 * FAULTFS_LAZY counts and logs syncs without doing them: a killed process needs none, and they are slow.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { COUNT = 0, KILL = 1, TORN = 2, FAIL = 3, KILL_AFTER = 4 };
enum verdict { PASS, TEAR, REFUSE, LAST };

struct control { /* the same layout in faultfs.py */
  uint64_t count; /* changes so far */
  uint64_t at;    /* the one to act at, from 1 */
  uint64_t length; /* how many fail in mode FAIL */
  uint32_t mode;
  int32_t error;
};

static struct control *control;
static char root[PATH_MAX], notes[PATH_MAX];
static size_t root_length;
static int log_fd = -1, lazy;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
  const char *block = getenv("FAULTFS_CONTROL"), *folder = getenv("FAULTFS_DIR");
  if (!block || !folder) return;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, block, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return;
  void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (mapped == MAP_FAILED) return;
  snprintf(root, sizeof root, "%s/", folder);
  root_length = strlen(root);
  const char *log = getenv("FAULTFS_LOG"), *told = getenv("FAULTFS_NOTES");
  if (log) log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (told) snprintf(notes, sizeof notes, "%s", told);
  lazy = getenv("FAULTFS_LAZY") != NULL;
  control = mapped;
}

/* Whether the path lies under the watched folder (or is the folder). */
static int watched(const char *path) {
  return control && (strncmp(path, root, root_length) == 0 ||
                     (strlen(path) == root_length - 1 && strncmp(path, root, root_length - 1) == 0));
}

static int path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, PATH_MAX - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return 1;
}

static int absolute(int folder, const char *name, char *path) {
  if (name[0] == '/') return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
  char base[PATH_MAX];
  if (folder == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of(folder, base)) return 0;
  return snprintf(path, PATH_MAX, "%s/%s", base, name) < PATH_MAX;
}

/* One change is about to happen: what to do with it. Holds `order` until done() so that the log tells the true order. */
static enum verdict change(void) {
  pthread_mutex_lock(&order);
  uint64_t n = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
  uint32_t mode = control->mode;
  if (mode == FAIL && n >= control->at && n - control->at < control->length) {
    pthread_mutex_unlock(&order);
    errno = control->error;
    return REFUSE;
  }
  if (n != control->at) return PASS;
  if (mode == KILL) kill(getpid(), SIGKILL);
  return mode == TORN ? TEAR : mode == KILL_AFTER ? LAST : PASS;
}

static void record(char kind, const char *path, const char *second, uint64_t offset, const void *data, size_t size) {
  if (log_fd < 0) return;
  struct __attribute__((packed)) { char kind; uint32_t path, second; uint64_t offset, size; } head = {
      kind, (uint32_t)strlen(path), (uint32_t)(second ? strlen(second) : 0), offset, size};
  struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.path}, {(void *)second, head.second}, {(void *)data, size}};
  syscall(SYS_writev, log_fd, parts, 4);
}

static void done(enum verdict verdict) {
  if (verdict == TEAR || verdict == LAST) kill(getpid(), SIGKILL);
  int saved = errno;
  pthread_mutex_unlock(&order);
  errno = saved;
}

/* A system call takes a 64-bit number in two registers on 32-bit machines; on ARM the first of them has an even number. */
#if __SIZEOF_LONG__ == 4
#define HALVES(number) (long)((uint64_t)(number) & 0xffffffff), (long)((uint64_t)(number) >> 32)
static ssize_t pwritten(int fd, const void *data, size_t size, off64_t offset) {
  return syscall(SYS_pwrite64, fd, data, size, 0, HALVES(offset));
}
static int truncated(int fd, off64_t size) { return (int)syscall(SYS_ftruncate64, fd, 0, HALVES(size)); }
#else
static ssize_t pwritten(int fd, const void *data, size_t size, off64_t offset) {
  return syscall(SYS_pwrite64, fd, data, size, offset);
}
static int truncated(int fd, off64_t size) { return (int)syscall(SYS_ftruncate, fd, size); }
#endif

static ssize_t put(int fd, const void *data, size_t size, off64_t offset, int positioned) {
  char path[PATH_MAX];
  int known = control && size && path_of(fd, path);
  if (known && notes[0] && strcmp(path, notes) == 0) record('N', path, NULL, 0, data, size);
  if (!known || !watched(path))
    return positioned ? pwritten(fd, data, size, offset) : syscall(SYS_write, fd, data, size);
  enum verdict verdict = change();
  if (verdict == REFUSE) return -1;
  if (!positioned) {
    struct stat64 about;
    int flags = fcntl(fd, F_GETFL);
    offset = (flags & O_APPEND) && fstat64(fd, &about) == 0 ? about.st_size : lseek64(fd, 0, SEEK_CUR);
  }
  size_t part = verdict == TEAR ? size / 2 : size;
  ssize_t n = positioned ? pwritten(fd, data, part, offset) : syscall(SYS_write, fd, data, part);
  if (n > 0) record('W', path, NULL, (uint64_t)offset, data, (size_t)n);
  done(verdict);
  return n;
}

ssize_t write(int fd, const void *data, size_t size) { return put(fd, data, size, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return put(fd, data, size, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return put(fd, data, size, offset, 1); }

static int synced(int fd, long number) {
  char path[PATH_MAX];
  if (!control || !path_of(fd, path) || !watched(path)) return (int)syscall(number, fd);
  enum verdict verdict = change();
  if (verdict == REFUSE) return -1;
  if (verdict == TEAR) done(verdict);
  int result = lazy ? 0 : (int)syscall(number, fd);
  if (result == 0) record('S', path, NULL, 0, NULL, 0);
  done(verdict);
  return result;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int resized(int fd, off64_t size) {
  char path[PATH_MAX];
  if (!control || !path_of(fd, path) || !watched(path)) return truncated(fd, size);
  enum verdict verdict = change();
  if (verdict == REFUSE) return -1;
  int result = truncated(fd, size);
  if (result == 0) record('T', path, NULL, (uint64_t)size, NULL, 0);
  done(verdict);
  return result;
}

int ftruncate(int fd, off_t size) { return resized(fd, size); }
int ftruncate64(int fd, off64_t size) { return resized(fd, size); }

static int opened(int folder, const char *name, int flags, mode_t mode) {
  char path[PATH_MAX];
  flags |= O_LARGEFILE; /* as open64() adds it; 0 where all files are */
  if (!control || !(flags & (O_CREAT | O_TRUNC)) || !absolute(folder, name, path) || !watched(path))
    return (int)syscall(SYS_openat, folder, name, flags, mode);
  struct stat64 about;
  int there = stat64(path, &about) == 0;
  if (there && !((flags & O_TRUNC) && about.st_size))
    return (int)syscall(SYS_openat, folder, name, flags, mode); /* changes nothing */
  enum verdict verdict = change();
  if (verdict == REFUSE) return -1;
  int fd = (int)syscall(SYS_openat, folder, name, flags, mode);
  if (fd >= 0) record(there ? 'T' : 'C', path, NULL, 0, NULL, 0);
  done(verdict);
  return fd;
}

#define MODE_OF(flags, mode)                     \
  mode_t mode = 0;                               \
  if ((flags) & (O_CREAT | O_TMPFILE)) {         \
    va_list rest;                                \
    va_start(rest, flags);                       \
    mode = (mode_t)va_arg(rest, unsigned);       \
    va_end(rest);                                \
  }

int open(const char *name, int flags, ...) { MODE_OF(flags, mode) return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE_OF(flags, mode) return opened(AT_FDCWD, name, flags, mode); }
int openat(int at, const char *name, int flags, ...) { MODE_OF(flags, mode) return opened(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { MODE_OF(flags, mode) return opened(at, name, flags, mode); }

static int moved(int from, const char *name, int to, const char *other) {
  char old[PATH_MAX], new[PATH_MAX];
  if (!control || !absolute(from, name, old) || !absolute(to, other, new) || !(watched(old) || watched(new)))
    return (int)syscall(SYS_renameat2, from, name, to, other, 0);
  enum verdict verdict = change();
  if (verdict == REFUSE) return -1;
  int result = (int)syscall(SYS_renameat2, from, name, to, other, 0);
  if (result == 0) record('R', old, new, 0, NULL, 0);
  done(verdict);
  return result;
}

int rename(const char *old, const char *new) { return moved(AT_FDCWD, old, AT_FDCWD, new); }
int renameat(int from, const char *old, int to, const char *new) { return moved(from, old, to, new); }

static int deleted(int folder, const char *name, int flags) {
  char path[PATH_MAX];
  if (!control || !absolute(folder, name, path) || !watched(path) || access(path, F_OK) != 0)
    return (int)syscall(SYS_unlinkat, folder, name, flags);
  enum verdict verdict = change();
  if (verdict == REFUSE) return -1;
  int result = (int)syscall(SYS_unlinkat, folder, name, flags);
  if (result == 0) record('U', path, NULL, 0, NULL, 0);
  done(verdict);
  return result;
}

int unlink(const char *name) { return deleted(AT_FDCWD, name, 0); }
int unlinkat(int folder, const char *name, int flags) { return deleted(folder, name, flags); }
