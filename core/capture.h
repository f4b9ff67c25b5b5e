/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the contents of a plan get into a sink: one file for each strategy. */
#ifndef LC_CAPTURE_H
#define LC_CAPTURE_H

#include <stdatomic.h>

#include "../elfw/sink.h"
#include "livecore.h"
#include "memsrc.h"
#include "pieces.h"

/* Starts zeroed but for what the caller lends. */
struct lc_capture {
	const struct lc_memsrc *memsrc;
	struct lc_pieces *pieces;
	struct elfw_sink *sink;
	uint64_t page_size;
	const volatile sig_atomic_t *abort;
	_Atomic uint64_t *done; /* bytes that are in the sink, for who watches */
	uint64_t total;         /* as planned */

	/* What the plan holds and the target did not give; sorted when the strategy returns. */
	struct lc_range *unread;
	size_t n_unread, cap_unread;
};

/* Reserves and touches the buffers before the freeze. */
struct lc_capture_buffers;
LC_MUST_CHECK int lc_capture_stop_prepare(struct lc_capture_buffers **ret_buffers);
void lc_capture_buffers_free(struct lc_capture_buffers *buffers);

/*
 * Stop-and-copy: all of it while the target is stopped. Returns 0, -EINTR if aborted, -ESRCH if the
 * target died, -ENOMEM, or the sink's error.
 */
LC_MUST_CHECK int lc_capture_stop(struct lc_capture *capture, struct lc_capture_buffers *buffers,
				  struct lc_err *err);

void lc_capture_free(struct lc_capture *capture);

#endif
