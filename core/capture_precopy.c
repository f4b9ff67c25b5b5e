/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The memory is copied to the output while the target runs, in passes, each of what was written to
 * since the one before; then the target is stopped for what is left. A page is right in the output
 * if the tracker says that nobody has written to it since it was copied (LC_PAGE_HELD) and if it
 * was copied to the place that the final layout gives it; everything else is read inside the last
 * freeze.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "err.h"
#include "extents.h"
#include "track.h"

#define MAX_WORKERS 2

/* One worker's share at a time; how much of the target's page tables one call of the tracker locks.
 */
#define CHUNK_SIZE (UINT64_C(4) << 20)

/* What memory that appears later gets of the output at once. */
#define GRAIN (UINT64_C(1) << 20)

/* So little needs no further pass: it is copied in half a millisecond. */
#define FEW_BYTES (UINT64_C(2) << 20)

/* Room in the arena for what is written between the last pass and the stop. */
#define ARENA_ROOM (UINT64_C(32) << 20)

/* The page map is looked at in the last freeze: 0.5 ms for each GiB. */
#define SCAN_NS_PER_MIB 500

#define REGIONS         512

#define COPIER_NICE     5

struct precopy {
	const struct lc_tracker *tracker;
	struct lc_track track;
	struct lc_extents extents;
	struct lc_ranges written; /* offsets: what the passes have written */
	struct lc_ranges live;    /* offsets: what the core has */
	struct lc_ranges failed;  /* addresses: what they could not read, once */
	struct lc_text maps;      /* as it was when the mappings were looked at */
	uint64_t uncovered;       /* bytes of the plan that cannot be tracked */
	uint64_t data_bytes;      /* of the plan */
	uint64_t expected;        /* bytes that will have been written to at the stop */
	uint64_t pass_start_ns, last_bytes;
};

static int out_of_memory(struct lc_err *err)
{
	return lc_err_set(err, ENOMEM, LC_STAGE_COPY, "out of memory");
}

/* ---- what can be tracked ------------------------------------------------------------------ */

/*
 * Not private mappings of files: a page that is dropped there leaves its protection behind as a
 * mark, and the page that comes next, not yet written to, looks as if it were still as it was
 * copied.
 */
static bool can_track(const struct lc_vma *vma)
{
	return !lc_vma_has_file(vma) &&
	       !(vma->flags &
		 (LC_VMA_SHARED | LC_VMA_HUGETLB | LC_VMA_UFFD | LC_VMA_SPECIAL | LC_VMA_IO |
		  LC_VMA_PFNMAP | LC_VMA_SECRET | LC_VMA_DEVICE | LC_VMA_REMOTE));
}

/* What a plan of the running target holds and the tracker will. */
static bool will_hold(void *arg, struct lc_piece *piece)
{
	(void)arg;
	return (piece->via == LC_VIA_PROCESS || piece->via == LC_VIA_FORCED) &&
	       (piece->kind & LC_PAGE_OWN) && can_track(piece->vma);
}

/* Devices write to pages that are pinned, or that a transfer past the page cache is under way to,
 * without a page fault: no tracker sees that. */
static int look_at_fd(void *arg, pid_t number)
{
	const struct lc_target *target = arg;
	struct lc_text text = {0};
	char path[40];
	const char *flags;
	bool direct = false;

	snprintf(path, sizeof(path), "fdinfo/%d", number);
	if (lc_procfs_read(target->dirfd, path, &text) == 0) {
		flags = strstr(text.data, "flags:");
		direct = flags && (strtoul(flags + strlen("flags:"), NULL, 8) & O_DIRECT);
	}
	lc_text_free(&text);
	return direct;
}

static int check_not_pinned(struct lc_snap *snap, struct lc_err *err)
{
	struct lc_status status;

	if (lc_procfs_status(snap->prep->taskfd, "status", &status) < 0 || status.vm_pin == 0)
		return 0; /* one that has ended is told of later */
	return lc_err_set(err, ENOTSUP, LC_STAGE_TARGET,
			  "%llu KiB of the process are pinned for devices, which write without a "
			  "trace",
			  (unsigned long long)status.vm_pin);
}

