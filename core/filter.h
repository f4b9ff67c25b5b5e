/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which mappings a core holds: predicates, without input or output. */
#ifndef LC_FILTER_H
#define LC_FILTER_H

#include "livecore.h"
#include "vma.h"

/* How much of a mapping goes into the core. */
enum lc_take {
	LC_TAKE_NOTHING, /* no program header: a reader finds nothing there */
	LC_TAKE_COVER,   /* a program header without contents: a reader finds it in the file */
	LC_TAKE_HEADER,  /* the first page if it is an ELF header's, covered beyond */
	LC_TAKE_WHOLE,
};

struct lc_choice {
	enum lc_take take;
	const char *rule; /* static */
};

static inline uint32_t lc_filter_apply(struct lc_filter filter, uint32_t own)
{
	return (own & filter.keep) | filter.set;
}

/*
 * The kernel's vma_dump_size() (fs/coredump.c, Linux 6.18) over what /proc tells. `mask` is the
 * filter in force, `has_anon` tells whether the mapping has pages of its own (the kernel asks for
 * vma->anon_vma, which nobody sees from outside: a mapping that was written to and then emptied by
 * MADV_DONTNEED still has one, but then its file holds all there is).
 */
struct lc_choice lc_filter_choose(const struct lc_vma *vma, bool has_anon, uint32_t mask, bool all,
				  bool minimal);

/* True if only the pages of the mapping can tell whether it was written to: the caller need not
 * look at them otherwise. */
bool lc_filter_wants_anon(const struct lc_vma *vma);

#endif
