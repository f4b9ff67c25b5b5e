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

/* linux/include/uapi/linux/fs.h: struct page_region */
struct lc_page_region {
	uint64_t start, end, categories;
};

/*
 * A walk over address space from low to high. One call of the kernel serves many mappings: what it
 * found beyond the range that is asked for waits for the next question.
 */
struct lc_pagemap {
	int fd;
	uint64_t page_size;
	bool no_scan;                    /* the kernel has no PAGEMAP_SCAN */
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

/*
 * The first run of existing pages in [start, end). Returns 1 with the run cut to that range, 0 if
 * there is none, -ETIME after the deadline, or -errno. Addresses may go back, at the price of a
 * call.
 */
LC_MUST_CHECK int lc_pagemap_next(struct lc_pagemap *pm, uint64_t start, uint64_t end,
				  struct lc_page_run *ret_run);

#endif
