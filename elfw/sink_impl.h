/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the kinds of sinks share with sink.c, and nobody else sees. */
#ifndef ELFW_SINK_IMPL_H
#define ELFW_SINK_IMPL_H

#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "sink.h"

/* For tests: as if the file system had no O_TMPFILE. */
#define ELFW_SINK_NO_TMPFILE (1u << 31)

#define ELFW_SINK_ZERO_PAGE  4096
#define ELFW_SINK_ZERO_N_IOV 256

/*
 * A kind of sink. Each returns 0 or -errno and reports every error but -EINTR through
 * elfw_sink_fail(). What cannot happen after an error is not called after one.
 */
struct elfw_sink_ops {
	bool can_seek;
	/* As elfw_sink_write(); *ret_done is 0 at the start and never NULL. */
	int (*write)(struct elfw_sink *sink, uint64_t off, const uint8_t *data, size_t len,
		     size_t *ret_done);
	/* As elfw_sink_rewrite() and elfw_sink_clear(); NULL where can_seek is false. */
	int (*rewrite)(struct elfw_sink *sink, uint64_t off, const uint8_t *data, size_t len,
		       size_t *ret_done);
	int (*clear)(struct elfw_sink *sink, uint64_t off, uint64_t len, uint64_t *ret_done);
	int (*finish)(struct elfw_sink *sink, uint64_t size);
	int (*commit)(struct elfw_sink *sink);
	int (*space)(const struct elfw_sink *sink, uint64_t *ret_bytes);
	uint64_t (*disk_bytes)(const struct elfw_sink *sink);
	/* Undoes what was not committed, frees the sink. May spoil errno. */
	void (*close)(struct elfw_sink *sink);
	/* As elfw_sink_failed_dir(); NULL: there is only one file. */
	const char *(*failed_dir)(const struct elfw_sink *sink);
};

struct elfw_sink {
	const struct elfw_sink_ops *ops;
	int fd;
	struct elfw_sink *to; /* a spool's: what it ends in; NULL: this is the output itself */
	bool committed;
	bool (*gives_up)(void *arg); /* after a signal; NULL: always */
	void *gives_up_arg;
	bool can_read;                     /* what was written can be read through fd */
	atomic_int error;                  /* the first, negative; 0: none */
	_Atomic(const char *) failed_call; /* of the first error */
	_Atomic uint64_t written;          /* bytes given to the output, holes not counted */
};

/* Keeps the first error. Returns -code, whichever was the first. */
int elfw_sink_fail(struct elfw_sink *sink, const char *call, int code);

/* Zeros for one call, all from the same page: at most `len`, at most what ELFW_SINK_ZERO_N_IOV
 * vectors hold. Returns how many bytes that is. */
size_t elfw_sink_zeros(uint64_t len, struct iovec *iov, int *ret_n_iov);

/* What a file of `fd`'s file system may still take from `pos` on, RLIMIT_FSIZE included. */
int elfw_sink_file_space(int fd, uint64_t pos, uint64_t *ret_bytes);

/* A new file in `dir` that has no name and gets none: it is gone when it is closed. */
int elfw_sink_nameless_new(const char *dir, unsigned int flags, struct elfw_sink **ret_sink);

/* As elfw_sink_open_spool(), with the flags above. */
int elfw_sink_spool_new(struct elfw_sink *to, const char *dir, unsigned int flags,
			struct elfw_sink **ret_sink);

/* A stream on `fd`; `owned`: closed with the sink, at once on failure. */
int elfw_sink_stream_new(int fd, bool owned, unsigned int flags, struct elfw_sink **ret_sink);

/* A caller's regular file, from its current position. */
int elfw_sink_regular_new(int fd, const struct stat *st, bool can_read,
			  struct elfw_sink **ret_sink);

#endif
