/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Owns the places; decides nothing about contents. May run inside the freeze. */
#include "extents.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"

void lc_extents_init(struct lc_extents *extents, uint64_t data_off, uint64_t page_size)
{
	uint64_t start = (data_off + page_size - 1) & ~(page_size - 1);

	*extents =
		(struct lc_extents){.data_off = start, .data_end = start, .page_size = page_size};
}

void lc_extents_free(struct lc_extents *extents)
{
	free(extents->v);
	*extents = (struct lc_extents){0};
}

/* The first extent that ends after `addr`. */
static size_t find(const struct lc_extents *e, uint64_t addr)
{
	size_t low = 0, high = e->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (e->v[mid].vaddr + e->v[mid].len <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* At the end of the file; one that goes on where the extent before it ends, in memory and in the
 * file, makes that one longer. */
static int insert(struct lc_extents *e, size_t at, uint64_t vaddr, uint64_t len)
{
	struct lc_extent *before = at > 0 ? &e->v[at - 1] : NULL;
	uint64_t off = e->data_end;
	int r;

	e->data_end += (len + e->page_size - 1) & ~(e->page_size - 1);
	if (before && before->vaddr + before->len == vaddr && before->off + before->len == off) {
		before->len += len;
		return 0;
	}
	r = lc_grow((void **)&e->v, &e->cap, e->n, sizeof(*e->v));
	if (r < 0)
		return r;
	memmove(&e->v[at + 1], &e->v[at], (e->n - at) * sizeof(*e->v));
	e->v[at] = (struct lc_extent){.vaddr = vaddr, .len = len, .off = off};
	e->n++;
	return 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* A place for what begins at `start` and has none: as much as there is room for around it. */
static int give(struct lc_extents *e, size_t at, uint64_t start, uint64_t end, uint64_t vma_start,
		uint64_t vma_end, uint64_t grain)
{
	uint64_t floor = at > 0 ? e->v[at - 1].vaddr + e->v[at - 1].len : 0;
	uint64_t ceiling = at < e->n ? e->v[at].vaddr : UINT64_MAX;
	uint64_t low = larger(larger(start & ~(grain - 1), vma_start), floor);
	uint64_t high = smaller(smaller((end + grain - 1) & ~(grain - 1), vma_end), ceiling);

	return insert(e, at, low, high - low);
}

int lc_extents_place(struct lc_extents *e, uint64_t start, uint64_t end, uint64_t vma_start,
		     uint64_t vma_end, uint64_t grain, uint64_t *ret_off, uint64_t *ret_len)
{
	size_t at = find(e, start);
	const struct lc_extent *x;

	if (at == e->n || e->v[at].vaddr > start) {
		int r = give(e, at, start, end, vma_start, vma_end, grain);

		if (r < 0)
			return r;
		at = find(e, start);
	}
	x = &e->v[at];
	*ret_off = x->off + (start - x->vaddr);
	*ret_len = smaller(x->vaddr + x->len, end) - start;
	return 0;
}

/* ---- a plan ------------------------------------------------------------------------------- */

static int add(struct lc_plan *to, const struct elfw_segment *seg, const struct lc_segment *source)
{
	if (lc_grow((void **)&to->segments, &to->cap, to->n, sizeof(*to->segments)) < 0 ||
	    lc_grow((void **)&to->sources, &to->cap_sources, to->n, sizeof(*to->sources)) < 0)
		return -ENOMEM;
	to->segments[to->n] = *seg;
	to->sources[to->n++] = *source;
	return 0;
}

static int cut_segment(struct lc_extents *e, const struct elfw_segment *seg,
		       const struct lc_segment *source, struct lc_plan *to)
{
	uint64_t at = seg->vaddr, data_end = seg->vaddr + seg->filesz;
	uint64_t end = seg->vaddr + seg->memsz;

	do {
		struct elfw_segment part = *seg;
		uint64_t len = 0, more;
		int r = 0;

		part.vaddr = at;
		part.off = e->data_off;
		if (at < data_end)
			r = lc_extents_place(e, at, data_end, at, data_end, 1, &part.off, &len);
		/* two extents may be in a row in the file, too */
		while (r == 0 && at + len < data_end) {
			uint64_t off;

			r = lc_extents_place(e, at + len, data_end, at + len, data_end, 1, &off,
					     &more);
			if (r < 0 || off != part.off + len)
				break;
			len += more;
		}
		if (r < 0)
			return r;
		part.filesz = len;
		part.memsz = at + len < data_end ? len : end - at;
		r = add(to, &part, source);
		if (r < 0)
			return r;
		at += part.memsz;
	} while (at < end);
	return 0;
}

int lc_extents_cut(struct lc_extents *extents, struct lc_plan *plan)
{
	struct lc_plan made = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < plan->n; i++)
		r = cut_segment(extents, &plan->segments[i], &plan->sources[i], &made);
	if (r < 0) {
		free(made.segments);
		free(made.sources);
		return r;
	}
	free(plan->segments);
	free(plan->sources);
	plan->segments = made.segments;
	plan->sources = made.sources;
	plan->n = made.n;
	plan->cap = made.cap;
	plan->cap_sources = made.cap_sources;
	return 0;
}
