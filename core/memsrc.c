/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reads memory. process_vm_readv() takes a thousand ranges in one call; /proc/PID/mem takes one,
 * and reads what the protection of a mapping denies (FOLL_FORCE), as the kernel's own core does.
 */
#include "memsrc.h"

#include <fcntl.h>

#include "caller.h"
#include "err.h"

int lc_memsrc_open(struct lc_memsrc *src, pid_t tid, int taskfd, bool for_caller)
{
	char probe;
	struct iovec local = {&probe, 1}, remote = {NULL, 1};

	src->tid = tid;
	/* What is opened stays this memory, whatever the process becomes. process_vm_readv() would
	 * ask for the capability each time: without it, it is the kernel that looks again. */
	lc_caller_raise(for_caller);
	src->memfd = openat(taskfd, "mem", O_RDONLY | O_CLOEXEC);
	lc_caller_lower(for_caller);
	/* address 0 is nobody's: EFAULT means that we may */
	src->no_vm = process_vm_readv(tid, &local, 1, &remote, 1, 0) < 0 && errno != EFAULT;
	if (src->memfd < 0 && src->no_vm)
		return -errno;
	return 0;
}

void lc_memsrc_close(struct lc_memsrc *src)
{
	lc_close(&src->memfd);
}

ssize_t lc_memsrc_read_forced(const struct lc_memsrc *src, uint64_t addr, size_t len, void *buf)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(src->memfd, (char *)buf + done, len - done, (off_t)(addr + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ESRCH)
			return -ESRCH;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static ssize_t read_one_by_one(const struct lc_memsrc *src, const struct iovec *ranges, size_t n,
			       void *buf)
{
	size_t done = 0;

	for (size_t i = 0; i < n; i++) {
		ssize_t got = lc_memsrc_read_forced(src, (uintptr_t)ranges[i].iov_base,
						    ranges[i].iov_len, (char *)buf + done);

		if (got < 0)
			return got;
		done += (size_t)got;
		if ((size_t)got < ranges[i].iov_len)
			break;
	}
	return (ssize_t)done;
}

ssize_t lc_memsrc_read(const struct lc_memsrc *src, const struct iovec *ranges, size_t n, void *buf)
{
	struct iovec local = {.iov_base = buf};
	ssize_t got;

	if (src->no_vm)
		return read_one_by_one(src, ranges, n, buf);
	for (size_t i = 0; i < n; i++)
		local.iov_len += ranges[i].iov_len;
	got = process_vm_readv(src->tid, &local, 1, ranges, n, 0);
	if (got >= 0)
		return got;
	if (errno == ESRCH)
		return -ESRCH;
	/* EFAULT on the first byte; or a filter that let the probe pass */
	return errno == EFAULT ? 0 : read_one_by_one(src, ranges, n, buf);
}

/* mem_rw() (fs/proc/base.c) reads nothing from memory without users, where it says EIO for an
 * address that is not mapped. */
bool lc_memsrc_is_stale(const struct lc_memsrc *src)
{
	char byte;

	return src->memfd >= 0 && pread(src->memfd, &byte, 1, 0) == 0;
}
