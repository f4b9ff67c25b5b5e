/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Mappings that come, go and change at full speed, each thread its own, and a table that says what
 * there is at each instant but for the one place that its thread is at work on:
 *
 *   churn TABLE N_THREADS N_SLOTS
 *
 * With "alike" all mappings have one length and one protection, and differ in MADV_DONTDUMP.
 * The table is an array of struct worker; corecheck reads it out of the core.
 */
#include "victim_memory.h"

#define N_THREADS 3
#define N_SLOTS   32
#define MAX_PAGES 8
/* holes between the mappings, so that none is merged with its neighbour */
#define WINDOW ((MAX_PAGES + 8) * PAGE)

enum kind {
	GONE,
	WHOLE,    /* all pages are there */
	DONTDUMP, /* the same, and in no core */
	NONE,     /* all pages are there, PROT_NONE */
	HALF,     /* shared memory, whose file ends in the middle of the mapping */
	GROWN,    /* the same, which was short when it was mapped */
	N_KINDS,
};

struct slot {
	uint64_t addr, pages, seed, kind;
};

static struct worker {
	uint64_t busy; /* slot that is being changed, from 1 on; 0: none */
	uint64_t n_changes;
	struct slot slots[N_SLOTS];
} workers[N_THREADS];
static char *volatile windows;
static bool alike;

/* What is written before this is in memory before what is written after it: so it is on x86. */
static void barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return *state >> 33;
}

static void fill_slot(const struct slot *slot, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		fill((char *)(uintptr_t)slot->addr + i * PAGE, PAGE, slot->seed + i);
}

static void map_fixed(const struct slot *slot, int flags, int fd)
{
	void *want = (void *)(uintptr_t)slot->addr;

	if (mmap(want, slot->pages * PAGE, RW, flags | MAP_FIXED, fd, 0) != want)
		die("mmap");
}

static void map_anonymous(const struct slot *slot)
{
	map_fixed(slot, PRIVATE, -1);
	fill_slot(slot, slot->pages);
}

static void map_shared(const struct slot *slot)
{
	size_t pages = slot->pages / 2;
	int fd = memfd_create("churn", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)(pages * PAGE)) < 0)
		die("memfd_create");
	map_fixed(slot, MAP_SHARED, fd);
	fill_slot(slot, pages);
	if (slot->kind == GROWN) {
		if (ftruncate(fd, (off_t)(slot->pages * PAGE)) < 0)
			die("ftruncate");
		fill_slot(slot, slot->pages);
	}
	close(fd);
}

static void make(const struct slot *slot)
{
	void *start = (void *)(uintptr_t)slot->addr;
	size_t len = slot->pages * PAGE;

	if (slot->kind == HALF || slot->kind == GROWN)
		map_shared(slot);
	else if (slot->kind != GONE)
		map_anonymous(slot);
	if (slot->kind == DONTDUMP && madvise(start, len, MADV_DONTDUMP) < 0)
		die("MADV_DONTDUMP");
	if (slot->kind == NONE && mprotect(start, len, PROT_NONE) < 0)
		die("mprotect");
}

static void *churn(void *arg)
{
	struct worker *w = arg;
	uint64_t thread = (uint64_t)(w - workers), random = thread + 1, seed = 0;

	while (!windows)
		sched_yield();
	for (;;) {
		size_t i = next_random(&random) % N_SLOTS;
		struct slot next = {
			.addr = (uintptr_t)windows + (thread * N_SLOTS + i) * WINDOW,
			/* mostly the same length: mappings that differ in nothing but what they are
			 */
			.pages = next_random(&random) % 8 ? 4 : MAX_PAGES,
			.seed = (++seed << 8 | thread) << 4,
			.kind = next_random(&random) % N_KINDS,
		};

		if (alike) {
			next.pages = 4;
			next.kind = next.kind % 2 ? WHOLE : DONTDUMP;
		}
		w->busy = i + 1;
		barrier();
		/* or it is replaced in one step */
		if (!alike)
			munmap((void *)(uintptr_t)next.addr, MAX_PAGES * PAGE);
		make(&next);
		w->slots[i] = next;
		barrier();
		w->busy = 0;
		w->n_changes++;
	}
	return NULL;
}

static void answer(const char *question)
{
	uint64_t sum = 0;

	if (strcmp(question, "changes") != 0)
		return;
	for (size_t i = 0; i < N_THREADS; i++)
		sum += workers[i].n_changes;
	emit("changes %" PRIu64, sum);
}

int main(int argc, char **argv)
{
	char *start;

	alike = argc > 1 && strcmp(argv[1], "alike") == 0;
	victim_begin();
	/* whose stacks must not lie in the windows */
	for (size_t i = 0; i < N_THREADS; i++)
		victim_thread(churn, &workers[i]);
	start = map("windows", N_THREADS * N_SLOTS * WINDOW, PROT_NONE, PRIVATE | MAP_NORESERVE,
		    -1);
	munmap(start, N_THREADS * N_SLOTS * WINDOW);
	windows = start;
	emit("churn %#lx %d %d", (unsigned long)workers, N_THREADS, N_SLOTS);
	victim_serve(answer);
}
