/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A process that was looked up: its identity, and the descriptors that hold it. */
#ifndef LC_TARGET_H
#define LC_TARGET_H

#include "livecore.h"
#include "procfs.h"

struct lc_target {
	struct lc_identity id;
	int procfd; /* /proc */
	int dirfd;  /* /proc/PID: goes stale with the process, never speaks of a successor */
	struct lc_stat stat;
	struct lc_status status;
};

/* The same process is still there, and no zombie. Returns 0, or -ESRCH with the error set. */
LC_MUST_CHECK int lc_target_check_alive(const struct lc_target *target, struct lc_err *err);

/* Says why a call on the target was refused with `code` (EPERM, EACCES or ESRCH), and what helps.
 * Returns -code. */
int lc_target_why_denied(const struct lc_target *target, int code, struct lc_err *err);

#endif
