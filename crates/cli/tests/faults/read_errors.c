/* Loaded before the C library (LD_PRELOAD): reads of files whose name ends with that in FAULT_SUFFIX fail with EIO for as
   long as the file in FAULT_FLAG is there. What a dying disk does, without one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(int file) {
  const char *flag = getenv("FAULT_FLAG"), *suffix = getenv("FAULT_SUFFIX");
  if (!flag || !suffix || access(flag, F_OK) != 0) return 0;
  char link[64], name[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, name, sizeof name);
  size_t wanted = strlen(suffix);
  return length >= (ssize_t)wanted && memcmp(name + length - wanted, suffix, wanted) == 0;
}

ssize_t read(int file, void *buffer, size_t count) {
  static ssize_t (*real)(int, void *, size_t);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "read");
  if (fails(file)) return errno = EIO, -1;
  return real(file, buffer, count);
}

ssize_t pread64(int file, void *buffer, size_t count, off64_t offset) {
  static ssize_t (*real)(int, void *, size_t, off64_t);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "pread64");
  if (fails(file)) return errno = EIO, -1;
  return real(file, buffer, count, offset);
}
