/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the command line makes of struct options. Usage errors end the process: a child's. */
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../cmd/options.h"
#include "../../cmd/values.h"
#include "tap.h"

#define MAX_ARGS 12

/* argp shifts the vector, so each call gets its own. */
static struct options *parse(struct options *options, const char *const *args)
{
	char *argv[MAX_ARGS + 1] = {NULL};
	int argc = 0;

	for (; args[argc] && argc < MAX_ARGS; argc++)
		argv[argc] = (char *)args[argc];
	/* glibc's getopt begins anew only when it is told to. */
	optind = 0;
	options_parse(argc, argv, options);
	return options;
}

#define PARSE(options, ...) parse(&(options), (const char *const[]){__VA_ARGS__, NULL})

/* The status with which a child ends that parses these arguments; -1: it did not end. */
static int status_of(const char *const *args)
{
	struct options options;
	int status, null;
	pid_t child = fork();

	need(child >= 0);
	if (child == 0) {
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		parse(&options, args);
		_exit(99);
	}
	need(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) && WEXITSTATUS(status) != 99 ? WEXITSTATUS(status) : -1;
}

#define STATUS(...) status_of((const char *const[]){__VA_ARGS__, NULL})

static void test_defaults(void)
{
	struct options options;

	PARSE(options, "livecore", "1234");
	is(options.n_pids, 1, "one process");
	is(options.pids[0], 1234, "its ID");
	is_str(options.output, "core.%P", "the default name");
	ok(!options.append_pid && !options.output_literal, "is a template");
	is(options.timeout_ns, 5000000000LL, "5 s to stop");
	is(options.filter.keep, UINT32_MAX, "the process's own filter");
	is(options.filter.set, 0, "unchanged");
	is(options.progress, PROGRESS_AUTO, "progress on terminals");
	ok(!options.replace && !options.ignore_space && !options.fsync && !options.verify &&
		   !options.dry_run && !options.minimal && !options.all && !options.quiet &&
		   !options.verbose && !options.json && !options.as_gcore,
	   "no flag is set");
	options_free(&options);
	is(options.n_pids, 0, "freed");
}

static void test_flags(void)
{
	struct options options;

	PARSE(options, "livecore", "-a", "-v", "--force", "--fsync", "--verify", "-p", "5",
	      "--timeout=0.25", "--progress=never", "-oX");
	ok(options.all && options.verbose && options.replace && options.ignore_space &&
		   options.fsync && options.verify,
	   "flags");
	is(options.timeout_ns, 250000000, "time-out with decimals");
	is(options.progress, PROGRESS_NEVER, "progress");
	is_str(options.output, "X", "output");
	ok(!options.append_pid, "one process needs no PID in the name");
	options_free(&options);

	PARSE(options, "livecore", "--minimal", "-q", "3");
	ok(options.minimal && options.quiet, "--minimal and -q");
	options_free(&options);

	PARSE(options, "livecore", "-n", "3", "-f", "0x33");
	ok(options.dry_run && options.has_filter, "-n, -f");
	is(options.filter.keep, 0, "a number replaces the filter");
	is(options.filter.set, 0x33, "with its bits");
	options_free(&options);
}

static void test_several(void)
{
	struct options options;

	PARSE(options, "livecore", "-p", "3", "4", "--pid=5", "-o", "x");
	is(options.n_pids, 3, "-p and plain arguments");
	is(options.pids[0] + 10 * options.pids[1] + 100 * options.pids[2], 543, "in their order");
	ok(options.append_pid, "a name without the PID gets it");
	options_free(&options);

	PARSE(options, "livecore", "3", "4", "-o", "x%p");
	ok(!options.append_pid, "one with it does not");
	options_free(&options);

	PARSE(options, "livecore", "3", "4");
	ok(!options.append_pid, "the default has it");
	options_free(&options);
}

