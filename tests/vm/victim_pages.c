/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Memory that changes in the ways that soft-dirty pages are known not to show, or to show too late.
 * Linked statically: it needs nothing of the machine that it runs in.
 *
 *   victim_pages KIND...
 *
 *   slots TABLE N LENGTH    N rows {valid, address, seed}: where a row is valid, LENGTH bytes at
 * the address are pattern(seed), or zero where the seed is 0 skip KIND REASON answer to "count":
 * how many changes were made broken ...              and it ends: somebody else has changed its
 * memory
 *
 * One thread makes one change after the other. A row is not valid while its memory changes, so that
 * at every instant all but one or two are, and a core that was taken at one instant agrees with its
 * own table.
 */
#include <time.h>

#include <poll.h>

#include "../victim/victim_memory.h"

struct row {
	volatile uint64_t valid, addr, seed;
};

struct group {
	const char *kind;
	struct row *rows;
	size_t n, len;
	void (*change)(struct group *group, size_t turn);
	char *spare; /* a place of a slot's length, which nothing else is mapped to before the first
			turn */
	int fd;
};

static uint64_t next_seed = 0x50f7;
static uint64_t n_changes;

static void order(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void *pointer(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

static void verify(const struct group *group, const struct row *row)
{
	const volatile uint64_t *words = pointer(row->addr);

	for (size_t i = 0; i < group->len / 8; i++)
		if (words[i] != (row->seed ? pattern(row->seed, i) : 0)) {
			emit("broken %s %#" PRIx64 " %#" PRIx64, group->kind, row->addr + 8 * i,
			     row->seed);
			_exit(98);
		}
}

static void begin(struct row *row)
{
	row->valid = 0;
	order();
}

static void end(struct row *row, uint64_t seed)
{
	row->seed = seed;
	order();
	row->valid = 1;
	order();
	n_changes++;
}

static void refill(struct group *group, struct row *row)
{
	uint64_t seed = next_seed++;

	begin(row);
	fill(pointer(row->addr), group->len, seed);
	end(row, seed);
}

/* ---- changes ------------------------------------------------------------------------------ */

static void write_one(struct group *group, size_t turn)
{
	refill(group, &group->rows[turn % group->n]);
}

static void write_nothing(struct group *group, size_t turn)
{
	(void)group;
	(void)turn;
}

/* Filled, dropped, filled, ...; every other slot is read while it is dropped: the zero page comes.
 */
static void drop(struct group *group, size_t turn)
{
	struct row *row = &group->rows[turn % group->n];

	if (!row->seed) {
		refill(group, row);
		return;
	}
	begin(row);
	if (madvise(pointer(row->addr), group->len, MADV_DONTNEED) < 0)
		die(group->kind);
	end(row, 0);
	if (turn % group->n % 2)
		verify(group, row);
}

/* The same by another mapping in its place. */
static void map_anew(struct group *group, size_t turn)
{
	struct row *row = &group->rows[turn % group->n];

	if (!row->seed) {
		refill(group, row);
		return;
	}
	begin(row);
	if (munmap(pointer(row->addr), group->len) < 0 ||
	    mmap(pointer(row->addr), group->len, RW, PRIVATE | MAP_FIXED_NOREPLACE, -1, 0) ==
		    MAP_FAILED)
		die(group->kind);
	end(row, 0);
	if (turn % group->n % 2)
		verify(group, row);
}

static void move(const struct group *group, const void *from, void *to)
{
	if (mremap((void *)(uintptr_t)from, group->len, group->len, MREMAP_MAYMOVE | MREMAP_FIXED,
		   to) != to)
		die(group->kind);
}

/* Two change places. Nothing is written to; the mappings are the same before and after. */
static void swap(struct group *group, size_t turn)
{
	struct row *a = &group->rows[2 * turn % group->n], *b = a + 1;
	uint64_t of_a = a->seed, of_b = b->seed;

	begin(a);
	begin(b);
	move(group, pointer(a->addr), group->spare);
	move(group, pointer(b->addr), pointer(a->addr));
	move(group, group->spare, pointer(b->addr));
	end(a, of_b);
	end(b, of_a);
}

/* Pages of a file, in a private mapping: changed in the file, written to, and dropped. */
static void change_file(struct group *group, size_t turn)
{
	size_t i = turn % group->n;
	struct row *row = &group->rows[i];
	static uint64_t bytes[16 * PAGE / 8];
	uint64_t seed = next_seed++;

	switch (turn / group->n % 3) {
	case 0:
		refill(group, row);
		break;
	default:
		fill(bytes, group->len, seed);
		begin(row);
		if (pwrite(group->fd, bytes, group->len, (off_t)(i * group->len)) !=
			    (ssize_t)group->len ||
		    madvise(pointer(row->addr), group->len, MADV_DONTNEED) < 0)
			die(group->kind);
		end(row, seed);
		verify(group, row);
	}
}

/* Shared memory: by a store, by write(2) to its file, by another process. */
static void change_shared(struct group *group, size_t turn)
{
	size_t i = turn % group->n;
	struct row *row = &group->rows[i];
	static uint64_t bytes[16 * PAGE / 8];
	uint64_t seed = next_seed++;
	int status;
	pid_t child;

	switch (turn / group->n % 3) {
	case 0:
		refill(group, row);
		break;
	case 1:
		fill(bytes, group->len, seed);
		begin(row);
		if (pwrite(group->fd, bytes, group->len, (off_t)(i * group->len)) !=
		    (ssize_t)group->len)
			die(group->kind);
		end(row, seed);
		break;
	default:
		begin(row);
		child = fork();
		if (child < 0)
			die("fork");
		if (child == 0) {
			fill(pointer(row->addr), group->len, seed);
			_exit(0);
		}
		if (waitpid(child, &status, 0) != child || status)
			die("child");
		end(row, seed);
	}
}

/* ---- kinds -------------------------------------------------------------------------------- */

static void *must_map(const char *kind, size_t len, int flags, int fd)
{
	void *p = mmap(NULL, len, RW, flags, fd, 0);

	if (p == MAP_FAILED)
		die(kind);
	return p;
}

/* N slots one after the other from `start` on, filled. */
static void add_slots(struct group *group, char *start, size_t n, size_t len)
{
	group->n = n;
	group->len = len;
	group->rows = must_map("table", PAGE, PRIVATE, -1);
	for (size_t i = 0; i < n; i++) {
		group->rows[i].addr = (uintptr_t)start + i * len;
		refill(group, &group->rows[i]);
	}
	emit("slots %p %zu %#zx", (void *)group->rows, n, len);
}

/* Of a mapping whose addresses are multiples of a page table's, or one page beside them. */
static char *aligned(const char *kind, size_t len, size_t beside)
{
	char *p = mmap(NULL, len + 3 * HUGE, PROT_NONE, PRIVATE | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die(kind);
	p = (char *)(((uintptr_t)p + 2 * HUGE - 1) & ~(HUGE - 1)) + beside;
	if (mmap(p, len, RW, PRIVATE | MAP_FIXED, -1, 0) == MAP_FAILED)
		die(kind);
	return p;
}

static char *small_pages(const char *kind, size_t len, size_t beside)
{
	char *p = aligned(kind, len, beside);

	madvise(p, len, MADV_NOHUGEPAGE);
	return p;
}

static void make_still(struct group *group)
{
	group->change = write_nothing;
	add_slots(group, small_pages(group->kind, 8 * HUGE, 0), 8, HUGE);
}

static void make_written(struct group *group)
{
	group->change = write_one;
	add_slots(group, small_pages(group->kind, 64 * PAGE, PAGE), 16, 4 * PAGE);
}

static void make_dropped(struct group *group)
{
	group->change = drop;
	add_slots(group, small_pages(group->kind, 64 * PAGE, PAGE), 8, 8 * PAGE);
}

static void make_anew(struct group *group)
{
	group->change = map_anew;
	add_slots(group, small_pages(group->kind, 64 * PAGE, PAGE), 8, 8 * PAGE);
}

static void make_moved(struct group *group)
{
	group->change = swap;
	group->spare = small_pages(group->kind, 8 * PAGE, PAGE);
	add_slots(group, small_pages(group->kind, 32 * PAGE, PAGE), 4, 8 * PAGE);
}

/* Away and back within the time that a dumper takes to copy a megabyte is what soft-dirty bits cannot
 * show, nor page frames: livecore's manual says so. */
static void swap_at_times(struct group *group, size_t turn)
{
	static struct timespec last;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((now.tv_sec - last.tv_sec) * 1000 + (now.tv_nsec - last.tv_nsec) / 1000000 < 30)
		return;
	last = now;
	swap(group, turn);
}

/* The kernel moves whole page tables, and the pages in them stay what they were. */
static void make_tables(struct group *group)
{
	group->change = swap_at_times;
	group->spare = small_pages(group->kind, HUGE, 0);
	add_slots(group, small_pages(group->kind, 4 * HUGE, 0), 4, HUGE);
}

static void make_thp(struct group *group)
{
	char *p = aligned(group->kind, 2 * HUGE, 0);

	group->change = write_one;
	if (madvise(p, 2 * HUGE, MADV_HUGEPAGE) < 0)
		die(group->kind);
	add_slots(group, p, 16, HUGE / 8);
}

static void make_thp_dropped(struct group *group)
{
	char *p = aligned(group->kind, 4 * HUGE, 0);

	group->change = drop;
	if (madvise(p, 4 * HUGE, MADV_HUGEPAGE) < 0)
		die(group->kind);
	add_slots(group, p, 4, HUGE);
}

static void make_hugetlb(struct group *group)
{
	char *p = mmap(NULL, 2 * HUGE, RW, PRIVATE | MAP_HUGETLB, -1, 0);

	if (p == MAP_FAILED) {
		emit("skip %s %s", group->kind, strerror(errno));
		return;
	}
	group->change = write_one;
	add_slots(group, p, 2, HUGE);
}

static void make_file(struct group *group)
{
	char *p;

	group->fd = file_make("pages.file", 33 * PAGE, 1);
	group->change = change_file;
	p = must_map(group->kind, 33 * PAGE, MAP_PRIVATE, group->fd);
	/* Without any page of its own the mapping would be left to the file. */
	p[32 * PAGE] = 1;
	add_slots(group, p, 4, 8 * PAGE);
}

static void make_shared(struct group *group)
{
	group->fd = memfd_create("pages", MFD_CLOEXEC);
	if (group->fd < 0 || ftruncate(group->fd, 32 * PAGE) < 0)
		die(group->kind);
	group->change = change_shared;
	add_slots(group, must_map(group->kind, 32 * PAGE, MAP_SHARED, group->fd), 4, 8 * PAGE);
}

/* Few pages of many. */
static void make_reserved(struct group *group)
{
	size_t len = (size_t)1 << 36;
	char *p = must_map(group->kind, len, PRIVATE | MAP_NORESERVE, -1);

	madvise(p, len, MADV_NOHUGEPAGE);
	group->change = write_one;
	add_slots(group, p + len / 2, 4, PAGE);
}

static const struct {
	const char *name;
	void (*make)(struct group *group);
} kinds[] = {
	{"still", make_still},     {"written", make_written},
	{"dropped", make_dropped}, {"anew", make_anew},
	{"moved", make_moved},     {"tables", make_tables},
	{"thp", make_thp},         {"thp_dropped", make_thp_dropped},
	{"hugetlb", make_hugetlb}, {"file", make_file},
	{"shared", make_shared},   {"reserved", make_reserved},
};

static struct group groups[N_ELEMENTS(kinds)];
static size_t n_groups;

static void add_group(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
		if (strcmp(name, kinds[i].name) == 0 && n_groups < N_ELEMENTS(groups)) {
			groups[n_groups].kind = name;
			kinds[i].make(&groups[n_groups]);
			n_groups += groups[n_groups].n > 0;
			return;
		}
	errno = EINVAL;
	die(name);
}

/* A little later; answers meanwhile. */
static void rest(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	char byte;

	if (poll(&input, 1, 1) <= 0)
		return;
	if (read(STDIN_FILENO, &byte, 1) != 1)
		_exit(0);
	if (byte != '\n')
		return;
	for (size_t i = 0; i < n_groups; i++)
		for (size_t k = 0; k < groups[i].n; k++)
			verify(&groups[i], &groups[i].rows[k]);
	emit("count %" PRIu64, n_changes);
	emit("answered");
}

int main(int argc, char **argv)
{
	victim_begin();
	for (int i = 1; i < argc; i++)
		add_group(argv[i]);
	emit("ready");
	for (size_t turn = 0;; turn++)
		for (size_t i = 0; i < n_groups; i++) {
			groups[i].change(&groups[i], turn);
			rest();
		}
}
