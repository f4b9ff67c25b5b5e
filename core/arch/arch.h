/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What differs between architectures, as data. Sizes are numbers, not sizeof of the host's types,
 * so that every table compiles and is tested on every host. A new architecture is a file and a line
 * in list.c.
 */
#ifndef LC_ARCH_H
#define LC_ARCH_H

#include "../../elfw/note.h"
#include "call.h"

/*
 * One register set: one note per thread, in the order of the rows. Linux looks sets up by note
 * type, so one number serves PTRACE_GETREGSET and the note's n_type.
 */
enum lc_regset_need {
	LC_REGSET_REQUIRED, /* its absence is a loss */
	LC_REGSET_USUAL,    /* EINVAL, ENODEV and ENXIO mean absent, but most threads have it */
	LC_REGSET_RARE,     /* the same, and estimates do not count it */
};

struct lc_regset_row {
	const char *owner; /* the note's name: "CORE" or "LINUX" */
	uint32_t type;     /* NT_* */
	uint32_t size; /* what the kernel is expected to have; more is read where there is more */
	enum lc_regset_need need;
	const char *what; /* in people's words */
	/* True if the contents say that the set is not in use: the kernel writes no note then
	 * (user_regset.active). NULL: in use whenever it can be read. */
	bool (*is_unused)(const uint8_t *regs, size_t len);
	/* The size on this very machine, for estimates. NULL, or 0 returned: `size`. */
	uint32_t (*measure)(void);
};

struct lc_arch {
	const char *name; /* as uname(2) has it */
	struct elfw_abi abi;
	const struct lc_regset_row *rows; /* row 0 is NT_PRSTATUS's */
	size_t n_rows;

	/* Where row 0 has these, in bytes; the last two as a thread has them that sleeps in a
	 * system call. */
	uint32_t pc_off, sp_off;
	uint32_t number_off, arg_off[6];

	/*
	 * System calls that return EINTR after any stop, also when no handler ran (signal(7),
	 * "Interruption of system calls and library functions by stop signals"). A thread of the
	 * target that we stopped in one of them must not see it: `fix_eintr` changes the result in
	 * row 0 to the kernel's own "restart, unless a handler runs" and returns true if it did.
	 */
	bool (*fix_eintr)(uint8_t *regs, size_t len);

	/* How a system call is made in a stopped thread. NULL: not known for this one. */
	const struct lc_call_abi *call;

	/* Notes that the kernel adds once, after those of the threads. May be NULL. */
	int (*add_extra_notes)(struct elfw_notes *notes);
};

/* Ends with NULL. */
extern const struct lc_arch *const lc_arch_list[];

/* The architecture with this ELF machine and class; NULL if livecore has no table of it. */
const struct lc_arch *lc_arch_find(uint16_t e_machine, uint8_t elf_class);

/* The architecture whose row 0 has this length, among those that the running kernel can have as
 * tasks of one system: the host's and its compat one. NULL if there is none. */
const struct lc_arch *lc_arch_by_length(size_t prstatus_len);

/* True for the ABI that livecore itself is built for. */
bool lc_arch_is_host(const struct lc_arch *arch);

#endif
