/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The notes of a core, built in one growable buffer and measured afterwards. The layouts of the
 * notes that Linux defines for a process are encoded in note_linux.c.
 */
#ifndef ELFW_NOTE_H
#define ELFW_NOTE_H

#include <sys/types.h>

#include "elfw.h"

/* Starts as ELFW_NOTES_INIT(abi); elfw_notes_free() accepts it at any time. */
struct elfw_notes {
	const struct elfw_abi *abi; /* borrowed */
	uint8_t *data;
	size_t len; /* bytes used: the p_filesz of the PT_NOTE */
	size_t cap;
};

#define ELFW_NOTES_INIT(abi_) ((struct elfw_notes){.abi = (abi_)})

/* Makes room for `more` bytes beyond the length, so that appending within it never allocates.
 * Returns 0 or -ENOMEM. */
ELFW_MUST_CHECK int elfw_notes_reserve(struct elfw_notes *notes, size_t more);

/* Appends one note. `owner` is "CORE", "LINUX", ...; `desc` is copied. Returns 0, -ENOMEM, or
 * -EOVERFLOW if a length does not fit its 32-bit field. The buffer is as before on failure. */
ELFW_MUST_CHECK int elfw_notes_add(struct elfw_notes *notes, const char *owner, uint32_t type,
				   const void *desc, size_t len);

/* The same with a desc of `len` zeros, to be filled through *ret_desc, which is valid until the
 * next note is added. */
ELFW_MUST_CHECK int elfw_notes_add_blank(struct elfw_notes *notes, const char *owner, uint32_t type,
					 size_t len, void **ret_desc);

void elfw_notes_free(struct elfw_notes *notes);

/* A time as the kernel's notes have it. */
struct elfw_timeval {
	int64_t sec;
	int64_t usec;
};

/* struct elf_prstatus of <linux/elfcore.h> without its registers. */
struct elfw_prstatus {
	int32_t si_signo, si_code, si_errno; /* pr_info */
	int16_t cursig;
	uint64_t sigpend; /* the first word of the mask, as the kernel writes it */
	uint64_t sighold;
	pid_t pid, ppid, pgrp, sid;
	struct elfw_timeval utime, stime, cutime, cstime;
	bool fpvalid;
};

/* struct elf_prpsinfo of <linux/elfcore.h>. */
struct elfw_prpsinfo {
	uint8_t state; /* index into "RSDTZW" */
	char sname;
	bool zomb;
	int8_t nice;
	uint64_t flag;
	uint32_t uid, gid; /* truncated as the kernel does where the ABI has 16-bit ids */
	pid_t pid, ppid, pgrp, sid;
	char fname[16];  /* not terminated when full */
	char psargs[80]; /* terminated; NULs between arguments are spaces */
};

/* One mapping of a file for NT_FILE. */
struct elfw_file_mapping {
	uint64_t start, end; /* addresses */
	uint64_t offset;     /* in the file, in bytes; a multiple of the page size */
	const char *name;    /* borrowed; as the target sees it */
};

/* NT_PRSTATUS with `regs` in the place of pr_reg. */
ELFW_MUST_CHECK int elfw_notes_add_prstatus(struct elfw_notes *notes, const struct elfw_prstatus *p,
					    const void *regs, size_t regs_len);

ELFW_MUST_CHECK int elfw_notes_add_prpsinfo(struct elfw_notes *notes,
					    const struct elfw_prpsinfo *p);

/* NT_SIGINFO. `info` is the 128 bytes of the host's siginfo_t; for an ABI of another class it is
 * converted to the layout of the kernel's compat_siginfo. -EOPNOTSUPP where the host cannot have
 * such a process: the ABI is wider than the host, or of the same class and the other byte order. */
ELFW_MUST_CHECK int elfw_notes_add_siginfo(struct elfw_notes *notes, const void *info);

/* NT_FILE, in the order of `maps` (ascending). Nothing is added, and 0 returned, when there is no
 * mapping. -EOVERFLOW for an address that the class cannot hold. */
ELFW_MUST_CHECK int elfw_notes_add_files(struct elfw_notes *notes,
					 const struct elfw_file_mapping *maps, size_t n_maps,
					 uint64_t page_size);

#endif
