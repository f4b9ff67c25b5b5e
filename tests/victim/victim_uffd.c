/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Ranges registered with userfaultfd(2), whose handler is a thread of this process: while it is
 * stopped, a fault there waits for ever.
 *
 *   present/NAME     pages that the process has
 *   absent/NAME      pages that only the handler could give
 *   poisoned/NAME    pages that raise SIGBUS by design
 *
 * Question "touch": reads and checks a page of every range that was absent.
 */
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include "victim_memory.h"

#define N_PAGES 32UL
#define SIZE    (N_PAGES * PAGE)

#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON (1 << 14)
#define UFFDIO_POISON       _IOWR(UFFDIO, 0x08, struct uffd_poison)
struct uffd_poison {
	struct uffdio_range range;
	uint64_t mode;
	int64_t updated;
};
#else
#define uffd_poison uffdio_poison
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif

struct area {
	const char *name;
	uint64_t mode; /* what it is registered for */
	bool shared;
	char *start;
	uint64_t seed;
};

/* Pages 0 to 2, 7 and 31 of each are present, the rest is the handler's. */
static struct area areas[] = {
	{"missing", UFFDIO_REGISTER_MODE_MISSING, false, NULL, 0x1000},
	{"missing_shared", UFFDIO_REGISTER_MODE_MISSING, true, NULL, 0x2000},
	{"minor", UFFDIO_REGISTER_MODE_MINOR, true, NULL, 0x3000},
	{"marked", UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP, false, NULL, 0x4000},
	{"marked_shared", UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP, true, NULL,
	 0x5000},
};
static int uffd;

static bool is_present(size_t page)
{
	return page < 3 || page == 7 || page == N_PAGES - 1;
}

/* ---- the handler -------------------------------------------------------------------------- */

static struct area *area_of(uint64_t addr)
{
	for (size_t i = 0; i < N_ELEMENTS(areas); i++)
		if (addr - (uintptr_t)areas[i].start < SIZE)
			return &areas[i];
	errno = EFAULT;
	die("fault");
}

static void give_page(uint64_t addr)
{
	static uint64_t page[PAGE / 8];
	struct area *area = area_of(addr);
	struct uffdio_copy copy = {.dst = addr, .src = (uintptr_t)page, .len = PAGE};

	fill(page, PAGE, area->seed + (addr - (uintptr_t)area->start) / PAGE);
	if (ioctl(uffd, UFFDIO_COPY, &copy) < 0 && errno != EEXIST)
		die("UFFDIO_COPY");
}

static void handle(const struct uffd_msg *msg)
{
	uint64_t addr = msg->arg.pagefault.address & ~(PAGE - 1);
	struct uffdio_range range = {.start = addr, .len = PAGE};
	struct uffdio_continue go_on = {.range = range};
	struct uffdio_writeprotect unprotect = {.range = range};

	if (msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
		if (ioctl(uffd, UFFDIO_WRITEPROTECT, &unprotect) < 0)
			die("UFFDIO_WRITEPROTECT");
	} else if (msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR) {
		if (ioctl(uffd, UFFDIO_CONTINUE, &go_on) < 0)
			die("UFFDIO_CONTINUE");
	} else {
		give_page(addr);
	}
}

static void *serve(void *arg)
{
	struct uffd_msg msg;

	(void)arg;
	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg))
		if (msg.event == UFFD_EVENT_PAGEFAULT)
			handle(&msg);
	die("userfaultfd");
}

/* ---- the ranges --------------------------------------------------------------------------- */

static bool open_uffd(uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0)
		die("userfaultfd");
	if (ioctl(uffd, UFFDIO_API, &api) == 0)
		return true;
	close(uffd);
	return false;
}

static void enroll(const char *name, void *start, uint64_t mode)
{
	struct uffdio_register arg = {.range = {(uintptr_t)start, SIZE}, .mode = mode};

	if (ioctl(uffd, UFFDIO_REGISTER, &arg) < 0)
		die(name);
}

