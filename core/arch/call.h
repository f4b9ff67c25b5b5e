/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How a system call is made in a stopped thread of another process so that the thread goes on
 * unharmed even if we die in the middle: as data and as arithmetic on bytes, so that every
 * architecture's part compiles and is tested on every host. core/inject.c does the rest.
 *
 * The thread's registers are set to a call instruction that is followed by a return, on a stack of
 * ours (below the thread's own) that holds, one above the other, what the kernel puts there for a
 * signal handler: the address of rt_sigreturn's code, and a frame with registers. Whoever is let go
 * at any moment makes the call, returns into rt_sigreturn, and that loads the frame: the thread as
 * it was, or a further call before it.
 */
#ifndef LC_ARCH_CALL_H
#define LC_ARCH_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lc_call_numbers {
	int64_t clone, close_range, exit_group, prctl, rt_sigreturn, userfaultfd, wait4;
};

#define LC_CALL_ARGS 6

struct lc_call {
	int64_t number;
	uint64_t args[LC_CALL_ARGS];
};

/* What a frame gives back. */
struct lc_frame_state {
	const uint8_t *regs; /* row 0 of the register sets */
	uint64_t sigmask;    /* blocked signals, bit N - 1 for signal N */
	const uint8_t *fp;   /* the register set lc_call_abi.fp_type; NULL: the initial state */
	size_t fp_len;
};

struct lc_call_abi {
	const uint8_t *call_code, *return_code; /* "call; return", and rt_sigreturn's */
	size_t call_len, return_len;
	uint32_t insn_len; /* of the call instruction alone */
	struct lc_call_numbers numbers;
	uint32_t audit_arch; /* AUDIT_ARCH_*, as filters of seccomp(2) see it */
	uint32_t fp_type;    /* NT_*: the register set that a frame holds besides the general one */
	/* NT_*: a thread that has this set returns only to where it was called from; 0: there is no
	 * such thing */
	uint32_t shadow_stack_type;
	uint32_t red_zone; /* bytes below the stack pointer that are in use */
	/* Where the thread pointer is, which is at the upper end of stacks that a C library made.
	 */
	uint32_t tp_off;

	/* Sets `regs` to make the call at `pc`, not to be restarted, with its stack at `sp`. */
	void (*set_call)(uint8_t *regs, uint64_t pc, uint64_t sp, const struct lc_call *call);
	int64_t (*result)(const uint8_t *regs);
	/* Makes `regs` those of a thread that starts the interrupted system call over, if it was in
	 * one that is to be restarted. `number_before` is that of the immediate that the program
	 * loads before its call instruction, for a call that the kernel has restarted under another
	 * number (restart_syscall(2)); negative: not known. Returns false if it cannot be started
	 * over. */
	bool (*start_over)(uint8_t *regs, int64_t number_before);
	/* The immediate in the `len` bytes before a call instruction; -1: there is none. */
	int64_t (*number_before)(const uint8_t *code, size_t len);
	/* Bytes that a frame with these contents takes; 0: cannot be made. */
	size_t (*frame_size)(const struct lc_frame_state *state);
	/* Writes a frame that will stand at `addr`, a multiple of LC_FRAME_ALIGN. A stack pointer
	 * there, and the call returns into it. */
	void (*put_frame)(uint8_t *frame, uint64_t addr, uint64_t return_code,
			  const struct lc_frame_state *state);
	/* Where a frame has the call's first argument: clone() is told to write there. */
	uint32_t frame_arg0_off;
	/* clone()'s arguments in the order of this architecture. */
	void (*set_clone)(struct lc_call *call, uint64_t flags, uint64_t stack,
			  uint64_t parent_tid);
};

#define LC_FRAME_ALIGN 64

/* Code bytes that number_before() wants. */
#define LC_CODE_BEFORE 8

#endif
