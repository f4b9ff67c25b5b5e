/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Register sets of stopped threads. */
#ifndef LC_REGSET_H
#define LC_REGSET_H

#include "arch/arch.h"
#include "livecore.h"

/* Room for one register set, used for one after the other. Starts zeroed. */
struct lc_regbuf {
	uint8_t *data;
	size_t cap;
	size_t len;            /* of the set that was read last */
	uint32_t unknown_rows; /* bits: of the table, which this kernel does not know at all */
};

LC_MUST_CHECK int lc_regbuf_reserve(struct lc_regbuf *buf, size_t cap);
void lc_regbuf_free(struct lc_regbuf *buf);

/* PTRACE_GETREGSET of a stopped thread, whatever its length. Returns 0, -ENOMEM or ptrace's -errno:
 * EINVAL, ENODEV and ENXIO mean that the set does not exist for this thread. */
LC_MUST_CHECK int lc_regset_read(pid_t tid, uint32_t type, struct lc_regbuf *buf);

/* Appends the notes of rows 1 and on of a stopped thread. What cannot be read is a loss. Returns 0
 * or -ENOMEM. */
LC_MUST_CHECK int lc_regset_add_notes(pid_t tid, const struct lc_arch *arch, struct lc_regbuf *buf,
				      struct elfw_notes *notes, struct lc_losses *losses);

#endif
