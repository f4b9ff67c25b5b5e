/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Owns the wrapper that every write of a core goes through: it counts, and keeps the first error.
 * Runs inside the freeze.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sink_impl.h"

int elfw_sink_fail(struct elfw_sink *sink, const char *call, int code)
{
	const char *none = NULL;

	if (atomic_compare_exchange_strong(&sink->failed_call, &none, call))
		atomic_store(&sink->error, -code);
	return -code;
}

size_t elfw_sink_zeros(uint64_t len, struct iovec *iov, int *ret_n_iov)
{
	static const uint8_t page[ELFW_SINK_ZERO_PAGE];
	size_t sum = 0;
	int n = 0;

	while (n < ELFW_SINK_ZERO_N_IOV && sum < len) {
		size_t part = len - sum < sizeof(page) ? (size_t)(len - sum) : sizeof(page);

		iov[n++] = (struct iovec){(void *)(uintptr_t)page, part};
		sum += part;
	}
	*ret_n_iov = n;
	return sum;
}

int elfw_sink_file_space(int fd, uint64_t pos, uint64_t *ret_bytes)
{
	struct statvfs vfs;
	struct rlimit limit;
	uint64_t blocks, bytes;

	if (fstatvfs(fd, &vfs) < 0)
		return -errno;
	/* Root may use the blocks that the file system keeps for it. */
	blocks = geteuid() == 0 ? vfs.f_bfree : vfs.f_bavail;
	if (__builtin_mul_overflow(blocks, (uint64_t)vfs.f_frsize, &bytes))
		bytes = UINT64_MAX;
	if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
		return -errno;
	if (limit.rlim_cur != RLIM_INFINITY) {
		uint64_t left = limit.rlim_cur > pos ? limit.rlim_cur - pos : 0;

		if (left < bytes)
			bytes = left;
	}
	*ret_bytes = bytes;
	return 0;
}

int elfw_sink_open_fd(int fd, struct elfw_sink **ret_sink)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0)
		return -errno;
	/* O_PATH comes without an access mode too. */
	if ((flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) && !(flags & O_APPEND))
		return elfw_sink_regular_new(fd, &st, (flags & O_ACCMODE) == O_RDWR, ret_sink);
	return elfw_sink_stream_new(fd, false, 0, ret_sink);
}

bool elfw_sink_can_seek(const struct elfw_sink *sink)
{
	return sink->ops->can_seek;
}

int elfw_sink_space(const struct elfw_sink *sink, uint64_t *ret_bytes)
{
	return sink->ops->space(sink, ret_bytes);
}

void elfw_sink_on_interrupt(struct elfw_sink *sink, bool (*gives_up)(void *arg), void *arg)
{
	for (; sink; sink = sink->to) {
		sink->gives_up = gives_up;
		sink->gives_up_arg = arg;
	}
}

static bool goes_on(const struct elfw_sink *sink, int r)
{
	return r == -EINTR && sink->gives_up && !sink->gives_up(sink->gives_up_arg);
}

/* By `op`, which is the kind's write or rewrite. */
static int put(struct elfw_sink *sink,
	       int (*op)(struct elfw_sink *sink, uint64_t off, const uint8_t *data, size_t len,
			 size_t *ret_done),
	       uint64_t off, const uint8_t *data, size_t len, size_t *ret_done)
{
	size_t done = 0;
	int r = atomic_load(&sink->error);

	while (r == 0) {
		size_t more = 0;

		r = op(sink, off + done, data + done, len - done, &more);
		done += more;
		if (!goes_on(sink, r))
			break;
		r = 0;
	}
	if (ret_done)
		*ret_done = done;
	return r;
}

int elfw_sink_write(struct elfw_sink *sink, uint64_t off, const void *data, size_t len,
		    size_t *ret_done)
{
	return put(sink, sink->ops->write, off, data, len, ret_done);
}

int elfw_sink_rewrite(struct elfw_sink *sink, uint64_t off, const void *data, size_t len)
{
	if (!sink->ops->can_seek)
		return -ESPIPE;
	return put(sink, sink->ops->rewrite, off, data, len, NULL);
}

int elfw_sink_clear(struct elfw_sink *sink, uint64_t off, uint64_t len)
{
	uint64_t done = 0;
	int r = atomic_load(&sink->error);

	if (!sink->ops->can_seek)
		return -ESPIPE;
	while (r == 0) {
		uint64_t more = 0;

		r = sink->ops->clear(sink, off + done, len - done, &more);
		done += more;
		if (!goes_on(sink, r))
			break;
		r = 0;
	}
	return r;
}

int elfw_sink_finish(struct elfw_sink *sink, uint64_t size)
{
	int r = atomic_load(&sink->error);

	if (r < 0)
		return r;
	do
		r = sink->ops->finish(sink, size);
	while (goes_on(sink, r));
	return r;
}

int elfw_sink_commit(struct elfw_sink *sink)
{
	int r = atomic_load(&sink->error);

	if (r < 0)
		return r;
	do
		r = sink->ops->commit(sink);
	while (goes_on(sink, r));
	if (r >= 0)
		sink->committed = true;
	return r;
}

const char *elfw_sink_failed_call(const struct elfw_sink *sink)
{
	return atomic_load(&sink->failed_call);
}

const char *elfw_sink_failed_dir(const struct elfw_sink *sink)
{
	return sink->ops->failed_dir ? sink->ops->failed_dir(sink) : NULL;
}

int elfw_sink_fd(const struct elfw_sink *sink)
{
	return sink->can_read ? sink->fd : -1;
}

uint64_t elfw_sink_disk_bytes(const struct elfw_sink *sink)
{
	return sink->ops->disk_bytes(sink);
}

void elfw_sink_close(struct elfw_sink *sink)
{
	int saved = errno;

	if (sink)
		sink->ops->close(sink);
	errno = saved;
}
