/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A livecore that was given CAP_SYS_PTRACE for whoever calls it (file capabilities). It serves one
 * purpose: where Yama keeps a process from its own user. So it is in effect for two system calls,
 * opening /proc/PID/mem and PTRACE_SEIZE; all the rest the kernel measures by the caller's own
 * rights, and what those two opened is checked again when nobody can change it any more.
 */
#ifndef LC_CALLER_H
#define LC_CALLER_H

#include "livecore.h"
#include "target.h"

/* Put CAP_SYS_PTRACE into effect in the calling thread, and out of it. Nothing happens unless
 * `for_caller` is set, nor without the capability: the kernel's refusal is named then. */
void lc_caller_raise(bool for_caller);
void lc_caller_lower(bool for_caller);

/*
 * Refuses what the caller may not have: ids other than the caller's real ones (real, effective,
 * saved, file system), not dumpable, capabilities, another user namespace. Returns 0, -EPERM with
 * the check in the error, or -ESRCH. A target that runs may change at once; one whose threads are
 * all stopped may not.
 */
LC_MUST_CHECK int lc_caller_check(const struct lc_target *target, bool for_caller,
				  struct lc_err *err);

#endif
