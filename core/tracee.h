/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is done to one tracee, which is stopped by the calling thread. Everything returns 0 or
 * -errno: -ESRCH if it is gone, or does not stand still. */
#ifndef LC_TRACEE_H
#define LC_TRACEE_H

#include <signal.h>

#include "livecore.h"

/* As lc_thread_look() has them; PTRACE_O_TRACESYSGOOD. */
#define LC_SYSCALL_STOP         (SIGTRAP | 0x80)
#define LC_EVENT_STOP_OF(event) ((unsigned int)SIGTRAP | (unsigned int)PTRACE_EVENT_##event << 8)

/* `len` bytes of its memory, a multiple of a word when they are written. process_vm_readv(2) and
 * its like, or ptrace(2) where a filter of ours denies that. */
LC_MUST_CHECK int lc_tracee_read(pid_t tid, uint64_t addr, void *data, size_t len);
LC_MUST_CHECK int lc_tracee_write(pid_t tid, uint64_t addr, const void *data, size_t len);

/* General registers; `regs` has room for LC_GENERAL_REGS_MAX. *ret_len may be NULL. */
LC_MUST_CHECK int lc_tracee_get_regs(pid_t tid, uint8_t *regs, size_t *ret_len);
LC_MUST_CHECK int lc_tracee_set_regs(pid_t tid, const uint8_t *regs, size_t len);

/* Eight bytes of them. */
uint64_t lc_tracee_word(const uint8_t *regs, uint32_t off);

/* Blocked signals, bit N - 1 for signal N. */
LC_MUST_CHECK int lc_tracee_get_sigmask(pid_t tid, uint64_t *ret_mask);
LC_MUST_CHECK int lc_tracee_set_sigmask(pid_t tid, uint64_t mask);

LC_MUST_CHECK int lc_tracee_set_options(pid_t tid, long options); /* PTRACE_O_* */

/* The next stop of one that runs. -ETIMEDOUT after `deadline_ns` (CLOCK_MONOTONIC). */
LC_MUST_CHECK int lc_tracee_wait(pid_t tid, uint64_t deadline_ns, unsigned int *ret_stop);

/*
 * Lets it run, by PTRACE_SYSCALL or PTRACE_CONT, until a stop of a system call or an event. It has
 * all signals blocked but SIGSTOP, which it takes, and the stop of the whole process that comes of
 * it takes effect when it is let go (__ptrace_unlink(), kernel/ptrace.c). -EFAULT for one that its
 * own doing has stopped.
 */
LC_MUST_CHECK int lc_tracee_resume(pid_t tid, int request, uint64_t deadline_ns,
				   unsigned int *ret_stop);

#endif
