/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the victims of memory share: lines of truth, which tests/compare/corecheck holds against the
 * core byte by byte.
 *
 *   map NAME START LEN          a mapping
 *   fill NAME START LEN SEED    bytes of it that are pattern(SEED)
 *   zero NAME START LEN         bytes of it that are zero
 *   skip NAME REASON            could not be made here
 */
#ifndef VICTIM_MEMORY_H
#define VICTIM_MEMORY_H

#include "victim.h"

#define PAGE    4096UL
#define HUGE    (2UL << 20)

#define RW      (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)

static inline void emit_fill(const char *name, const void *start, size_t len, uint64_t seed)
{
	emit("fill %s %#lx %#zx %#" PRIx64, name, (unsigned long)start, len, seed);
}

static inline void emit_zero(const char *name, const void *start, size_t len)
{
	emit("zero %s %#lx %#zx", name, (unsigned long)start, len);
}

static inline void emit_map(const char *name, const void *start, size_t len)
{
	emit("map %s %#lx %#zx", name, (unsigned long)start, len);
}

static inline void fill_and_tell(const char *name, void *start, size_t len, uint64_t seed)
{
	fill(start, len, seed);
	emit_fill(name, start, len, seed);
}

/* Every mapping lies between two pages that are not there, so that the kernel merges none. */
static inline void *map_at(const char *name, size_t len, int prot, int flags, int fd, off_t off)
{
	char *hole = mmap(NULL, len + 2 * PAGE, PROT_NONE, PRIVATE | MAP_NORESERVE, -1, 0);
	char *p;

	if (hole == MAP_FAILED)
		die(name);
	munmap(hole, len + 2 * PAGE);
	p = mmap(hole + PAGE, len, prot, flags | MAP_FIXED_NOREPLACE, fd, off);
	if (p == MAP_FAILED)
		die(name);
	emit_map(name, p, len);
	return p;
}

static inline void *map(const char *name, size_t len, int prot, int flags, int fd)
{
	return map_at(name, len, prot, flags, fd, 0);
}

/* A file of `len` bytes of the pattern, in the working directory. */
static inline int file_make(const char *name, size_t len, uint64_t seed)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char *bytes = malloc(len + 1);

	if (fd < 0 || !bytes)
		die(name);
	fill(bytes, len, seed);
	if (write(fd, bytes, len) != (ssize_t)len)
		die(name);
	free(bytes);
	return fd;
}

static inline void read_all(const void *start, size_t len)
{
	for (size_t i = 0; i < len; i += PAGE)
		(void)((const volatile char *)start)[i];
}

#endif
