/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The command line: argp tables that fill struct options. Opens nothing, attaches nothing. The
 * tables are the only list of the options; completions and manual are checked against --help.
 */
#include <argp.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "options.h"
#include "outname.h"
#include "text.h"
#include "values.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

#define TIMEOUT_DEFAULT_S 5
#define NS_PER_SECOND     1000000000ULL
#define PROBLEM_SIZE      512
#define SHOWN_SIZE        200 /* of a word of the command line in a message */

enum {
	KEY_MINIMAL = 0x100,
	KEY_FORCE,
	KEY_TIMEOUT,
	KEY_VERIFY,
	KEY_FSYNC,
	KEY_JSON,
	KEY_PROGRESS,
	KEY_MAX_FREEZE,
	KEY_YIELD,
	KEY_WAIT,
	KEY_SNAPSHOT,
	KEY_PASSES,
	KEY_PRECOPY_TIME,
	KEY_BUFFER,
};

static const struct argp_option option_table[] = {
	{NULL, 0, NULL, 0, "Which process:", 1},
	{"pid", 'p', "PID", 0, "Dump this process; may be given several times", 1},

	{NULL, 0, NULL, 0, "What to dump:", 2},
	{"minimal", KEY_MINIMAL, NULL, 0, "Registers and notes of every thread, no memory", 2},
	{"all", 'a', NULL, 0, "Every readable mapping, whatever the filter and MADV_DONTDUMP say",
	 2},
	{"filter", 'f', "LIST|0xBITS", 0,
	 "Use this instead of the process's own coredump_filter: names separated by commas; +NAME "
	 "and -NAME change the process's own. Names: anon-private, anon-shared, file-private, "
	 "file-shared, elf-headers, hugetlb-private, hugetlb-shared, dax-private, dax-shared",
	 2},
	{"dry-run", 'n', NULL, 0, "Show what would be dumped; attach and write nothing", 2},

	{NULL, 0, NULL, 0, "Where to:", 3},
	{"output", 'o', "FILE", 0,
	 "Write to FILE instead of core.PID; '-' is standard output. Replaced in it: %p (PID), %P "
	 "(PID as seen from here), %e (name), %E (path), %t (time), %h (host), %u, %g (user, "
	 "group), %i, %I (thread), %%",
	 3},
	{"force", KEY_FORCE, NULL, 0,
	 "Replace an existing file, and try although the space may not suffice", 3},
	{"fsync", KEY_FSYNC, NULL, 0, "Wait until the core is on stable storage", 3},
	{"verify", KEY_VERIFY, NULL, 0, "Read the finished core again and check it", 3},

	{NULL, 0, NULL, 0, "How:", 4},
	{"timeout", KEY_TIMEOUT, "SEC", 0, "How long a thread may take to stop (default 5)", 4},
	{"max-freeze", KEY_MAX_FREEZE, "MS", 0,
	 "Let the process go after so many milliseconds; what was not read by then is a loss", 4},
	{"yield", KEY_YIELD, NULL, 0,
	 "Let the process go when a signal arrives for it; what was not read by then is a loss", 4},
	{"wait", KEY_WAIT, "SEC", OPTION_ARG_OPTIONAL,
	 "Wait while another livecore dumps the process, for at most SEC seconds", 4},
	{"snapshot", KEY_SNAPSHOT, "MODE", OPTION_ARG_OPTIONAL,
	 "Stop the process for less than its memory takes to write: precopy (copy while it runs), "
	 "fork (read a copy-on-write child of it), copy (into memory first), auto (the first of "
	 "these that is to be had; the default MODE), off",
	 4},
	{"passes", KEY_PASSES, "N", 0,
	 "Passes of precopy while the process runs, at most (default 8)", 4},
	{"precopy-time", KEY_PRECOPY_TIME, "SEC", 0,
	 "How long precopy copies while the process runs, at most (default 120)", 4},
	{"buffer", KEY_BUFFER, "SIZE", 0,
	 "Memory that a snapshot may take, at most: bytes, or with K, M, G or T behind the number "
	 "(default half of what is available)",
	 4},
	{"quiet", 'q', NULL, 0, "Print errors and losses only", 4},
	{"verbose", 'v', NULL, 0, "Print more figures, and every loss", 4},
	{"json", KEY_JSON, NULL, 0, "Print one JSON object for each process", 4},
	{"progress", KEY_PROGRESS, "WHEN", 0,
	 "Show progress: auto (on a terminal, after half a second), always, never", 4},

	{NULL, 0, NULL, 0, "Information:", -1},
	{0},
};

