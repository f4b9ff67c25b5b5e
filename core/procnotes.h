/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The notes of a core, from /proc and from stopped threads. */
#ifndef LC_PROCNOTES_H
#define LC_PROCNOTES_H

#include "../elfw/note.h"
#include "arch/arch.h"
#include "livecore.h"
#include "mounts.h"
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
	int psargs_code; /* an errno value: why they are missing */
	pid_t tid;       /* a living thread, through which the memory is reached */
	uint32_t filter;
	uint32_t e_flags;
	const struct lc_arch *arch; /* from the executable; NULL where that cannot be read */
};

/* Reads it all. `taskfd` is the directory of a living thread. Returns 0 or -errno. */
LC_MUST_CHECK int lc_procinfo_read(const struct lc_target *target, int taskfd,
				   const struct lc_mounts *mounts, struct lc_procinfo *info,
				   struct lc_err *err);
void lc_procinfo_free(struct lc_procinfo *info);

struct lc_note_inputs {
	const struct lc_target *target;
	const struct lc_procinfo *info;
	const struct lc_arch *arch;
	const struct lc_threads *threads;
	/* for FILE alone */
	const struct lc_vmas *vmas;
	const struct lc_verdict *verdicts; /* one for each mapping */
	uint64_t page_size;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC: further register sets are lost then; 0: never */
};

/*
 * The notes, in the kernel's order (write_note_info(), fs/binfmt_elf.c), in parts that are made at
 * different times.
 */
enum lc_note_part {
	LC_NOTES_HEAD,  /* the first thread's PRSTATUS, PRPSINFO, SIGINFO, AUXV */
	LC_NOTES_FILE,  /* FILE: when it is known which mappings are in the core */
	LC_NOTES_TAIL,  /* the first thread's other register sets, then each other thread's */
	LC_NOTES_EXTRA, /* what the architecture adds */
	LC_NOTES_N_PARTS,
};

/* HEAD and TAIL of `parts`, which are LC_NOTES_N_PARTS. Precondition: all threads are stopped.
 * Returns 0 or -ENOMEM; what cannot be read is a loss. */
LC_MUST_CHECK int lc_notes_add_threads(const struct lc_note_inputs *in, struct lc_regbuf *buf,
				       struct elfw_notes *parts, struct lc_losses *losses);

/*
 * FILE, anew each time, without what would mislead: gdb reads a file wherever that note names one,
 * and would show what a variable was before the process changed it. `unread` are the ranges that
 * were lost, sorted. Returns 0 or -ENOMEM.
 */
LC_MUST_CHECK int lc_notes_set_files(const struct lc_note_inputs *in, const struct lc_range *unread,
				     size_t n_unread, struct elfw_notes *parts);

/* The length that the notes will have at most, for estimates and to reserve memory. */
size_t lc_notes_estimate(const struct lc_arch *arch, size_t n_threads, const struct lc_vmas *vmas,
			 size_t auxv_len);

#endif
