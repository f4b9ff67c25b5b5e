/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Threads that read the pieces of a plan and write them to a sink. */
#ifndef LC_TEAM_H
#define LC_TEAM_H

#include <stdatomic.h>

#include "../elfw/sink.h"
#include "arena.h"
#include "batch.h"
#include "livecore.h"
#include "memsrc.h"
#include "pieces.h"

/* For how many seconds the output may take nothing while the target waits: a pipe that nobody
 * reads, a disk that hangs. One batch in that time is 35 KiB/s. */
#define LC_STALL_S 30

/* Threads that wait to read and write, with their buffers. */
struct lc_team;

/* Starts zeroed but for what the caller lends. */
struct lc_capture {
	const struct lc_memsrc *memsrc;
	struct lc_pieces *pieces;
	struct elfw_sink *sink;
	uint64_t page_size;
	const volatile sig_atomic_t *abort;
	/* Done first, by the thread that writes: what must precede the contents in a stream. May be
	 * NULL. Returns 0 or the sink's error. */
	int (*prologue)(void *arg);
	void *prologue_arg;
	/* CLOCK_MONOTONIC, UINT64_MAX: never. Then the target is let go, and what was not read is
	 * lost. */
	uint64_t deadline_ns;
	/* Called every few milliseconds by the thread that called: 0 goes on, 1 lets the target go
	 * early, -errno gives up. May be NULL. */
	int (*look)(void *arg);
	void *look_arg;
	_Atomic uint64_t *done; /* bytes that are in the sink, for who watches */
	struct lc_arena
		*arena; /* where what is read is kept as long as there is room; may be NULL */
	bool rewrites;  /* something may have been written in its place before */
	_Atomic uint64_t bytes_read;

	/* What the plan holds and the target did not give; sorted by lc_team_finish(). */
	struct lc_ranges unread;
	bool cut_short; /* by the deadline, by look() or because the output stood still */
	bool stalled;   /* the last of these */
};

/* Starts the threads and touches their memory, before the freeze. The sink and the bytes that are
 * to be copied decide how many there are. Returns 0 or -ENOMEM. */
LC_MUST_CHECK int lc_team_start(const struct elfw_sink *sink, uint64_t data_bytes,
				struct lc_team **ret_team);

/* Ends them; accepts NULL. A thread that is caught in a read that does not return stays behind,
 * with the memory it needs, until the program ends. */
void lc_team_end(struct lc_team *team);

/*
 * Reads all pieces. Returns as soon as the target is not needed any more: when everything was read,
 * though not yet written, or when reading was cut short. Returns 0, -EINTR if aborted, -ESRCH if
 * the target died, -ENOMEM, or the sink's error.
 */
LC_MUST_CHECK int lc_team_read(struct lc_capture *capture, struct lc_team *team,
			       struct lc_err *err);

/* Writes what was kept, and waits until all is written. Same result; due after lc_team_read() in
 * every case. */
LC_MUST_CHECK int lc_team_finish(struct lc_capture *capture, struct lc_team *team,
				 struct lc_err *err);

void lc_capture_free(struct lc_capture *capture);

#endif