static void test_pid(void)
{
	static const struct {
		const char *text, *word; /* in the sentence; NULL: it is a PID */
	} cases[] = {
		{"1", NULL},
		{"4194304", NULL},
		{"007", NULL},
		{"", "not a number"},
		{"12a", "not a number"},
		{" 12", "not a number"},
		{"+12", "not a number"},
		{"0x12", "not a number"},
		{"1.5", "not a number"},
		{"-", "not a number"},
		{"-12", "negative"},
		{"0", "out of range"},
		{"4194305", "out of range"},
		{"18446744073709551617", "out of range"},
		{"\033[2J", "\\033[2J"},
	};
	char problem[256];
	pid_t pid;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = value_parse_pid(cases[i].text, &pid, problem, sizeof(problem));

		is(r, cases[i].word ? -EINVAL : 0, cases[i].word ? cases[i].word : "a PID");
		if (cases[i].word)
			ok(strstr(problem, cases[i].word), "said: %s", problem);
	}
}

static void test_timeout(void)
{
	static const struct {
		const char *text;
		uint64_t ns; /* 0: refused */
	} cases[] = {
		{"5", 5000000000}, {"0.001", 1000000},
		{".5", 500000000}, {"86400", 86400000000000},
		{"0", 0},          {"0.0000000001", 0},
		{"86401", 0},      {"-1", 0},
		{"1e3", 0},        {"0x10", 0},
		{"inf", 0},        {"nan", 0},
		{"1.2.3", 0},      {".", 0},
		{" 5", 0},         {"5 ", 0},
		{"", 0},
	};
	char problem[256];
	uint64_t ns;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ns = 0;
		if (value_parse_time(cases[i].text, VALUE_TIMEOUT, &ns, problem, sizeof(problem)) <
		    0)
			ns = 0;
		is(ns, cases[i].ns, cases[i].text);
	}
}

static void test_precopy_time(void)
{
	char problem[256];
	uint64_t ns = 7;

	is(value_parse_time("1.5", VALUE_PRECOPY, &ns, problem, sizeof(problem)), 0, "1.5 s");
	is(ns, 1500000000, "in nanoseconds");
	is(value_parse_time("0", VALUE_PRECOPY, &ns, problem, sizeof(problem)), -EINVAL, "none");
	is_str(problem, "time of precopy '0' is out of range: more than 0, at most 86400 seconds",
	       "said");
	is(ns, 1500000000, "and the value left alone");
}

static void test_passes(void)
{
	static const struct {
		const char *text;
		unsigned int passes; /* 0: refused */
	} cases[] = {
		{"1", 1},  {"1000", 1000}, {"007", 7}, {"0", 0},   {"1001", 0},
		{"", 0},   {"-1", 0},      {"+1", 0},  {" 1", 0},  {"1 ", 0},
		{"1K", 0}, {"1.0", 0},     {"0x1", 0}, {"all", 0}, {"18446744073709551617", 0},
	};
	char problem[256];
	unsigned int passes;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r;

		passes = 0;
		r = value_parse_passes(cases[i].text, &passes, problem, sizeof(problem));
		ok(r == (cases[i].passes ? 0 : -EINVAL) && passes == cases[i].passes,
		   "--passes=%s: %u", cases[i].text, passes);
	}
	need(value_parse_passes("0", &passes, problem, sizeof(problem)) < 0);
	is_str(problem, "0 passes are out of range: they go from 1 to 1000", "out of range");
	need(value_parse_passes("\033x", &passes, problem, sizeof(problem)) < 0);
	is_str(problem, "'\\033x' is not a number of passes", "escaped");
}

