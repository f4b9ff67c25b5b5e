/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The target is stopped for as long as a fork() of it takes: a child with a copy-on-write copy of
 * its memory is read when the target runs again. What fork(2) does not copy is read inside the
 * freeze: shared memory, files, MADV_DONTFORK, MADV_WIPEONFORK, and huge pages, of which the kernel
 * takes the child's where it has no others.
 */
#include "capture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "caller.h"
#include "err.h"
#include "inject.h"

struct fork {
	struct lc_code code;
	struct lc_inject inject;
	pid_t copy; /* 0: none */
	int copy_taskfd;
	struct lc_memsrc memsrc;   /* of the copy */
	struct lc_pagemap pagemap; /* of the copy */
	struct lc_vma_hints hints; /* of the copy */
	struct lc_team *team;
};

/* A fork's page tables, measured: 17 to 20 ms for each GiB of small pages, whose tables have 2 MiB.
 */
#define NS_PER_TABLE_BYTE 10

static bool is_copied(const struct lc_vma *vma)
{
	return !(vma->flags & (LC_VMA_SHARED | LC_VMA_DONTFORK | LC_VMA_WIPEONFORK |
			       LC_VMA_HUGETLB | LC_VMA_UFFD | LC_VMA_SPECIAL));
}

/* The process's own pages; a page that is still a file's may be changed through the file. */
static bool has(void *arg, struct lc_piece *piece)
{
	(void)arg;
	return (piece->via == LC_VIA_PROCESS || piece->via == LC_VIA_FORCED) &&
	       (piece->kind & LC_PAGE_OWN) && is_copied(piece->vma);
}

static struct lc_cover cover(struct lc_snap *snap)
{
	return (struct lc_cover){.has = has, .arg = snap};
}

/* ---- before ------------------------------------------------------------------------------- */

static int predict(struct lc_snap *snap, uint64_t inside, struct lc_err *err)
{
	uint64_t table_bytes = snap->prep->info.status.vm_pte * 1024;

	return lc_snap_check_freeze(snap,
				    lc_snap_stop_ns(snap->target->id.n_threads) +
					    table_bytes * NS_PER_TABLE_BYTE +
					    lc_snap_copy_ns(inside),
				    err);
}

/* A choice of the user's own is respected. */
static int check_worth(const struct lc_snap *snap, uint64_t inside, uint64_t all,
		       struct lc_err *err)
{
	if (snap->request->snapshot != LC_SNAPSHOT_AUTO || inside <= all / 2 ||
	    inside < (UINT64_C(16) << 20))
		return 0;
	return lc_err_set(err, ENOTSUP, LC_STAGE_TARGET,
			  "fork(2) does not copy most of the memory (shared, MADV_DONTFORK, huge "
			  "pages, files): %.1f of %.1f MiB",
			  (double)inside / 1048576, (double)all / 1048576);
}

static int prepare(struct lc_snap *snap, struct lc_err *err)
{
	struct fork *f = calloc(1, sizeof(*f));
	struct lc_frozen now = {0};
	uint64_t inside = 0;
	int r;

	if (!f)
		return lc_err_set(err, ENOMEM, LC_STAGE_TARGET, "out of memory");
	snap->own = f;
	f->copy_taskfd = -1;
	f->memsrc.memfd = -1;
	f->pagemap.fd = -1;
	snap->no_zero_page = true;
	r = lc_snap_look(snap, &now, err);
	if (r == 0)
		r = lc_code_find(now.arch, &now.vmas, &snap->prep->file, &f->code, err);
	if (r == 0)
		r = lc_snap_measure(snap, &now, cover(snap), &inside, err);
	if (r == 0)
		r = check_worth(snap, inside, now.plan.data_bytes, err);
	if (r == 0)
		r = predict(snap, inside, err);
	if (r == 0)
		r = lc_snap_reserve(snap, inside + inside / 8 + (UINT64_C(4) << 20), err);
	if (r == 0 && lc_team_start(snap->sink, now.plan.data_bytes, &f->team) < 0)
		r = lc_err_set(err, ENOMEM, LC_STAGE_TARGET, "out of memory");
	lc_frozen_free(&now);
	return r;
}

/* ---- inside the freeze -------------------------------------------------------------------- */

static int make_copy(struct fork *f, struct lc_err *err)
{
	int r = lc_inject_check_orphans(&f->inject, err);

	if (r == 0)
		r = lc_inject_start_helper(&f->inject, err);
	if (r == 0)
		r = f->copy = lc_inject_copy(&f->inject, err);
	return r < 0 ? r : 0;
}

static int stopped(struct lc_snap *snap, struct lc_err *err)
{
	struct fork *f = snap->own;
	struct lc_err closing;
	int r = lc_snap_inject(snap, &snap->frozen->threads, LC_INJECT_COPY, &f->code, &f->inject,
			       err);
	int r2;

	if (r < 0)
		return r;
	r = make_copy(f, err);
	r2 = lc_inject_close(&f->inject, r < 0 ? &closing : err);
	return r < 0 ? r : r2;
}

