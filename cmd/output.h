/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The output of one process: its name, its sink, and its errors in words. */
#ifndef CMD_OUTPUT_H
#define CMD_OUTPUT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "../core/livecore.h"
#include "../elfw/sink.h"
#include "options.h"

struct output {
	struct elfw_sink *sink;
	char name[PATH_MAX]; /* empty: not known yet */
	int fd;              /* the caller's descriptor that it stands for, or -1 */
	uint64_t base;       /* where in it the core begins */
	bool to_stdout;      /* what is printed must not go there */
	bool misuse;         /* what failed is the command line's fault */
};

#define OUTPUT_INIT ((struct output){.fd = -1})

/* The files that this run has written. Starts zeroed. */
struct output_names {
	char **v;
	size_t n;
};

void output_names_free(struct output_names *names);

/*
 * Makes the name and opens it. Refuses what is there already, a terminal, and a stream that
 * messages go to as well. Returns 0 or -errno with `err` filled; the name stays valid either way.
 */
LC_MUST_CHECK int output_open(const struct options *options, const struct lc_identity *identity,
			      const struct output_names *names, struct output *output,
			      struct lc_err *err);

/* After a failed dump: if a system call on the output failed, the error gets the words for it. */
void output_explain(const struct output *output, struct lc_err *err);

/* Makes the finished core appear, and adds its name. Returns 0, 1 if the name may not be on stable
 * storage (see elfw_sink_commit()), or -errno with `err` filled. */
LC_MUST_CHECK int output_commit(struct output *output, struct output_names *names,
				struct lc_err *err);

/* Says what a commit of 1 means. */
void output_lose_name(struct lc_losses *losses);

/* Reads the committed core again; what is wrong with it becomes a loss. */
void output_verify(const struct output *output, struct lc_result *result);

/* What was not committed disappears. */
void output_close(struct output *output);

/* How people call it: "core.123", "standard output", "descriptor 5". Not escaped; borrowed from
 * `output` or static or in `buf`. */
const char *output_label(const struct output *output, char *buf, size_t size);

#endif
