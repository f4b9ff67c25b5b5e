/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which pages of a target exist, without touching them: PAGEMAP_SCAN (Linux 6.7) or pagemap(5). */
#ifndef LC_PAGEMAP_H
#define LC_PAGEMAP_H

#include "livecore.h"

/* What the kernel says of a run of pages. */
enum lc_page_kind {
	LC_PAGE_OWN =
		1 << 0, /* anonymous: the process's own, also where the mapping is of a file */
	LC_PAGE_ZERO = 1 << 1,  /* the shared zero page: read and never written */
	LC_PAGE_GUARD = 1 << 2, /* MADV_GUARD_INSTALL: unreadable by design */
	/* not written to since the tracker has seen it, struct lc_pagemap.tracker */
	LC_PAGE_HELD = 1 << 4,
	/* swapped out or not there at all, and write-protected by userfaultfd: a mark in the page
	 * table looks like a page that is swapped out */
	LC_PAGE_MARKED = 1 << 3,
};

/* Pages that are present or swapped out. */
struct lc_page_run {
	uint64_t start, end;
	uint32_t kind; /* enum lc_page_kind */
};

#define LC_PAGEMAP_REGIONS 1024

/* linux/include/uapi/linux/fs.h, Linux 6.18: what PAGEMAP_SCAN knows of a page. */
enum {
	LC_CAT_WPALLOWED = 1 << 0, /* its mapping is registered with an asynchronous userfaultfd */
	LC_CAT_WRITTEN = 1 << 1,   /* not write-protected by a userfaultfd */
	LC_CAT_FILE = 1 << 2,
	LC_CAT_PRESENT = 1 << 3,
	LC_CAT_SWAPPED = 1 << 4,
	LC_CAT_PFNZERO = 1 << 5,
	LC_CAT_HUGE = 1 << 6,
	LC_CAT_SOFT_DIRTY = 1 << 7,
	LC_CAT_GUARD = 1 << 8, /* since 6.15 */
};

/* struct page_region, there */
struct lc_page_region {
	uint64_t start, end, categories;
};

/* struct pm_scan_arg, there */
struct lc_pm_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define LC_PM_SCAN_WP_MATCHING   1 /* write-protects what it finds */
#define LC_PM_SCAN_CHECK_WPASYNC 2 /* EPERM if a mapping is not registered */

/* Returns the number of regions that were found, or -errno. */
LC_MUST_CHECK int lc_pagemap_scan(int fd, struct lc_pm_scan *scan);

/* Who tells whether a page was written to. */
enum lc_tracker_kind {
	LC_TRACKER_NONE,
	LC_TRACKER_UFFD,
	LC_TRACKER_SOFT_DIRTY,
};

/* pagemap(5): the entry of one page */
#define LC_PM_PRESENT    (UINT64_C(1) << 63)
#define LC_PM_SWAP       (UINT64_C(1) << 62)
#define LC_PM_FILE       (UINT64_C(1) << 61)
#define LC_PM_GUARD      (UINT64_C(1) << 58)
#define LC_PM_UFFD_WP    (UINT64_C(1) << 57)
#define LC_PM_SOFT_DIRTY (UINT64_C(1) << 55)
#define LC_PM_PFN        ((UINT64_C(1) << 55) - 1) /* zero without CAP_SYS_ADMIN */

struct lc_pagelist;

/*
 * A walk over address space from low to high. One call of the kernel serves many mappings: what it
 * found beyond the range that is asked for waits for the next question.
 */
struct lc_pagemap {
	int fd;
	uint64_t page_size;
	bool no_scan; /* the kernel has no PAGEMAP_SCAN */
	enum lc_tracker_kind tracker;
	/* A scan for WRITTEN alone reports what has no page table as well: see pagelist.c. */
	bool tells_holes;
	/* Soft-dirty: what of the entries of pagemap(5) says that a page is as it was copied. */
	bool (*is_as_copied)(void *arg, uint64_t addr, uint64_t entry);
	void *is_as_copied_arg;
	const struct lc_pagelist *list;  /* all answers are in it; NULL: the kernel is asked */
	uint64_t mask;                   /* categories that the kernel knows */
	uint64_t deadline_ns;            /* CLOCK_MONOTONIC: no more questions then; 0: never */
	uint64_t limit;                  /* end of the highest mapping of interest */
	uint64_t known_start, known_end; /* the regions are what exists between */
	size_t n, next;
	struct lc_page_region regions[LC_PAGEMAP_REGIONS];
};

/* Opens /proc/PID/pagemap below `taskfd`. Returns 0 or -errno. */
LC_MUST_CHECK int lc_pagemap_open(struct lc_pagemap *pm, int taskfd, uint64_t page_size);
void lc_pagemap_close(struct lc_pagemap *pm);

/* Forgets what it knows, because the process ran meanwhile. `limit`: the end of the highest mapping
 * that will be asked for; the kernel refuses addresses beyond what a process can have. */
void lc_pagemap_restart(struct lc_pagemap *pm, uint64_t limit);

/* Fills `regions` with what exists from `start` on, up to `known_end`, which is beyond it. Returns
 * 0, -ETIME or -errno. */
LC_MUST_CHECK int lc_pagemap_refill(struct lc_pagemap *pm, uint64_t start, uint64_t end);

/* Whether this kernel tells holes, tried on a hole of our own, which `uffd` is registered for. */
bool lc_pagemap_tells_holes(int uffd, uint64_t page_size);

/* The categories of one page as far as pagemap(5) tells them; 0: it does not exist. */
uint64_t lc_pagemap_look(const struct lc_pagemap *pm, uint64_t addr);

/* True if every page of a small range is present. */
bool lc_pagemap_has(const struct lc_pagemap *pm, uint64_t start, uint64_t end);

/*
 * The first run of existing pages in [start, end). Returns 1 with the run cut to that range, 0 if
 * there is none, -ETIME after the deadline, or -errno. Addresses may go back, at the price of a
 * call.
 */
LC_MUST_CHECK int lc_pagemap_next(struct lc_pagemap *pm, uint64_t start, uint64_t end,
				  struct lc_page_run *ret_run);

#endif
