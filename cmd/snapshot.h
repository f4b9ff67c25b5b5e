/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What people are told of a snapshot: parts of report.c's lines. */
#ifndef CMD_SNAPSHOT_H
#define CMD_SNAPSHOT_H

#include <stdint.h>
#include <stdio.h>

#include "../core/livecore.h"

/* How many of the stops are listed one by one; the longest of these, 0 if there are none. */
size_t snapshot_n_listed(const struct lc_snapshot_figures *figures);
uint64_t snapshot_longest(const struct lc_snapshot_figures *figures);

/* Behind the time in the last line: " (fork: ...)"; nothing if no snapshot was taken. */
void snapshot_put_summary(FILE *out, const struct lc_snapshot_figures *figures);

/* Behind the strategy's name in the line of --verbose: everything that is not in its other lines.
 * `n_passes` are those over the threads. */
void snapshot_put_details(FILE *out, const struct lc_snapshot_figures *figures,
			  unsigned int n_passes);

/* A line for each strategy that was passed over, and one more if none was left. */
void snapshot_put_notes(FILE *out, const char *program, const struct lc_snapshot_figures *figures);

#endif
