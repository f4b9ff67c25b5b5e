/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Soft-dirty pages, Documentation/admin-guide/mm/soft-dirty.rst: writing 4 to clear_refs makes all
 * pages of a process clean, and the first write to one makes it dirty again. Nothing is run in the
 * target.
 *
 * A clean page is not always one that has not changed (seen on Linux 6.1): mremap(2) of whole page
 * tables keeps the bits of what it moves, and a page that was dropped reads as a clean zero page.
 * So a page counts as unchanged only if it is also in the page frame from which it was copied,
 * which CAP_SYS_ADMIN alone may see. What the marks say is of the time when they were read, and
 * clearing them is of all pages at once: between the two the target must stand still.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "err.h"
#include "track.h"

#define ENTRIES 1024

/* Looking at the entries of what is larger would take seconds, whether it is used or not. */
#define MAX_FOLLOWED (UINT64_C(64) << 30)

/* What is known of each page of a mapping. */
struct pages {
	uint64_t start, end;
	uint64_t *copied; /* the frame that it was copied from; 0: it was not */
	uint8_t *clean;   /* this pass need not copy it */
};

struct soft_dirty {
	int clear_fd;
	uint64_t zero_frame; /* of the page that everybody shares */
	bool cleared;        /* a pass has begun before */
	struct pages *v;     /* in the order of the mappings that are followed */
	size_t n, cap;
	const struct pages
		*last; /* that was asked for; by the thread that holds the target alone */
};

/* ---- whether it is to be had -------------------------------------------------------------- */

static int own_entry(const volatile uint8_t *page, uint64_t page_size, uint64_t *ret_entry)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1
			   : pread(fd, ret_entry, 8,
				   (off_t)((uint64_t)(uintptr_t)page / page_size * 8));

	lc_close(&fd);
	return n == 8 ? 0 : -EIO;
}

static int clear_own(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, "4", 1);

	lc_close(&fd);
	return n == 1 ? 0 : -ENOTSUP;
}

/* Older kernels take the 4 and do nothing: only a page of our own tells. */
static int probe_page(volatile uint8_t *page, uint64_t page_size, uint64_t *ret_zero_frame,
		      struct lc_err *err)
{
	uint64_t zero = 0, clean = 0, dirty = 0;
	int r;

	(void)page[0]; /* a read brings the zero page */
	r = own_entry(page, page_size, &zero);
	page[page_size] = 1;
	if (r == 0)
		r = clear_own();
	if (r == 0)
		r = own_entry(page + page_size, page_size, &clean);
	page[page_size] = 2;
	if (r == 0)
		r = own_entry(page + page_size, page_size, &dirty);
	if (r < 0 || (clean & LC_PM_SOFT_DIRTY) || !(dirty & LC_PM_SOFT_DIRTY))
		return lc_err_set(err, ENOTSUP, LC_STAGE_TARGET,
				  "the kernel has no soft-dirty pages (CONFIG_MEM_SOFT_DIRTY)");
	if (!(dirty & LC_PM_PFN))
		return lc_err_set(err, ENOTSUP, LC_STAGE_TARGET,
				  "soft-dirty pages can be trusted only by who sees their frames "
				  "(CAP_SYS_ADMIN)");
	*ret_zero_frame = zero & LC_PM_PFN;
	return 0;
}

static int probe_kernel(uint64_t page_size, uint64_t *ret_zero_frame, struct lc_err *err)
{
	void *pages = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	int r;

	if (pages == MAP_FAILED)
		return lc_err_set(err, ENOMEM, LC_STAGE_TARGET, "out of memory");
	r = probe_page(pages, page_size, ret_zero_frame, err);
	munmap(pages, 2 * page_size);
	return r;
}

static int probe(struct lc_snap *snap, struct lc_err *err)
{
	uint64_t zero_frame;

	return probe_kernel(snap->prep->page_size, &zero_frame, err);
}

/* ---- pages -------------------------------------------------------------------------------- */

static bool has(const struct pages *p, uint64_t addr)
{
	return p->start <= addr && addr < p->end;
}

static struct pages *find(const struct soft_dirty *sd, uint64_t addr)
{
	for (size_t i = 0; i < sd->n; i++)
		if (has(&sd->v[i], addr))
			return &sd->v[i];
	return NULL;
}

/* The same for one page after the other, by one thread. */
static const struct pages *find_next(struct soft_dirty *sd, uint64_t addr)
{
	if (!sd->last || !has(sd->last, addr))
		sd->last = find(sd, addr);
	return sd->last;
}