static const char doc[] =
	"Write a core of a running process and leave the process as it was."
	"\vExit status: 0 the core is complete; 1 it was written, with losses, which are listed; "
	"2 nothing was written; 64 wrong usage. With several processes, the worst of them.\n\n"
	"Examples:\n"
	"  livecore 1234                    write core.1234\n"
	"  livecore -p 1234 -o - | zstd >f  write to a pipe\n"
	"  livecore -n 1234                 what would be dumped?";

static void print_version(FILE *stream, struct argp_state *state)
{
	(void)state;
	fprintf(stream,
		"livecore %s\n"
		"License GPLv3+: GNU GPL version 3 or later <https://gnu.org/licenses/gpl.html>.\n"
		"This is free software; there is no warranty, to the extent permitted by law.\n",
		lc_version());
}

/* argp's own interface wants this one to be global. */
void (*argp_program_version_hook)(FILE *, struct argp_state *) = print_version;

int options_add_pid(struct options *options, pid_t pid)
{
	pid_t *pids = reallocarray(options->pids, options->n_pids + 1, sizeof(*pids));

	if (!pids)
		return -ENOMEM;
	pids[options->n_pids++] = pid;
	options->pids = pids;
	return 0;
}

/* ---- one setter for each option ---------------------------------------------------------- */

/* argp_error() prints the message with the advice to see --help, and exits with status 64. */

static void set_pid(struct options *options, char *arg, struct argp_state *state)
{
	char problem[PROBLEM_SIZE];
	pid_t pid;

	if (value_parse_pid(arg, &pid, problem, sizeof(problem)) < 0)
		argp_error(state, "%s", problem);
	else if (options_add_pid(options, pid) < 0)
		argp_failure(state, STATUS_NOTHING, ENOMEM, "process IDs");
}

static void set_output(struct options *options, char *arg, struct argp_state *state)
{
	char bad[3], shown[TEXT_FIGURE_SIZE];

	if (!*arg)
		argp_error(state, "the name of the output is empty");
	else if (outname_check(arg, bad) == 0)
		options->output = arg;
	else if (!bad[1])
		argp_error(state, "the name of the output ends in '%%'; write '%%%%' for one");
	else
		argp_error(state, "unknown '%s' in the name of the output; known are %s",
			   text_escape(bad, shown, sizeof(shown)),
			   "%p %P %e %E %t %h %u %g %i %I %%");
}

static void set_filter(struct options *options, char *arg, struct argp_state *state)
{
	struct lc_err err = {0};
	char text[PROBLEM_SIZE], hint[PROBLEM_SIZE];

	options->has_filter = true;
	if (lc_filter_parse(arg, &options->filter, &err) == 0)
		return;
	argp_error(state, "%s%s%s", text_escape(err.text, text, sizeof(text)),
		   err.hint[0] ? "; " : "", text_escape(err.hint, hint, sizeof(hint)));
}

static void set_time(char *arg, enum value_time kind, uint64_t *ret_ns, struct argp_state *state)
{
	char problem[PROBLEM_SIZE];

	if (value_parse_time(arg, kind, ret_ns, problem, sizeof(problem)) < 0)
		argp_error(state, "%s", problem);
}

static void set_timeout(struct options *options, char *arg, struct argp_state *state)
{
	set_time(arg, VALUE_TIMEOUT, &options->timeout_ns, state);
}

static void set_max_freeze(struct options *options, char *arg, struct argp_state *state)
{
	set_time(arg, VALUE_FREEZE, &options->max_freeze_ns, state);
}