static int check_no_dma(struct lc_snap *snap, struct lc_err *err)
{
	int r = check_not_pinned(snap, err);

	if (r < 0)
		return r;
	if (lc_procfs_each_pid(snap->target->dirfd, "fd", look_at_fd,
			       (void *)(uintptr_t)snap->target) > 0)
		return lc_err_set(err, ENOTSUP, LC_STAGE_TARGET,
				  "the process reads files past the page cache (O_DIRECT): devices "
				  "write to its memory without a trace");
	return 0;
}

/* ---- looking at the mappings -------------------------------------------------------------- */

static bool maps_have_changed(struct lc_snap *snap, struct precopy *pc)
{
	struct lc_text now = {0};
	bool same = lc_procfs_read(snap->prep->taskfd, "maps", &now) == 0 &&
		    now.len == pc->maps.len && memcmp(now.data, pc->maps.data, now.len) == 0;

	lc_text_free(&now);
	return !same;
}

/* The plan's own places, in its order; anything later comes behind them. */
static int place_plan(struct precopy *pc, const struct lc_frozen *now)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < now->plan.n; i++) {
		const struct elfw_segment *seg = &now->plan.segments[i];
		uint64_t end = seg->vaddr + seg->filesz, off, len;

		for (uint64_t at = seg->vaddr; r == 0 && at < end; at += len)
			r = lc_extents_place(&pc->extents, at, end, at, end, 1, &off, &len);
	}
	return r;
}

/* A mapping that cannot be tracked is copied inside the freeze. */
static int follow_all(struct precopy *pc, const struct lc_frozen *now)
{
	int r = 0;

	pc->track.follows.n = 0;
	for (size_t i = 0; r == 0 && i < now->vmas.n; i++) {
		const struct lc_vma *vma = &now->vmas.v[i];

		if (!can_track(vma) || now->plan.verdicts[i].file_bytes == 0)
			continue;
		if (pc->tracker->follow(&pc->track, vma->start, vma->end) < 0)
			continue;
		r = lc_ranges_add(&pc->track.follows, vma->start, vma->end);
		if (r == 0)
			r = lc_ranges_add(&pc->track.ever, vma->start, vma->end);
	}
	return r;
}

static int measure(struct lc_snap *snap, struct precopy *pc, const struct lc_frozen *now,
		   struct lc_err *err)
{
	const struct lc_cover cover = {.has = will_hold};

	pc->data_bytes = now->plan.data_bytes;
	return lc_snap_measure(snap, now, cover, &pc->uncovered, err);
}

/* smaps walks the page tables, for 30 ms and more for each GiB. */
static int read_flags(struct lc_prep *p, struct lc_err *err)
{
	int r;

	lc_vma_hints_free(&p->hints);
	r = lc_vma_hints_read(p->taskfd, lc_prep_is_large(p), 0, &p->hints);
	return r < 0 && r != -ENOENT ? lc_err_set(err, -r, LC_STAGE_MAPPINGS,
						  "cannot read smaps: %s", strerror(-r))
				     : 0;
}

/* Mappings and plan as they are now; the mappings' flags anew if they have changed, since inside
 * the freeze there is no time for that. */
static int look(struct lc_snap *snap, struct precopy *pc, struct lc_frozen *now, struct lc_err *err)
{
	struct lc_prep *p = snap->prep;
	int r;

	r = pc->maps.len ? read_flags(p, err) : 0;
	if (r < 0)
		return r;
	r = lc_procfs_read(p->taskfd, "maps", &pc->maps);
	if (r < 0)
		return lc_err_set(err, -r, LC_STAGE_MAPPINGS, "cannot read maps: %s", strerror(-r));
	return lc_snap_look(snap, now, err);
}

static int look_and_follow(struct lc_snap *snap, struct precopy *pc, struct lc_err *err)
{
	struct lc_frozen now = {0};
	int r = look(snap, pc, &now, err);

	if (r == 0 && (place_plan(pc, &now) < 0 || follow_all(pc, &now) < 0))
		r = out_of_memory(err);
	if (r == 0)
		r = measure(snap, pc, &now, err);
	lc_frozen_free(&now);
	return r;
}