static bool exists(uint64_t entry)
{
	return entry & (LC_PM_PRESENT | LC_PM_SWAP);
}

/* Also the page map's question in the last freeze. */
static bool is_as_copied(void *arg, uint64_t addr, uint64_t entry)
{
	const struct lc_track *track = arg;
	struct soft_dirty *sd = track->own;
	const struct pages *p = find_next(sd, addr);
	uint64_t frame = entry & LC_PM_PFN;

	if (!p || !(entry & LC_PM_PRESENT) || (entry & (LC_PM_SOFT_DIRTY | LC_PM_FILE)))
		return false;
	return frame && frame != sd->zero_frame &&
	       p->copied[(addr - p->start) / track->snap->prep->page_size] == frame;
}

static int start(struct lc_track *track, const struct lc_frozen *now, struct lc_err *err)
{
	struct lc_pagemap *pm = &track->snap->prep->pagemap;
	struct soft_dirty *sd = calloc(1, sizeof(*sd));
	int r;

	(void)now;
	if (!sd)
		return lc_err_set(err, ENOMEM, LC_STAGE_TARGET, "out of memory");
	track->own = sd;
	sd->clear_fd = openat(track->snap->target->dirfd, "clear_refs", O_WRONLY | O_CLOEXEC);
	if (sd->clear_fd < 0)
		return lc_err_set(err, errno, LC_STAGE_TARGET, "clear_refs: %s", strerror(errno));
	r = probe_kernel(track->snap->prep->page_size, &sd->zero_frame, err);
	pm->no_scan = true; /* PAGEMAP_SCAN tells no frames */
	pm->is_as_copied = is_as_copied;
	pm->is_as_copied_arg = track;
	return r;
}

static int follow(struct lc_track *track, uint64_t start_addr, uint64_t end_addr)
{
	struct soft_dirty *sd = track->own;
	size_t n = (size_t)((end_addr - start_addr) / track->snap->prep->page_size);
	struct pages *p = find(sd, start_addr);

	if (end_addr - start_addr > MAX_FOLLOWED)
		return -EFBIG;
	if (p)
		return p->end >= end_addr ? 0 : follow(track, p->end, end_addr);
	if (lc_grow((void **)&sd->v, &sd->cap, sd->n, sizeof(*sd->v)) < 0)
		return -ENOMEM;
	sd->last = NULL; /* they may have moved */
	p = &sd->v[sd->n];
	*p = (struct pages){.start = start_addr, .end = end_addr};
	p->copied = calloc(n, sizeof(*p->copied));
	p->clean = calloc(n, sizeof(*p->clean));
	if (!p->copied || !p->clean) {
		free(p->copied);
		free(p->clean);
		return -ENOMEM;
	}
	sd->n++;
	return 0;
}

/* ---- passes ------------------------------------------------------------------------------- */

/* Calls `visit` for each page of [start, end) with its entry. Returns 0 or -errno. */
static int each_entry(struct lc_track *track, uint64_t start_addr, uint64_t end_addr,
		      int (*visit)(struct lc_track *track, uint64_t addr, uint64_t entry,
				   void *arg),
		      void *arg)
{
	uint64_t page_size = track->snap->prep->page_size, entries[ENTRIES];
	int r = 0;

	for (uint64_t at = start_addr; r == 0 && at < end_addr;) {
		uint64_t want = (end_addr - at) / page_size;
		ssize_t got;

		want = want < ENTRIES ? want : ENTRIES;
		got = pread(track->snap->prep->pagemap.fd, entries, want * 8,
			    (off_t)(at / page_size * 8));
		if (got < 8)
			return got < 0 ? -errno : -ESRCH;
		for (size_t i = 0; r == 0 && i < (size_t)got / 8; i++, at += page_size)
			r = visit(track, at, entries[i], arg);
	}
	return r;
}

static int note_clean(struct lc_track *track, uint64_t addr, uint64_t entry, void *arg)
{
	struct pages *p = arg;

	p->clean[(addr - p->start) / track->snap->prep->page_size] =
		!exists(entry) || is_as_copied(track, addr, entry);
	return 0;
}

static int look_and_clear(struct lc_track *track)
{
	struct soft_dirty *sd = track->own;
	int r = 0;

	for (size_t i = 0; sd->cleared && r == 0 && i < sd->n; i++)
		r = each_entry(track, sd->v[i].start, sd->v[i].end, note_clean, &sd->v[i]);
	if (r == 0 && write(sd->clear_fd, "4", 1) != 1)
		r = -errno;
	sd->cleared = true;
	return r;
}

