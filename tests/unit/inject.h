/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * System calls that fail, are interrupted or do only a part, as the test says: what is defined in
 * the program comes before the C library's, which has each under a second name. Included once, by
 * the file with main().
 */
#ifndef INJECT_H
#define INJECT_H

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tap.h"

struct injected {
	unsigned int n_calls;
	int error;          /* of the next calls */
	unsigned int n_bad; /* so many of them */
	unsigned int after; /* so many calls were good */
	size_t most;        /* bytes that one call takes; 0: all */
};

struct injected punches, writes, zero_writes, reads;

/* Does this call fail? */
static inline bool is_bad(struct injected *call)
{
	call->n_calls++;
	if (call->after) {
		call->after--;
		return false;
	}
	if (!call->n_bad)
		return false;
	call->n_bad--;
	errno = call->error;
	return true;
}

static inline size_t limited(const struct injected *call, size_t len)
{
	return call->most && call->most < len ? call->most : len;
}

static inline void *real_function(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	need(function);
	return function;
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
	int (*real)(int, int, off_t, off_t);

	*(void **)&real = real_function("fallocate64");
	return is_bad(&punches) ? -1 : real(fd, mode, off, len);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t off)
{
	ssize_t (*real)(int, const void *, size_t, off_t);

	*(void **)&real = real_function("pwrite64");
	return is_bad(&writes) ? -1 : real(fd, data, limited(&writes, len), off);
}

/* Every vector is longer than `most`, if there is such a limit. */
ssize_t pwritev(int fd, const struct iovec *iov, int n_iov, off_t off)
{
	ssize_t (*real)(int, const struct iovec *, int, off_t);
	struct iovec first;

	*(void **)&real = real_function("pwritev64");
	if (is_bad(&zero_writes))
		return -1;
	if (!zero_writes.most)
		return real(fd, iov, n_iov, off);
	first = (struct iovec){iov->iov_base, limited(&zero_writes, iov->iov_len)};
	return real(fd, &first, 1, off);
}

ssize_t pread(int fd, void *data, size_t len, off_t off)
{
	ssize_t (*real)(int, void *, size_t, off_t);

	*(void **)&real = real_function("pread64");
	return is_bad(&reads) ? -1 : real(fd, data, limited(&reads, len), off);
}

#endif