/* Without a number it waits for as long as it takes. */
static void set_wait(struct options *options, char *arg, struct argp_state *state)
{
	options->wait_ns = UINT64_MAX;
	if (arg)
		set_time(arg, VALUE_WAIT, &options->wait_ns, state);
}

static void set_snapshot(struct options *options, char *arg, struct argp_state *state)
{
	char problem[PROBLEM_SIZE];

	options->has_snapshot = true;
	options->snapshot = LC_SNAPSHOT_AUTO;
	if (arg && value_parse_snapshot(arg, &options->snapshot, problem, sizeof(problem)) < 0)
		argp_error(state, "%s", problem);
}

static void set_passes(struct options *options, char *arg, struct argp_state *state)
{
	char problem[PROBLEM_SIZE];

	if (value_parse_passes(arg, &options->max_passes, problem, sizeof(problem)) < 0)
		argp_error(state, "%s", problem);
}

static void set_precopy_time(struct options *options, char *arg, struct argp_state *state)
{
	set_time(arg, VALUE_PRECOPY, &options->precopy_ns, state);
}

static void set_buffer(struct options *options, char *arg, struct argp_state *state)
{
	char problem[PROBLEM_SIZE];

	if (value_parse_size(arg, &options->buffer_bytes, problem, sizeof(problem)) < 0)
		argp_error(state, "%s", problem);
}

static void set_progress(struct options *options, char *arg, struct argp_state *state)
{
	static const char *const words[] = {
		[PROGRESS_AUTO] = "auto",
		[PROGRESS_ALWAYS] = "always",
		[PROGRESS_NEVER] = "never",
	};
	char shown[SHOWN_SIZE];

	for (size_t i = 0; i < N_ELEMENTS(words); i++) {
		if (!strcmp(arg, words[i])) {
			options->progress = (enum progress_mode)i;
			return;
		}
	}
	argp_error(state, "--progress is auto, always or never, not '%s'",
		   text_escape(arg, shown, sizeof(shown)));
}

static void set_json(struct options *options, char *arg, struct argp_state *state)
{
	(void)arg;
	options->json = true;
	if (!json_is_available())
		argp_error(state, "--json is missing: livecore was built without json-c");
}

static void set_force(struct options *options, char *arg, struct argp_state *state)
{
	(void)arg;
	(void)state;
	options->replace = true;
	options->ignore_space = true;
}

/* An option either is a flag or has a setter. */
static const struct action {
	int key;
	size_t flag; /* offset of a bool in struct options */
	void (*set)(struct options *options, char *arg, struct argp_state *state);
} actions[] = {
	{'p', .set = set_pid},
	{ARGP_KEY_ARG, .set = set_pid},
	{'o', .set = set_output},
	{'f', .set = set_filter},
	{'a', .flag = offsetof(struct options, all)},
	{'n', .flag = offsetof(struct options, dry_run)},
	{'q', .flag = offsetof(struct options, quiet)},
	{'v', .flag = offsetof(struct options, verbose)},
	{KEY_MINIMAL, .flag = offsetof(struct options, minimal)},
	{KEY_VERIFY, .flag = offsetof(struct options, verify)},
	{KEY_FSYNC, .flag = offsetof(struct options, fsync)},
	{KEY_FORCE, .set = set_force},
	{KEY_TIMEOUT, .set = set_timeout},
	{KEY_MAX_FREEZE, .set = set_max_freeze},
	{KEY_YIELD, .flag = offsetof(struct options, yield)},
	{KEY_WAIT, .set = set_wait},
	{KEY_SNAPSHOT, .set = set_snapshot},
	{KEY_PASSES, .set = set_passes},
	{KEY_PRECOPY_TIME, .set = set_precopy_time},
	{KEY_BUFFER, .set = set_buffer},
	{KEY_JSON, .set = set_json},
	{KEY_PROGRESS, .set = set_progress},
};

/* ---- the whole --------------------------------------------------------------------------- */

