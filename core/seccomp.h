/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the seccomp filters of a thread say of a system call before the thread makes it: a call that
 * is made in its place must not be the one that kills it.
 */
#ifndef LC_SECCOMP_H
#define LC_SECCOMP_H

#include <linux/filter.h>

#include "livecore.h"

/* One filter, as the process installed it: classic BPF (linux/filter.h). */
struct lc_bpf_program {
	struct sock_filter *insns;
	size_t n;
};

/* The filters of a thread, the oldest first. */
struct lc_bpf_programs {
	struct lc_bpf_program *v;
	size_t n;
};

/* What a filter can see of a call (linux/seccomp.h: struct seccomp_data). */
struct lc_seccomp_call {
	int32_t nr;
	uint32_t arch; /* AUDIT_ARCH_* of the thread */
	uint64_t ip;   /* after the instruction that makes the call */
	uint64_t args[6];
};

/* What comes of a call, as far as one who makes it in another's place is concerned. */
enum lc_seccomp_answer {
	LC_SECCOMP_HARMS,   /* may kill, signal or hold the thread; or it is not known */
	LC_SECCOMP_REFUSES, /* the call fails, or seems to succeed, and nothing else happens */
	LC_SECCOMP_PASSES,  /* the call is made; it may be logged */
};

/*
 * Runs the filters over `call` as the kernel does. Pure. `n` filters, the oldest first: of several
 * that are as restrictive, the data of the newest counts. *ret_action is SECCOMP_RET_* with its
 * data; SECCOMP_RET_ALLOW without filters. Returns 0, or -EINVAL and no action for a program that
 * the kernel does not take: an opcode that seccomp has not got, a jump beyond the end, no return at
 * the end, a word that is not the call's or that was never stored, more than BPF_MAXINSNS.
 */
LC_MUST_CHECK int lc_seccomp_verdict(const struct lc_bpf_program *programs, size_t n,
				     const struct lc_seccomp_call *call, uint32_t *ret_action);

/* The same in the words of enum lc_seccomp_answer. */
enum lc_seccomp_answer lc_seccomp_ask(const struct lc_bpf_programs *programs,
				      const struct lc_seccomp_call *call);

static inline bool lc_seccomp_lets_pass(const struct lc_bpf_programs *programs,
					const struct lc_seccomp_call *call)
{
	return lc_seccomp_ask(programs, call) == LC_SECCOMP_PASSES;
}

static inline bool lc_seccomp_refuses(const struct lc_bpf_programs *programs,
				      const struct lc_seccomp_call *call)
{
	return lc_seccomp_ask(programs, call) == LC_SECCOMP_REFUSES;
}

/*
 * The filters of `tid`, which is stopped under this thread's ptrace and in filter mode ("Seccomp:
 * 2" in its status). To be freed; nothing is left to be freed on failure.
 *
 * Returns 0 or: -EACCES without CAP_SYS_ADMIN in the initial user namespace, or with filters of
 * one's own; -EINVAL for a thread that is not in filter mode, or a kernel without
 * CONFIG_CHECKPOINT_RESTORE, so that it does not mean that there are none; -EMEDIUMTYPE for a
 * filter that is no classic BPF; -ESRCH; -ENOMEM.
 */
LC_MUST_CHECK int lc_seccomp_fetch(pid_t tid, struct lc_bpf_programs *ret_programs);

/* Accepts what is empty and leaves it empty. Keeps errno. */
void lc_seccomp_free(struct lc_bpf_programs *programs);

#endif
