/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Everything is copied to memory of ours inside the freeze, by several threads, and written after
 * it: the target waits for a copy instead of for the output. Nothing is done to it. */
#include "capture.h"

#include "err.h"

/* Room for what the target has more at the stop than it had when it was looked at. */
static uint64_t with_room(uint64_t bytes)
{
	return bytes + bytes / 16 + (UINT64_C(8) << 20);
}

static int prepare(struct lc_snap *snap, struct lc_err *err)
{
	struct lc_frozen now = {0};
	int r = lc_snap_look(snap, &now, err);

	if (r == 0)
		r = lc_snap_check_freeze(snap,
					 lc_snap_stop_ns(snap->target->id.n_threads) +
						 lc_snap_copy_ns(now.plan.data_bytes),
					 err);
	if (r == 0)
		r = lc_snap_reserve(snap, with_room(now.plan.data_bytes), err);
	lc_frozen_free(&now);
	return r;
}

const struct lc_strategy lc_strategy_copy = {
	.snapshot = LC_SNAPSHOT_COPY,
	.prepare = prepare,
};
