/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An asynchronous userfaultfd, userfaultfd(2), UFFD_FEATURE_WP_ASYNC, since Linux 6.7: the first
 * write to a protected page takes the protection away, in the kernel, and PAGEMAP_SCAN tells which
 * pages have none, and protects them again.
 *
 * UFFDIO_WRITEPROTECT is not used: with that feature it marks pages that do not exist as well, and
 * makes page tables for that, 32 GiB of them for a reservation of 16 TiB. PAGEMAP_SCAN protects
 * what it is asked to list, and is asked for what exists.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "err.h"
#include "track.h"

#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

/* The mmap lock is held for each range: what is larger would hold up an mmap() of the target. */
#define UNREGISTER_SIZE (UINT64_C(4) << 20)

/* The same for reading alone, which is faster. */
#define SCAN_SIZE (UINT64_C(64) << 20)

/* O_CLOEXEC | UFFD_USER_MODE_ONLY */
#define OWN_FLAGS (O_CLOEXEC | 1)

static int start_api(int fd)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC};

	return ioctl(fd, UFFDIO_API, &api) < 0 ? -errno : 0;
}

/* Whether the kernel has it, tried on ourselves. */
static int probe_kernel(struct lc_pagemap *pm)
{
	int fd = (int)syscall(SYS_userfaultfd, OWN_FLAGS), r;

	if (fd < 0)
		return -errno;
	r = start_api(fd);
	if (r == 0)
		pm->tells_holes = lc_pagemap_tells_holes(fd, pm->page_size);
	lc_close(&fd);
	return r;
}

struct search {
	const struct lc_target *target;
	bool found;
};

static int look_at_fd(void *arg, pid_t number)
{
	struct search *s = arg;
	char path[40], name[64];
	ssize_t len;

	snprintf(path, sizeof(path), "fd/%d", number);
	len = readlinkat(s->target->dirfd, path, name, sizeof(name) - 1);
	if (len < 0)
		return 0;
	name[len] = '\0';
	s->found = strcmp(name, "anon_inode:[userfaultfd]") == 0;
	return s->found;
}

/* Of a target that has one of its own, a mapping may come under that between two of our calls, and
 * its marks would be lost to it. */
static bool has_own_userfaultfd(const struct lc_target *target)
{
	struct search s = {.target = target};

	return lc_procfs_each_pid(target->dirfd, "fd", look_at_fd, &s) > 0 && s.found;
}

static int probe(struct lc_snap *snap, struct lc_err *err)
{
	int r = probe_kernel(&snap->prep->pagemap);

	if (r < 0)
		return lc_err_set(err, ENOTSUP, LC_STAGE_TARGET,
				  "the kernel has no asynchronous userfaultfd (Linux 6.7): %s",
				  strerror(-r));
	if (has_own_userfaultfd(snap->target))
		return lc_err_set(err, ENOTSUP, LC_STAGE_TARGET,
				  "the process itself uses userfaultfd");
	return 0;
}

/* ---- taking one --------------------------------------------------------------------------- */

static int make_in_target(struct lc_track *track, struct lc_inject *inject, struct lc_err *err)
{
	int r = lc_inject_start_helper(inject, err);

	if (r == 0)
		r = track->fd = lc_inject_userfaultfd(inject, err);
	return r < 0 ? r : 0;
}

static int while_stopped(struct lc_track *track, const struct lc_threads *threads,
			 const struct lc_code *code, struct lc_err *err)
{
	static const struct lc_inject empty;
	struct lc_inject inject = empty;
	struct lc_err closing;
	int r = lc_snap_inject(track->snap, threads, LC_INJECT_USERFAULTFD, code, &inject, err);
	int r2;

	if (r < 0)
		return r;
	r = make_in_target(track, &inject, err);
	r2 = lc_inject_close(&inject, r < 0 ? &closing : err);
	return r < 0 ? r : r2;
}

static int start(struct lc_track *track, const struct lc_frozen *now, struct lc_err *err)
{
	struct lc_snap *snap = track->snap;
	struct lc_threads threads = {0};
	struct lc_code code;
	int r = lc_code_find(now->arch, &now->vmas, &snap->prep->file, &code, err);

	if (r < 0)
		return r;
	r = lc_snap_freeze(snap, &threads, err);
	if (r == 0) {
		r = while_stopped(track, &threads, &code, err);
		lc_snap_thaw(snap, &threads);
	}
	lc_threads_free(&threads);
	if (r < 0)
		return r;
	r = start_api(track->fd);
	return r < 0 ? lc_err_set(err, -r, LC_STAGE_TARGET, "UFFDIO_API: %s", strerror(-r)) : 0;
}

/* ---- using it ----------------------------------------------------------------------------- */

