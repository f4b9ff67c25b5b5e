/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command line as a plain struct. */
#ifndef CMD_OPTIONS_H
#define CMD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../core/livecore.h"

/* The exit statuses, in the manual and in --help. The worst of several processes is the greatest.
 */
enum exit_status {
	STATUS_COMPLETE = 0,
	STATUS_LOSSES = 1,
	STATUS_NOTHING = 2,
	STATUS_USAGE = 64,
};

enum progress_mode {
	PROGRESS_AUTO,
	PROGRESS_ALWAYS,
	PROGRESS_NEVER,
};

/* Strings are borrowed from argv; options_free() releases the rest. */
struct options {
	pid_t *pids; /* at least one */
	size_t n_pids;
	const char *output;  /* a template, see outname.h */
	bool output_literal; /* it is none: every byte is meant */
	bool append_pid;     /* ".PID" belongs behind it */

	bool minimal;
	bool all;
	bool has_filter;
	struct lc_filter filter;

	bool replace;      /* an existing output */
	bool ignore_space; /* although the estimate exceeds what the file system has */
	bool fsync;
	bool verify;
	bool dry_run;
	uint64_t timeout_ns;
	uint64_t max_freeze_ns; /* 0: no bound */
	bool yield;
	uint64_t wait_ns; /* for another livecore; 0: not at all */

	bool has_snapshot; /* --snapshot was given; what follows is 0 where it was not */
	enum lc_snapshot snapshot;
	unsigned int max_passes;
	uint64_t precopy_ns;
	uint64_t buffer_bytes;

	bool quiet;
	bool verbose;
	bool json;
	enum progress_mode progress;

	bool for_caller; /* not from the command line: privilege.h */

	bool as_gcore; /* called by that name: messages and statuses of gdb's script */
};

/*
 * Fills `ret_options` from the command line. Does not return after --help, --usage and --version
 * (status 0) nor after a usage error, which was then printed (status 64; 2 as gcore). Opens
 * nothing.
 */
void options_parse(int argc, char **argv, struct options *ret_options);
void options_free(struct options *options);

/* Parts of it, which the tests use and options_gcore.c shares. */

/* The name it was called by, without directories, is "gcore". */
bool options_is_gcore(const char *argv0);
void options_parse_gcore(int argc, char **argv, struct options *options);

/* Appends to options->pids. Returns 0 or -ENOMEM. */
int options_add_pid(struct options *options, pid_t pid);

#endif
