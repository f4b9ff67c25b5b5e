/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which pages a process writes to while it runs: one file for each way to know. */
#ifndef LC_TRACK_H
#define LC_TRACK_H

#include "capture.h"

/* What one way needs. Starts zeroed but for `fd`. */
struct lc_track {
	struct lc_snap *snap;
	int fd;                   /* the userfaultfd, -1: none */
	struct lc_ranges follows; /* mappings that are tracked, sorted */
	struct lc_ranges ever;    /* and those that were, in any order */
	void *own;
};

struct lc_tracker {
	const char *name;
	enum lc_tracker_kind kind;
	/* Changes nothing in the target. Returns 0, or -errno with the reason. */
	int (*probe)(struct lc_snap *snap, struct lc_err *err);
	/* May stop the target for a moment. By the thread that holds it. */
	int (*start)(struct lc_track *track, const struct lc_frozen *now, struct lc_err *err);
	/* Begins to track a mapping, unless it does. Returns 0, or -errno where it cannot be. */
	int (*follow)(struct lc_track *track, uint64_t start, uint64_t end);
	/* Everything that collect() lists from now on was written to since the pass before. May
	 * stop the target for a moment. May be NULL. */
	int (*begin_pass)(struct lc_track *track, struct lc_err *err);
	/*
	 * Lists existing pages in a part of what is followed that were written to since they were
	 * listed last, and from here on waits for the next write to them. Called by several threads
	 * at once, on parts that do not overlap. Returns how many regions there are, at most `max`,
	 * and in *ret_walked how far it came; or -errno, and what it had found until then is lost.
	 */
	int (*collect)(struct lc_track *track, uint64_t start, uint64_t end,
		       struct lc_page_region *regions, size_t max, uint64_t *ret_walked);
	/* What was listed in [start, end) has been read: where it may have been something else by
	 * then, it does not count as copied. May be NULL. */
	void (*confirm)(struct lc_track *track, uint64_t start, uint64_t end);
	/* Lets go of the target, bit by bit: it must not wait for that. */
	void (*end)(struct lc_track *track);
};

extern const struct lc_tracker lc_tracker_uffd, lc_tracker_soft_dirty;

#endif
