/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The wiring of livecore: parse, dump, report, exit status. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "../core/livecore.h"
#include "options.h"
#include "output.h"
#include "privilege.h"
#include "progress.h"
#include "report.h"
#include "signals.h"

/*
 * Standard streams that are closed would be the next files that are opened, and a message would go
 * into the core. They get /dev/null, opened the wrong way round: a core that is to go to a closed
 * standard output fails instead of vanishing.
 */
static int open_standard_streams(void)
{
	static const int modes[] = {
		[STDIN_FILENO] = O_WRONLY,
		[STDOUT_FILENO] = O_RDONLY,
		[STDERR_FILENO] = O_RDONLY,
	};

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		/* The lowest free number is this one: those below it are open. */
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd)
			return -1;
	}
	return 0;
}

static int dump(const struct options *options, struct lc_target *target, struct output *output,
		struct lc_result *result, struct lc_err *err)
{
	struct progress progress;
	struct lc_request request = {
		.filter = options->filter,
		.all = options->all,
		.minimal = options->minimal,
		.ignore_space = options->ignore_space,
		.timeout_ns = options->timeout_ns,
		.max_freeze_ns = options->max_freeze_ns,
		.yield = options->yield,
		.for_caller = options->for_caller,
		.wait_ns = options->wait_ns,
		.snapshot = options->snapshot,
		.max_passes = options->max_passes,
		.precopy_ns = options->precopy_ns,
		.buffer_bytes = options->buffer_bytes,
		.abort = signals_abort_flag(),
		.progress_arg = &progress,
	};
	sigset_t signals;
	int r;

	progress_start(&progress, options, lc_target_identity(target)->pid, stderr);
	if (progress.enabled)
		request.progress = progress_update;
	signals_hold_stops(&signals);
	r = lc_dump(target, &request, output->sink, result, err);
	progress_end(&progress);
	signals_let_stops(&signals);
	return r;
}

/* Whatever failed because of the signal, the signal is the reason. A core that is complete by then
 * counts too: whoever sent the signal does not expect it to appear any more. */
static bool was_interrupted(struct lc_err *err)
{
	if (!*signals_abort_flag())
		return false;
	*err = (struct lc_err){
		.code = EINTR,
		.stage = err->stage,
		.text = "interrupted by a signal: the process was let go, no core was written",
	};
	return true;
}

/* Everything between looking the process up and reporting. */
static enum exit_status run(const struct options *options, pid_t pid, struct output_names *names,
			    struct lc_target **ret_target, struct output *output,
			    struct lc_result *result, struct lc_err *err)
{
	int r;

	if (lc_target_open(pid, ret_target, err) < 0)
		return STATUS_NOTHING;
	/* An output that cannot be must not cost the process anything. */
	if (output_open(options, lc_target_identity(*ret_target), names, output, err) < 0)
		return output->misuse ? STATUS_USAGE : STATUS_NOTHING;
	r = dump(options, *ret_target, output, result, err);
	if (r < 0)
		output_explain(output, err);
	if (was_interrupted(err) || r < 0)
		return STATUS_NOTHING;
	r = output_commit(output, names, err);
	if (r < 0)
		return STATUS_NOTHING;
	if (r > 0)
		output_lose_name(&result->losses);
	if (options->verify)
		output_verify(output, result);
	return result->losses.n || result->losses.overflow ? STATUS_LOSSES : STATUS_COMPLETE;
}

static enum exit_status dump_one(const struct options *options, pid_t pid,
				 struct output_names *names)
{
	struct lc_target *target = NULL;
	struct output output = OUTPUT_INIT;
	struct lc_result result = {0};
	struct lc_err err = {0};
	struct outcome outcome = {.pid = pid, .output = &output, .result = &result, .err = &err};

	outcome.status = run(options, pid, names, &target, &output, &result, &err);
	if (target)
		outcome.identity = lc_target_identity(target);
	if (output.sink) {
		outcome.disk_bytes = elfw_sink_disk_bytes(output.sink);
		outcome.is_stream = !elfw_sink_can_seek(output.sink);
	}
	/* Who reads of a failure finds nothing left of it. */
	output_close(&output);
	report_outcome(options, &outcome);
	lc_result_free(&result);
	lc_target_close(target);
	return outcome.status;
}

static enum exit_status preview_one(const struct options *options, pid_t pid)
{
	const struct lc_request request = {
		.filter = options->filter,
		.all = options->all,
		.minimal = options->minimal,
		.for_caller = options->for_caller,
	};
	struct lc_target *target = NULL;
	struct lc_preview preview = {0};
	struct lc_err err = {0};
	struct outcome outcome = {.pid = pid, .err = &err, .status = STATUS_NOTHING};

	if (lc_target_open(pid, &target, &err) == 0) {
		outcome.identity = lc_target_identity(target);
		if (lc_preview_make(target, &request, &preview, &err) == 0)
			outcome.status = STATUS_COMPLETE;
	}
	report_preview(options, &outcome, &preview);
	lc_preview_free(&preview);
	lc_target_close(target);
	return outcome.status;
}

/* One failure does not keep the others from being dumped; a signal does. */
static enum exit_status run_all(const struct options *options)
{
	enum exit_status status, worst = STATUS_COMPLETE;
	struct output_names names = {0};

	for (size_t i = 0; i < options->n_pids && !*signals_abort_flag(); i++) {
		if (options->dry_run)
			status = preview_one(options, options->pids[i]);
		else
			status = dump_one(options, options->pids[i], &names);
		if (status > worst)
			worst = status;
	}
	output_names_free(&names);
	return worst;
}

/* gdb's script knows saved and not saved; a caller deletes what comes with another status. */
static int gcore_status(enum exit_status status)
{
	return status > STATUS_LOSSES ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options options;
	enum exit_status status;
	bool as_gcore, for_caller;
	int r;

	r = privilege_drop(&for_caller);
	if (r < 0) {
		report_no_start("cannot give up its privileges", -r);
		return STATUS_NOTHING;
	}
	if (open_standard_streams() < 0)
		return STATUS_NOTHING;
	setlocale(LC_CTYPE, "");
	options_parse(argc, argv, &options);
	options.for_caller = for_caller;
	/* A dry run holds nothing: it dies of any signal, and of SIGPIPE without a word. */
	if (!options.dry_run)
		signals_catch();
	status = run_all(&options);
	if (report_was_lost() && status < STATUS_NOTHING)
		status = options.dry_run ? STATUS_NOTHING : STATUS_LOSSES;
	as_gcore = options.as_gcore;
	options_free(&options);
	signals_reraise();
	return as_gcore ? gcore_status(status) : (int)status;
}
