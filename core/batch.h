/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A handful of pieces that are read together and written together. */
#ifndef LC_BATCH_H
#define LC_BATCH_H

#include "../elfw/sink.h"
#include "arena.h"
#include "livecore.h"
#include "memsrc.h"
#include "pieces.h"

#define LC_BATCH_SIZE (UINT64_C(1) << 20)

/* A growing list of address ranges. Starts zeroed. */
struct lc_ranges {
	struct lc_range *v;
	size_t n, cap;
};

/* A range that touches the last one makes it longer. Returns 0 or -ENOMEM. */
LC_MUST_CHECK int lc_ranges_add(struct lc_ranges *ranges, uint64_t start, uint64_t end);
void lc_ranges_sort(struct lc_ranges *ranges);
/* Sorts, and makes one of those that overlap or touch. */
void lc_ranges_merge(struct lc_ranges *ranges);

/* Whether merged ranges have `at`. *len, at first the most that is of interest, becomes the length
 * of what follows with the same answer. */
bool lc_ranges_have(const struct lc_ranges *ranges, uint64_t at, uint64_t *len);
void lc_ranges_free(struct lc_ranges *ranges);

struct lc_batch {
	uint8_t *buf; /* the contents of the pieces, one after the other: `own`, or lent */
	uint8_t *own; /* LC_BATCH_SIZE bytes */
	size_t n;
	uint64_t len;
	struct lc_ranges unread; /* pages that could not be read; they are zero in `buf` */
	struct lc_piece pieces[LC_MEMSRC_MAX_RANGES];
	struct iovec ranges[LC_MEMSRC_MAX_RANGES];
};

/* Allocated with its memory touched: a page fault in fresh memory costs more than to copy the page.
 * NULL: out of memory. */
struct lc_batch *lc_batch_new(void);
void lc_batch_free(struct lc_batch *batch); /* accepts NULL */

/* Fills it with the next pieces; it holds descriptors of its own for those of files. Returns 1, 0
 * if there are no more, or -errno. */
LC_MUST_CHECK int lc_batch_take(struct lc_batch *batch, struct lc_pieces *walk);

/* Reads all of it, page by page around what cannot be read. Returns 0, -ESRCH if the process is
 * gone, or -ENOMEM. */
LC_MUST_CHECK int lc_batch_read(struct lc_batch *batch, const struct lc_memsrc *src,
				const uint8_t *own_vdso, uint64_t page_size);

/* Notes in the arena, which lent the buffer, where its contents belong. Returns 0 or -ENOMEM. */
LC_MUST_CHECK int lc_batch_keep(const struct lc_batch *batch, struct lc_arena *arena);

/* Writes all of it; pieces that follow one another in the core are one write. `again`:
 * something else may have been written there before. Returns 0 or the sink's error. */
LC_MUST_CHECK int lc_batch_write(const struct lc_batch *batch, struct elfw_sink *sink, bool again);

#endif
