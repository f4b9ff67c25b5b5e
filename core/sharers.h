/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Processes that have the target's memory and are not its threads. */
#ifndef LC_SHARERS_H
#define LC_SHARERS_H

#include "target.h"

/*
 * Finds them: made by clone(2) with CLONE_VM and without CLONE_THREAD, as vfork(2) does. `tid` is a
 * living thread of the target. kcmp(2) compares, so those that the caller may not trace are not
 * found, nor is any on a kernel without it. Returns 0 or -ENOMEM.
 */
LC_MUST_CHECK int lc_sharers_find(const struct lc_target *target, pid_t tid,
				  struct lc_sharers *ret_sharers);
void lc_sharers_free(struct lc_sharers *sharers);

#endif