/* ---- a pass ------------------------------------------------------------------------------- */

struct pass {
	struct lc_snap *snap;
	struct precopy *pc;
	bool again; /* not the first */
	uint64_t deadline_ns;
	pthread_mutex_t lock; /* all below, and the lists and places of `pc` */
	size_t next;          /* of what is followed */
	uint64_t at;          /* in it; 0: its start */
	bool gone;            /* the memory is nobody's any more: the last freeze will say why */
	bool late;
	int r;
	struct lc_err err;
	uint64_t bytes;
};

struct copier {
	struct pass *pass;
	struct lc_batch *batch;
	const struct lc_range *follows; /* that the chunk is of */
	struct lc_page_region regions[REGIONS];
};

/* With the lock. */
static void fail(struct pass *pass, int r, enum lc_stage stage, const char *what)
{
	if (pass->r < 0)
		return;
	pass->r = r;
	lc_err_set(&pass->err, -r, stage, "%s: %s", what, strerror(-r));
}

static bool take_chunk(struct copier *c, struct lc_range *ret)
{
	struct pass *pass = c->pass;
	const struct lc_ranges *follows = &pass->pc->track.follows;
	bool any = false;

	pthread_mutex_lock(&pass->lock);
	if (lc_aborted(pass->snap->request->abort))
		fail(pass, -EINTR, LC_STAGE_COPY, "interrupted");
	pass->late |= lc_now_ns() >= pass->deadline_ns;
	if (pass->r == 0 && !pass->gone && !pass->late && pass->next < follows->n) {
		const struct lc_range *range = &follows->v[pass->next];

		ret->start = pass->at ? pass->at : range->start;
		ret->end = (ret->start & ~(CHUNK_SIZE - 1)) + CHUNK_SIZE;
		if (ret->end >= range->end) {
			ret->end = range->end;
			pass->next++;
			pass->at = 0;
		} else {
			pass->at = ret->end;
		}
		c->follows = range;
		any = true;
	}
	pthread_mutex_unlock(&pass->lock);
	return any;
}

/* What was listed and could not be read is not in the output, and must not count as if it were. */
static void give_up_range(struct pass *pass, uint64_t start, uint64_t end, int r)
{
	pthread_mutex_lock(&pass->lock);
	pass->gone |= r == -ESRCH;
	if (lc_ranges_add(&pass->pc->failed, start, end) < 0)
		fail(pass, -ENOMEM, LC_STAGE_COPY, "cannot copy");
	pthread_mutex_unlock(&pass->lock);
}

static void note_written(struct pass *pass, const struct lc_batch *batch)
{
	struct precopy *pc = pass->pc;
	int r = 0;

	pthread_mutex_lock(&pass->lock);
	for (size_t i = 0; r == 0 && i < batch->unread.n; i++)
		r = lc_ranges_add(&pc->failed, batch->unread.v[i].start, batch->unread.v[i].end);
	for (size_t i = 0; r == 0 && i < batch->n; i++)
		r = lc_ranges_add(&pc->written, batch->pieces[i].off,
				  batch->pieces[i].off + batch->pieces[i].len);
	if (r < 0)
		fail(pass, r, LC_STAGE_COPY, "cannot copy");
	pass->bytes += batch->len;
	pthread_mutex_unlock(&pass->lock);
}

static void flush(struct copier *c)
{
	struct pass *pass = c->pass;
	struct lc_batch *batch = c->batch;
	struct lc_prep *p = pass->snap->prep;
	int r;

	if (batch->n == 0)
		return;
	r = lc_batch_read(batch, &p->memsrc, NULL, p->page_size);
	for (size_t i = 0; pass->pc->tracker->confirm && i < batch->n; i++)
		pass->pc->tracker->confirm(&pass->pc->track, batch->pieces[i].addr,
					   batch->pieces[i].addr + batch->pieces[i].len);
	if (r < 0) {
		for (size_t i = 0; i < batch->n; i++)
			give_up_range(pass, batch->pieces[i].addr,
				      batch->pieces[i].addr + batch->pieces[i].len, r);
	} else {
		r = lc_batch_write(batch, pass->snap->sink, pass->again);
		if (r < 0) {
			pthread_mutex_lock(&pass->lock);
			fail(pass, r, LC_STAGE_OUTPUT, "cannot write");
			pthread_mutex_unlock(&pass->lock);
		}
		note_written(pass, batch);
		atomic_fetch_add_explicit(pass->snap->done, batch->len, memory_order_relaxed);
	}
	batch->n = 0;
	batch->len = 0;
	batch->unread.n = 0;
}

