/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where a core goes. A sink is a vtable behind a small wrapper; every byte goes through
 * elfw_sink_write(), which counts and keeps the first error.
 */
#ifndef ELFW_SINK_H
#define ELFW_SINK_H

#include "elfw.h"

struct elfw_sink;

enum elfw_sink_flags {
	ELFW_SINK_REPLACE = 1 << 0, /* an existing regular file or symbolic link is replaced */
	ELFW_SINK_FSYNC = 1 << 1,   /* on stable storage before it appears under its name */
};

/*
 * A file that appears whole under `path` when it is committed, or not at all: written to an
 * unnamed file of the same directory (O_TMPFILE; a random dot-name where the file system has none),
 * mode 0600. The last component of `path` is never followed if it is a symbolic link. Devices and
 * FIFOs that exist are opened and written in order, as they are.
 *
 * Returns 0 or: -EEXIST something is there and ELFW_SINK_REPLACE is not set; -EISDIR; -ENOTDIR,
 * -ENOENT, -EACCES, -EROFS, ... of the directory; -ELOOP a symbolic link without REPLACE;
 * -ENOTSUP a block device or socket.
 */
ELFW_MUST_CHECK int elfw_sink_open_file(const char *path, unsigned int flags,
					struct elfw_sink **ret_sink);

/*
 * A descriptor of the caller's, which stays the caller's and is not closed: as it is, from its
 * current position. A regular file without O_APPEND is written sparsely; what it held from its
 * position on is dropped when the first byte is written (not before), and its position is left
 * after the core. Anything else in order. Returns 0, -EBADF (not open, not for writing) or -errno.
 */
ELFW_MUST_CHECK int elfw_sink_open_fd(int fd, struct elfw_sink **ret_sink);

/*
 * For an output that takes one order only: a sink that can seek, and whose elfw_sink_finish() sends
 * everything to `to` from front to back and finishes that. Until then the core is in a file without
 * a name in `dir` (mode 0600, gone with the process), and `to` is not touched; what is a hole there
 * becomes what `to` makes of a gap.
 *
 * `to` stays the caller's, nothing was written to it yet, and it outlives the spool. Committing a
 * spool does nothing: that is `to`'s. elfw_sink_fd() is the temporary file's, elfw_sink_space() the
 * less of both, elfw_sink_disk_bytes() `to`'s. Returns 0 or -errno of the temporary file.
 */
ELFW_MUST_CHECK int elfw_sink_open_spool(struct elfw_sink *to, const char *dir,
					 struct elfw_sink **ret_sink);

/* True if writes may come in any order, and from several threads at once (ranges not overlapping).
 */
bool elfw_sink_can_seek(const struct elfw_sink *sink);

/* The bytes that the file system would take; UINT64_MAX where there is no such bound (a pipe).
 * RLIMIT_FSIZE counts. Returns 0 or -errno. */
ELFW_MUST_CHECK int elfw_sink_space(const struct elfw_sink *sink, uint64_t *ret_bytes);

/*
 * Writes `len` bytes at `off` of the core. What lies between is zero: a hole where the output can
 * have one, zeros elsewhere; zero pages in `data` become holes too. A sink that cannot seek takes
 * only ascending offsets (-ESPIPE). Goes on after short writes; returns -EINTR as soon as a signal
 * interrupts, so that the caller can look at its abort flag and call again with what is left
 * (*ret_done tells how much was written, may be NULL when the caller never continues).
 * After another error every call returns that error. A zero page is skipped: over what was
 * written before, elfw_sink_rewrite() is to be used.
 */
ELFW_MUST_CHECK int elfw_sink_write(struct elfw_sink *sink, uint64_t off, const void *data,
				    size_t len, size_t *ret_done);

/*
 * As elfw_sink_write(), where something may have been written before: a page of zeros is made zero,
 * without blocks where the output can (fallocate(), FALLOC_FL_PUNCH_HOLE), instead of being
 * skipped. What is beyond everything that was written costs no system call. Only for sinks that can
 * seek
 * (-ESPIPE, which is not kept as an error of the output). After -EINTR it may be called again with
 * the same data.
 */
ELFW_MUST_CHECK int elfw_sink_rewrite(struct elfw_sink *sink, uint64_t off, const void *data,
				      size_t len);

/* Makes `len` bytes at `off` zero again, in the same way; the range may begin and end anywhere,
 * also where nothing was written yet. Returns as elfw_sink_rewrite() does. */
ELFW_MUST_CHECK int elfw_sink_clear(struct elfw_sink *sink, uint64_t off, uint64_t len);

/*
 * What to do when a signal interrupts: without this, every call returns -EINTR then, as above. With
 * it, a call goes on unless `gives_up(arg)` is true: a signal that is no reason to stop, such as
 * one that the program ignores, costs nothing. Must be safe to call from any thread. A spool begins
 * with what its output has, and what it is given here its output is given too.
 */
void elfw_sink_on_interrupt(struct elfw_sink *sink, bool (*gives_up)(void *arg), void *arg);

/* Gives the output its final length (trailing holes included). May be called again after -EINTR. */
ELFW_MUST_CHECK int elfw_sink_finish(struct elfw_sink *sink, uint64_t size);

/* Makes the file appear under its name. Returns 0, -EEXIST if something appeared there meanwhile,
 * another -errno, or 1 (ELFW_SINK_FSYNC): the file is there, whole and on stable storage, and the
 * fsync() of its directory failed, so that after a crash it may be without its name. */
ELFW_MUST_CHECK int elfw_sink_commit(struct elfw_sink *sink);

/* The first error's system call, a static string such as "write"; NULL: none. */
const char *elfw_sink_failed_call(const struct elfw_sink *sink);

/* The directory of the temporary file, if the first error of a spool was on that, as it was named
 * to elfw_sink_open_spool(); NULL: on the output itself, or none. */
const char *elfw_sink_failed_dir(const struct elfw_sink *sink);

/* A descriptor through which what was written can be read again (for elfw_check_fd), or -1. */
int elfw_sink_fd(const struct elfw_sink *sink);

/* Blocks that the file takes on disk, in bytes; what was written where the output has no blocks. */
uint64_t elfw_sink_disk_bytes(const struct elfw_sink *sink);

/* Releases it. What was not committed leaves nothing behind: the file is gone, a caller's regular
 * file is cut back to where it began. Accepts NULL, keeps errno. */
void elfw_sink_close(struct elfw_sink *sink);

#endif
