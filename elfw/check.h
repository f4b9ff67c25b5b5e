/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Re-reads a core with libelf and says what is wrong with it. */
#ifndef ELFW_CHECK_H
#define ELFW_CHECK_H

#include "elfw.h"

/* What the writer knows that the core must show; a zero n_threads is not compared. */
struct elfw_check_expect {
	size_t n_threads; /* NT_PRSTATUS notes */
	uint64_t base;    /* where in the file the core begins (a passed descriptor) */
	uint64_t size;    /* length of the core; 0: to the end of the file */
};

/*
 * Checks, with every number taken as hostile: ELF header (class, data, ET_CORE, entry sizes),
 * program headers within the file (PN_XNUM resolved), exactly one PT_NOTE, first; PT_LOADs sorted,
 * not overlapping, not wrapping, p_filesz <= p_memsz, contents within the file and not overlapping
 * (in any order, with anything between them), p_offset congruent to p_vaddr modulo p_align; notes
 * well-formed to the last byte; for each thread one NT_PRSTATUS with its own TID, first of its
 * notes; one NT_PRPSINFO, one NT_AUXV ending in AT_NULL, at least one NT_SIGINFO; NT_FILE
 * well-formed (count, names terminated, sorted, within).
 *
 * Returns 0 if the core is right, -EBADMSG with the first problem in `ret_problem` (at most
 * `problem_len` bytes, always terminated, plain ASCII), or -errno if it could not be read.
 */
ELFW_MUST_CHECK int elfw_check_fd(int fd, const struct elfw_check_expect *expect, char *ret_problem,
				  size_t problem_len);

#endif
