/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A plan, cut into pieces that can be read, in the order of the file. */
#ifndef LC_PIECES_H
#define LC_PIECES_H

#include "livecore.h"
#include "mapfile.h"
#include "pagemap.h"
#include "plan.h"

enum lc_via {
	LC_VIA_PROCESS,  /* process_vm_readv */
	LC_VIA_OWN_VDSO, /* at lc_pieces.own_vdso + file_off: the same pages, mapped by us too */
	LC_VIA_FORCED,   /* /proc/PID/mem: the target itself may not read it */
	LC_VIA_FILE,     /* the mapping's file */
	LC_VIA_NOTHING,  /* there is no way without doing harm: lost */
};

struct lc_piece {
	uint64_t addr;
	uint64_t off; /* in the core */
	uint64_t len;
	uint64_t file_off; /* LC_VIA_FILE, LC_VIA_OWN_VDSO */
	int fd;            /* LC_VIA_FILE: the walk's own, until the next piece */
	enum lc_via via;
	bool may_wait; /* for somebody else, if the page map was wrong about it */
	uint32_t kind; /* LC_VIA_PROCESS: enum lc_page_kind, where the page map was asked; else 0 */
	const struct lc_vma *vma;
};

/* A strategy has a part of the contents without reading it in the freeze. */
struct lc_cover {
	/* True if it has this piece, which may be made shorter so that one answer is right for it.
	 * NULL for the whole: it has nothing. */
	bool (*has)(void *arg, struct lc_piece *piece);
	/* Called for each piece, passed over or given; some more than once. May be NULL. Returns 0
	 * or -errno. */
	int (*note)(void *arg, const struct lc_piece *piece);
	void *arg;
	bool wanted; /* the walk gives what is covered instead of what is not */
};

#define LC_SMALL_SEGMENT (UINT64_C(1) << 20)

/* A walk; the inputs are borrowed, the page map is restarted for the stopped process. */
struct lc_pieces {
	const struct lc_plan *plan;
	const struct lc_vmas *vmas;
	struct lc_pagemap *pagemap;
	struct lc_mapfile *file;
	struct lc_cover cover;
	const uint8_t *own_vdso; /* NULL: the target's ABI is not ours */
	uint64_t own_vdso_len;
	/* Segments up to LC_SMALL_SEGMENT before the others, for who may have to stop half-way:
	 * stacks and the data of libraries are worth more than the middle of a heap. */
	bool small_first;
	bool large_now; /* the second time round */
	size_t segment; /* next */
	uint64_t at;    /* address in it; 0: its start */
};

/* Finds our own vdso: every process of one ABI has the same pages of it, and reading those that the
 * target never used through the target would make them part of it. */
void lc_pieces_find_own_vdso(struct lc_pieces *walk);

/* Goes to the next segment that has something left. False at the end. */
bool lc_pieces_to_segment(struct lc_pieces *walk);

/* The next piece, of at most `max_len` bytes. Returns 1, 0 at the end, or -errno. */
LC_MUST_CHECK int lc_pieces_next(struct lc_pieces *walk, uint64_t max_len,
				 struct lc_piece *ret_piece);

#endif