/* Pages that look as if they had been listed. */
static int scan_marked(const struct lc_track *track, uint64_t start, uint64_t end,
		       struct lc_page_region *found, uint64_t *ret_walked)
{
	struct lc_pm_scan scan = {
		.size = sizeof(scan),
		.start = start,
		.end = end,
		.vec = (uintptr_t)found,
		.vec_len = 1,
		.category_inverted = LC_CAT_WRITTEN,
		.category_mask = LC_CAT_WRITTEN,
		.category_anyof_mask = LC_CAT_PRESENT | LC_CAT_SWAPPED,
		.return_mask = LC_CAT_PRESENT,
	};
	int n = lc_pagemap_scan(track->snap->prep->pagemap.fd, &scan);

	*ret_walked = scan.walk_end;
	return n;
}

/*
 * mremap(2) moved the marks of pages with them before Linux 6.14: a page that nobody has copied
 * from here must not look as if it had been. Nothing is found as a rule.
 */
static int unmark(const struct lc_track *track, uint64_t start, uint64_t end)
{
	for (uint64_t at = start; at < end;) {
		uint64_t to = end - at < SCAN_SIZE ? end : at + SCAN_SIZE, walked;
		struct lc_page_region found;
		int n = scan_marked(track, at, to, &found, &walked);

		if (n < 0)
			return n;
		if (n > 0) {
			struct uffdio_writeprotect clear = {
				.range = {.start = found.start, .len = found.end - found.start}};

			if (ioctl(track->fd, UFFDIO_WRITEPROTECT, &clear) < 0)
				return -errno;
		}
		at = walked > at ? walked : to;
	}
	return 0;
}

/* The first page tells of the whole mapping. */
static bool is_registered(const struct lc_track *track, uint64_t start)
{
	struct lc_page_region found;
	struct lc_pm_scan scan = {
		.size = sizeof(scan),
		.flags = LC_PM_SCAN_CHECK_WPASYNC,
		.start = start,
		.end = start + track->snap->prep->page_size,
		.vec = (uintptr_t)&found,
		.vec_len = 1,
		.category_mask = LC_CAT_PRESENT,
		.return_mask = LC_CAT_PRESENT,
	};

	return lc_pagemap_scan(track->snap->prep->pagemap.fd, &scan) >= 0;
}

static int follow(struct lc_track *track, uint64_t start, uint64_t end)
{
	struct uffdio_register reg = {.range = {.start = start, .len = end - start},
				      .mode = UFFDIO_REGISTER_MODE_WP};

	if (is_registered(track, start))
		return 0;
	return ioctl(track->fd, UFFDIO_REGISTER, &reg) < 0 ? -errno : unmark(track, start, end);
}

/* Mappings that are not registered are passed over: what has come there since the pass began. */
static int collect(struct lc_track *track, uint64_t start, uint64_t end,
		   struct lc_page_region *regions, size_t max, uint64_t *ret_walked)
{
	struct lc_pm_scan scan = {
		.size = sizeof(scan),
		.flags = LC_PM_SCAN_WP_MATCHING,
		.start = start,
		.end = end,
		.vec = (uintptr_t)regions,
		.vec_len = max,
		/* not FILE: what others can write to is not held anyway */
		.category_inverted = LC_CAT_FILE,
		.category_mask = LC_CAT_WRITTEN | LC_CAT_FILE,
		.category_anyof_mask = LC_CAT_PRESENT | LC_CAT_SWAPPED,
		.return_mask = LC_CAT_WRITTEN,
	};
	int n = lc_pagemap_scan(track->snap->prep->pagemap.fd, &scan);

	*ret_walked = scan.walk_end;
	return n;
}

/* The mapping may be gone, or be another: then there is nothing to let go. */
static void unregister(int fd, uint64_t start, uint64_t end)
{
	for (uint64_t at = start; at < end; at += UNREGISTER_SIZE) {
		struct uffdio_range range = {
			.start = at,
			.len = end - at < UNREGISTER_SIZE ? end - at : UNREGISTER_SIZE,
		};

		if (ioctl(fd, UFFDIO_UNREGISTER, &range) < 0 && errno == ESRCH)
			return;
	}
}

static void end(struct lc_track *track)
{
	if (track->fd < 0)
		return;
	lc_ranges_merge(&track->ever);
	for (size_t i = 0; i < track->ever.n; i++)
		unregister(track->fd, track->ever.v[i].start, track->ever.v[i].end);
	lc_close(&track->fd);
}

const struct lc_tracker lc_tracker_uffd = {
	.name = "userfaultfd",
	.kind = LC_TRACKER_UFFD,
	.probe = probe,
	.start = start,
	.follow = follow,
	.collect = collect,
	.end = end,
};
