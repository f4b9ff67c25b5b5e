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
	uint64_t off;    /* out: p_offset, page-aligned */
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
 * Moves the table of the program headers, now of `n_segments` and PT_NOTE, behind the contents, and
 * the notes, now of `note_len` bytes, behind it; what the old ones took stays unused. Returns 0 or
 * -EOVERFLOW, the layout then as before.
 */
ELFW_MUST_CHECK int elfw_layout_move_head(const struct elfw_abi *abi, uint64_t note_len,
					  size_t n_segments, struct elfw_layout *layout);

#endif
