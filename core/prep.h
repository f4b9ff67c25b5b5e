/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Everything that is opened, read and reserved while the target still runs. */
#ifndef LC_PREP_H
#define LC_PREP_H

#include "mapfile.h"
#include "memsrc.h"
#include "pagelist.h"
#include "pagemap.h"
#include "pieces.h"
#include "plan.h"
#include "procnotes.h"
#include "team.h"

/* lc_prep_free() accepts it from lc_prep_init() on. */
struct lc_prep {
	const struct lc_target *target;
	const struct lc_request *request;
	int taskfd; /* a living thread's directory */
	uint64_t page_size;
	struct lc_procinfo info;
	struct lc_vma_hints hints;
	struct lc_pagemap pagemap;
	/* NULL: the page map is asked as the plan goes along; else filled first, by the strategy's
	 * need */
	struct lc_pagelist *pages;
	bool no_zero_page;
	/* smaps, which takes 30 ms and more for each GiB, must not be read: -EAGAIN if it had to be
	 */
	bool in_a_hurry;
	struct lc_memsrc memsrc;
	struct lc_mounts mounts;
	struct lc_mapfile file;
	struct lc_pieces pieces;
	struct lc_header_memo headers;
	struct lc_regbuf regbuf;
	struct elfw_notes notes[LC_NOTES_N_PARTS];
	struct lc_team *team;
};

void lc_prep_init(struct lc_prep *p, const struct lc_target *target,
		  const struct lc_request *request);

/* Opens what the target's memory is read through, and reads what does not change by itself. Says
 * why if that is refused. Returns 0 or -errno. */
LC_MUST_CHECK int lc_prep_open(struct lc_prep *p, struct lc_err *err);

/* Reserves what the freeze will need, so that nothing is allocated while the target waits, and
 * starts the threads that will copy. `note_len` and `data_bytes` are an estimate's. Returns 0 or
 * -errno. */
LC_MUST_CHECK int lc_prep_reserve(struct lc_prep *p, const struct lc_arch *arch, size_t note_len,
				  uint64_t data_bytes, const struct elfw_sink *sink,
				  struct lc_err *err);

/* Whether a walk of its page tables takes long. */
bool lc_prep_is_large(const struct lc_prep *p);

/* The directory of a thread in /proc. Returns a descriptor or -errno. */
LC_MUST_CHECK int lc_prep_open_task(const struct lc_target *target, pid_t tid);

void lc_prep_free(struct lc_prep *p);

#endif
