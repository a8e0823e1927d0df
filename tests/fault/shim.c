/* Makes the n-th call of a kind fail, for files below a folder: loaded before libc, armed from Python.

   It stands between every library and the C library, so a writer in Rust meets it as one in Python. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum kind { OPEN, WRITE, FSYNC, RENAME, CLOSE, MKDIR, REMOVE, KINDS };
enum action { FAIL, KILL, FULL };

static char below[PATH_MAX];
static int armed_kind = -1, armed_errno, armed_action;
static long left_over, counted[KINDS];
static int is_full;

/* Count from now on, and let the n-th call of a kind fail, kill, or fill the disk; -1 only counts. */
void fault_arm(const char *folder, int kind, long nth, int number, int action) {
    snprintf(below, sizeof below, "%s/", folder);
    memset(counted, 0, sizeof counted);
    armed_kind = kind, left_over = nth, armed_errno = number, armed_action = action, is_full = 0;
}

long fault_count(int kind) { return counted[kind]; }

static int is_below(const char *path) { return *below && !strncmp(path, below, strlen(below)); }

static int path_below(int folder, const char *path) {
    char link[64], whole[2 * PATH_MAX];
    if (!*below || !path) return 0;
    if (*path == '/') return is_below(path);
    char at[PATH_MAX];
    if (folder == AT_FDCWD) {
        if (!getcwd(at, sizeof at)) return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t size = readlink(link, at, sizeof at - 1);
        if (size < 0) return 0;
        at[size] = 0;
    }
    snprintf(whole, sizeof whole, "%s/%s", at, path);
    return is_below(whole);
}

static int handle_below(int handle) {
    char link[64], path[PATH_MAX];
    if (!*below) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return is_below(path);
}

/* Whether this call is to fail; errno then says why. */
static int strikes(enum kind kind) {
    int saved = errno;
    counted[kind]++;
    if (is_full && (kind == OPEN || kind == WRITE || kind == MKDIR)) {
        errno = armed_errno;
        return 1;
    }
    if ((int)kind == armed_kind && --left_over == 0) {
        if (armed_action == KILL) kill(getpid(), SIGKILL);
        is_full = armed_action == FULL;
        errno = armed_errno;
        return 1;
    }
    errno = saved;
    return 0;
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* The mode is there only where a file may be made. */
#define MODE                                                       \
    mode_t mode = 0;                                               \
    if (flags & O_CREAT) {                           \
        va_list more;                                              \
        va_start(more, flags);                                     \
        mode = va_arg(more, mode_t);                               \
        va_end(more);                                              \
    }

/* A full disk can still be read. */
static int opening_fails(int folder, const char *path, int flags) {
    return path_below(folder, path) && (flags & O_CREAT || !is_full) && strikes(OPEN);
}

int open(const char *path, int flags, ...) {
    MODE REAL(open);
    return opening_fails(AT_FDCWD, path, flags) ? -1 : real(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE REAL(open64);
    return opening_fails(AT_FDCWD, path, flags) ? -1 : real(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...) {
    MODE REAL(openat);
    return opening_fails(folder, path, flags) ? -1 : real(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) {
    MODE REAL(openat64);
    return opening_fails(folder, path, flags) ? -1 : real(folder, path, flags, mode);
}

ssize_t write(int handle, const void *bytes, size_t size) {
    REAL(write);
    if (handle > 2 && handle_below(handle)) {
        int kills = armed_kind == WRITE && armed_action == KILL && left_over == 1;
        if (kills && size > 1) real(handle, bytes, size / 2); /* half of it is there */
        if (strikes(WRITE)) return -1;
    }
    return real(handle, bytes, size);
}

int fsync(int handle) {
    REAL(fsync);
    return handle_below(handle) && strikes(FSYNC) ? -1 : real(handle);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    return path_below(AT_FDCWD, to) && strikes(RENAME) ? -1 : real(from, to);
}

/* Closed it is, whatever it says; what was only read has nothing left to fail. */
int close(int handle) {
    REAL(close);
    int flags = *below && handle > 2 ? fcntl(handle, F_GETFL) : -1, number = 0;
    int written = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
    if (written && handle_below(handle) && strikes(CLOSE)) number = errno;
    int result = real(handle);
    if (!number) return result;
    errno = number;
    return -1;
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return path_below(AT_FDCWD, path) && strikes(MKDIR) ? -1 : real(path, mode);
}

int unlink(const char *path) {
    REAL(unlink);
    return path_below(AT_FDCWD, path) && strikes(REMOVE) ? -1 : real(path);
}

int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat);
    return path_below(folder, path) && strikes(REMOVE) ? -1 : real(folder, path, flags);
}

int rmdir(const char *path) {
    REAL(rmdir);
    return path_below(AT_FDCWD, path) && strikes(REMOVE) ? -1 : real(path);
}