/* Adds what is listed to the batch, with its place. */
static void add_region(struct copier *c, uint64_t start, uint64_t end)
{
	struct pass *pass = c->pass;
	struct lc_batch *batch = c->batch;

	while (start < end) {
		uint64_t off = 0, len = 0;
		int r;

		if (batch->n == LC_MEMSRC_MAX_RANGES || batch->len == LC_BATCH_SIZE)
			flush(c);
		pthread_mutex_lock(&pass->lock);
		r = lc_extents_place(&pass->pc->extents, start, end, c->follows->start,
				     c->follows->end, GRAIN, &off, &len);
		if (r < 0)
			fail(pass, r, LC_STAGE_COPY, "cannot copy");
		pthread_mutex_unlock(&pass->lock);
		if (r < 0)
			return;
		if (len > LC_BATCH_SIZE - batch->len)
			len = LC_BATCH_SIZE - batch->len;
		batch->pieces[batch->n++] = (struct lc_piece){
			.addr = start, .off = off, .len = len, .fd = -1, .via = LC_VIA_PROCESS};
		batch->len += len;
		start += len;
	}
}

static void copy_chunk(struct copier *c, const struct lc_range *chunk)
{
	struct precopy *pc = c->pass->pc;

	for (uint64_t at = chunk->start; at < chunk->end;) {
		uint64_t walked = at;
		int n = pc->tracker->collect(&pc->track, at, chunk->end, c->regions, REGIONS,
					     &walked);

		if (n < 0 || walked <= at) {
			give_up_range(c->pass, at, chunk->end, n);
			return;
		}
		for (int i = 0; i < n; i++)
			add_region(c, c->regions[i].start, c->regions[i].end);
		/* right after it was listed, so that less of it is written to meanwhile */
		flush(c);
		at = walked;
	}
}

static void *copy(void *arg)
{
	struct copier *c = arg;
	struct lc_range chunk;

	/* of this thread alone, on Linux: the target's own work comes first */
	setpriority(PRIO_PROCESS, 0, COPIER_NICE);
	while (take_chunk(c, &chunk))
		copy_chunk(c, &chunk);
	return NULL;
}

/* Not in the calling thread, which must not stay behind others when it holds the target. */
static int run_copiers(struct pass *pass)
{
	struct copier *copiers = calloc(MAX_WORKERS, sizeof(*copiers));
	pthread_t threads[MAX_WORKERS];
	size_t n = 0;

	if (!copiers)
		return -ENOMEM;
	while (n < MAX_WORKERS) {
		copiers[n] = (struct copier){.pass = pass, .batch = lc_batch_new()};
		if (!copiers[n].batch || pthread_create(&threads[n], NULL, copy, &copiers[n]) != 0)
			break;
		n++;
	}
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < MAX_WORKERS; i++)
		lc_batch_free(copiers[i].batch);
	free(copiers);
	return n ? 0 : -ENOMEM;
}

static int run_pass(struct lc_snap *snap, struct precopy *pc, uint64_t deadline_ns,
		    struct lc_err *err)
{
	struct pass pass = {.snap = snap,
			    .pc = pc,
			    .again = snap->result->snapshot.n_passes > 0,
			    .deadline_ns = deadline_ns};
	int r = pc->tracker->begin_pass ? pc->tracker->begin_pass(&pc->track, err) : 0;

