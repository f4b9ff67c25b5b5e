/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Counts and lengths to file offsets: pure arithmetic, no input or output. */
#ifndef ELFW_LAYOUT_H
#define ELFW_LAYOUT_H

#include "elfw.h"

/* One PT_LOAD. */
struct elfw_segment {
	uint64_t vaddr;
	uint64_t memsz;
	uint64_t filesz; /* at most memsz; what is beyond it reads as the reader's rules say */
	uint64_t off;    /* p_offset, page-aligned */
	uint32_t flags;  /* PF_R, PF_W, PF_X */
};

/*
 *   0        Ehdr
 *   phoff    Phdr[n_phdrs]: PT_NOTE, then every PT_LOAD
 *   note_off notes
 *            padding to a page
 *   data_off contents of the segments, in order, each at a page boundary
 *   shoff    one Shdr, only where the number of program headers needs it (PN_XNUM)
 *   size     end of file
 *
 * Where the contents have their places before the rest is known, the program headers and the notes
 * may not fit in front of them; they are then between data_end and shoff.
 */
struct elfw_layout {
	uint64_t phoff;
	uint64_t n_phdrs; /* the true number, PT_NOTE included */
	uint64_t note_off;
	uint64_t note_len;
	uint64_t data_off;
	uint64_t data_end;
	uint64_t shoff; /* 0: none */
	uint64_t size;
	uint64_t page_size;
};

/* Fills `ret_layout` and the `off` of each segment. Returns 0, -EOVERFLOW where an offset or
 * address does not fit the class, or -EINVAL for a page size that is no power of two, a filesz over
 * its memsz or a vaddr that is not page-aligned. */
ELFW_MUST_CHECK int elfw_layout_compute(const struct elfw_abi *abi, uint64_t note_len,
					struct elfw_segment *segments, size_t n_segments,
					uint64_t page_size, struct elfw_layout *ret_layout);

/*
 * The layout of a core whose contents are where they are: [data_off, data_end) of the file is
 * theirs, each segment's `off` is given, in any order, and some of the range may be nobody's. That
 * no two segments share bytes of the file is the caller's affair. Headers and notes go in front of
 * data_off if they fit there, otherwise behind data_end, but for the ELF header.
 *
 * Returns what elfw_layout_compute() does, and -EINVAL also for a range that ends before it begins
 * or that begins within the ELF header, for contents outside of it, and for an `off` that is not
 * page-aligned, as the addresses are (of a segment without contents too, where it says nothing
 * else).
 */
ELFW_MUST_CHECK int elfw_layout_around(const struct elfw_abi *abi, uint64_t note_len,
				       const struct elfw_segment *segments, size_t n_segments,
				       uint64_t page_size, uint64_t data_off, uint64_t data_end,
				       struct elfw_layout *ret_layout);

/*
 * Moves the table of the program headers, now of `n_segments` and PT_NOTE, behind the contents, and
 * the notes, now of `note_len` bytes, behind it; what the old ones took stays unused. Returns 0 or
 * -EOVERFLOW, the layout then as before.
 */
ELFW_MUST_CHECK int elfw_layout_move_head(const struct elfw_abi *abi, uint64_t note_len,
					  size_t n_segments, struct elfw_layout *layout);

#endif
