/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reserving is done while the target runs; taking and keeping inside the freeze. */
#include "arena.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "err.h"
#include "procfs.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* since Linux 5.14 */
#endif

#define HUGE_PAGE    (UINT64_C(2) << 20)
#define MAX_TOUCHERS 4

/* One note of what is kept, for each so many bytes. */
#define BYTES_PER_NOTE 65536

static uint64_t available(void)
{
	struct lc_text text = {0};
	const char *line;
	uint64_t kib = 0;

	if (lc_procfs_read(AT_FDCWD, "/proc/meminfo", &text) == 0) {
		line = strstr(text.data, "MemAvailable:");
		kib = line ? strtoull(line + strlen("MemAvailable:"), NULL, 10) : 0;
	}
	lc_text_free(&text);
	return kib * 1024;
}

uint64_t lc_arena_bound(uint64_t bound)
{
	uint64_t have = available(), most = have / 10 * 9;

	if (!bound)
		return have / 2;
	return bound < most ? bound : most;
}

struct toucher {
	pthread_t thread;
	uint8_t *start;
	uint64_t len;
};

static void *touch(void *arg)
{
	const struct toucher *t = arg;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (madvise(t->start, t->len, MADV_POPULATE_WRITE) == 0)
		return NULL;
	for (uint64_t at = 0; at < t->len; at += page)
		((volatile uint8_t *)t->start)[at] = 0;
	return NULL;
}

static void touch_all(uint8_t *mem, uint64_t bytes)
{
	struct toucher touchers[MAX_TOUCHERS];
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t n = n_cpus < 1 ? 1 : n_cpus < MAX_TOUCHERS ? (uint64_t)n_cpus : MAX_TOUCHERS;
	uint64_t part = (bytes / n + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	size_t started = 0;
	uint64_t at = 0;

	for (; at < bytes && started < n; started++, at += part) {
		struct toucher *t = &touchers[started];

		*t = (struct toucher){.start = mem + at,
				      .len = bytes - at < part ? bytes - at : part};
		if (pthread_create(&t->thread, NULL, touch, t) != 0)
			break;
	}
	for (size_t i = 0; i < started; i++)
		pthread_join(touchers[i].thread, NULL);
}

int lc_arena_reserve(struct lc_arena *arena, uint64_t bytes)
{
	size_t notes = (size_t)(bytes / BYTES_PER_NOTE) + 1024;

	lc_arena_free(arena);
	bytes = (bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	arena->mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena->mem == MAP_FAILED) {
		arena->mem = NULL;
		return -ENOMEM;
	}
	arena->cap = bytes;
	arena->v = calloc(notes, sizeof(*arena->v));
	if (!arena->v) {
		lc_arena_free(arena);
		return -ENOMEM;
	}
	arena->cap_v = notes;
	memset(arena->v, 0, notes * sizeof(*arena->v));
	madvise(arena->mem, bytes, MADV_HUGEPAGE);
	madvise(arena->mem, bytes, MADV_DONTDUMP);
	touch_all(arena->mem, bytes);
	return 0;
}

uint8_t *lc_arena_take(struct lc_arena *arena, uint64_t len)
{
	uint8_t *taken;

	if (!arena->mem || len > arena->cap - arena->used)
		return NULL;
	taken = arena->mem + arena->used;
	arena->used += len;
	return taken;
}

int lc_arena_keep(struct lc_arena *arena, uint64_t off, uint64_t len, const uint8_t *data)
{
	struct lc_kept *last = arena->n ? &arena->v[arena->n - 1] : NULL;
	int r;

	if (last && last->off + last->len == off && last->data + last->len == data &&
	    last->len < BYTES_PER_NOTE * 16) {
		last->len += len;
		return 0;
	}
	r = lc_grow((void **)&arena->v, &arena->cap_v, arena->n, sizeof(*arena->v));
	if (r == 0)
		arena->v[arena->n++] = (struct lc_kept){.off = off, .len = len, .data = data};
	return r;
}

void lc_arena_free(struct lc_arena *arena)
{
	if (arena->mem)
		munmap(arena->mem, arena->cap);
	free(arena->v);
	*arena = (struct lc_arena){0};
}
