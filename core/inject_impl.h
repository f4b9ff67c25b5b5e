/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of inject.h share. All returns 0 or -errno unless it says otherwise. */
#ifndef LC_INJECT_IMPL_H
#define LC_INJECT_IMPL_H

#include <fcntl.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>

#include "inject.h"
#include "tracee.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1 /* since Linux 5.11 */
#endif

/* Each call takes microseconds; a busy machine may keep the thread waiting. */
#define LC_STEP_NS UINT64_C(2000000000)

/* No signal at its end; the thread waits for it; where to write its PID is in the call. */
#define LC_HELPER_FLAGS (CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PARENT_SETTID)
/* Made by the helper, whose table of descriptors is empty; its stack is in its own copy. */
#define LC_COPY_FLAGS CLONE_FILES
#define LC_UFFD_FLAGS (O_CLOEXEC | UFFD_USER_MODE_ONLY)

/* ---- inject_thread.c ---------------------------------------------------------------------- */

/* The thread that will make the calls, and its registers. -ENOTSUP with the reason in the error. */
LC_MUST_CHECK int lc_inject_choose_thread(struct lc_inject *inject, struct lc_err *err);

/* Whether its seccomp filters would do it harm for one of the calls; else `suspends` is set as they
 * demand. */
bool lc_inject_may_be_killed(struct lc_inject *inject, pid_t tid);

/* Below its red zone, aligned: frames end there. */
uint64_t lc_inject_frames_end(const struct lc_inject *inject);

/* As lc_call_abi.number_before(), of the call that a thread with these registers is in. */
int64_t lc_inject_number_before(pid_t tid, const struct lc_arch *arch, const uint8_t *regs);

/* ---- inject.c ----------------------------------------------------------------------------- */

/* A step has LC_STEP_NS from here. */
void lc_inject_begin_step(struct lc_inject *inject);

/* PTRACE_O_* of a thread that makes calls. */
long lc_inject_options(const struct lc_inject *inject);

/* Makes a call in a stopped tracee, `regs` being its registers, and `stack` where the call returns
 * to. Leaves it stopped in the call if that is one that gives an event, behind it otherwise. */
LC_MUST_CHECK int lc_inject_call(const struct lc_inject *inject, pid_t tid, const uint8_t *regs,
				 uint64_t stack, const struct lc_call *call,
				 unsigned int *ret_stop);

/* What the call that a tracee stands behind has returned. */
LC_MUST_CHECK int lc_inject_result(const struct lc_inject *inject, pid_t tid, int64_t *ret_result);

/* A call without an event, and its result. */
LC_MUST_CHECK int lc_inject_simple_call(const struct lc_inject *inject, pid_t tid,
					const uint8_t *regs, uint64_t stack,
					const struct lc_call *call, int64_t *ret_result);

/* Puts the thread back: each step is tried, whatever became of the one before. */
LC_MUST_CHECK int lc_inject_give_back(struct lc_inject *inject);

#endif
