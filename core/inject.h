/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * System calls that a stopped thread of the target makes for us, so that a process comes to be
 * which has the target's memory: for a moment one that shares it (the helper), and, made by that
 * one, one that has a copy of it. The target never sees either: the helper is reaped by the thread
 * that made it, inside the freeze, and gives no SIGCHLD; the copy is not its child.
 *
 * Whenever we are killed, the thread goes on as it was (arch/call.h says how), and the helper and
 * the copy die. No code of the target is changed.
 */
#ifndef LC_INJECT_H
#define LC_INJECT_H

#include "arch/arch.h"
#include "livecore.h"
#include "mapfile.h"
#include "pagemap.h"
#include "threads.h"
#include "vma.h"

/* Where the target has the code that is needed. Starts zeroed. */
struct lc_code {
	const struct lc_call_abi *abi;
	uint64_t call, back; /* addresses: "call; return", and rt_sigreturn's */
};

/* Looks for it in the files of executable mappings, C libraries first. While the target runs.
 * Returns 0, or -ENOTSUP with the reason in the error. */
LC_MUST_CHECK int lc_code_find(const struct lc_arch *arch, const struct lc_vmas *vmas,
			       struct lc_mapfile *file, struct lc_code *ret_code,
			       struct lc_err *err);

enum lc_inject_purpose {
	LC_INJECT_USERFAULTFD,
	LC_INJECT_COPY,
};

struct lc_inject_inputs {
	enum lc_inject_purpose
		purpose; /* decides which calls a filter of seccomp(2) must let pass */
	const struct lc_target *target;
	const struct lc_threads *threads; /* all stopped by the calling thread */
	const struct lc_vmas *vmas;
	struct lc_pagemap *pagemap;
	const struct lc_arch *arch;
	const struct lc_code *code;
	bool for_caller; /* the request's */
};

/* The most that frames take: AMX's tiles alone are 8 KiB. */
#define LC_FRAMES_MAX 16384

struct lc_inject {
	struct lc_inject_inputs in;
	const struct lc_thread *thread;
	uint64_t deadline_ns;
	uint8_t regs[LC_GENERAL_REGS_MAX]; /* the thread's own */
	size_t regs_len;
	uint64_t sigmask;
	bool calling;  /* its registers are ours */
	bool filtered; /* it is under seccomp */
	bool suspends; /* its filters, while we make calls */

	/* What stands in the thread's stack below its red zone, and what stood there before. */
	uint64_t frames, frames_len;
	uint64_t scratch, own_frame, wait_frame, exit_frame; /* addresses */
	uint8_t frames_now[LC_FRAMES_MAX], frames_before[LC_FRAMES_MAX];

	pid_t helper; /* as we see it; 0: none */
	uint8_t helper_regs[LC_GENERAL_REGS_MAX];
};

/*
 * Chooses a thread, prepares its stack and sets its registers. Returns 0, -ENOTSUP with the reason
 * in the error if no thread can do it, or -errno; nothing is left of it then.
 */
LC_MUST_CHECK int lc_inject_open(struct lc_inject *inject, const struct lc_inject_inputs *in,
				 struct lc_err *err);

/* Refuses a target to which a copy would fall when the helper ends. Returns 0, -ENOTSUP with the
 * reason, or -errno. */
LC_MUST_CHECK int lc_inject_check_orphans(struct lc_inject *inject, struct lc_err *err);

/* Makes the helper: it shares the memory, has no descriptors, and is stopped. Returns 0, -EAGAIN or
 * another errno of clone(2)'s, with the error set. */
LC_MUST_CHECK int lc_inject_start_helper(struct lc_inject *inject, struct lc_err *err);

/* A userfaultfd(2) of the target's memory, made by the helper and taken over: close-on-exec, ours.
 * Returns the descriptor or -errno. */
LC_MUST_CHECK int lc_inject_userfaultfd(struct lc_inject *inject, struct lc_err *err);

/* A process with a copy of the target's memory as it is now, made by the helper: stopped, traced by
 * the calling thread, killed with it. Returns its PID or -errno. */
LC_MUST_CHECK pid_t lc_inject_copy(struct lc_inject *inject, struct lc_err *err);

/* Ends the helper, and gives the thread its registers, its signal mask and its stack back. Returns
 * 0 or -errno. Accepts what lc_inject_open() refused. */
int lc_inject_close(struct lc_inject *inject, struct lc_err *err);

/* Kills a copy and collects it. By the thread that made it. */
void lc_inject_end_copy(pid_t pid);

#endif
