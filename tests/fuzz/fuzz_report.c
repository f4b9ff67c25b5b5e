/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What people are told: whatever a process, its files and the reasons of losses are called, lines
 * of text come out and nothing that acts on a terminal. Input: a byte of options, one of the error,
 * the strings, and a snapshot.
 */
#include <locale.h>

#include "../../cmd/report.h"
#include "../../cmd/text.h"
#include "fuzz.h"

#define N_STRINGS 6

/* Whole lines of what is safe. */
static void check_lines(const char *printed, size_t len)
{
	must(len == strlen(printed));
	must(len == 0 || printed[len - 1] == '\n');
	while (*printed) {
		uint32_t code;
		size_t n = text_utf8_decode(printed, &code);

		must(n > 0 && (code == '\n' || text_is_safe(code)));
		printed += n;
	}
}

static size_t count_newlines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

struct printed {
	FILE *out, *saved_out, *saved_err;
	char *text;
	size_t len;
};

/* glibc's standard streams are variables. */
static void begin(struct printed *p)
{
	p->out = open_memstream(&p->text, &p->len);
	must(p->out);
	p->saved_out = stdout;
	p->saved_err = stderr;
	stdout = stderr = p->out;
}

static void end(struct printed *p)
{
	stdout = p->saved_out;
	stderr = p->saved_err;
	must(fclose(p->out) == 0);
	check_lines(p->text, p->len);
}

static size_t count_notes(const struct outcome *outcome)
{
	const struct lc_snapshot_figures *figures = &outcome->result->snapshot;

	return figures->n_passed_over + (figures->n_passed_over && !figures->taken);
}

static void check_outcome(const struct options *options, const struct outcome *outcome)
{
	struct printed p;
	size_t want = 2;

	begin(&p);
	report_outcome(options, outcome);
	end(&p);
	if (outcome->err->code)
		want = 1 + (outcome->err->hint[0] != '\0') + options->as_gcore;
	else if (!options->as_gcore)
		want = options->quiet ? 1 : (options->verbose ? 7 : 2) + count_notes(outcome);
	must(count_newlines(p.text) == want);
	free(p.text);
}

static void check_preview(const struct options *options, const struct outcome *outcome,
			  const struct lc_preview *preview)
{
	struct printed p;

	begin(&p);
	report_preview(options, outcome, preview);
	end(&p);
	must(count_newlines(p.text) ==
	     (outcome->err->code ? 1 + (outcome->err->hint[0] != '\0') : 2 + preview->n_rows));
	free(p.text);
}

static void copy(char *to, size_t size, const char *text)
{
	snprintf(to, size, "%s", text);
}

/* Behind everything else, so that kept inputs keep their meaning. */
static void take_snapshot(struct fuzz_input *in, struct lc_snapshot_figures *figures)
{
	unsigned int bits = (unsigned int)fuzz_take(in, 1);

	figures->taken = (enum lc_snapshot)(bits % LC_SNAPSHOT_N);
	figures->tracker = bits & 64 ? "userfaultfd" : NULL;
	figures->spooled = bits & 128;
	figures->n_freezes = fuzz_take(in, 2);
	figures->n_passed_over = fuzz_take(in, 1) % (LC_SNAPSHOT_N + 1);
	figures->freezes_ns[0] = fuzz_take(in, 8);
	figures->bytes_inside = figures->dirty_rate = fuzz_take(in, 8);
	for (size_t i = 0; i < figures->n_passed_over; i++) {
		char *reason = fuzz_take_string(in);

		figures->passed_over[i].snapshot = (enum lc_snapshot)i;
		copy(figures->passed_over[i].reason, LC_TEXT_SIZE, reason);
		free(reason);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	unsigned int bits = (unsigned int)fuzz_take(&in, 1);
	struct options options = {
		.verbose = bits & 1,
		.quiet = !(bits & 1) && bits & 2,
		.as_gcore = bits & 4,
		.output = "core",
	};
	struct lc_err err = {.code = (int)fuzz_take(&in, 1)};
	struct lc_loss loss = {.tid = (pid_t)(bits >> 4), .end = bits & 8};
	struct lc_identity identity = {.pid = 1};
	struct output output = OUTPUT_INIT;
	struct lc_result result = {.losses = {.v = &loss, .n = 1}};
	struct lc_plan_row row = {.perms = "rw-p", .rule = "always"};
	const struct lc_preview preview = {.rows = &row, .n_rows = 1};
	const struct outcome outcome = {
		.identity = &identity, .output = &output, .result = &result, .err = &err};
	char *strings[N_STRINGS];

	if (!strcmp(setlocale(LC_CTYPE, NULL), "C"))
		must(setlocale(LC_CTYPE, "C.UTF-8"));
	for (size_t i = 0; i < N_STRINGS; i++)
		strings[i] = fuzz_take_string(&in);
	take_snapshot(&in, &result.snapshot);
	copy(identity.comm, sizeof(identity.comm), strings[0]);
	copy(err.text, sizeof(err.text), strings[1]);
	copy(err.hint, sizeof(err.hint), strings[2]);
	copy(loss.reason, sizeof(loss.reason), strings[3]);
	copy(output.name, sizeof(output.name), strings[4]);
	identity.exe = bits & 16 ? strings[4] : NULL;
	row.name = strings[5];
	check_outcome(&options, &outcome);
	options.as_gcore = false;
	check_preview(&options, &outcome, &preview);
	for (size_t i = 0; i < N_STRINGS; i++)
		free(strings[i]);
	return 0;
}
