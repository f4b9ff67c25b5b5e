/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Pages that exist, by PAGEMAP_SCAN (Documentation/admin-guide/mm/pagemap.rst): 1.3 ms per GiB, and
 * nothing for what was never touched; reservations of terabytes cost no more than their page
 * tables. Older kernels give eight bytes for each page instead.
 */
#include "pagemap.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "err.h"
#include "pagelist.h"

#define PAGEMAP_SCAN_IOCTL _IOWR('f', 16, struct lc_pm_scan)

#define ENTRIES            512

#define LOOK_AHEAD         (UINT64_C(64) << 20)

/* Existing pages that one call looks at: half a millisecond or so, after which a deadline is heard.
 */
#define MAX_PAGES 8192

int lc_pagemap_open(struct lc_pagemap *pm, int taskfd, uint64_t page_size)
{
	*pm = (struct lc_pagemap){
		.page_size = page_size,
		.mask = LC_CAT_WRITTEN | LC_CAT_FILE | LC_CAT_PRESENT | LC_CAT_SWAPPED |
			LC_CAT_PFNZERO | LC_CAT_GUARD,
		.fd = openat(taskfd, "pagemap", O_RDONLY | O_CLOEXEC),
	};
	return pm->fd < 0 ? -errno : 0;
}

void lc_pagemap_close(struct lc_pagemap *pm)
{
	lc_close(&pm->fd);
}

void lc_pagemap_restart(struct lc_pagemap *pm, uint64_t limit)
{
	pm->limit = limit;
	pm->known_start = 0;
	pm->known_end = 0;
	pm->n = 0;
	pm->next = 0;
}

