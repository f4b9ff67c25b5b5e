/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ELF header, program headers and notes into a sink. libelf encodes the structures.
 *
 * -EINTR from any of these (a signal interrupted the write to a pipe) means that the core is to be
 * given up: they cannot be resumed. Signals that do not mean that have SA_RESTART or no handler.
 */
#ifndef ELFW_IMAGE_H
#define ELFW_IMAGE_H

#include "layout.h"
#include "note.h"
#include "sink.h"

/*
 * Writes ELF header, program headers and notes where the layout has them: before layout->data_off,
 * or the latter two behind the contents (elfw_layout_around()), which only a sink that can seek
 * takes
 * (-ESPIPE, nothing is written). `e_flags` is the executable's; the notes come in parts, one after
 * the other, of layout->note_len bytes together. Returns 0 or -errno (the sink holds the details).
 */
ELFW_MUST_CHECK int elfw_image_write_head(struct elfw_sink *sink, const struct elfw_abi *abi,
					  uint32_t e_flags, const struct elfw_layout *layout,
					  const struct elfw_segment *segments, size_t n_segments,
					  const struct elfw_notes *parts, size_t n_parts);

/* Writes what comes after the contents (the section header of PN_XNUM, where there is one) and
 * gives the output its final length. */
ELFW_MUST_CHECK int elfw_image_write_tail(struct elfw_sink *sink, const struct elfw_abi *abi,
					  const struct elfw_layout *layout);

/*
 * Replaces the program headers and the notes after the contents were written, because some of them
 * could not be read: `segments` (with their offsets) must cover only what was. The new ones go to
 * the end of the file and the ELF header points to them; the layout is updated. Only for sinks that
 * can seek; called before elfw_image_write_tail(). Returns 0, -ESPIPE, -errno.
 */
ELFW_MUST_CHECK int elfw_image_rewrite_head(struct elfw_sink *sink, const struct elfw_abi *abi,
					    uint32_t e_flags, struct elfw_layout *layout,
					    const struct elfw_segment *segments, size_t n_segments,
					    const struct elfw_notes *parts, size_t n_parts);

#endif
