/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What people read. Whatever comes from the process or from the command line goes through
 * text_put(). Runs when the process is free again.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "report.h"
#include "snapshot.h"
#include "text.h"

#define LOSSES_SHOWN 20
#define LABEL_SIZE   32
#define RANGE_SIZE   48

/* ---- errors and losses ------------------------------------------------------------------- */

static const char *program(const struct options *options)
{
	return options->as_gcore ? "gcore" : "livecore";
}

static void put_line(FILE *out, const struct options *options, const char *word, const char *text)
{
	fprintf(out, "%s: %s", program(options), word);
	text_put(out, text);
	putc('\n', out);
}

static void put_error(FILE *out, const struct options *options, const struct lc_err *err)
{
	put_line(out, options, "", err->text);
	if (err->hint[0])
		put_line(out, options, "hint: ", err->hint);
}

void report_no_start(const char *what, int code)
{
	fprintf(stderr, "livecore: %s: %s\n", what, strerror(code));
}

static void put_loss(FILE *out, const struct options *options, const struct lc_loss *loss)
{
	char size[TEXT_FIGURE_SIZE];

	fprintf(out, "%s: %s: ", program(options), options->as_gcore ? "warning" : "loss");
	if (loss->end)
		fprintf(out, "memory %" PRIx64 "-%" PRIx64 " (%s): ", loss->start, loss->end,
			text_size(loss->end - loss->start, size));
	else if (loss->tid)
		fprintf(out, "thread %d: ", loss->tid);
	text_put(out, loss->reason);
	putc('\n', out);
}

void report_put_losses(FILE *out, const struct options *options, const struct lc_losses *losses)
{
	size_t shown = losses->n;

	if (!options->verbose && shown > LOSSES_SHOWN)
		shown = LOSSES_SHOWN;
	for (size_t i = 0; i < shown; i++)
		put_loss(out, options, &losses->v[i]);
	if (shown < losses->n)
		fprintf(out, "%s: ... and %zu more (-v or --json lists them)\n", program(options),
			losses->n - shown);
	if (losses->overflow)
		fprintf(out, "%s: there were more losses than memory to list them\n",
			program(options));
}

/* ---- what was written -------------------------------------------------------------------- */

/* livecore: wrote core.1234 (512 MiB, 83 MiB on disk), 12 threads, frozen 41 ms */
void report_put_wrote(FILE *out, const struct outcome *outcome)
{
	const struct lc_result *result = outcome->result;
	char label[LABEL_SIZE], figure[TEXT_FIGURE_SIZE];

	fprintf(out, "livecore: wrote %s", outcome->output->fd >= 0 ? "to " : "");
	text_put(out, output_label(outcome->output, label, sizeof(label)));
	fprintf(out, " (%s", text_size(result->bytes, figure));
	if (!outcome->is_stream)
		fprintf(out, ", %s on disk", text_size(outcome->disk_bytes, figure));
	fprintf(out, "), %s", text_count(result->n_threads, "thread", figure));
	fprintf(out, ", frozen %s", text_time(result->frozen_ns, figure));
	snapshot_put_summary(out, &result->snapshot);
	if (result->losses.n == 1)
		fputs(", 1 loss", out);
	else if (result->losses.n)
		fprintf(out, ", %zu losses", result->losses.n);
	putc('\n', out);
}

static void put_stages(FILE *out, const struct lc_result *result)
{
	const struct {
		const char *name;
		uint64_t ns;
	} stages[] = {
		{"stop", result->stop_ns},         {"registers", result->registers_ns},
		{"mappings", result->mappings_ns}, {"copy", result->copy_ns},
		{"let go", result->thaw_ns},
	};
	char figure[TEXT_FIGURE_SIZE];

	fprintf(out, "  frozen:   %s", text_time(result->frozen_ns, figure));
	/* The parts are those of one stop. */
	if (result->snapshot.n_freezes > 1)
		fprintf(out, " in %zu stops, the last", result->snapshot.n_freezes);
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
		fprintf(out, "%s%s %s", i ? ", " : " = ", stages[i].name,
			text_time(stages[i].ns, figure));
	fprintf(out, "\n  in all:   %s\n", text_time(result->total_ns, figure));
}

static void put_identity(FILE *out, const struct lc_identity *identity)
{
	fprintf(out, "  process:  %d, ", identity->pid);
	text_put(out, identity->comm);
	fputs(", ", out);
	text_put(out, identity->exe ? identity->exe : "(path unknown)");
	putc('\n', out);
}

static void put_details(FILE *out, const struct outcome *outcome)
{
	const struct lc_result *result = outcome->result;
	char figure[TEXT_FIGURE_SIZE];

	put_identity(out, outcome->identity);
	fprintf(out, "  strategy: %s", lc_snapshot_name(result->snapshot.taken));
	snapshot_put_details(out, &result->snapshot, result->n_passes);
	putc('\n', out);
	fprintf(out, "  content:  %s", text_count(result->n_mappings, "mapping", figure));
	fprintf(out, ", %s", text_count(result->n_segments, "segment", figure));
	fprintf(out, ", %s read\n", text_size(result->bytes_read, figure));
	put_stages(out, result);
}

