/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the engine's files fill struct lc_err, and other small things that they all need. */
#ifndef LC_ERR_H
#define LC_ERR_H

#include <errno.h>
#include <unistd.h>

#include "livecore.h"

/* Fills `err` (which may be NULL) and returns -code, so that a failure is one statement. What the
 * error held before is replaced: the first error of a call chain is the only one. */
__attribute__((format(printf, 4, 5))) int lc_err_set(struct lc_err *err, int code,
						     enum lc_stage stage, const char *text, ...);

/* Adds the remedy to an error that was just set. */
__attribute__((format(printf, 2, 3))) void lc_err_hint(struct lc_err *err, const char *hint, ...);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t lc_now_ns(void);

/* `deadline_ns` is of that clock; 0: never. */
static inline bool lc_is_past(uint64_t deadline_ns)
{
	return deadline_ns && lc_now_ns() >= deadline_ns;
}

/* close() that accepts -1, keeps errno and leaves -1 behind. */
void lc_close(int *fd);

static inline bool lc_aborted(const volatile sig_atomic_t *abort_flag)
{
	/* set by a handler, in whichever thread it runs */
	return abort_flag && __atomic_load_n(abort_flag, __ATOMIC_RELAXED);
}

/* Makes room for one more element in a growable array; returns 0 or -ENOMEM. */
LC_MUST_CHECK int lc_grow(void **array, size_t *cap, size_t n, size_t element_size);

#endif
