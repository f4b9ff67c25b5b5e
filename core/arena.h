/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Memory for contents that are read in the freeze and written after it: reserved and touched
 * before, since a page fault in fresh memory costs ten times what it costs to copy a page.
 */
#ifndef LC_ARENA_H
#define LC_ARENA_H

#include "livecore.h"

/* Bytes that belong at `off` of the core. */
struct lc_kept {
	uint64_t off, len;
	const uint8_t *data; /* in the arena */
};

/* Starts zeroed. Not for several threads at once. */
struct lc_arena {
	uint8_t *mem;
	uint64_t cap, used; /* bytes */
	struct lc_kept *v;
	size_t n, cap_v;
};

/* The most that a snapshot may take: `bound` (0: half of MemAvailable), and never more than nine
 * tenths of MemAvailable. Bytes. */
uint64_t lc_arena_bound(uint64_t bound);

/* Makes room for `bytes` and touches it, by as many threads as there are processors. What was in it
 * is gone. Returns 0 or -ENOMEM, the arena then empty. */
LC_MUST_CHECK int lc_arena_reserve(struct lc_arena *arena, uint64_t bytes);

/* `len` bytes of it; NULL: there is no room for them. */
uint8_t *lc_arena_take(struct lc_arena *arena, uint64_t len);

/* Notes that bytes which were taken belong at `off`. Returns 0 or -ENOMEM. */
LC_MUST_CHECK int lc_arena_keep(struct lc_arena *arena, uint64_t off, uint64_t len,
				const uint8_t *data);

void lc_arena_free(struct lc_arena *arena);

#endif