	if (r < 0)
		return r;
	pthread_mutex_init(&pass.lock, NULL);
	r = run_copiers(&pass);
	pthread_mutex_destroy(&pass.lock);
	if (r < 0)
		return out_of_memory(err);
	if (pass.r < 0) {
		*err = pass.err;
		return pass.r;
	}
	if (pass.late && !pass.again)
		return lc_err_set(err, ETIME, LC_STAGE_COPY,
				  "not all of the memory could be copied once within the time "
				  "(--precopy-time)");
	snap->result->snapshot.n_passes++;
	snap->result->snapshot.bytes_outside += pass.bytes;
	pc->last_bytes = pass.bytes;
	return 0;
}

/* ---- how many passes ---------------------------------------------------------------------- */

/* What the last freeze will take. */
static uint64_t predict_ns(const struct lc_snap *snap, const struct precopy *pc)
{
	return lc_snap_stop_ns(snap->target->id.n_threads) +
	       pc->data_bytes / 1048576 * SCAN_NS_PER_MIB +
	       lc_snap_copy_ns(pc->uncovered + pc->expected);
}

/* The rate at which the target writes, and so what it will have written to when it stops: at most
 * what it writes in as much time as the last pass took. */
static void learn(struct lc_snap *snap, struct precopy *pc, uint64_t since_ns, uint64_t begin_ns)
{
	uint64_t now = lc_now_ns(), interval = begin_ns - since_ns;
	double rate = interval ? (double)pc->last_bytes / (double)interval : 0;

	pc->expected = (uint64_t)(rate * (double)(now - begin_ns));
	if (pc->expected > pc->last_bytes)
		pc->expected = pc->last_bytes;
	snap->result->snapshot.dirty_rate = (uint64_t)(rate * 1e9);
}

static int reserve(struct lc_snap *snap, struct precopy *pc, struct lc_err *err)
{
	uint64_t most = lc_arena_bound(snap->request->buffer_bytes);
	uint64_t want =
		pc->uncovered + pc->uncovered / 8 + pc->expected + pc->expected / 4 + ARENA_ROOM;

	if (snap->arena.cap >= want || snap->arena.cap >= most)
		return 0;
	/* what has no room is written inside the freeze */
	return lc_snap_reserve(snap, want < most ? want : most, err);
}

static bool is_enough(const struct lc_snap *snap, const struct precopy *pc, uint64_t before)
{
	const struct lc_snapshot_figures *s = &snap->result->snapshot;
	uint64_t most = snap->request->max_freeze_ns;

	if (s->n_passes < 2)
		return pc->last_bytes == 0;
	if (pc->expected <= FEW_BYTES)
		return true;
	/* a bound that is still exceeded is worth all passes */
	if (most && predict_ns(snap, pc) > most)
		return false;
	return s->n_passes > 2 && pc->last_bytes > before / 10 * 7;
}

static uint64_t bound_ns(const struct lc_snap *snap)
{
	return snap->request->precopy_ns ? snap->request->precopy_ns : LC_PRECOPY_NS_DEFAULT;
}

static unsigned int most_passes(const struct lc_snap *snap)
{
	return snap->request->max_passes ? snap->request->max_passes : LC_PASSES_DEFAULT;
}

/* After what took time; not where the user wants no more. */
static int run_extra_pass(struct lc_snap *snap, struct precopy *pc, struct lc_err *err)
{
	uint64_t begin = lc_now_ns();
	int r;

	if (snap->request->max_passes &&
	    snap->result->snapshot.n_passes >= snap->request->max_passes)
		return 0;
	r = run_pass(snap, pc, begin + bound_ns(snap), err);
	if (r == 0)
		learn(snap, pc, pc->pass_start_ns, begin);
	pc->pass_start_ns = begin;
	return r;
}