static void check_conflicts(const struct options *options, struct argp_state *state)
{
	const struct {
		bool both;
		const char *a, *b;
	} conflicts[] = {
		{options->minimal && options->all, "--minimal", "--all"},
		{options->minimal && options->has_filter, "--minimal", "--filter"},
		{options->all && options->has_filter, "--all", "--filter"},
		{options->quiet && options->verbose, "--quiet", "--verbose"},
		{options->quiet && options->progress == PROGRESS_ALWAYS, "--quiet",
		 "--progress=always"},
		{options->quiet && options->dry_run, "--quiet", "--dry-run"},
		{options->verify && options->dry_run, "--verify", "--dry-run"},
		{options->fsync && options->dry_run, "--fsync", "--dry-run"},
	};

	for (size_t i = 0; i < N_ELEMENTS(conflicts); i++) {
		if (conflicts[i].both)
			argp_error(state, "%s and %s exclude each other", conflicts[i].a,
				   conflicts[i].b);
	}
}

/*
 * A number that nothing heeds is a mistake: --snapshot was forgotten. With a mode that does not
 * need it, or with off, it is accepted, so that a script can change the mode alone.
 */
static void check_companions(const struct options *options, struct argp_state *state)
{
	const struct {
		bool given;
		const char *name;
	} companions[] = {
		{options->max_passes != 0, "--passes"},
		{options->precopy_ns != 0, "--precopy-time"},
		{options->buffer_bytes != 0, "--buffer"},
	};

	for (size_t i = 0; i < N_ELEMENTS(companions); i++) {
		if (companions[i].given && !options->has_snapshot)
			argp_error(state, "%s goes with --snapshot", companions[i].name);
	}
}

static void check_descriptor(const struct options *options, struct argp_state *state)
{
	int fd;

	if (!options->output || !outname_is_descriptor(options->output, &fd))
		return;
	if (fd == 0)
		argp_error(state, "standard input is no output");
	if (fd == 2)
		argp_error(state, "the core cannot go to standard error: messages do");
	if (options->n_pids > 1)
		argp_error(state, "the cores of several processes need a file each, not a stream");
	if (options->fsync)
		argp_error(state, "--fsync needs a file that livecore names itself");
}

static void finish(struct options *options, struct argp_state *state)
{
	if (!options->n_pids)
		argp_error(state, "which process? Give its ID: livecore [OPTION...] PID");
	check_conflicts(options, state);
	check_companions(options, state);
	check_descriptor(options, state);
	/* The default is told apart by the PID that was given, which is unique here; %p, as the
	 * process sees itself, is 1 in many containers at once. */
	if (!options->output)
		options->output = "core.%P";
	options->append_pid = options->n_pids > 1 && !outname_has_pid(options->output);
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	if (key == ARGP_KEY_END) {
		finish(options, state);
		return 0;
	}
	for (size_t i = 0; i < N_ELEMENTS(actions); i++) {
		if (actions[i].key != key)
			continue;
		if (actions[i].set)
			actions[i].set(options, arg, state);
		else
			*(bool *)((char *)options + actions[i].flag) = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

bool options_is_gcore(const char *argv0)
{
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL;

	return argv0 && !strcmp(slash ? slash + 1 : argv0, "gcore");
}

void options_parse(int argc, char **argv, struct options *ret_options)
{
	static const struct argp argp = {
		.options = option_table,
		.parser = parse_one,
		.args_doc = "PID...",
		.doc = doc,
	};

	*ret_options = (struct options){
		.filter = LC_FILTER_OWN,
		.timeout_ns = TIMEOUT_DEFAULT_S * NS_PER_SECOND,
	};
	if (options_is_gcore(argv[0])) {
		options_parse_gcore(argc, argv, ret_options);
		return;
	}
	argp_err_exit_status = STATUS_USAGE;
	/* In order, so that -p and plain arguments are dumped in theirs. Without ARGP_NO_EXIT it
	 * does not return on errors. */
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, ret_options);
}

void options_free(struct options *options)
{
	free(options->pids);
	options->pids = NULL;
	options->n_pids = 0;
}
