/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one place that prints what became of a process: for people here, for programs in json.c. */
#ifndef CMD_REPORT_H
#define CMD_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "../core/livecore.h"
#include "options.h"
#include "output.h"

/* What became of one process. Everything is borrowed. */
struct outcome {
	pid_t pid;                          /* as it was asked for */
	const struct lc_identity *identity; /* NULL: there is no such process */
	const struct output *output;
	const struct lc_result *result; /* its figures count if there is no error */
	const struct lc_err *err;       /* code 0: none */
	uint64_t disk_bytes;
	bool is_stream; /* the output has no blocks */
	enum exit_status status;
};

/*
 * Prints the outcome in the manner that the options ask for. Errors and losses go to standard
 * error; what was written goes to standard output, unless the core went there.
 */
void report_outcome(const struct options *options, const struct outcome *outcome);

/* Prints the table of a dry run, or its error. */
void report_preview(const struct options *options, const struct outcome *outcome,
		    const struct lc_preview *preview);

/* Says that livecore cannot begin at all. */
void report_no_start(const char *what, int code);

/* True if something of it could not be written to standard output; that was said then. */
bool report_was_lost(void);

/* The parts for people, to any stream. */
void report_put_wrote(FILE *out, const struct outcome *outcome);
void report_put_losses(FILE *out, const struct options *options, const struct lc_losses *losses);
void report_put_table(FILE *out, const struct outcome *outcome, const struct lc_preview *preview);

#endif
