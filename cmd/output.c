/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The output of one process. Everything here happens before the process is touched or after it was
 * let go.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../elfw/check.h"
#include "outname.h"
#include "output.h"
#include "signals.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

#define HOSTNAME_SIZE     256
#define PROBLEM_SIZE      160
#define LABEL_SIZE        32
#define SHOWN_LEN         300 /* of a name in a message */

/* What an errno value of a sink means, and what to do about it. */
static const struct cause {
	int code;
	const char *cause;
	const char *hint;
} causes[] = {
	{EEXIST, "it exists already", "--force replaces it; -o names another file"},
	{EISDIR, "it is a directory", "name a file in it with -o"},
	{ENOENT, "there is no such directory", "create the directory, or name another with -o"},
	{ENOTDIR, "a part of its path is not a directory", "correct the path given with -o"},
	{EACCES, "its directory is not writable for this user", "choose another directory with -o"},
	{EPERM, "the file system does not permit it", "choose another directory with -o"},
	{EROFS, "the file system is read-only", "choose another directory with -o"},
	{ELOOP, "it is a symbolic link, which is not followed",
	 "name the file that it points to, or let --force replace the link"},
	{ENAMETOOLONG, "its name is too long", "choose a shorter one with -o"},
	{ENOTSUP, "it is neither a file nor a pipe nor a character device",
	 "name a file with -o, or pipe 'livecore -o -' into a program"},
	{ENXIO, "nobody has it open for reading", "start its reader first"},
	{ENOSPC, "no space is left on the file system", "free some, or name another place with -o"},
	{EDQUOT, "the disk quota is used up", "free some space, or name another place with -o"},
	{EFBIG, "the file would exceed the limit for file sizes",
	 "raise it with 'ulimit -f unlimited'"},
	{EPIPE, "its reader has gone", ""},
	{EINTR, "interrupted by a signal", ""},
};

/* `call`: the system call that failed; NULL: none in particular. */
static void set_cause(struct lc_err *err, int code, const char *name, const char *call)
{
	const char *cause = strerror(code);
	const char *hint = "";

	for (size_t i = 0; i < N_ELEMENTS(causes); i++) {
		if (causes[i].code == code) {
			cause = causes[i].cause;
			hint = causes[i].hint;
		}
	}
	*err = (struct lc_err){.code = code, .stage = LC_STAGE_OUTPUT};
	snprintf(err->text, sizeof(err->text), "cannot write %.*s: %s%s%s%s", SHOWN_LEN, name,
		 cause, call ? " (" : "", call ? call : "", call ? ")" : "");
	snprintf(err->hint, sizeof(err->hint), "%s", hint);
}

__attribute__((format(printf, 4, 5))) static int misused(struct output *output, struct lc_err *err,
							 const char *hint, const char *format, ...)
{
	va_list args;

	*err = (struct lc_err){.code = EINVAL, .stage = LC_STAGE_OUTPUT};
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	snprintf(err->hint, sizeof(err->hint), "%s", hint);
	output->misuse = true;
	return -EINVAL;
}

const char *output_label(const struct output *output, char *buf, size_t size)
{
	if (output->fd < 0)
		return output->name;
	if (output->fd == STDOUT_FILENO)
		return "standard output";
	snprintf(buf, size, "descriptor %d", output->fd);
	return buf;
}

/* ---- the name ---------------------------------------------------------------------------- */

static int expand(const struct options *options, const struct lc_identity *identity, char *buf,
		  size_t size)
{
	char hostname[HOSTNAME_SIZE] = "";
	const struct outname_facts facts = {
		.pid = identity->pid,
		.ns_pid = identity->ns_pid,
		.uid = identity->uid,
		.gid = identity->gid,
		.time = time(NULL),
		.comm = identity->comm,
		.exe = identity->exe,
		.hostname = hostname,
	};

	gethostname(hostname, sizeof(hostname) - 1);
	return outname_expand(options->output, options->append_pid, &facts, buf, size);
}

static int make_name(const struct options *options, const struct lc_identity *identity,
		     struct output *output, struct lc_err *err)
{
	int r, len;

	if (!options->output_literal) {
		r = expand(options, identity, output->name, sizeof(output->name));
	} else {
		len = snprintf(output->name, sizeof(output->name), "%s.%d", options->output,
			       identity->pid);
		r = (size_t)len >= sizeof(output->name) ? -ENAMETOOLONG : 0;
	}
	if (r < 0)
		set_cause(err, -r, options->output, NULL);
	return r;
}

/* A name that is not remembered for want of memory is only not protected. */
static void names_add(struct output_names *names, const char *name)
{
	char **v = reallocarray(names->v, names->n + 1, sizeof(*v));

	if (!v)
		return;
	names->v = v;
	names->v[names->n] = strdup(name);
	names->n += names->v[names->n] != NULL;
}

/* ---- descriptors ------------------------------------------------------------------------- */

static bool is_same_file(int a, int b)
{
	struct stat sa, sb;

	if (fstat(a, &sa) < 0 || fstat(b, &sb) < 0)
		return false;
	return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* /dev/null and the like: what goes there together is not mixed. */
static bool is_character_device(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode);
}

