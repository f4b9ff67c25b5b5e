/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The command line of gdb's gcore script, for the programs that call it. What they rely on is kept:
 * the options, PREFIX.PID, the usage line on standard output, the exit statuses.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "options.h"
#include "values.h"

#define GCORE_USAGE  2
#define GCORE_ERROR  1

#define PROBLEM_SIZE 512

static void print_usage(void)
{
	printf("usage:  gcore [-h|--help] [-v|--version] [-a] [-o prefix] [-d data-directory] "
	       "[-g gdb] pid1 [pid2...pidN]\n");
}

_Noreturn static void usage_error(void)
{
	print_usage();
	exit(GCORE_USAGE);
}

static void parse_pids(char **args, struct options *options)
{
	char problem[PROBLEM_SIZE];
	pid_t pid;

	for (; *args; args++) {
		if (value_parse_pid(*args, &pid, problem, sizeof(problem)) < 0) {
			fprintf(stderr, "gcore: %s\n", problem);
			exit(GCORE_ERROR);
		}
		if (options_add_pid(options, pid) < 0) {
			fprintf(stderr, "gcore: out of memory\n");
			exit(GCORE_ERROR);
		}
	}
}

static void parse_option(int key, struct options *options)
{
	switch (key) {
	case 'a':
		options->all = true;
		break;
	case 'o':
		options->output = optarg;
		break;
	case 'd': /* gdb's data directory and */
	case 'g': /* gdb itself: there is none */
		break;
	case 'h':
		print_usage();
		exit(EXIT_SUCCESS);
	case 'v':
		printf("gcore (livecore) %s\n", lc_version());
		exit(EXIT_SUCCESS);
	default:
		usage_error();
	}
}

void options_parse_gcore(int argc, char **argv, struct options *options)
{
	static const struct option long_options[] = {
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	int key;

	options->as_gcore = true;
	options->output = "core";
	options->output_literal = true;
	options->append_pid = true;
	options->replace = true;
	options->progress = PROGRESS_NEVER;
	/* Options come first, as for the script. */
	while ((key = getopt_long(argc, argv, "+:ao:d:g:hv", long_options, NULL)) >= 0)
		parse_option(key, options);
	if (optind >= argc)
		usage_error();
	parse_pids(argv + optind, options);
}
