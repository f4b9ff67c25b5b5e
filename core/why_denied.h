/* SPDX-License-Identifier: GPL-3.0-or-later */
/* EPERM into its cause. The facts are collected apart from the reasoning, so that tests state them.
 */
#ifndef LC_WHY_DENIED_H
#define LC_WHY_DENIED_H

#include "livecore.h"
#include "procfs.h"

struct lc_denial_facts {
	pid_t pid;
	pid_t tid; /* the thread that `target` is of; 0: the leader's */
	int code;  /* of the refused call */
	uid_t uid; /* ours, real: ptrace(2) compares the real ids */
	gid_t gid;
	bool cap_sys_ptrace; /* in our effective set */
	bool cap_dac_read;   /* CAP_DAC_READ_SEARCH or CAP_DAC_OVERRIDE is, too */
	uint64_t cap_prm;    /* our permitted set */
	struct lc_status target;
	char target_comm[64];
	bool for_caller;   /* our CAP_SYS_PTRACE is for the caller's own processes */
	bool not_dumpable; /* /proc/PID/status is not its user's */
	bool other_userns; /* known to be in another user namespace */
	int yama;          /* ptrace_scope; -1: no Yama */
	int own_seccomp;   /* our own mode */
	char tracer_comm[64];
	char lsm[128]; /* /sys/kernel/security/lsm; may be empty */
};

/* Why a call was refused. */
void lc_denial_explain(const struct lc_denial_facts *facts, struct lc_err *err);

/* Why the target is not simply the caller's own, by the first `n_ids` of the four ids, each of user
 * and group. Returns false if it is. */
bool lc_denial_explain_not_owned(const struct lc_denial_facts *facts, size_t n_ids,
				 struct lc_err *err);

#endif