/* livecore: note: process 4712 (worker) has the same memory; it was not stopped and is not in the
 * core */
static void put_sharers(FILE *out, const struct options *options, const struct lc_sharers *sharers)
{
	for (size_t i = 0; i < sharers->n; i++) {
		fprintf(out, "%s: note: process %d (", program(options), sharers->v[i].pid);
		text_put(out, sharers->v[i].comm);
		fputs(") has the same memory; it was not stopped and is not in the core\n", out);
	}
}

/* ---- the manner of gdb's script ---------------------------------------------------------- */

/* For a program that reads it the name is as it was given. */
static void put_gcore_line(const char *before, const struct options *options, pid_t pid)
{
	fputs(before, stdout);
	if (isatty(STDOUT_FILENO))
		text_put(stdout, options->output);
	else
		fputs(options->output, stdout);
	printf(".%d\n", pid);
}

static void report_as_gcore(const struct options *options, const struct outcome *outcome)
{
	if (outcome->err->code) {
		put_error(stderr, options, outcome->err);
		put_gcore_line("gcore: failed to create ", options, outcome->pid);
		return;
	}
	report_put_losses(stderr, options, &outcome->result->losses);
	put_gcore_line("Saved corefile ", options, outcome->pid);
}

/* ---- standard output --------------------------------------------------------------------- */

/* Whoever closed standard output before livecore was started wants nothing on it. */
static bool stdout_was_closed(void)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	return flags < 0 || (flags & O_ACCMODE) == O_RDONLY;
}

/* Each process is reported before the next one is touched. */
static void flush_report(const struct options *options, FILE *out)
{
	int code;

	if (fflush(out) == 0 || out != stdout)
		return;
	code = errno;
	if (!stdout_was_closed())
		fprintf(stderr, "%s: cannot write the report to standard output: %s\n",
			program(options), strerror(code));
}

bool report_was_lost(void)
{
	return ferror(stdout) && !stdout_was_closed();
}

/* ---- the outcome ------------------------------------------------------------------------- */

static void report_to_people(const struct options *options, const struct outcome *outcome,
			     FILE *out)
{
	if (outcome->err->code) {
		put_error(stderr, options, outcome->err);
		return;
	}
	report_put_losses(stderr, options, &outcome->result->losses);
	if (options->quiet)
		return;
	put_sharers(stderr, options, &outcome->result->sharers);
	snapshot_put_notes(stderr, program(options), &outcome->result->snapshot);
	report_put_wrote(out, outcome);
	if (options->verbose)
		put_details(out, outcome);
}

void report_outcome(const struct options *options, const struct outcome *outcome)
{
	FILE *out = outcome->output->to_stdout ? stderr : stdout;

	if (options->json)
		json_put_outcome(out, outcome);
	else if (options->as_gcore)
		report_as_gcore(options, outcome);
	else
		report_to_people(options, outcome, out);
	flush_report(options, out);
}

/* ---- the dry run ------------------------------------------------------------------------- */

static int rule_width(const struct lc_preview *preview)
{
	size_t width = strlen("RULE");

	for (size_t i = 0; i < preview->n_rows; i++) {
		size_t len = strlen(preview->rows[i].rule);

		if (len > width)
			width = len;
	}
	return (int)width;
}

static void put_row(FILE *out, const struct lc_plan_row *row, int width)
{
	char range[RANGE_SIZE];

	snprintf(range, sizeof(range), "%012" PRIx64 "-%012" PRIx64, row->start, row->end);
	fprintf(out, "%-25s %s %14" PRIu64 " %14" PRIu64, range, row->perms, row->end - row->start,
		row->file_bytes);
	/* No blanks at the end of a line. */
	if (row->name[0])
		fprintf(out, " %-*s ", width, row->rule);
	else
		fprintf(out, " %s", row->rule);
	text_put(out, row->name);
	putc('\n', out);
}

void report_put_table(FILE *out, const struct outcome *outcome, const struct lc_preview *preview)
{
	int width = rule_width(preview);
	char figure[TEXT_FIGURE_SIZE];

	fprintf(out, "%-25s PERM %14s %14s %-*s NAME\n", "RANGE", "BYTES", "DUMPED", width, "RULE");
	for (size_t i = 0; i < preview->n_rows; i++)
		put_row(out, &preview->rows[i], width);
	fprintf(out, "livecore: %d (", outcome->pid);
	text_put(out, outcome->identity->comm);
	fprintf(out, ") would give a core of %s", text_size(preview->core_bytes, figure));
	fprintf(out, ", at most %s on disk", text_size(preview->disk_bytes, figure));
	fprintf(out, ", %s", text_count(preview->n_threads, "thread", figure));
	fprintf(out, ", %s\n", text_count(preview->n_rows, "mapping", figure));
}

void report_preview(const struct options *options, const struct outcome *outcome,
		    const struct lc_preview *preview)
{
	if (options->json)
		json_put_preview(stdout, outcome, preview);
	else if (outcome->err->code)
		put_error(stderr, options, outcome->err);
	else
		report_put_table(stdout, outcome, preview);
	flush_report(options, stdout);
}