static void test_size(void)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* 0: refused */
	} cases[] = {
		{"1", 1},
		{"4096", 4096},
		{"0010", 10},
		{"1K", 1024},
		{"512M", 512ULL << 20},
		{"2G", 2ULL << 30},
		{"3T", 3ULL << 40},
		{"9223372036854775807", INT64_MAX},
		{"9007199254740991K", 9007199254740991ULL << 10},
		{"8388607T", 8388607ULL << 40},
		{"9223372036854775808", 0},
		{"9007199254740992K", 0},
		{"8388608T", 0},
		{"16777216T", 0},             /* 2^64 */
		{"16777217T", 0},             /* 1 T more */
		{"18446744073709551616", 0},  /* 2^64 */
		{"18446744073709551617K", 0}, /* 1 K more */
		{"0", 0},
		{"000", 0},
		{"0K", 0},
		{"", 0},
		{"K", 0},
		{"-1", 0},
		{"+1", 0},
		{" 1", 0},
		{"1 ", 0},
		{"1 K", 0},
		{"0x10", 0},
		{"1.5G", 0},
		{"1e9", 0},
		{"1k", 0},
		{"1KB", 0},
		{"1MiB", 0},
		{"1P", 0},
		{"1KK", 0},
		{"inf", 0},
	};
	char problem[256];
	uint64_t bytes;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r;

		bytes = 0;
		r = value_parse_size(cases[i].text, &bytes, problem, sizeof(problem));
		ok(r == (cases[i].bytes ? 0 : -EINVAL) && bytes == cases[i].bytes,
		   "--buffer=%s: %" PRIu64, cases[i].text, bytes);
	}
	need(value_parse_size("0K", &bytes, problem, sizeof(problem)) < 0);
	is_str(problem, "size '0K' is out of range: more than 0, below 8388608T", "out of range");
	need(value_parse_size("1\033", &bytes, problem, sizeof(problem)) < 0);
	is_str(problem,
	       "'1\\033' is not a size: a whole number of bytes, or of K, M, G or T, as 512M",
	       "no size, escaped");
}

static void test_snapshot(void)
{
	struct options options;
	char problem[256];
	enum lc_snapshot mode = LC_SNAPSHOT_FORK;

	PARSE(options, "livecore", "1");
	ok(!options.has_snapshot && options.snapshot == LC_SNAPSHOT_OFF, "off by default");
	ok(!options.max_passes && !options.precopy_ns && !options.buffer_bytes,
	   "the engine's own bounds");
	options_free(&options);

	PARSE(options, "livecore", "--snapshot", "1");
	ok(options.has_snapshot && options.snapshot == LC_SNAPSHOT_AUTO, "auto by itself");
	is(options.pids[0], 1, "a plain argument is not its mode");
	options_free(&options);

	PARSE(options, "livecore", "--passes=3", "--precopy-time=0.5", "1", "--buffer=512M",
	      "--snapshot=precopy");
	is(options.snapshot, LC_SNAPSHOT_PRECOPY, "precopy");
	is(options.max_passes, 3, "passes");
	is(options.precopy_ns, 500000000, "time");
	is(options.buffer_bytes, 512 << 20, "memory");
	options_free(&options);

	PARSE(options, "livecore", "--snapshot=off", "--passes=3", "--snapshot", "--minimal", "-n",
	      "1");
	is(options.snapshot, LC_SNAPSHOT_AUTO, "the last one counts; with --minimal and -n");
	options_free(&options);

	PARSE(options, "livecore", "--snapshot", "--snapshot=off", "--buffer=1", "1");
	is(options.snapshot, LC_SNAPSHOT_OFF, "off, whatever else is there");
	options_free(&options);

	need(value_parse_snapshot("\033", &mode, problem, sizeof(problem)) == -EINVAL);
	is(mode, LC_SNAPSHOT_FORK, "left alone");
	is_str(problem, "--snapshot is auto, precopy, fork, copy or off, not '\\033'",
	       "the modes, and the word escaped");
	for (int i = 0; i < LC_SNAPSHOT_N; i++) {
		const char *name = lc_snapshot_name((enum lc_snapshot)i);

		ok(strstr(problem, name), "%s is named", name);
		is(value_parse_snapshot(name, &mode, problem + 100, 100), 0, name);
		is(mode, i, "and known");
	}
}

