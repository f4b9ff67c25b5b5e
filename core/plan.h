/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which ranges of a target a core holds, each with the rule that chose it. */
#ifndef LC_PLAN_H
#define LC_PLAN_H

#include "../elfw/layout.h"
#include "livecore.h"
#include "mapfile.h"
#include "memsrc.h"
#include "pagemap.h"
#include "vma.h"

/* Where the contents of a segment come from. */
enum lc_source {
	LC_SOURCE_NONE,
	LC_SOURCE_PAGES,        /* pages that exist, from the process; the rest is zero */
	LC_SOURCE_PRIVATE_FILE, /* pages that exist, from the process; the rest from the file */
	LC_SOURCE_SHARED_FILE,  /* all of it from the file: it is the memory */
	LC_SOURCE_PROCESS,      /* all of it from the process */
	LC_SOURCE_VDSO, /* pages that exist, from the process; the rest is in our own vdso */
};

struct lc_segment {
	size_t vma; /* index */
	enum lc_source source;
};

/* What became of a mapping. */
struct lc_verdict {
	const char *rule; /* static */
	uint64_t file_bytes;
	uint64_t data_bytes; /* of these, what is not a hole */
	/* Left out although the process has written to it: the file would give a reader the wrong
	 * bytes, so NT_FILE must not send it there. */
	bool misleading;
};

/* Addresses. */
struct lc_range {
	uint64_t start, end;
};

/* Segments as the layout wants them, and beside each where its contents come from. Starts zeroed.
 */
struct lc_plan {
	struct elfw_segment *segments;
	struct lc_segment *sources;
	size_t n, cap, cap_sources;
	struct lc_verdict *verdicts; /* one for each mapping */
	uint64_t data_bytes;
};

/* Which files start with a header that a core holds. Asked before the freeze, and remembered inside
 * it: a file is the same file there. Starts zeroed. */
struct lc_header_memo {
	struct lc_known_header {
		uint64_t inode;
		uint32_t dev_major, dev_minor;
		bool is_header;
	} * v;
	size_t n, cap, cursor;
};

void lc_header_memo_free(struct lc_header_memo *memo);

/* What planning asks; all of it is the caller's. */
struct lc_plan_inputs {
	const struct lc_vmas *vmas;
	struct lc_pagemap *pagemap;
	struct lc_mapfile *file;
	const struct lc_memsrc *memsrc;
	struct lc_header_memo *headers;
	uint32_t filter; /* the bits in force */
	bool all, minimal;
	uint64_t page_size;
};

/* Returns 0, -ENOMEM, or -errno of the page map; after the page map's deadline the rest is lost.
 * What the plan knows cannot be saved is a loss
 * (`losses` may be NULL). */
LC_MUST_CHECK int lc_plan_make(const struct lc_plan_inputs *in, struct lc_losses *losses,
			       struct lc_plan *ret_plan);
void lc_plan_free(struct lc_plan *plan);

#endif
