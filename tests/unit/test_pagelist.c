/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The list of pages, of this very process; and what a userfaultfd tells of them, where there is
 * one. */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../core/pagelist.h"
#include "tap.h"

#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

#define PAGE 4096u
#define MIB  (UINT64_C(1) << 20)
#define SIZE (16 * MIB)

static struct lc_pagemap pm;
static struct lc_pagelist list;
static struct lc_vma vma;
static char no_name[1];
static const struct lc_vmas vmas = {.v = &vma, .n = 1};

static uint8_t *map_region(void)
{
	/* a page table's worth more, so that it can begin where one does */
	uint8_t *at = mmap(NULL, SIZE + 2 * MIB, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	need(at != MAP_FAILED);
	at = (uint8_t *)(((uintptr_t)at + 2 * MIB - 1) & ~(uintptr_t)(2 * MIB - 1));
	madvise(at, SIZE, MADV_NOHUGEPAGE);
	vma = (struct lc_vma){.start = (uintptr_t)at,
			      .end = (uintptr_t)at + SIZE,
			      .perms = "rw-p",
			      .name = no_name};
	return at;
}

static int fill(void)
{
	pm.list = NULL;
	lc_pagemap_restart(&pm, vma.end);
	return lc_pagelist_fill(&list, &pm, &vmas, false);
}

/* The kind of what is at an offset; -1: nothing. */
static int kind_at(uint64_t off)
{
	struct lc_page_run run;

	pm.list = &list;
	pm.next = 0;
	return lc_pagemap_next(&pm, vma.start + off, vma.start + off + PAGE, &run) > 0
		       ? (int)run.kind
		       : -1;
}

static void test_plain(uint8_t *at)
{
	struct lc_page_run run;

	at[0] = 1;
	at[5 * PAGE] = 1;
	at[6 * PAGE] = 1;
	(void)*(volatile uint8_t *)(at + 3 * MIB);
	is(fill(), 0, "a list");
	is(kind_at(0), LC_PAGE_OWN, "a page that was written");
	is(kind_at(PAGE), -1, "one that was not");
	is(kind_at(3 * MIB) & LC_PAGE_ZERO, LC_PAGE_ZERO, "one that was read");
	pm.next = 0;
	is(lc_pagemap_next(&pm, vma.start + PAGE, vma.end, &run), 1, "the next run");
	ok(run.start == vma.start + 5 * PAGE && run.end == vma.start + 7 * PAGE, "both its pages");
	is(lc_pagemap_next(&pm, vma.start, vma.start, &run), 0, "an empty range has nothing");
	is(lc_pagemap_next(&pm, run.end, vma.start + 2 * MIB, &run), 0, "behind it nothing");
}

static void protect_all(void)
{
	struct lc_page_region found[64];
	uint64_t at = vma.start;

	while (at < vma.end) {
		struct lc_pm_scan scan = {
			.size = sizeof(scan),
			.flags = LC_PM_SCAN_WP_MATCHING,
			.start = at,
			.end = vma.end,
			.vec = (uintptr_t)found,
			.vec_len = 64,
			.category_mask = LC_CAT_WRITTEN,
			.category_anyof_mask = LC_CAT_PRESENT,
			.return_mask = LC_CAT_WRITTEN,
		};

		need(lc_pagemap_scan(pm.fd, &scan) >= 0);
		at = scan.walk_end;
	}
}

static int open_uffd(void)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC};
	struct uffdio_register reg = {.range = {.start = vma.start, .len = SIZE},
				      .mode = UFFDIO_REGISTER_MODE_WP};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &reg) < 0)
		return -1;
	return fd;
}

/* Where the kernel reports holes, they need not be looked for. */
static void test_tracked(uint8_t *at, bool tells_holes)
{
	struct lc_page_run run;
	int fd;

	/* of which nothing is left when it is dropped, not even a page table */
	madvise(at + 14 * MIB, 2 * MIB, MADV_HUGEPAGE);
	memset(at, 7, SIZE);
	fd = open_uffd();
	if (fd < 0) {
		tap_skip("no asynchronous userfaultfd here");
		return;
	}
	pm.tracker = LC_TRACKER_UFFD;
	pm.mask |= LC_CAT_WPALLOWED;
	is(fill(), 0, "a list");
	is(kind_at(0) & LC_PAGE_HELD, 0, "nothing is held before it is protected");
	protect_all();
	is(fill(), 0, "protected");
	pm.list = &list;
	pm.next = 0;
	ok(lc_pagemap_next(&pm, vma.start, vma.end, &run) == 1 && run.end == vma.end,
	   "all of it in a row");
	is(kind_at(8 * MIB) & LC_PAGE_HELD, LC_PAGE_HELD, "and held");
	at[9 * MIB] = 8;
	madvise(at + 4 * MIB, 2 * MIB, MADV_DONTNEED);
	madvise(at + 10 * MIB, 8 * PAGE, MADV_DONTNEED);
	madvise(at + 14 * MIB, 2 * MIB, MADV_DONTNEED);
	(void)*(volatile uint8_t *)(at + 10 * MIB);
	pm.tells_holes = tells_holes && lc_pagemap_tells_holes(fd, PAGE);
	is(fill(), 0, "written and dropped");
	is(kind_at(9 * MIB), LC_PAGE_OWN, "what was written is not held");
	is(kind_at(9 * MIB + PAGE) & LC_PAGE_HELD, LC_PAGE_HELD, "its neighbour is");
	is(kind_at(4 * MIB), -1, "a page table's worth that was dropped is gone");
	is(kind_at(6 * MIB - PAGE), -1, "to its end");
	is(kind_at(6 * MIB) & LC_PAGE_HELD, LC_PAGE_HELD, "and no further");
	is(kind_at(14 * MIB + PAGE), -1, "a huge page that was dropped is gone");
	is(kind_at(10 * MIB + PAGE), -1, "a page that was dropped is gone");
	is(kind_at(10 * MIB) & (LC_PAGE_HELD | LC_PAGE_ZERO), LC_PAGE_ZERO,
	   "one that was read again is zero");
	munmap(at + 12 * MIB, MIB);
	need(mmap(at + 12 * MIB, MIB, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
	at[12 * MIB] = 9;
	is(fill(), 0, "a mapping in the middle of it that is not registered");
	is(kind_at(12 * MIB), LC_PAGE_OWN, "is not held");
	is(kind_at(13 * MIB) & LC_PAGE_HELD, LC_PAGE_HELD, "the rest is");
	close(fd);
}

int main(void)
{
	int taskfd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint8_t *at;

	need(lc_pagemap_open(&pm, taskfd, PAGE) == 0);
	at = map_region();
	test_plain(at);
	test_tracked(at, false);
	test_tracked(map_region(), true);
	lc_pagelist_free(&list);
	lc_pagemap_close(&pm);
	close(taskfd);
	return tap_done();
}
