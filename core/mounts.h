/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which file systems answer by themselves. One that is served by another process or another machine
 * may not answer while the target is frozen, perhaps because it is the target who would have to:
 * FUSE, NFS. Files there are neither opened nor read nor looked up.
 */
#ifndef LC_MOUNTS_H
#define LC_MOUNTS_H

#include "livecore.h"
#include "target.h"

struct lc_fs {
	uint32_t dev_major, dev_minor;
	bool is_local;
	bool is_memory; /* a read of a hole, through a mapping, fills it */
};

/* Starts zeroed. */
struct lc_mounts {
	struct lc_fs *v; /* sorted by device */
	size_t n, cap;
	bool answers_opens; /* the target itself decides about opens: fanotify(7) */
};

/* Adds what a text of /proc/PID/mountinfo names. Returns 0 or -ENOMEM. */
LC_MUST_CHECK int lc_mounts_parse(const char *text, struct lc_mounts *mounts);

/*
 * The mounts that the target sees, those that we see, and those of the kernel's own that no list
 * has: shared memory and its like. What cannot be read is not known, and not local. To be called
 * before the freeze. Returns 0 or -ENOMEM.
 */
LC_MUST_CHECK int lc_mounts_read(const struct lc_target *target, struct lc_mounts *ret_mounts);

/* Adds the file system of the rings of io_setup(2), for a target that has one: it takes some 30 ms
 * to let go of the ring that it is learned from. Returns 0 or -ENOMEM. */
LC_MUST_CHECK int lc_mounts_add_aio(struct lc_mounts *mounts);

/* The device is a mapping's, from /proc/PID/maps. One that is in no list is local if a block device
 * is behind it. */
bool lc_mounts_is_local(const struct lc_mounts *mounts, uint32_t dev_major, uint32_t dev_minor);

/* Whether files there are memory. */
bool lc_mounts_is_memory(const struct lc_mounts *mounts, uint32_t dev_major, uint32_t dev_minor);

void lc_mounts_free(struct lc_mounts *mounts);

#endif