static void test_usage_errors(void)
{
	is(STATUS("livecore"), 64, "no process");
	is(STATUS("livecore", "x"), 64, "not a number");
	is(STATUS("livecore", "-p", "-5"), 64, "negative");
	is(STATUS("livecore", "1", "--nonsense"), 64, "unknown option");
	is(STATUS("livecore", "1", "-o", "%q"), 64, "unknown specifier");
	is(STATUS("livecore", "1", "-o", ""), 64, "empty name");
	is(STATUS("livecore", "1", "-f", "nonsense"), 64, "unknown filter");
	is(STATUS("livecore", "1", "--progress=x"), 64, "unknown progress");
	is(STATUS("livecore", "1", "--timeout=0"), 64, "time-out of nothing");
	is(STATUS("livecore", "1", "--all", "--minimal"), 64, "--all, --minimal");
	is(STATUS("livecore", "1", "--all", "-f", "0x1"), 64, "--all, --filter");
	is(STATUS("livecore", "1", "--minimal", "-f", "0x1"), 64, "--minimal, --filter");
	is(STATUS("livecore", "1", "-q", "-v"), 64, "-q, -v");
	is(STATUS("livecore", "1", "-q", "--progress=always"), 64, "-q, --progress=always");
	is(STATUS("livecore", "1", "-n", "-q"), 64, "-n, -q");
	is(STATUS("livecore", "1", "-n", "--verify"), 64, "-n, --verify");
	is(STATUS("livecore", "1", "-n", "--fsync"), 64, "-n, --fsync");
	is(STATUS("livecore", "1", "2", "-o", "-"), 64, "several into one stream");
	is(STATUS("livecore", "1", "-o", "/dev/fd/2"), 64, "into standard error");
	is(STATUS("livecore", "1", "-o", "/dev/stdin"), 64, "into standard input");
	is(STATUS("livecore", "1", "-o", "-", "--fsync"), 64, "--fsync of a stream");
	is(STATUS("livecore", "1", "--snapshot=always"), 64, "unknown mode");
	is(STATUS("livecore", "1", "--snapshot="), 64, "empty mode");
	is(STATUS("livecore", "1", "--snapshot", "fork"), 64, "a mode that is an argument");
	is(STATUS("livecore", "1", "--snapshot", "--passes=0"), 64, "no passes");
	is(STATUS("livecore", "1", "--snapshot", "--precopy-time=0"), 64, "no time");
	is(STATUS("livecore", "1", "--snapshot", "--buffer=-1"), 64, "less than no memory");
	is(STATUS("livecore", "1", "--passes=1"), 64, "--passes without --snapshot");
	is(STATUS("livecore", "1", "--precopy-time=1"), 64, "--precopy-time without --snapshot");
	is(STATUS("livecore", "1", "--buffer=1"), 64, "--buffer without --snapshot");
	is(STATUS("livecore", "--help"), 0, "--help");
	is(STATUS("livecore", "--usage"), 0, "--usage");
	is(STATUS("livecore", "-V"), 0, "-V");
}

static void test_gcore(void)
{
	struct options options;

	ok(options_is_gcore("gcore"), "gcore");
	ok(options_is_gcore("/usr/libexec/livecore/gcore"), "with a path");
	ok(!options_is_gcore("/usr/gcore/livecore"), "in a directory of that name");
	ok(!options_is_gcore("xgcore") && !options_is_gcore("gcore2"), "only exactly");
	ok(!options_is_gcore(NULL), "no name at all");

	PARSE(options, "/x/gcore", "-a", "-o", "p%q", "-d", "dir", "-g", "gdb", "12", "13");
	ok(options.as_gcore && options.all && options.replace, "-a; replaces");
	ok(!options.ignore_space, "but not in spite of too little space");
	is_str(options.output, "p%q", "any prefix");
	ok(options.output_literal && options.append_pid, "which is no template");
	is(options.n_pids, 2, "two processes");
	is(options.progress, PROGRESS_NEVER, "no bar");
	options_free(&options);

	PARSE(options, "gcore", "12");
	is_str(options.output, "core", "default prefix");
	ok(!options.all, "without -a the process's filter");
	options_free(&options);

	is(STATUS("gcore"), 2, "no process");
	is(STATUS("gcore", "-x", "1"), 2, "unknown option");
	is(STATUS("gcore", "-o"), 2, "missing argument");
	is(STATUS("gcore", "abc"), 1, "not a number");
	is(STATUS("gcore", "--snapshot", "1"), 2, "not the script's");
	is(STATUS("gcore", "--help"), 0, "--help");
	is(STATUS("gcore", "-v"), 0, "-v");
}

int main(void)
{
	test_defaults();
	test_flags();
	test_several();
	test_pid();
	test_timeout();
	test_precopy_time();
	test_passes();
	test_size();
	test_snapshot();
	test_usage_errors();
	test_gcore();
	return tap_done();
}