static int run_passes(struct lc_snap *snap, struct precopy *pc, struct lc_err *err)
{
	unsigned int max_passes = most_passes(snap);
	uint64_t deadline = lc_now_ns() + bound_ns(snap);
	int r = 0;

	for (unsigned int n = 1; n <= max_passes; n++) {
		uint64_t begin, before = pc->last_bytes;

		if (n > 1 && maps_have_changed(snap, pc))
			r = look_and_follow(snap, pc, err);
		begin = lc_now_ns();
		if (r == 0)
			r = run_pass(snap, pc, deadline, err);
		if (r < 0)
			return r;
		if (n > 1)
			learn(snap, pc, pc->pass_start_ns, begin);
		pc->pass_start_ns = begin;
		if (is_enough(snap, pc, before) || lc_now_ns() >= deadline)
			break;
	}
	/* what MADV_DONTDUMP says must not be as old as the first pass */
	r = reserve(snap, pc, err);
	if (r == 0)
		r = read_flags(snap->prep, err);
	return r == 0 ? run_extra_pass(snap, pc, err) : r;
}

/* ---- before the last freeze --------------------------------------------------------------- */

/* With one tracker after the other; the reasons of all are the reason. */
static int start_tracker(struct lc_snap *snap, struct precopy *pc, const struct lc_frozen *now,
			 struct lc_err *err)
{
	static const struct lc_tracker *const trackers[] = {&lc_tracker_uffd,
							    &lc_tracker_soft_dirty, NULL};
	char reasons[LC_TEXT_SIZE] = "";
	size_t len = 0;
	int r = -ENOTSUP;

	for (size_t i = 0; trackers[i]; i++) {
		pc->track = (struct lc_track){.snap = snap, .fd = -1};
		r = trackers[i]->probe(snap, err);
		if (r == 0)
			r = trackers[i]->start(&pc->track, now, err);
		if (r == 0) {
			pc->tracker = trackers[i];
			snap->result->snapshot.tracker = trackers[i]->name;
		}
		if (r == 0 || r == -EINTR || r == -ESRCH)
			return r;
		trackers[i]->end(&pc->track);
		len += (size_t)snprintf(reasons + len, sizeof(reasons) - len, "%s%s: %.*s",
					i ? "; " : "", trackers[i]->name, 220, err->text);
	}
	return lc_err_set(err, -r, LC_STAGE_TARGET, "%s", reasons);
}

/* The head of the core has room for a good deal more threads and mappings than there are. */
static void init_extents(struct precopy *pc, const struct lc_frozen *now)
{
	uint64_t head = now->layout.data_off;

	lc_extents_init(&pc->extents, head + head / 4 + 65536, now->layout.page_size);
}

static int begin(struct lc_snap *snap, struct precopy *pc, struct lc_err *err)
{
	struct lc_frozen now = {0};
	int r = look(snap, pc, &now, err);

	if (r == 0)
		r = start_tracker(snap, pc, &now, err);
	if (r == 0) {
		init_extents(pc, &now);
		if (place_plan(pc, &now) < 0 || follow_all(pc, &now) < 0)
			r = out_of_memory(err);
	}
	if (r == 0)
		r = measure(snap, pc, &now, err);
	if (r == 0)
		atomic_store(snap->total, now.plan.data_bytes);
	lc_frozen_free(&now);
	return r;
}

/* Everything is ready for the last freeze. */
static int settle(struct lc_snap *snap, struct precopy *pc, struct lc_err *err)
{
	int r = check_no_dma(snap, err);

	if (r == 0)
		r = lc_snap_check_freeze(snap, predict_ns(snap, pc), err);
	if (r == 0 && lc_pagelist_reserve(&snap->pages, 4096) < 0)
		r = out_of_memory(err);
	if (r < 0)
		return r;
	snap->prep->pagemap.tracker = pc->tracker->kind;
	snap->prep->pagemap.mask |= LC_CAT_WPALLOWED;
	lc_ranges_merge(&pc->written);
	lc_ranges_merge(&pc->failed);
	return 0;
}

static int prepare(struct lc_snap *snap, struct lc_err *err)
{
	struct precopy *pc = calloc(1, sizeof(*pc));
	int r;

	if (!pc)
		return out_of_memory(err);
	snap->own = pc;
	pc->track.fd = -1;
	r = begin(snap, pc, err);
	if (r == 0)
		r = run_passes(snap, pc, err);
	return r == 0 ? settle(snap, pc, err) : r;
}

/* ---- the last freeze ---------------------------------------------------------------------- */