/* ---- after -------------------------------------------------------------------------------- */

static int open_copy(struct lc_snap *snap, struct fork *f)
{
	char path[48];
	int r;

	snprintf(path, sizeof(path), "%d/task/%d", f->copy, f->copy);
	f->copy_taskfd = openat(snap->target->procfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->copy_taskfd < 0)
		return -errno;
	r = lc_memsrc_open(&f->memsrc, f->copy, f->copy_taskfd, snap->request->for_caller);
	return r < 0 ? r : lc_pagemap_open(&f->pagemap, f->copy_taskfd, snap->prep->page_size);
}

/* The copy has the mapping, and fork(2) has not emptied it. Most dumps never ask. */
static bool has_mapping(struct fork *f, uint64_t start, uint64_t end)
{
	if (!f->hints.n && lc_vma_hints_read(f->copy_taskfd, false, 0, &f->hints) < 0)
		return false;
	for (size_t i = 0; i < f->hints.n; i++) {
		const struct lc_vma_hint *hint = &f->hints.v[i];

		if (hint->start <= start && end <= hint->end)
			return !(hint->flags & (LC_VMA_SHARED | LC_VMA_WIPEONFORK));
	}
	return false;
}

/*
 * What the target had and its copy has not: pages that were only read are the zero page, of which
 * fork(2) copies none in a mapping that was never written to (vma_needs_copy(), mm/memory.c), and a
 * hole stands for them; or MADV_DONTFORK or MADV_WIPEONFORK came after the mapping's flags were
 * read, and they are lost.
 */
static bool is_in_copy(void *arg, struct lc_piece *piece)
{
	const struct lc_snap *snap = arg;
	struct fork *f = snap->own;
	uint64_t end = piece->addr + piece->len;
	struct lc_page_run run;
	int r;

	if (!has(arg, piece))
		return false;
	r = lc_pagemap_next(&f->pagemap, piece->addr, end, &run);
	if (r > 0 && run.start == piece->addr) {
		piece->len = run.end - piece->addr;
		return true;
	}
	if (r > 0)
		piece->len = run.start - piece->addr;
	if (r >= 0 && has_mapping(f, piece->addr, piece->addr + piece->len))
		return false;
	piece->via = LC_VIA_NOTHING;
	return true;
}

static int read_rest(struct lc_snap *snap, struct lc_err *err)
{
	struct fork *f = snap->own;
	struct lc_capture *inside = snap->capture;
	struct lc_pieces walk = *inside->pieces;
	struct lc_capture rest = {
		.memsrc = &f->memsrc,
		.pieces = &walk,
		.sink = snap->sink,
		.page_size = snap->prep->page_size,
		.abort = snap->request->abort,
		.deadline_ns = UINT64_MAX,
		.done = snap->done,
	};
	int r = open_copy(snap, f);

	if (r < 0)
		return lc_err_set(err, -r, LC_STAGE_COPY, "cannot read the copy: %s", strerror(-r));
	walk.segment = 0;
	walk.at = 0;
	walk.large_now = false;
	walk.cover = (struct lc_cover){.has = is_in_copy, .arg = snap, .wanted = true};
	lc_pagemap_restart(&f->pagemap, snap->prep->pagemap.limit);
	f->pagemap.mask &= ~(uint64_t)LC_CAT_PFNZERO;
	r = lc_team_read(&rest, f->team, err);
	if (r == 0)
		r = lc_team_finish(&rest, f->team, err);
	lc_team_end(f->team);
	f->team = NULL;
	for (size_t i = 0; r == 0 && i < rest.unread.n; i++)
		r = lc_ranges_add(&inside->unread, rest.unread.v[i].start, rest.unread.v[i].end);
	snap->result->snapshot.bytes_outside = atomic_load(&rest.bytes_read);
	lc_capture_free(&rest);
	return r;
}

static void end(struct lc_snap *snap)
{
	struct fork *f = snap->own;

	if (f)
		lc_inject_end_copy(f->copy);
}

static void free_own(struct lc_snap *snap)
{
	struct fork *f = snap->own;

	if (!f)
		return;
	lc_team_end(f->team);
	lc_vma_hints_free(&f->hints);
	lc_memsrc_close(&f->memsrc);
	lc_pagemap_close(&f->pagemap);
	lc_close(&f->copy_taskfd);
	free(f);
	snap->own = NULL;
}

const struct lc_strategy lc_strategy_fork = {
	.snapshot = LC_SNAPSHOT_FORK,
	.prepare = prepare,
	.stopped = stopped,
	.cover = cover,
	.read_rest = read_rest,
	.end = end,
	.free = free_own,
};
