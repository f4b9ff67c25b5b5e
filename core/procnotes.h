/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The notes of a core, from /proc and from stopped threads. */
#ifndef LC_PROCNOTES_H
#define LC_PROCNOTES_H

#include "../elfw/note.h"
#include "arch/arch.h"
#include "livecore.h"
#include "plan.h"
#include "procfs.h"
#include "regset.h"
#include "target.h"
#include "threads.h"
#include "vma.h"

/* What is read of a process before it is frozen: it does not change by itself. Starts zeroed. */
struct lc_procinfo {
	struct lc_text auxv; /* binary */
	struct lc_stat stat; /* the process's own: times of all threads */
	struct lc_status status;
	char psargs[80];
	pid_t tid; /* a living thread, through which the memory is reached */
	uint32_t filter;
	uint32_t e_flags;
	const struct lc_arch *arch; /* from the executable; NULL where that cannot be read */
};

/* Reads it all. `taskfd` is the directory of a living thread. Returns 0 or -errno. */
LC_MUST_CHECK int lc_procinfo_read(const struct lc_target *target, int taskfd,
				   struct lc_procinfo *info, struct lc_err *err);
void lc_procinfo_free(struct lc_procinfo *info);

struct lc_note_inputs {
	const struct lc_target *target;
	const struct lc_procinfo *info;
	const struct lc_arch *arch;
	const struct lc_threads *threads;
	const struct lc_vmas *vmas;
	const struct lc_verdict *verdicts; /* one for each mapping */
	const struct elfw_notes *extra;    /* what the architecture adds at the end */
	uint64_t page_size;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC: further register sets are lost then; 0: never */
};

/* Where NT_FILE is among the notes. */
struct lc_file_note {
	size_t off, len; /* len 0: there is none */
};

/* Appends every note of the core, in the kernel's order (write_note_info(), fs/binfmt_elf.c):
 * the first thread's PRSTATUS, PRPSINFO, SIGINFO, AUXV, FILE, its other register sets, then each
 * other thread's. Precondition: all threads are stopped. Returns 0 or -ENOMEM; what cannot be read
 * is a loss. */
LC_MUST_CHECK int lc_notes_build(const struct lc_note_inputs *in, struct lc_regbuf *buf,
				 struct elfw_notes *notes, struct lc_file_note *ret_file,
				 struct lc_losses *losses);

/*
 * Takes ranges that were lost out of NT_FILE: gdb reads a file wherever that note names one, and
 * would show what a variable was before the process changed it. `unread` is sorted. Returns 0 or
 * -ENOMEM.
 */
LC_MUST_CHECK int lc_notes_hide_files(const struct lc_note_inputs *in,
				      const struct lc_range *unread, size_t n_unread,
				      const struct lc_file_note *file, struct elfw_notes *notes);

/* The length that the notes will have at most, for estimates and to reserve memory. */
size_t lc_notes_estimate(const struct lc_arch *arch, size_t n_threads, const struct lc_vmas *vmas,
			 size_t auxv_len);

#endif
