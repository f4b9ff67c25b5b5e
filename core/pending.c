/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pending signals of a frozen process. Runs inside the freeze, every few milliseconds. */
#include "pending.h"

#include <stdio.h>
#include <sys/ptrace.h>

#define BIT(signo) (UINT64_C(1) << ((signo)-1))

/* signal(7): what the default action ignores */
#define IGNORED_BY_DEFAULT (BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) | BIT(SIGWINCH))

uint64_t lc_pending_queued(pid_t tid)
{
	struct __ptrace_peeksiginfo_args args = {.nr = 8};
	siginfo_t infos[8];
	uint64_t mask = 0;
	long n;

	while ((n = ptrace(PTRACE_PEEKSIGINFO, tid, &args, infos)) > 0) {
		for (long i = 0; i < n; i++)
			if (infos[i].si_signo >= 1 && infos[i].si_signo <= 64)
				mask |= BIT(infos[i].si_signo);
		args.off += (uint64_t)n;
	}
	return mask;
}

static uint64_t queued_by_any(const struct lc_threads *threads)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < threads->n; i++)
		if (threads->v[i].state == LC_THREAD_STOPPED)
			mask |= lc_pending_queued(threads->v[i].tid);
	return mask;
}

void lc_pending_read(struct lc_pending *pending, const struct lc_threads *threads)
{
	struct lc_status status;

	*pending = (struct lc_pending){.heeded = UINT64_MAX};
	if (lc_procfs_status(threads->target->dirfd, "status", &status) == 0) {
		pending->shared = status.shdpnd;
		pending->heeded = ~status.sigign & (status.sigcgt | ~IGNORED_BY_DEFAULT);
	}
	pending->own = queued_by_any(threads);
}

bool lc_pending_is_new(const struct lc_pending *before, const struct lc_threads *threads)
{
	struct lc_status status;

	if (lc_procfs_status(threads->target->dirfd, "status", &status) == 0 &&
	    (status.shdpnd & ~before->shared & before->heeded))
		return true;
	return queued_by_any(threads) & ~before->own & before->heeded;
}
