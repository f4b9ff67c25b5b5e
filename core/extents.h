/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where in the output the memory of a running process goes, before the layout of the core is known:
 * each range of addresses keeps the place that it was first given, and the segments of the final
 * plan are cut to fit. Pure arithmetic.
 */
#ifndef LC_EXTENTS_H
#define LC_EXTENTS_H

#include "plan.h"

struct lc_extent {
	uint64_t vaddr, len, off;
};

/* Sorted by address; starts zeroed. Not for several threads at once. */
struct lc_extents {
	struct lc_extent *v;
	size_t n, cap;
	uint64_t data_off, data_end; /* what contents take of the file, or may take */
	uint64_t page_size;
};

/* Begins with contents at `data_off` at the earliest. */
void lc_extents_init(struct lc_extents *extents, uint64_t data_off, uint64_t page_size);
void lc_extents_free(struct lc_extents *extents);

/* The place of the first bytes of [start, end), which is given now if they have none; a multiple of
 * pages. `grain`: a new place is made for so much at once, within [vma_start, vma_end), since what
 * comes next shall follow it in the file; a hole costs nothing. *ret_len: how many of the bytes are
 * there, in a row. Returns 0 or -ENOMEM. */
LC_MUST_CHECK int lc_extents_place(struct lc_extents *extents, uint64_t start, uint64_t end,
				   uint64_t vma_start, uint64_t vma_end, uint64_t grain,
				   uint64_t *ret_off, uint64_t *ret_len);

/* Places for all segments of a plan, and the plan cut where those are not in a row: every segment
 * gets its offset. Returns 0 or -ENOMEM. */
LC_MUST_CHECK int lc_extents_cut(struct lc_extents *extents, struct lc_plan *plan);

#endif
