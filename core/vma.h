/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The mappings of a target: /proc/PID/maps with the flags of smaps, as a sorted array. */
#ifndef LC_VMA_H
#define LC_VMA_H

#include "livecore.h"

/* VmFlags of smaps (proc(5)) that decide whether and how a mapping is read. */
enum lc_vma_flag {
	LC_VMA_SHARED = 1 << 0,      /* sh: VM_SHARED; the 's' of maps is VM_MAYSHARE */
	LC_VMA_DONTDUMP = 1 << 1,    /* dd */
	LC_VMA_IO = 1 << 2,          /* io */
	LC_VMA_PFNMAP = 1 << 3,      /* pf */
	LC_VMA_HUGETLB = 1 << 4,     /* ht */
	LC_VMA_UFFD = 1 << 5,        /* um, ui: missing pages are what a handler makes of them */
	LC_VMA_MAYBE_DAX = 1 << 6,   /* mm, hg on a file: DAX mappings have one of them */
	LC_VMA_DAX = 1 << 7,         /* statx() of the file says so */
	LC_VMA_DONTFORK = 1 << 16,   /* dc: MADV_DONTFORK */
	LC_VMA_WIPEONFORK = 1 << 17, /* wf */
	LC_VMA_NAMELESS = 1 << 13,   /* nobody finds the file under the name that is shown */
	LC_VMA_DELETED = 1 << 8,     /* the file has no name any more */
	LC_VMA_SPECIAL = 1 << 9,     /* the kernel's own: [vdso], [vvar], ...: always_dump_vma() */
	LC_VMA_SECRET = 1 << 10,     /* memfd_secret(2) */
	LC_VMA_DEVICE = 1 << 11,     /* a name under /dev that is no memory: never opened by us */
	LC_VMA_REMOTE = 1 << 14,     /* somebody else serves its file: neither opened nor read */
	LC_VMA_MEMORY = 1 << 15,  /* its file is memory: a read through the mapping fills a hole */
	LC_VMA_ESCAPED = 1 << 12, /* the name held "\\012", which may be those four characters */
};

struct lc_vma {
	uint64_t start, end;
	uint64_t offset; /* in the file, bytes */
	uint64_t inode;  /* 0: no file */
	uint32_t dev_major, dev_minor;
	uint32_t flags; /* enum lc_vma_flag */
	uint8_t prot;   /* PF_R, PF_W, PF_X */
	char perms[5];
	char *name; /* in the array's text; "" for anonymous memory */
};

struct lc_vmas {
	struct lc_vma *v;
	size_t n, cap;
	char *text; /* what /proc/PID/maps said, cut into names */
	size_t text_len, text_cap;
};

static inline bool lc_vma_has_file(const struct lc_vma *vma)
{
	return vma->inode != 0 || vma->dev_major != 0 || vma->dev_minor != 0;
}

/* What lc_procfs_parse_vm_flags() can tell. */
#define LC_VMA_OF_SMAPS                                                                            \
	(LC_VMA_SHARED | LC_VMA_DONTDUMP | LC_VMA_IO | LC_VMA_PFNMAP | LC_VMA_HUGETLB |            \
	 LC_VMA_UFFD | LC_VMA_MAYBE_DAX | LC_VMA_DONTFORK | LC_VMA_WIPEONFORK)

/* The flags of mappings as smaps told them before the freeze. */
struct lc_vma_hint {
	uint64_t start, end;
	uint64_t inode;
	uint32_t dev_major, dev_minor;
	uint32_t flags;
};

struct lc_vma_hints {
	struct lc_vma_hint *v;
	size_t n, cap;
	bool has_aio_ring; /* of io_setup(2) */
	/* A mapping of the program has a flag that decides whether it is read. In its place may be
	 * another, of which maps tells nothing else. */
	bool may_mislead;
	uint64_t read_ns; /* how long it took */
};

/*
 * Reads the flags of all mappings through `taskfd` (a directory /proc/PID/task/TID). smaps walks
 * the page tables, under the mmap lock: ten milliseconds per GiB. `one_by_one`: it lets go of the
 * lock behind each mapping, for more calls. Returns 0, -errno, -ENOENT where the kernel has no
 * smaps, or -ETIME if it takes longer than until `deadline_ns` (CLOCK_MONOTONIC; 0: never).
 */
LC_MUST_CHECK int lc_vma_hints_read(int taskfd, bool one_by_one, uint64_t deadline_ns,
				    struct lc_vma_hints *ret_hints);
void lc_vma_hints_free(struct lc_vma_hints *hints);

/*
 * Takes the whole lines out of `buf`, which holds *len bytes of at most `size`, and moves what is
 * left to its start. There is always room after it: of a line longer than the buffer the end of the
 * name is lost, and nothing else. Returns 0 or -ENOMEM.
 */
LC_MUST_CHECK int lc_vma_hints_take(struct lc_vma_hints *hints, char *buf, size_t size,
				    size_t *len);

/* How much the flags of mappings are worth. */
enum lc_flags_need {
	LC_FLAGS_ANY,   /* what is known of them will do */
	LC_FLAGS_KNOWN, /* each must be known: -EAGAIN if one is not */
	LC_FLAGS_READ,  /* smaps is read again if one is not known, or may be another's */
};

/* Reads maps and takes the flags from `hints` where a mapping stands there as it is now. Returns 0,
 * -EAGAIN, -errno or -ETIME as above; then there are none. */
LC_MUST_CHECK int lc_vmas_read(int taskfd, const struct lc_vma_hints *hints,
			       enum lc_flags_need need, uint64_t deadline_ns,
			       struct lc_vmas *ret_vmas);
void lc_vmas_free(struct lc_vmas *vmas);

/* Gives the mappings the flags of the hints, both sorted. Returns false if one has no hint, and
 * what its line tells must do. */
bool lc_vmas_take_hints(struct lc_vmas *vmas, const struct lc_vma_hints *hints);

/* Parses the whole text in place; for the reader above and for tests. Takes over `text`. */
LC_MUST_CHECK int lc_vmas_parse(char *text, size_t len, struct lc_vmas *ret_vmas);

#endif