/* The first time there is nothing to lose between the two. */
static int begin_pass(struct lc_track *track, struct lc_err *err)
{
	struct soft_dirty *sd = track->own;
	struct lc_threads threads = {0};
	bool stops = sd->cleared;
	int r = 0;

	if (stops)
		r = lc_snap_freeze(track->snap, &threads, err);
	if (r < 0) {
		lc_threads_free(&threads);
		return r;
	}
	r = look_and_clear(track);
	if (stops)
		lc_snap_thaw(track->snap, &threads);
	lc_threads_free(&threads);
	return r < 0 ? lc_err_set(err, -r, LC_STAGE_COPY, "soft-dirty pages: %s", strerror(-r)) : 0;
}

struct collecting {
	struct pages *p;
	struct lc_page_region *next, *stop; /* where regions are put */
	struct lc_page_region *last;        /* NULL: none yet */
	uint64_t walked;
};

static int collect_page(struct lc_track *track, uint64_t addr, uint64_t entry, void *arg)
{
	struct collecting *c = arg;
	uint64_t page_size = track->snap->prep->page_size;
	size_t i = (size_t)((addr - c->p->start) / page_size);
	bool wanted = !c->p->clean[i] && exists(entry) && !(entry & LC_PM_FILE);
	bool goes_on = c->last && c->last->end == addr;

	if (wanted && !goes_on && c->next == c->stop)
		return 1;
	c->walked = addr + page_size;
	c->p->clean[i] = 1;
	if (!wanted)
		return 0;
	c->p->copied[i] = entry & LC_PM_PRESENT ? entry & LC_PM_PFN : 0;
	if (!goes_on) {
		c->last = c->next++;
		c->last->start = addr;
	}
	c->last->end = addr + page_size;
	return 0;
}

static int collect(struct lc_track *track, uint64_t start_addr, uint64_t end_addr,
		   struct lc_page_region *regions, size_t max, uint64_t *ret_walked)
{
	struct collecting c = {.next = regions, .stop = regions + max, .walked = start_addr};
	int r = 0;

	/* a mapping that has grown is two */
	while (r == 0 && c.walked < end_addr) {
		uint64_t to;

		c.p = find(track->own, c.walked);
		if (!c.p)
			return -ENOENT;
		to = c.p->end < end_addr ? c.p->end : end_addr;
		r = each_entry(track, c.walked, to, collect_page, &c);
	}
	*ret_walked = c.walked;
	return r < 0 ? r : (int)(c.next - regions);
}

static int drop_moved(struct lc_track *track, uint64_t addr, uint64_t entry, void *arg)
{
	struct pages *p = arg;
	uint64_t *copied = &p->copied[(addr - p->start) / track->snap->prep->page_size];

	if (*copied != (entry & LC_PM_PFN))
		*copied = 0;
	return 0;
}

/* The frame was noted, then the page was read: another one may have been moved there in between,
 * and the first one may come back. Two such moves while one batch is read are missed: the manual
 * says so. */
static void confirm(struct lc_track *track, uint64_t start_addr, uint64_t end_addr)
{
	for (uint64_t at = start_addr; at < end_addr;) {
		struct pages *p = find(track->own, at);
		uint64_t to;

		if (!p)
			return;
		to = p->end < end_addr ? p->end : end_addr;
		if (each_entry(track, at, to, drop_moved, p) < 0)
			memset(&p->copied[(at - p->start) / track->snap->prep->page_size], 0,
			       (to - at) / track->snap->prep->page_size * sizeof(*p->copied));
		at = to;
	}
}

static void end(struct lc_track *track)
{
	struct lc_pagemap *pm = &track->snap->prep->pagemap;
	struct soft_dirty *sd = track->own;

	pm->is_as_copied = NULL;
	if (!sd)
		return;
	for (size_t i = 0; i < sd->n; i++) {
		free(sd->v[i].copied);
		free(sd->v[i].clean);
	}
	lc_close(&sd->clear_fd);
	free(sd->v);
	free(sd);
	track->own = NULL;
}

const struct lc_tracker lc_tracker_soft_dirty = {
	.name = "soft-dirty",
	.kind = LC_TRACKER_SOFT_DIRTY,
	.probe = probe,
	.start = start,
	.follow = follow,
	.begin_pass = begin_pass,
	.collect = collect,
	.confirm = confirm,
	.end = end,
};