static int open_descriptor(struct output *output, struct lc_err *err)
{
	char buf[LABEL_SIZE];
	const char *label = output_label(output, buf, sizeof(buf));
	off_t position;
	int r;

	output->to_stdout = output->fd == STDOUT_FILENO || is_same_file(output->fd, STDOUT_FILENO);
	if (isatty(output->fd))
		return misused(output, err, "redirect it to a file or a pipe",
			       "%s is a terminal, which a core would fill with garbage", label);
	if (!is_character_device(output->fd) && is_same_file(output->fd, STDERR_FILENO))
		return misused(output, err, "redirect them to different places",
			       "%s and standard error are the same: messages would end up in the "
			       "core",
			       label);
	position = lseek(output->fd, 0, SEEK_CUR);
	output->base = position > 0 ? (uint64_t)position : 0;
	r = elfw_sink_open_fd(output->fd, &output->sink);
	if (r < 0) {
		set_cause(err, -r, label, NULL);
		if (r == -EBADF) {
			snprintf(err->text, sizeof(err->text), "%.*s is not open for writing",
				 LABEL_SIZE, label);
			snprintf(err->hint, sizeof(err->hint), "open it in the shell: %d>FILE",
				 output->fd);
		}
	}
	return r;
}

/* ---- files ------------------------------------------------------------------------------- */

/* True if the name is that of a terminal device. A FIFO must not be opened for this: its reader
 * would see the end of the data when it is closed again. */
static bool is_terminal(const char *name)
{
	struct stat st;
	bool answer;
	int fd;

	if (stat(name, &st) < 0 || !S_ISCHR(st.st_mode))
		return false;
	fd = open(name, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	answer = isatty(fd);
	close(fd);
	return answer;
}

/*
 * With --force, and a name that two processes share (%p is 1 in many containers), the second core
 * would replace the first in silence.
 */
static bool is_taken(const struct output_names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++) {
		if (!strcmp(names->v[i], name))
			return true;
	}
	return false;
}

static void set_taken(struct lc_err *err, const char *name)
{
	set_cause(err, EEXIST, name, NULL);
	snprintf(err->text, sizeof(err->text),
		 "cannot write %.*s: this run has written another core to it", SHOWN_LEN, name);
	snprintf(err->hint, sizeof(err->hint),
		 "give each process once, and use %%P in the name: the PID as seen from here");
}

static int open_file(const struct options *options, const struct output_names *names,
		     struct output *output, struct lc_err *err)
{
	unsigned int flags = 0;
	int r;

	/* gdb's script does write the same name twice if it is told to. */
	if (!options->as_gcore && is_taken(names, output->name)) {
		set_taken(err, output->name);
		return -EEXIST;
	}

	if (is_terminal(output->name))
		return misused(output, err, "name a file with -o",
			       "%.*s is a terminal, which a core would fill with garbage",
			       SHOWN_LEN, output->name);
	if (options->replace)
		flags |= ELFW_SINK_REPLACE;
	if (options->fsync)
		flags |= ELFW_SINK_FSYNC;
	r = elfw_sink_open_file(output->name, flags, &output->sink);
	if (r < 0)
		set_cause(err, -r, output->name, NULL);
	return r;
}

int output_open(const struct options *options, const struct lc_identity *identity,
		const struct output_names *names, struct output *output, struct lc_err *err)
{
	char buf[LABEL_SIZE];
	int r;

	if (!options->output_literal && outname_is_descriptor(options->output, &output->fd)) {
		snprintf(output->name, sizeof(output->name), "%s", options->output);
		r = open_descriptor(output, err);
	} else {
		r = make_name(options, identity, output, err);
		if (r < 0)
			return r;
		r = open_file(options, names, output, err);
	}
	if (r < 0)
		return r;
	if (options->verify && elfw_sink_fd(output->sink) < 0)
		return misused(output, err, "leave --verify out, or name a file with -o",
			       "%.*s cannot be read again, so what goes there cannot be verified",
			       SHOWN_LEN, output_label(output, buf, sizeof(buf)));
	return 0;
}

void output_explain(const struct output *output, struct lc_err *err)
{
	char buf[LABEL_SIZE];

	/* The engine knows neither the name nor what can be done about it. */
	if (err->stage == LC_STAGE_OUTPUT && elfw_sink_failed_call(output->sink))
		set_cause(err, err->code, output_label(output, buf, sizeof(buf)),
			  elfw_sink_failed_call(output->sink));
}

static bool is_aborted(void *arg)
{
	(void)arg;
	return *signals_abort_flag();
}

int output_commit(struct output *output, struct output_names *names, struct lc_err *err)
{
	char buf[LABEL_SIZE];
	int r;

	/* any other signal is no reason to give up a whole core */
	elfw_sink_on_interrupt(output->sink, is_aborted, NULL);
	r = elfw_sink_commit(output->sink);
	if (r < 0)
		set_cause(err, -r, output_label(output, buf, sizeof(buf)),
			  elfw_sink_failed_call(output->sink));
	else
		names_add(names, output->name);
	return r;
}

void output_lose_name(struct lc_losses *losses)
{
	lc_losses_add(losses, LC_LOSS_VERIFY, 0, 0, 0, EIO,
		      "fsync of the directory failed: the core is there, but a crash may cost its "
		      "name");
}

void output_names_free(struct output_names *names)
{
	while (names->n)
		free(names->v[--names->n]);
	free(names->v);
	names->v = NULL;
}

void output_verify(const struct output *output, struct lc_result *result)
{
	const struct elfw_check_expect expect = {
		.n_threads = result->n_threads,
		.base = output->base,
		.size = result->bytes,
	};
	char problem[PROBLEM_SIZE] = "";
	int r = elfw_check_fd(elfw_sink_fd(output->sink), &expect, problem, sizeof(problem));

	if (r == -EBADMSG)
		lc_losses_add(&result->losses, LC_LOSS_VERIFY, 0, 0, 0, EBADMSG,
			      "the core does not pass the check: %s", problem);
	else if (r < 0)
		lc_losses_add(&result->losses, LC_LOSS_VERIFY, 0, 0, 0, -r,
			      "the core could not be read again: %s", strerror(-r));
}

void output_close(struct output *output)
{
	elfw_sink_close(output->sink);
	output->sink = NULL;
}
