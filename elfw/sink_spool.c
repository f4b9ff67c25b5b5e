/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Owns the way from a core that is written in any order to an output that takes one: a temporary
 * file, and the sending of it. Writing runs inside the freeze, from several threads; opening and
 * finishing do not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sink_impl.h"

/* What is in the cache when it is written, and a pipe's worth several times. */
#define SEND_SIZE (256 * 1024)

struct spool_sink {
	struct elfw_sink sink;
	struct elfw_sink *file;
	char *dir;
	uint64_t sent; /* everything before it is in `to`, or a hole */
	uint8_t *buf;
};

static struct spool_sink *to_spool(struct elfw_sink *sink)
{
	return (struct spool_sink *)sink;
}

/* What `part` returned, the file or the output, is the spool's too. */
static int pass_on(struct spool_sink *spool, const struct elfw_sink *part, int r)
{
	if (r < 0 && r != -EINTR)
		elfw_sink_fail(&spool->sink, elfw_sink_failed_call(part), -r);
	return r;
}

/* ---- writing ------------------------------------------------------------------------------- */

/* Of the kind's functions and not elfw_sink_write() and its like: -EINTR is the wrapper's affair,
 * and the wrapper is the spool's own. */
static int spool_write(struct elfw_sink *sink, uint64_t off, const uint8_t *data, size_t len,
		       size_t *ret_done)
{
	struct elfw_sink *file = to_spool(sink)->file;

	return pass_on(to_spool(sink), file, file->ops->write(file, off, data, len, ret_done));
}

static int spool_rewrite(struct elfw_sink *sink, uint64_t off, const uint8_t *data, size_t len,
			 size_t *ret_done)
{
	struct elfw_sink *file = to_spool(sink)->file;

	return pass_on(to_spool(sink), file, file->ops->rewrite(file, off, data, len, ret_done));
}

static int spool_clear(struct elfw_sink *sink, uint64_t off, uint64_t len, uint64_t *ret_done)
{
	struct elfw_sink *file = to_spool(sink)->file;

	return pass_on(to_spool(sink), file, file->ops->clear(file, off, len, ret_done));
}

static int spool_space(const struct elfw_sink *sink, uint64_t *ret_bytes)
{
	const struct spool_sink *spool = (const struct spool_sink *)sink;
	uint64_t of_file = 0, of_output = 0;
	int r = elfw_sink_space(spool->file, &of_file);

	if (r == 0)
		r = elfw_sink_space(sink->to, &of_output);
	*ret_bytes = of_file < of_output ? of_file : of_output;
	return r;
}

static uint64_t spool_disk_bytes(const struct elfw_sink *sink)
{
	return elfw_sink_disk_bytes(sink->to);
}

static const char *spool_failed_dir(const struct elfw_sink *sink)
{
	const struct spool_sink *spool = (const struct spool_sink *)sink;

	return elfw_sink_failed_call(spool->file) ? spool->dir : NULL;
}

/* ---- sending ------------------------------------------------------------------------------- */

static int fail(struct spool_sink *spool, const char *call, int code)
{
	if (code == EINTR)
		return -EINTR;
	return pass_on(spool, spool->file, elfw_sink_fail(spool->file, call, code));
}

/* Where the next contents begin and end; both `size` if there are none. A file system that does not
 * know its holes has none: lseek() then says that everything is contents. */
static int next_extent(struct spool_sink *spool, uint64_t size, uint64_t *ret_start,
		       uint64_t *ret_stop)
{
	off_t start = lseek(spool->file->fd, (off_t)spool->sent, SEEK_DATA);
	off_t stop;

	*ret_start = *ret_stop = size;
	if (start < 0)
		return errno == ENXIO ? 0 : fail(spool, "lseek", errno);
	stop = lseek(spool->file->fd, start, SEEK_HOLE);
	if (stop < 0)
		return fail(spool, "lseek", errno);
	*ret_start = (uint64_t)start;
	*ret_stop = (uint64_t)stop;
	return 0;
}

/* The next bytes up to `stop`, as many as the output takes; spool->sent is after them. */
static int send_some(struct spool_sink *spool, uint64_t stop)
{
	size_t want = stop - spool->sent < SEND_SIZE ? (size_t)(stop - spool->sent) : SEND_SIZE;
	size_t done;
	ssize_t n = pread(spool->file->fd, spool->buf, want, (off_t)spool->sent);
	int r;

	if (n <= 0)
		return fail(spool, "read", n < 0 ? errno : EIO);
	r = elfw_sink_write(spool->sink.to, spool->sent, spool->buf, (size_t)n, &done);
	spool->sent += done;
	return pass_on(spool, spool->sink.to, r);
}

/* Goes on where -EINTR ended it. The file gets its length first: nothing beyond it is sent. */
static int spool_finish(struct elfw_sink *sink, uint64_t size)
{
	struct spool_sink *spool = to_spool(sink);
	uint64_t start, stop;
	int r = pass_on(spool, spool->file, spool->file->ops->finish(spool->file, size));

	while (r == 0 && spool->sent < size) {
		r = next_extent(spool, size, &start, &stop);
		if (r < 0)
			return r;
		spool->sent = start;
		while (r == 0 && spool->sent < stop)
			r = send_some(spool, stop);
	}
	return r < 0 ? r : pass_on(spool, sink->to, elfw_sink_finish(sink->to, size));
}

static int spool_commit(struct elfw_sink *sink)
{
	(void)sink;
	return 0;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void spool_close(struct elfw_sink *sink)
{
	struct spool_sink *spool = to_spool(sink);

	elfw_sink_close(spool->file);
	free(spool->dir);
	free(spool->buf);
	free(spool);
}

static const struct elfw_sink_ops spool_ops = {
	.can_seek = true,
	.write = spool_write,
	.rewrite = spool_rewrite,
	.clear = spool_clear,
	.finish = spool_finish,
	.commit = spool_commit,
	.space = spool_space,
	.disk_bytes = spool_disk_bytes,
	.close = spool_close,
	.failed_dir = spool_failed_dir,
};

int elfw_sink_spool_new(struct elfw_sink *to, const char *dir, unsigned int flags,
			struct elfw_sink **ret_sink)
{
	struct spool_sink *spool = calloc(1, sizeof(*spool));
	int r = -ENOMEM;

	if (!spool)
		return r;
	spool->dir = strdup(dir);
	spool->buf = malloc(SEND_SIZE);
	if (spool->dir && spool->buf)
		r = elfw_sink_nameless_new(dir, flags, &spool->file);
	if (r < 0) {
		spool_close(&spool->sink);
		return r;
	}
	spool->sink.ops = &spool_ops;
	spool->sink.fd = spool->file->fd;
	spool->sink.can_read = true;
	spool->sink.to = to;
	spool->sink.gives_up = to->gives_up;
	spool->sink.gives_up_arg = to->gives_up_arg;
	*ret_sink = &spool->sink;
	return 0;
}

int elfw_sink_open_spool(struct elfw_sink *to, const char *dir, struct elfw_sink **ret_sink)
{
	return elfw_sink_spool_new(to, dir, 0, ret_sink);
}
