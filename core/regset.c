/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Walks an architecture's table over one stopped thread. Runs inside the freeze. */
#include "regset.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "err.h"

int lc_regbuf_reserve(struct lc_regbuf *buf, size_t cap)
{
	uint8_t *grown;

	if (cap <= buf->cap)
		return 0;
	grown = realloc(buf->data, cap);
	if (!grown)
		return -ENOMEM;
	buf->data = grown;
	buf->cap = cap;
	return 0;
}

void lc_regbuf_free(struct lc_regbuf *buf)
{
	free(buf->data);
	*buf = (struct lc_regbuf){0};
}

int lc_regset_read(pid_t tid, uint32_t type, struct lc_regbuf *buf)
{
	for (;;) {
		struct iovec iov = {.iov_base = buf->data, .iov_len = buf->cap};
		int r;

		if (ptrace(PTRACE_GETREGSET, tid, (void *)(uintptr_t)type, &iov) < 0)
			return -errno;
		if (iov.iov_len < buf->cap) {
			buf->len = iov.iov_len;
			return 0;
		}
		/* filled completely: there may be more (AMX, SVE) */
		r = lc_regbuf_reserve(buf, buf->cap ? buf->cap * 2 : 1024);
		if (r < 0)
			return r;
	}
}

static bool means_absent(int r)
{
	return r == -EINVAL || r == -ENODEV || r == -ENXIO || r == -EOPNOTSUPP;
}

/* Returns 0, -EINVAL if the kernel does not know the set, or -ENOMEM. */
static int add_row(pid_t tid, const struct lc_regset_row *row, struct lc_regbuf *buf,
		   struct elfw_notes *notes, struct lc_losses *losses)
{
	int r = lc_regset_read(tid, row->type, buf);

	if (r == -ENOMEM)
		return r;
	/* EINVAL: no such set in any thread; ENODEV and ENXIO: not in this one */
	if (r < 0 && row->need != LC_REGSET_REQUIRED && means_absent(r))
		return r == -EINVAL ? r : 0;
	if (r < 0) {
		lc_losses_add(losses, LC_LOSS_REGISTERS, tid, 0, 0, -r, "%s: PTRACE_GETREGSET: %s",
			      row->what, strerror(-r));
		return 0;
	}
	if (buf->len == 0 || (row->is_unused && row->is_unused(buf->data, buf->len)))
		return 0;
	return elfw_notes_add(notes, row->owner, row->type, buf->data, buf->len);
}

int lc_regset_add_notes(pid_t tid, const struct lc_arch *arch, struct lc_regbuf *buf,
			struct elfw_notes *notes, struct lc_losses *losses)
{
	for (size_t i = 1; i < arch->n_rows; i++) {
		int r;

		if (buf->unknown_rows >> i & 1)
			continue;
		r = add_row(tid, &arch->rows[i], buf, notes, losses);
		if (r == -EINVAL)
			buf->unknown_rows |= 1U << i;
		else if (r < 0)
			return r;
	}
	return 0;
}
