/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Signals that come while the target is frozen: somebody wants it to act or to end. */
#ifndef LC_PENDING_H
#define LC_PENDING_H

#include "threads.h"

/* The queue of one stopped thread as a mask: asking costs a tenth of what reading its status does.
 * Its own signals, not those of the process. */
uint64_t lc_pending_queued(pid_t tid);

/* What pended when the target was frozen. Starts zeroed. */
struct lc_pending {
	uint64_t heeded; /* signals that are not ignored */
	uint64_t shared; /* of the process */
	uint64_t own;    /* of any of its threads, together */
};

/* Precondition for both: all threads are stopped by the calling thread. */
void lc_pending_read(struct lc_pending *pending, const struct lc_threads *threads);

/* True if a signal pends that did not then, and that the target does not ignore. A tracer makes the
 * kernel queue ignored signals as well; they are nobody's wish. */
bool lc_pending_is_new(const struct lc_pending *before, const struct lc_threads *threads);

#endif
