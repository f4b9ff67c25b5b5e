/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How the contents of a process get into a core: one file for each strategy behind this table, and
 * one line in the list. dump.c calls them in this order:
 *
 *   probe, prepare      the target runs; prepare may stop it and let it go again
 *   == last freeze ==   registers, stopped, mappings and plan, place; what `cover` does not have
 *                       is read
 *   == thaw ==          read_rest (by the thread that holds the target), what was kept is written,
 *                       finish
 *   end                 right after read_rest, or after what failed
 *
 * Where a function fails with the target alive and well, the strategy gives way to the next.
 */
#ifndef LC_CAPTURE_H
#define LC_CAPTURE_H

#include "frozen.h"
#include "inject.h"
#include "pagelist.h"
#include "team.h"

/* What a strategy works with: all of it is dump.c's but `own`. */
struct lc_snap {
	const struct lc_target *target;
	const struct lc_request *request;
	struct elfw_sink *sink; /* one that can seek, but under off */
	struct lc_result *result;
	struct lc_prep *prep;
	struct lc_frozen *frozen; /* empty until the last freeze */
	struct lc_capture *capture;
	struct lc_arena arena;    /* reserved by prepare; empty: what is read is written at once */
	struct lc_pagelist pages; /* of the last freeze */
	bool no_zero_page;        /* the zero page need not be told from others, see there */
	_Atomic uint64_t *seizing_ns;
	_Atomic bool *freezing;
	_Atomic uint64_t *done, *total; /* for who watches, bytes */
	void *own;
};

/* All return 0 or -errno with the reason in the error, in words that complete "... is not to be
 * had:". Any but prepare, read_rest and end may be NULL. */
struct lc_strategy {
	enum lc_snapshot snapshot;
	/* Changes nothing. */
	int (*probe)(struct lc_snap *snap, struct lc_err *err);
	/* Reserves what is needed inside the freeze, and does what can be done before it. */
	int (*prepare)(struct lc_snap *snap, struct lc_err *err);
	/* All threads are stopped, and the registers are read. */
	int (*stopped)(struct lc_snap *snap, struct lc_err *err);
	/* The plan is made: gives every segment its place, frozen->layout. NULL: one after the
	 * other. */
	int (*place)(struct lc_snap *snap, struct lc_err *err);
	/* What need not be read inside the freeze. */
	struct lc_cover (*cover)(struct lc_snap *snap);
	/* The target was let go again, since a mapping had come of which too little is known: looks
	 * anew, and the last freeze is tried again. NULL: that is found out inside the freeze. */
	int (*again)(struct lc_snap *snap, struct lc_err *err);
	/* What was covered, from wherever the strategy has it. */
	int (*read_rest)(struct lc_snap *snap, struct lc_err *err);
	/* Everything is written but the head of the core. */
	int (*finish)(struct lc_snap *snap, struct lc_err *err);
	/* Undoes what prepare and stopped did to the target. By the thread that holds it. */
	void (*end)(struct lc_snap *snap);
	/* Frees `own`. Last of all. */
	void (*free)(struct lc_snap *snap);
};

extern const struct lc_strategy lc_strategy_precopy, lc_strategy_fork, lc_strategy_copy,
	lc_strategy_off;

/* In the order in which they are tried; ends with off, which is always to be had. */
extern const struct lc_strategy *const lc_strategies[];

/* ---- for the strategies ------------------------------------------------------------------- */

/* As lc_threads_freeze() with the request's bounds. */
LC_MUST_CHECK int lc_snap_freeze(struct lc_snap *snap, struct lc_threads *threads,
				 struct lc_err *err);

/* Lets go, and adds the stop to the figures. */
void lc_snap_thaw(struct lc_snap *snap, struct lc_threads *threads);

/* lc_inject_open() in one of the threads, all of which are stopped. Refused as well if one is not:
 * it is free only when the holding thread has ended, which has more to do. */
LC_MUST_CHECK int lc_snap_inject(struct lc_snap *snap, const struct lc_threads *threads,
				 enum lc_inject_purpose purpose, const struct lc_code *code,
				 struct lc_inject *inject, struct lc_err *err);

/*
 * Mappings and plan of the target as it runs now, into `ret_now` (starts zeroed,
 * lc_frozen_free() frees it): what can be known before the freeze of what will be read in it.
 */
LC_MUST_CHECK int lc_snap_look(struct lc_snap *snap, struct lc_frozen *ret_now, struct lc_err *err);

/* The bytes of that plan which `cover` does not have. */
LC_MUST_CHECK int lc_snap_measure(struct lc_snap *snap, const struct lc_frozen *now,
				  struct lc_cover cover, uint64_t *ret_bytes, struct lc_err *err);

/* Reserves the arena, within the request's bound. Returns 0 or -ENOMEM with the figures. */
LC_MUST_CHECK int lc_snap_reserve(struct lc_snap *snap, uint64_t bytes, struct lc_err *err);

/* Refuses a stop that would take `ns` where the request allows less. Returns 0 or -ETIME. */
LC_MUST_CHECK int lc_snap_check_freeze(const struct lc_snap *snap, uint64_t ns, struct lc_err *err);

/* What copying so many bytes inside the freeze takes. */
static inline uint64_t lc_snap_copy_ns(uint64_t bytes)
{
	return bytes / 3; /* 3 GB/s: measured 3 to 6 on two cores, into memory that was touched */
}

/* And stopping, reading registers and letting go of so many threads. */
static inline uint64_t lc_snap_stop_ns(size_t n_threads)
{
	return 1000000 + n_threads * 30000;
}

#endif
