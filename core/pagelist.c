/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PAGEMAP_SCAN looks at a page in 5 to 20 ns, at its category WRITTEN alone in one
 * (pagemap_scan_pmd_entry(), fs/proc/task_mmu.c, has a loop for that): 0.25 ms per GiB instead of 2
 * to 6. What it does not report then is write-protected by our userfaultfd, so it exists; or, until
 * a change of 2026, it lies where there is no page table at all (a huge page that was dropped),
 * which one look at each tells. What it reports was written to, or does not exist, and is looked at
 * in detail. Runs inside the freeze.
 */
#include "pagelist.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

/* Mappings that are smaller are looked at in detail, many in one call. */
#define BIG (UINT64_C(4) << 20)

/* A call costs as much as some pages: what is close together is looked at in one. */
#define CLOSE_PAGES  64

#define FAST_REGIONS 512

/* What one page table covers, in pages: those of x86-64 and of arm64 hold eight bytes for each. */
static uint64_t table_size(const struct lc_pagemap *pm)
{
	return pm->page_size / 8 * pm->page_size;
}

struct fill {
	struct lc_pagelist *list;
	struct lc_pagemap *pm;
	uint64_t mask;
};

static int append(struct fill *f, uint64_t start, uint64_t end, uint64_t categories)
{
	struct lc_pagelist *list = f->list;
	struct lc_page_region *last = list->n ? &list->v[list->n - 1] : NULL;
	int r;

	if (last && last->end == start && last->categories == categories) {
		last->end = end;
		return 0;
	}
	r = lc_grow((void **)&list->v, &list->cap, list->n, sizeof(*list->v));
	if (r < 0)
		return r;
	list->v[list->n++] =
		(struct lc_page_region){.start = start, .end = end, .categories = categories};
	return 0;
}

/* ---- in detail ---------------------------------------------------------------------------- */

/* Through the page map's own buffer, which knows older kernels' ways. */
static int fill_detail(struct fill *f, uint64_t start, uint64_t end)
{
	struct lc_pagemap *pm = f->pm;
	const uint64_t known = pm->mask;
	int r = 0;

	pm->mask &= f->mask;
	while (r == 0 && start < end) {
		r = lc_pagemap_refill(pm, start, end);
		for (size_t i = 0; r == 0 && i < pm->n; i++)
			r = append(f, pm->regions[i].start, pm->regions[i].end,
				   pm->regions[i].categories);
		if (r == 0 && pm->known_end <= start)
			r = -EIO;
		start = pm->known_end;
	}
	pm->mask |= known & ~f->mask;
	return r;
}

/* ---- fast --------------------------------------------------------------------------------- */

/* Pages that were not reported: held, but where no page table is. */
static int fill_held(struct fill *f, uint64_t start, uint64_t end)
{
	uint64_t size = table_size(f->pm);
	int r = 0;

	if (f->pm->tells_holes && start < end)
		return append(f, start, end, LC_CAT_WPALLOWED | LC_CAT_PRESENT);
	while (r == 0 && start < end) {
		uint64_t next = (start & ~(size - 1)) + size;
		uint64_t seen = lc_pagemap_look(f->pm, start);

		next = next < end ? next : end;
		if (seen && !(seen & LC_CAT_WRITTEN))
			r = append(f, start, next,
				   LC_CAT_WPALLOWED | (seen & (LC_CAT_PRESENT | LC_CAT_SWAPPED |
							       LC_CAT_FILE)));
		else if (seen)
			r = fill_detail(f, start, next);
		start = next;
	}
	return r;
}

/* What lies before `end` and was not looked at: up to `*at`, all is in the list. */
static int fill_reported(struct fill *f, const struct lc_page_region *found, int n, uint64_t *at,
			 uint64_t end)
{
	uint64_t close = CLOSE_PAGES * f->pm->page_size;
	int r = 0;

	for (int i = 0; r == 0 && i < n;) {
		uint64_t from = found[i].start, to = found[i].end;

		for (i++; i < n && found[i].start - to < close; i++)
			to = found[i].end;
		r = fill_held(f, *at, from);
		if (r == 0)
			r = fill_detail(f, from, to);
		*at = to;
	}
	if (r == 0)
		r = fill_held(f, *at, end);
	*at = end;
	return r;
}

/* Returns -EPERM if the mapping is not registered (any more). */
static int fill_fast(struct fill *f, uint64_t start, uint64_t end)
{
	struct lc_page_region found[FAST_REGIONS];
	uint64_t at = start;
	int r = 0;

	while (r == 0 && at < end) {
		struct lc_pm_scan scan = {
			.size = sizeof(scan),
			.flags = LC_PM_SCAN_CHECK_WPASYNC,
			.start = at,
			.end = end,
			.vec = (uintptr_t)found,
			.vec_len = FAST_REGIONS,
			/* these two values alone make it fast */
			.category_mask = LC_CAT_WRITTEN,
			.return_mask = LC_CAT_WRITTEN,
		};

		if (lc_is_past(f->pm->deadline_ns))
			return -ETIME;
		r = lc_pagemap_scan(f->pm->fd, &scan);
		if (r < 0)
			return r;
		if (scan.walk_end <= at)
			return -EIO;
		r = fill_reported(f, found, r, &at, scan.walk_end);
	}
	return r;
}

