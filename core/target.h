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

/*
 * Refuses a process whose core the kernel is writing: PTRACE_INTERRUPT would interrupt the kernel
 * in it, and cut that core off. Returns 0, or -EBUSY with the error set.
 */
LC_MUST_CHECK int lc_target_check_not_crashing(const struct lc_target *target, struct lc_err *err);

/* The error of a process that has ended meanwhile. Returns -ESRCH. */
int lc_target_has_ended(const struct lc_target *target, struct lc_err *err);

/*
 * Makes this the only livecore that dumps the target, until lc_target_close(): a lock on /proc/PID,
 * which ends with its holder. Waits `wait_ns` for another one. Returns 0, -EBUSY with the holder in
 * the error, or -EINTR.
 */
LC_MUST_CHECK int lc_target_lock(const struct lc_target *target, uint64_t wait_ns,
				 const volatile sig_atomic_t *abort_flag, struct lc_err *err);

/* Says why a call on the target was refused with `code` (EPERM, EACCES or ESRCH), and what helps.
 * `tid` is the thread that it was about, `tracer` that thread's; 0: the leader, the leader's.
 * Returns -code. */
int lc_target_why_denied(const struct lc_target *target, int code, pid_t tid, pid_t tracer,
			 struct lc_err *err);

/* Is it the caller's own, each thread of it, so that only a rule such as Yama's could keep it from
 * the caller? Returns 0, -EPERM with the difference in the error, or -ESRCH. */
LC_MUST_CHECK int lc_target_check_owned(const struct lc_target *target, struct lc_err *err);

#endif