/* Mappings anew, and once more what was written to since. */
static int again(struct lc_snap *snap, struct lc_err *err)
{
	struct precopy *pc = snap->own;
	int r;

	snap->prep->pagemap.tracker = LC_TRACKER_NONE;
	r = look_and_follow(snap, pc, err);
	if (r == 0)
		r = run_extra_pass(snap, pc, err);
	return r == 0 ? settle(snap, pc, err) : r;
}

static int place(struct lc_snap *snap, struct lc_err *err)
{
	struct precopy *pc = snap->own;
	struct lc_frozen *f = snap->frozen;
	int r = lc_extents_cut(&pc->extents, &f->plan);

	if (r == 0)
		r = elfw_layout_around(&f->arch->abi, lc_frozen_notes_len(snap->prep),
				       f->plan.segments, f->plan.n, snap->prep->page_size,
				       pc->extents.data_off, pc->extents.data_end, &f->layout);
	return r < 0 ? lc_err_set(err, -r, LC_STAGE_COPY, "the core cannot be laid out: %s",
				  strerror(-r))
		     : 0;
}

static bool has(void *arg, struct lc_piece *piece)
{
	struct precopy *pc = arg;
	uint64_t len = piece->len;

	if (!(piece->kind & LC_PAGE_HELD) || !will_hold(NULL, piece))
		return false;
	/* the first part of it to which one answer is right */
	if (lc_ranges_have(&pc->failed, piece->addr, &len)) {
		piece->len = len;
		return false;
	}
	piece->len = len;
	return lc_ranges_have(&pc->written, piece->off, &piece->len);
}

/* Where the core has contents, as it is known inside the freeze: later a file may be another one.
 */
static int note_live(void *arg, const struct lc_piece *piece)
{
	struct precopy *pc = arg;

	return lc_ranges_add(&pc->live, piece->off, piece->off + piece->len);
}

static struct lc_cover cover(struct lc_snap *snap)
{
	struct precopy *pc = snap->own;

	pc->live.n = 0;
	return (struct lc_cover){.has = has, .note = note_live, .arg = pc};
}

/* ---- after -------------------------------------------------------------------------------- */

/* What was copied and is not there any more is a hole: pages that were given back, and mappings. */
static int clear_stale(struct lc_snap *snap, const struct lc_ranges *written,
		       const struct lc_ranges *live)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < written->n; i++) {
		uint64_t at = written->v[i].start, end = written->v[i].end;

		while (r == 0 && at < end) {
			uint64_t len = end - at;

			if (!lc_ranges_have(live, at, &len))
				r = elfw_sink_clear(snap->sink, at, len);
			at += len;
		}
	}
	return r;
}

static int finish(struct lc_snap *snap, struct lc_err *err)
{
	struct precopy *pc = snap->own;
	int r;

	lc_ranges_merge(&pc->live);
	r = clear_stale(snap, &pc->written, &pc->live);
	return r < 0 ? lc_err_set(err, -r, LC_STAGE_OUTPUT, "cannot write: %s", strerror(-r)) : 0;
}

static void end(struct lc_snap *snap)
{
	struct precopy *pc = snap->own;

	if (pc && pc->tracker)
		pc->tracker->end(&pc->track);
}

static void free_own(struct lc_snap *snap)
{
	struct precopy *pc = snap->own;

	if (!pc)
		return;
	lc_extents_free(&pc->extents);
	lc_ranges_free(&pc->track.follows);
	lc_ranges_free(&pc->track.ever);
	lc_ranges_free(&pc->written);
	lc_ranges_free(&pc->live);
	lc_ranges_free(&pc->failed);
	lc_text_free(&pc->maps);
	free(pc);
	snap->own = NULL;
}

const struct lc_strategy lc_strategy_precopy = {
	.snapshot = LC_SNAPSHOT_PRECOPY,
	.probe = check_no_dma,
	.prepare = prepare,
	.stopped = check_not_pinned,
	.again = again,
	.place = place,
	.cover = cover,
	.finish = finish,
	.end = end,
	.free = free_own,
};