/* ---- by two threads ----------------------------------------------------------------------- */

/* Half a millisecond for each GiB is a quarter with two; a thread takes 50 us to start. */
#define SPLIT_SIZE (UINT64_C(512) << 20)

struct half {
	struct fill fill;
	struct lc_pagelist list;
	struct lc_pagemap pm; /* its buffer is not for two */
	uint64_t start, end;
	int r;
};

static void *fill_half(void *arg)
{
	struct half *half = arg;

	half->r = fill_fast(&half->fill, half->start, half->end);
	return NULL;
}

static int append_list(struct fill *f, const struct lc_pagelist *list)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->n; i++)
		r = append(f, list->v[i].start, list->v[i].end, list->v[i].categories);
	return r;
}

/* On a busy machine it must not wait for a processor. */
static void hurry_as_we_do(pthread_t thread)
{
	struct sched_param param;
	int policy;

	if (pthread_getschedparam(pthread_self(), &policy, &param) == 0)
		pthread_setschedparam(thread, policy, &param);
}

static int fill_by_two(struct fill *f, uint64_t start, uint64_t end)
{
	uint64_t size = table_size(f->pm);
	uint64_t middle = (start + (end - start) / 2) & ~(size - 1);
	struct half *half = end - start < SPLIT_SIZE ? NULL : calloc(1, sizeof(*half));
	pthread_t thread;
	int r;

	if (!half)
		return fill_fast(f, start, end);
	*half = (struct half){.pm = *f->pm, .start = middle, .end = end};
	half->fill = (struct fill){.list = &half->list, .pm = &half->pm, .mask = f->mask};
	if (pthread_create(&thread, NULL, fill_half, half) != 0) {
		free(half);
		return fill_fast(f, start, end);
	}
	hurry_as_we_do(thread);
	r = fill_fast(f, start, middle);
	pthread_join(thread, NULL);
	if (r == 0)
		r = half->r;
	if (r == 0)
		r = append_list(f, &half->list);
	lc_pagelist_free(&half->list);
	free(half);
	return r;
}

/* In mappings of files the protection of a page outlives it, as a mark in the page table
 * (pte_install_uffd_wp_if_needed(), include/linux/mm_inline.h), which is not reported either. */
static bool is_big(const struct lc_pagemap *pm, const struct lc_vma *vma)
{
	return pm->tracker == LC_TRACKER_UFFD && vma->end - vma->start >= BIG &&
	       !lc_vma_has_file(vma) &&
	       !(vma->flags & (LC_VMA_SHARED | LC_VMA_HUGETLB | LC_VMA_UFFD | LC_VMA_SPECIAL));
}

/* Small mappings in between go with one walk. Without PAGEMAP_SCAN, what is between mappings must
 * not be looked at: that is most of 128 TiB, eight bytes for each page. */
static int fill_mapping(struct fill *f, const struct lc_vma *vma, uint64_t *at)
{
	uint64_t from = f->pm->no_scan ? vma->start : *at;
	size_t before;
	int r;

	if (!is_big(f->pm, vma) && !f->pm->no_scan)
		return 0;
	r = from < vma->start ? fill_detail(f, from, vma->start) : 0;
	before = f->list->n;
	if (r == 0 && !f->pm->no_scan)
		r = fill_by_two(f, vma->start, vma->end);
	else if (r == 0)
		r = -EPERM;
	*at = vma->end;
	if (r == -EPERM)
		f->list->n = before;
	return r == -EPERM ? fill_detail(f, vma->start, vma->end) : r;
}

int lc_pagelist_fill(struct lc_pagelist *list, struct lc_pagemap *pm, const struct lc_vmas *vmas,
		     bool no_zero_page)
{
	struct fill f = {
		.list = list, .pm = pm, .mask = ~(uint64_t)(no_zero_page ? LC_CAT_PFNZERO : 0)};
	uint64_t at = 0;
	int r = 0;

	list->n = 0;
	for (size_t i = 0; r == 0 && i < vmas->n && vmas->v[i].end <= pm->limit; i++)
		r = fill_mapping(&f, &vmas->v[i], &at);
	return r == 0 && at < pm->limit && !pm->no_scan ? fill_detail(&f, at, pm->limit) : r;
}

/* ---- asking ------------------------------------------------------------------------------- */

const struct lc_page_region *lc_pagelist_find(const struct lc_pagelist *list, uint64_t addr,
					      size_t *cursor)
{
	size_t low = 0, high = list->n;

	/* a walk asks for the next one, or the same again */
	for (size_t i = *cursor; i < list->n && i < *cursor + 2; i++) {
		if (list->v[i].end > addr && (i == 0 || list->v[i - 1].end <= addr)) {
			*cursor = i;
			return &list->v[i];
		}
	}
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (list->v[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	*cursor = low;
	return low < list->n ? &list->v[low] : NULL;
}

int lc_pagelist_reserve(struct lc_pagelist *list, size_t n)
{
	struct lc_page_region *v = realloc(list->v, n * sizeof(*v));

	if (!v)
		return -ENOMEM;
	list->v = v;
	list->cap = n;
	memset(v, 0, n * sizeof(*v));
	return 0;
}

void lc_pagelist_free(struct lc_pagelist *list)
{
	free(list->v);
	*list = (struct lc_pagelist){0};
}
