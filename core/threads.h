/* SPDX-License-Identifier: GPL-3.0-or-later */
/* All threads of a process, stopped by ptrace(2) and let go again. */
#ifndef LC_THREADS_H
#define LC_THREADS_H

#include "livecore.h"
#include "procfs.h"
#include "target.h"

/* The longest row 0 of the tables (loongarch64: 360). */
#define LC_GENERAL_REGS_MAX 512

enum lc_thread_state {
	LC_THREAD_SEIZED, /* traced and running */
	LC_THREAD_STOPPED,
	LC_THREAD_STUCK, /* did not stop in time: released when its tracer, a thread, exits */
	LC_THREAD_GONE,  /* exited, or a leader that has exited before the others */
	/* io_uring's, in the kernel for good: it has no registers of its own, and is never stopped
	 */
	LC_THREAD_WORKER,
};

struct lc_thread {
	pid_t tid;
	pid_t ns_tid; /* as the target sees it, in its PID namespace */
	enum lc_thread_state state;
	bool interrupted;
	int interrupt_code;  /* an errno value: why PTRACE_INTERRUPT failed */
	bool trapped;        /* by our interrupt, not by a signal or with the whole process */
	int signal;          /* that stopped it on the way to it: given back with the release */
	struct lc_stat stat; /* before the stop */
	size_t regs_len;     /* general registers as the kernel had them when it stopped; 0: none */
	uint8_t regs[LC_GENERAL_REGS_MAX];
};

/* Whether a core has notes of it. */
static inline bool lc_thread_is_dumped(const struct lc_thread *thread)
{
	return thread->state == LC_THREAD_STOPPED || thread->state == LC_THREAD_STUCK ||
	       thread->state == LC_THREAD_WORKER;
}

enum lc_look {
	LC_LOOK_NOTHING,
	LC_LOOK_STOPPED,
	LC_LOOK_GONE, /* and collected */
};

/* Looks at a tracee, and leaves its stop uncollected. *ret_stop: the signal, and above its 8 bits
 * the event. */
enum lc_look lc_thread_look(pid_t tid, unsigned int *ret_stop);

/* Between two looks: yields at first, then sleeps. */
void lc_thread_nap(unsigned int round);

/* Starts zeroed. */
struct lc_threads {
	struct lc_thread *v; /* in the kernel's order, the leader first */
	size_t n, cap;
	size_t n_stopped;
	unsigned int passes;     /* over /proc/PID/task */
	uint64_t interrupted_ns; /* CLOCK_MONOTONIC of the first interrupt; 0: none yet */
	/* private, while freezing */
	const struct lc_target *target;
	size_t cursor;
	bool found_new;
	_Atomic uint64_t *seizing_ns;
	struct lc_err *err;
};

struct lc_freeze_options {
	uint64_t timeout_ns;    /* how long a thread may take to stop */
	uint64_t max_freeze_ns; /* the same for all of them, from the first interrupt on; 0: no
				   bound */
	const volatile sig_atomic_t *abort;
	_Atomic uint64_t *seizing_ns; /* since when one PTRACE_SEIZE is under way; 0: none is */
};

/*
 * Seizes every thread (PTRACE_SEIZE, no signal), interrupts them all and waits; reads
 * /proc/PID/task again until a full pass finds nothing new. On return every thread that was found
 * is STOPPED, STUCK or GONE. Must be called from the thread that will do all further ptrace calls;
 * that thread's exit is what releases a STUCK one.
 *
 * PTRACE_SEIZE waits, without an end and for no signal, while the target executes a program whose
 * file is not read to its end: only there the calling thread can be cancelled, if it has cancelling
 * disabled and of the asynchronous type; its end lets everything go.
 *
 * Returns 0, -ESRCH if no thread is left, -EINTR if the abort flag was set, or what ptrace refused
 * with, its cause in `err`. On failure everything was let go; lc_threads_free() is still due.
 */
LC_MUST_CHECK int lc_threads_freeze(const struct lc_target *target,
				    const struct lc_freeze_options *options,
				    struct lc_threads *threads, struct lc_err *err);

/* Detaches from every stopped thread, with the signal that it was about to take. */
void lc_threads_thaw(struct lc_threads *threads);

/*
 * For another thread of ours than the one that freezes, every now and then while it does: collects
 * threads of the target that have died since they were seized. execve() of one of its threads waits
 * until the others are collected (de_thread(), fs/exec.c) and holds what PTRACE_SEIZE of it waits
 * for, without an end: only a second thread gets both out of it.
 */
void lc_threads_collect_dead(const struct lc_target *target);

/* True if the stopped threads were killed. */
bool lc_threads_have_died(const struct lc_threads *threads);

/* The first thread that is stopped: the leader unless it has exited. NULL: none. */
const struct lc_thread *lc_threads_first(const struct lc_threads *threads);

void lc_threads_free(struct lc_threads *threads);

#endif
