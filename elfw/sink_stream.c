/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Owns outputs that are written from front to back: pipes, FIFOs, sockets, character devices, files
 * opened with O_APPEND. Gaps are written as zeros. Runs inside the freeze, where the reader's pace
 * is the writer's: a signal must get through at any time.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "sink_impl.h"

struct stream_sink {
	struct elfw_sink sink;
	uint64_t pos; /* of the core: everything before it was written */
	unsigned int flags;
	bool owned;
	bool can_wait;   /* a write may wait for a reader, and a signal cut it short */
	bool is_regular; /* O_APPEND */
	uint64_t start_size;
};

static struct stream_sink *to_stream(struct elfw_sink *sink)
{
	return (struct stream_sink *)sink;
}

/* Until a non-blocking output takes more. */
static int wait_writable(struct stream_sink *stream)
{
	struct pollfd poll_fd = {.fd = stream->sink.fd, .events = POLLOUT};

	if (poll(&poll_fd, 1, -1) >= 0)
		return 0;
	if (errno == EINTR)
		return -EINTR;
	return elfw_sink_fail(&stream->sink, "poll", errno);
}

/*
 * Did a signal end this short write? A blocking pipe or socket takes everything but for a signal,
 * or a reader that went away; in the latter case the next write says so. Without this test the next
 * write would wait again, and the signal that wanted to end the dump would be lost.
 */
static bool was_interrupted(const struct stream_sink *stream)
{
	struct pollfd poll_fd = {.fd = stream->sink.fd, .events = POLLOUT};
	int flags;

	if (!stream->can_wait)
		return false;
	flags = fcntl(stream->sink.fd, F_GETFL);
	if (flags < 0 || (flags & O_NONBLOCK))
		return false;
	if (poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLERR | POLLHUP)))
		return false;
	return true;
}

/* One writev() of `len` bytes; *ret_n of them were taken, whatever is returned. */
static int push(struct stream_sink *stream, const struct iovec *iov, int n_iov, size_t len,
		size_t *ret_n)
{
	ssize_t n = writev(stream->sink.fd, iov, n_iov);

	*ret_n = 0;
	if (n < 0) {
		if (errno == EINTR)
			return -EINTR;
		if (errno == EAGAIN)
			return wait_writable(stream);
		return elfw_sink_fail(&stream->sink, "write", errno);
	}
	if (n == 0)
		return elfw_sink_fail(&stream->sink, "write", EIO);
	*ret_n = (size_t)n;
	stream->pos += (size_t)n;
	stream->sink.written += (size_t)n;
	return (size_t)n < len && was_interrupted(stream) ? -EINTR : 0;
}

/* Zeros up to `off`, all from the same page. */
static int fill_gap(struct stream_sink *stream, uint64_t off)
{
	while (stream->pos < off) {
		struct iovec iov[ELFW_SINK_ZERO_N_IOV];
		size_t len, n;
		int n_iov, r;

		len = elfw_sink_zeros(off - stream->pos, iov, &n_iov);
		r = push(stream, iov, n_iov, len, &n);
		if (r < 0)
			return r;
	}
	return 0;
}

static int stream_write(struct elfw_sink *sink, uint64_t off, const uint8_t *data, size_t len,
			size_t *ret_done)
{
	struct stream_sink *stream = to_stream(sink);
	int r;

	if (off < stream->pos)
		return elfw_sink_fail(sink, "write", ESPIPE);
	r = fill_gap(stream, off);
	while (r == 0 && *ret_done < len) {
		/* The kernel cuts longer ones short, which would look like a signal. */
		size_t part = len - *ret_done < INT_MAX / 2 ? len - *ret_done : INT_MAX / 2;
		struct iovec iov = {(void *)(uintptr_t)(data + *ret_done), part};
		size_t n;

		r = push(stream, &iov, 1, part, &n);
		*ret_done += n;
	}
	return r;
}

static int stream_finish(struct elfw_sink *sink, uint64_t size)
{
	struct stream_sink *stream = to_stream(sink);

	if (size < stream->pos)
		return elfw_sink_fail(sink, "write", ESPIPE);
	return fill_gap(stream, size);
}

static int stream_commit(struct elfw_sink *sink)
{
	struct stream_sink *stream = to_stream(sink);

	if (!(stream->flags & ELFW_SINK_FSYNC) || fsync(sink->fd) == 0)
		return 0;
	/* There is nothing to be synchronised in a pipe. */
	if (errno == EINVAL || errno == EROFS || errno == ENOTSUP)
		return 0;
	if (errno == EINTR)
		return -EINTR;
	return elfw_sink_fail(sink, "fsync", errno);
}

static int stream_space(const struct elfw_sink *sink, uint64_t *ret_bytes)
{
	const struct stream_sink *stream = (const struct stream_sink *)sink;

	if (stream->is_regular)
		return elfw_sink_file_space(sink->fd, stream->start_size, ret_bytes);
	*ret_bytes = UINT64_MAX;
	return 0;
}

static uint64_t stream_disk_bytes(const struct elfw_sink *sink)
{
	return sink->written;
}

/* Only what this sink appended: if somebody else wrote too, what is whose cannot be told apart. */
static void cut_back(struct stream_sink *stream)
{
	struct stat st;

	if (fstat(stream->sink.fd, &st) < 0)
		return;
	if ((uint64_t)st.st_size != stream->start_size + stream->pos)
		return;
	while (ftruncate(stream->sink.fd, (off_t)stream->start_size) < 0 && errno == EINTR)
		;
}

static void stream_close(struct elfw_sink *sink)
{
	struct stream_sink *stream = to_stream(sink);

	if (stream->is_regular && stream->pos && !sink->committed)
		cut_back(stream);
	if (stream->owned)
		close(sink->fd);
	free(stream);
}

static const struct elfw_sink_ops stream_ops = {
	.can_seek = false,
	.write = stream_write,
	.finish = stream_finish,
	.commit = stream_commit,
	.space = stream_space,
	.disk_bytes = stream_disk_bytes,
	.close = stream_close,
};

int elfw_sink_stream_new(int fd, bool owned, unsigned int flags, struct elfw_sink **ret_sink)
{
	struct stream_sink *stream = calloc(1, sizeof(*stream));
	struct stat st;
	int r;

	if (!stream || fstat(fd, &st) < 0) {
		r = -errno;
		free(stream);
		if (owned)
			close(fd);
		return r;
	}
	stream->sink.ops = &stream_ops;
	stream->sink.fd = fd;
	stream->flags = flags;
	stream->owned = owned;
	stream->can_wait = S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || isatty(fd);
	stream->is_regular = S_ISREG(st.st_mode);
	stream->start_size = stream->is_regular ? (uint64_t)st.st_size : 0;
	*ret_sink = &stream->sink;
	return 0;
}
