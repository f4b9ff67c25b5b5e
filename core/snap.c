/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the strategies have in common, and the list of them. */
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "caller.h"
#include "capture.h"
#include "err.h"

const struct lc_strategy *const lc_strategies[] = {
	&lc_strategy_precopy, &lc_strategy_fork, &lc_strategy_copy, &lc_strategy_off, NULL,
};

/* ---- stops -------------------------------------------------------------------------------- */

/* Who holds the target must be on a processor, however busy the machine is: while it waits for one,
 * so does the target. Without CAP_SYS_NICE it does what it can. */
static void keep_time(int policy)
{
	const struct sched_param param = {.sched_priority = policy == SCHED_FIFO ? 1 : 0};

	sched_setscheduler(0, policy | SCHED_RESET_ON_FORK, &param);
}

/* What malloc() gives out inside the freeze comes without a system call then. */
static void warm_heap(void)
{
	void *volatile block = malloc(100000);

	free(block);
}

int lc_snap_freeze(struct lc_snap *snap, struct lc_threads *threads, struct lc_err *err)
{
	const struct lc_request *request = snap->request;
	struct lc_freeze_options options = {.timeout_ns = request->timeout_ns,
					    .max_freeze_ns = request->max_freeze_ns,
					    .abort = request->abort,
					    .seizing_ns = snap->seizing_ns};
	int r;

	warm_heap();
	if (request->max_freeze_ns || request->snapshot != LC_SNAPSHOT_OFF)
		keep_time(SCHED_FIFO);
	atomic_store(snap->freezing, true);
	lc_caller_raise(request->for_caller);
	r = lc_threads_freeze(snap->target, &options, threads, err);
	lc_caller_lower(request->for_caller);
	atomic_store(snap->freezing, false);
	if (r < 0)
		keep_time(SCHED_OTHER);
	return r;
}

void lc_snap_thaw(struct lc_snap *snap, struct lc_threads *threads)
{
	struct lc_result *res = snap->result;
	struct lc_snapshot_figures *s = &res->snapshot;
	uint64_t begin = lc_now_ns(), frozen_ns, end;

	lc_threads_thaw(threads);
	end = lc_now_ns();
	frozen_ns = end - threads->interrupted_ns;
	res->thaw_ns = end - begin;
	keep_time(SCHED_OTHER);
	res->n_passes = threads->passes;
	res->frozen_ns += frozen_ns;
	if (s->n_freezes < LC_FREEZES_MAX)
		s->freezes_ns[s->n_freezes] = frozen_ns;
	s->n_freezes++;
}

static bool has_stuck(const struct lc_threads *threads)
{
	for (size_t i = 0; i < threads->n; i++)
		if (threads->v[i].state == LC_THREAD_STUCK)
			return true;
	return false;
}

int lc_snap_inject(struct lc_snap *snap, const struct lc_threads *threads,
		   enum lc_inject_purpose purpose, const struct lc_code *code,
		   struct lc_inject *inject, struct lc_err *err)
{
	struct lc_prep *p = snap->prep;
	struct lc_vmas vmas = {0};
	const struct lc_inject_inputs in = {
		.purpose = purpose,
		.target = snap->target,
		.threads = threads,
		.vmas = &vmas,
		.pagemap = &p->pagemap,
		.arch = p->info.arch,
		.code = code,
		.for_caller = snap->request->for_caller,
	};
	int r;

	if (has_stuck(threads))
		return lc_err_set(
			err, ENOTSUP, LC_STAGE_FREEZE,
			"a thread does not stop, and would be held longer than the others");
	/* seized by a capability that the caller has not: only now can it not change any more */
	r = lc_caller_check(snap->target, snap->request->for_caller, err);
	if (r < 0)
		return r;
	r = lc_vmas_read(p->taskfd, &p->hints, LC_FLAGS_ANY, 0, &vmas);
	if (r < 0)
		return lc_err_set(err, -r, LC_STAGE_MAPPINGS, "cannot read /proc/%d/maps: %s",
				  snap->target->id.pid, strerror(-r));
	r = lc_inject_open(inject, &in, err);
	lc_vmas_free(&vmas);
	inject->in.vmas = NULL; /* only the choice of a thread asks for them */
	return r;
}

/* ---- looking ahead ------------------------------------------------------------------------ */

int lc_snap_look(struct lc_snap *snap, struct lc_frozen *ret_now, struct lc_err *err)
{
	snap->prep->pagemap.list = NULL;
	return lc_frozen_estimate(snap->prep, ret_now, err);
}

int lc_snap_measure(struct lc_snap *snap, const struct lc_frozen *now, struct lc_cover cover,
		    uint64_t *ret_bytes, struct lc_err *err)
{
	struct lc_prep *p = snap->prep;
	struct lc_pieces walk = p->pieces;
	struct lc_piece piece;
	int r;

	walk.plan = &now->plan;
	walk.vmas = &now->vmas;
	walk.pagemap = &p->pagemap;
	walk.file = &p->file;
	walk.cover = cover;
	*ret_bytes = 0;
	lc_pagemap_restart(&p->pagemap, p->pagemap.limit);
	while ((r = lc_pieces_next(&walk, UINT64_MAX, &piece)) > 0)
		*ret_bytes += piece.len;
	return r < 0 ? lc_err_set(err, -r, LC_STAGE_MAPPINGS, "cannot tell which pages exist: %s",
				  strerror(-r))
		     : 0;
}

int lc_snap_reserve(struct lc_snap *snap, uint64_t bytes, struct lc_err *err)
{
	uint64_t most = lc_arena_bound(snap->request->buffer_bytes);

	if (bytes <= most && lc_arena_reserve(&snap->arena, bytes) == 0)
		return 0;
	return lc_err_set(err, ENOMEM, LC_STAGE_COPY,
			  "it takes %.1f MiB of memory, and %.1f MiB may be taken (--buffer)",
			  (double)bytes / 1048576, (double)most / 1048576);
}

int lc_snap_check_freeze(const struct lc_snap *snap, uint64_t ns, struct lc_err *err)
{
	uint64_t most = snap->request->max_freeze_ns;

	if (!most || ns <= most)
		return 0;
	return lc_err_set(
		err, ETIME, LC_STAGE_FREEZE,
		"it would hold the process for some %.1f ms, more than the %.1f ms that are "
		"allowed",
		(double)ns / 1e6, (double)most / 1e6);
}
