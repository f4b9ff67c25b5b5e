/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How far a dump is: a bar on a terminal, lines elsewhere. */
#ifndef CMD_PROGRESS_H
#define CMD_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "options.h"

struct progress {
	FILE *out;
	bool enabled;
	bool terminal; /* one line that is drawn again and again */
	pid_t pid;
	uint64_t start_ns;
	uint64_t first_ns;   /* when the first bytes were seen; 0: not yet */
	uint64_t first_done; /* how many these were */
	uint64_t drawn_ns;   /* 0: not yet */
	size_t drawn_width;
};

/* Begins with the dump of `pid`. Nothing is shown yet: most dumps are over before. */
void progress_start(struct progress *progress, const struct options *options, pid_t pid, FILE *out);

/* For lc_request.progress; `arg` is the struct progress. */
void progress_update(void *arg, uint64_t done, uint64_t total);

/* Erases the bar. */
void progress_end(struct progress *progress);

/* The line that is shown, at most `width` characters and without an end of line: a bar where there
 * is room for one. `rate` in bytes per second, 0: not known yet. Returns `buf`. */
char *progress_line(uint64_t done, uint64_t total, double rate, size_t width, char *buf,
		    size_t size);

#endif
