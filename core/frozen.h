/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is learned of a frozen target, stage by stage; and, before the freeze, of a running one. */
#ifndef LC_FROZEN_H
#define LC_FROZEN_H

#include "../elfw/image.h"
#include "pending.h"
#include "prep.h"
#include "threads.h"

/* Starts zeroed. */
struct lc_frozen {
	const struct lc_arch *arch;
	struct lc_threads threads;
	struct lc_vmas vmas;
	struct lc_plan plan;
	struct elfw_layout layout;
	uint64_t deadline_ns;      /* by which the target must be let go; 0: never */
	struct lc_pending pending; /* signals when it was frozen */
};

void lc_frozen_free(struct lc_frozen *f);

/* The core as it would be now: mappings, plan and layout of a process that runs. Headers are exact,
 * notes near enough. Returns 0 or -errno. */
LC_MUST_CHECK int lc_frozen_estimate(struct lc_prep *p, struct lc_frozen *f, struct lc_err *err);

/* Holds an estimate against what the output has. Returns 0 or -ENOSPC, the error with both figures.
 */
LC_MUST_CHECK int lc_frozen_check_space(const struct lc_frozen *f, const struct lc_request *request,
					const struct elfw_sink *sink, struct lc_err *err);

/* The error of memory that was opened and is not the process's any more: it ends, or executed
 * another program. Returns -ESRCH or -ESTALE. */
int lc_frozen_refuse_stale(const struct lc_prep *p, struct lc_err *err);

/* The stages inside the freeze, in this order. All return 0 or -errno with the error set. */
LC_MUST_CHECK int lc_frozen_reopen(struct lc_prep *p, const struct lc_frozen *f,
				   struct lc_err *err);
LC_MUST_CHECK int lc_frozen_check_program(struct lc_prep *p, struct lc_err *err);
LC_MUST_CHECK int lc_frozen_choose_arch(const struct lc_prep *p, struct lc_frozen *f,
					struct lc_err *err);
LC_MUST_CHECK int lc_frozen_add_threads(struct lc_prep *p, struct lc_frozen *f,
					struct lc_losses *losses, struct lc_err *err);
LC_MUST_CHECK int lc_frozen_plan(struct lc_prep *p, struct lc_frozen *f, struct lc_losses *losses,
				 struct lc_err *err);
LC_MUST_CHECK int lc_frozen_add_files(struct lc_prep *p, struct lc_frozen *f, struct lc_err *err);
LC_MUST_CHECK int lc_frozen_layout(struct lc_frozen *f, size_t note_len, uint64_t page_size,
				   struct lc_err *err);
size_t lc_frozen_notes_len(const struct lc_prep *p);

/* After the thaw: what was not read is listed, and the head of the core written anew so that
 * nothing covers it. */
void lc_frozen_lose_unread(const struct lc_capture *c, bool covered, struct lc_losses *losses);
LC_MUST_CHECK int lc_frozen_uncover(struct lc_prep *p, struct lc_frozen *f,
				    const struct lc_capture *c, size_t *ret_n_segments,
				    struct lc_err *err);

#endif