static void protect(void *start, size_t len)
{
	struct uffdio_writeprotect arg = {.range = {(uintptr_t)start, len},
					  .mode = UFFDIO_WRITEPROTECT_MODE_WP};

	if (ioctl(uffd, UFFDIO_WRITEPROTECT, &arg) < 0)
		die("UFFDIO_WRITEPROTECT");
}

static void *map_area(const char *name, bool shared)
{
	int fd = shared ? memfd_create(name, MFD_CLOEXEC) : -1;
	char *p;

	if (shared && (fd < 0 || ftruncate(fd, (off_t)SIZE) < 0))
		die(name);
	p = map(name, SIZE, RW, shared ? MAP_SHARED : PRIVATE, fd);
	if (fd >= 0)
		close(fd);
	return p;
}

static void fill_pages(const struct area *area, char *start, bool all)
{
	for (size_t page = 0; page < N_PAGES; page++)
		if (all || is_present(page))
			fill(start + page * PAGE, PAGE, area->seed + page);
}

/* Minor faults: the file has all pages, the mapping only some. */
static void fill_behind(const struct area *area)
{
	char *other = mremap(area->start, 0, SIZE, MREMAP_MAYMOVE);

	if (other == MAP_FAILED)
		die("mremap");
	fill_pages(area, other, true);
	munmap(other, SIZE);
}

static void make_area(struct area *area)
{
	char name[64];

	area->start = map_area(area->name, area->shared);
	if (area->mode == UFFDIO_REGISTER_MODE_MINOR)
		fill_behind(area);
	enroll(area->name, area->start, area->mode);
	for (size_t page = 0; page < N_PAGES; page++) {
		bool present = is_present(page);

		if (present)
			(void)*(volatile char *)(area->start + page * PAGE);
		snprintf(name, sizeof(name), "%s/%s", present ? "present" : "absent", area->name);
		emit_fill(name, area->start + page * PAGE, PAGE, area->seed + page);
	}
	/* pages that do not exist are marked as well: they look like swapped ones */
	if (area->mode & UFFDIO_REGISTER_MODE_WP)
		protect(area->start, SIZE);
}

/* All of it exists and may be read; a write would wait for the handler. */
static void make_protected(void)
{
	char *p = map_area("protected", false);

	fill_and_tell("present/protected", p, SIZE, 0x6000);
	enroll("protected", p, UFFDIO_REGISTER_MODE_WP);
	protect(p, SIZE);
}

static void make_poisoned(void)
{
	char *p = map_area("poisoned", false);
	struct uffd_poison poison = {.range = {(uintptr_t)p + 4 * PAGE, 2 * PAGE}};

	fill_and_tell("present/poisoned", p, 4 * PAGE, 0x7000);
	fill_and_tell("present/poisoned", p + 6 * PAGE, SIZE - 6 * PAGE, 0x7001);
	madvise(p + 4 * PAGE, 2 * PAGE, MADV_DONTNEED);
	enroll("poisoned", p, UFFDIO_REGISTER_MODE_MISSING);
	if (ioctl(uffd, UFFDIO_POISON, &poison) < 0)
		emit("skip poisoned UFFDIO_POISON: %s", strerror(errno));
	else
		emit_fill("poisoned/poisoned", p + 4 * PAGE, 2 * PAGE, 0);
}

static void reply(const char *question)
{
	if (strcmp(question, "touch") != 0)
		return;
	for (size_t i = 0; i < N_ELEMENTS(areas); i++) {
		const volatile uint64_t *word = (void *)(areas[i].start + 20 * PAGE);

		if (*word == pattern(areas[i].seed + 20, 0))
			emit("right %s", areas[i].name);
	}
}

int main(void)
{
	victim_begin();
	if (!open_uffd(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM |
		       UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_UNPOPULATED |
		       UFFD_FEATURE_POISON)) {
		emit("skip all this kernel's userfaultfd lacks a feature");
		victim_serve(NULL);
	}
	victim_thread(serve, NULL);
	for (size_t i = 0; i < N_ELEMENTS(areas); i++)
		make_area(&areas[i]);
	make_protected();
	make_poisoned();
	victim_serve(reply);
}