int lc_pagemap_scan(int fd, struct lc_pm_scan *scan)
{
	int n;

	do
		n = ioctl(fd, PAGEMAP_SCAN_IOCTL, scan);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Fills the buffer from `start` on with one PAGEMAP_SCAN. */
static int refill_by_scan(struct lc_pagemap *pm, uint64_t start, uint64_t end)
{
	struct lc_pm_scan arg = {
		.size = sizeof(arg),
		.start = start,
		.end = end,
		.vec = (uintptr_t)pm->regions,
		.vec_len = LC_PAGEMAP_REGIONS,
		.max_pages = MAX_PAGES,
		.category_anyof_mask = LC_CAT_PRESENT | LC_CAT_SWAPPED,
		.return_mask = pm->mask,
	};
	int n = lc_pagemap_scan(pm->fd, &arg);

	if (n < 0)
		return n;
	pm->n = (size_t)n;
	pm->known_end = arg.walk_end;
	return 0;
}

static void append_page(struct lc_pagemap *pm, uint64_t addr, uint64_t categories)
{
	struct lc_page_region *last = pm->n ? &pm->regions[pm->n - 1] : NULL;

	if (last && last->end == addr && last->categories == categories)
		last->end += pm->page_size;
	else
		pm->regions[pm->n++] = (struct lc_page_region){
			.start = addr, .end = addr + pm->page_size, .categories = categories};
}

static uint64_t categories_of(const struct lc_pagemap *pm, uint64_t addr, uint64_t entry)
{
	bool changed = pm->is_as_copied && !pm->is_as_copied(pm->is_as_copied_arg, addr, entry);

	return (entry & LC_PM_PRESENT ? LC_CAT_PRESENT : LC_CAT_SWAPPED) |
	       (entry & LC_PM_UFFD_WP ? 0 : LC_CAT_WRITTEN) |
	       (entry & LC_PM_FILE ? LC_CAT_FILE : 0) | (entry & LC_PM_GUARD ? LC_CAT_GUARD : 0) |
	       (changed ? LC_CAT_SOFT_DIRTY : 0);
}

/* The same from pagemap's entries; the zero page looks like any other there. */
static int refill_by_entries(struct lc_pagemap *pm, uint64_t start, uint64_t end)
{
	uint64_t entries[ENTRIES];
	uint64_t addr = start;

	while (addr < end && pm->n + ENTRIES <= LC_PAGEMAP_REGIONS) {
		uint64_t want = (end - addr) / pm->page_size;
		ssize_t got;

		want = want < ENTRIES ? want : ENTRIES;
		got = pread(pm->fd, entries, want * 8, (off_t)(addr / pm->page_size * 8));
		if (got < 0)
			return -errno;
		if (got < 8) { /* the end of what a process can map */
			addr = end;
			break;
		}
		for (size_t i = 0; i < (size_t)got / 8; i++, addr += pm->page_size) {
			uint64_t e = entries[i];

			if (e & (LC_PM_PRESENT | LC_PM_SWAP))
				append_page(pm, addr, categories_of(pm, addr, e));
		}
	}
	pm->known_end = addr;
	return 0;
}

int lc_pagemap_refill(struct lc_pagemap *pm, uint64_t start, uint64_t end)
{
	int r;

	if (lc_is_past(pm->deadline_ns))
		return -ETIME;
	pm->n = 0;
	pm->next = 0;
	pm->known_start = start;
	pm->known_end = start;
	if (pm->no_scan)
		return refill_by_entries(pm, start, end);
	r = refill_by_scan(pm, start, end);
	if (r == -EINVAL && (pm->mask & LC_CAT_GUARD)) {
		pm->mask &= ~(uint64_t)LC_CAT_GUARD;
		r = refill_by_scan(pm, start, end);
	}
	if (r == -ENOTTY || r == -EINVAL || r == -ENOSYS || r == -EPERM) {
		pm->no_scan = true;
		r = refill_by_entries(pm, start, end);
	}
	return r;
}

/* A file's page may be written by others, who touch no page table of the target's. */
static bool is_held(const struct lc_pagemap *pm, uint64_t categories)
{
	uint64_t seen = categories & (LC_CAT_WPALLOWED | LC_CAT_WRITTEN | LC_CAT_FILE);

	switch (pm->tracker) {
	case LC_TRACKER_UFFD:
		return seen == LC_CAT_WPALLOWED;
	case LC_TRACKER_SOFT_DIRTY:
		return !(categories & (LC_CAT_SOFT_DIRTY | LC_CAT_FILE));
	case LC_TRACKER_NONE:
		break;
	}
	return false;
}

static uint32_t kind_of(const struct lc_pagemap *pm, uint64_t categories)
{
	bool marked = (categories & (LC_CAT_SWAPPED | LC_CAT_WRITTEN)) == LC_CAT_SWAPPED;

	return (categories & LC_CAT_FILE ? 0 : LC_PAGE_OWN) | (marked ? LC_PAGE_MARKED : 0) |
	       (categories & LC_CAT_PFNZERO ? LC_PAGE_ZERO : 0) |
	       (categories & LC_CAT_GUARD ? LC_PAGE_GUARD : 0) |
	       (is_held(pm, categories) ? LC_PAGE_HELD : 0);
}

/* The first region that ends after `addr`; NULL if the buffer has none. */
static const struct lc_page_region *find_region(struct lc_pagemap *pm, uint64_t addr)
{
	if (pm->next > 0 && pm->regions[pm->next - 1].end > addr)
		pm->next = 0; /* the walk went back */
	while (pm->next < pm->n && pm->regions[pm->next].end <= addr)
		pm->next++;
	return pm->next < pm->n ? &pm->regions[pm->next] : NULL;
}

/* Looks further than was asked, for the mappings that follow, but not so far that a large one that
 * nobody asks for costs time. */
static uint64_t look_ahead(const struct lc_pagemap *pm, uint64_t end)
{
	uint64_t ahead = end + LOOK_AHEAD;

	return ahead < pm->limit ? ahead : end > pm->limit ? end : pm->limit;
}

static int give_run(const struct lc_pagemap *pm, const struct lc_page_region *region,
		    uint64_t start, uint64_t end, struct lc_page_run *ret_run)
{
	if (!region || start >= end || region->start >= end)
		return 0;
	ret_run->start = region->start > start ? region->start : start;
	ret_run->end = region->end < end ? region->end : end;
	ret_run->kind = kind_of(pm, region->categories);
	return 1;
}

int lc_pagemap_next(struct lc_pagemap *pm, uint64_t start, uint64_t end,
		    struct lc_page_run *ret_run)
{
	if (pm->list)
		return give_run(pm, lc_pagelist_find(pm->list, start, &pm->next), start, end,
				ret_run);
	while (start < end) {
		const struct lc_page_region *region;

		if (start < pm->known_start || start >= pm->known_end) {
			int r = lc_pagemap_refill(pm, start, look_ahead(pm, end));

			if (r < 0)
				return r;
			if (pm->known_end <= start)
				return -EIO;
		}
		region = find_region(pm, start);
		if (region)
			return give_run(pm, region, start, end, ret_run);
		start = pm->known_end;
	}
	return 0;
}

uint64_t lc_pagemap_look(const struct lc_pagemap *pm, uint64_t addr)
{
	uint64_t entry = 0;

	if (pread(pm->fd, &entry, 8, (off_t)(addr / pm->page_size * 8)) < 8 ||
	    !(entry & (LC_PM_PRESENT | LC_PM_SWAP)))
		return 0;
	return categories_of(pm, addr, entry);
}

bool lc_pagemap_has(const struct lc_pagemap *pm, uint64_t start, uint64_t end)
{
	for (uint64_t addr = start & ~(pm->page_size - 1); addr < end; addr += pm->page_size)
		if (!(lc_pagemap_look(pm, addr) & LC_CAT_PRESENT))
			return false;
	return true;
}

/* A mapping that was never touched, as large as two page tables cover. */
static int scan_own_hole(int uffd, uint64_t start, uint64_t len)
{
	struct lc_page_region found = {0};
	struct uffdio_register reg = {.range = {.start = start, .len = len},
				      .mode = UFFDIO_REGISTER_MODE_WP};
	struct lc_pm_scan scan = {
		.size = sizeof(scan),
		.start = start,
		.end = start + len,
		.vec = (uintptr_t)&found,
		.vec_len = 1,
		.category_mask = LC_CAT_WRITTEN,
		.return_mask = LC_CAT_WRITTEN,
	};
	int fd, n;

	if (ioctl(uffd, UFFDIO_REGISTER, &reg) < 0)
		return -errno;
	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	n = lc_pagemap_scan(fd, &scan);
	lc_close(&fd);
	return n == 1 && found.start == start && found.end == start + len;
}

bool lc_pagemap_tells_holes(int uffd, uint64_t page_size)
{
	uint64_t table = page_size / 8 * page_size, start;
	void *hole = mmap(NULL, 3 * table, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int r;

	if (hole == MAP_FAILED)
		return false;
	start = ((uintptr_t)hole + table - 1) & ~(table - 1);
	r = scan_own_hole(uffd, start, 2 * table);
	munmap(hole, 3 * table);
	return r > 0;
}
