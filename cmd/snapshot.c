/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Snapshots in words. The reasons may hold bytes of the target, and go through text_put(). */
#include <stdbool.h>

#include "snapshot.h"
#include "text.h"

#define STOPS_SHOWN 4 /* one by one, in a line that is to be read at a glance */

size_t snapshot_n_listed(const struct lc_snapshot_figures *figures)
{
	return figures->n_freezes < LC_FREEZES_MAX ? figures->n_freezes : LC_FREEZES_MAX;
}

uint64_t snapshot_longest(const struct lc_snapshot_figures *figures)
{
	size_t n = snapshot_n_listed(figures);
	uint64_t longest = 0;

	for (size_t i = 0; i < n; i++) {
		if (figures->freezes_ns[i] > longest)
			longest = figures->freezes_ns[i];
	}
	return longest;
}

/* 400 us + 500 us */
static void put_stops(FILE *out, const struct lc_snapshot_figures *figures)
{
	size_t n = snapshot_n_listed(figures);
	char figure[TEXT_FIGURE_SIZE];

	for (size_t i = 0; i < n; i++)
		fprintf(out, "%s%s", i ? " + " : "", text_time(figures->freezes_ns[i], figure));
}

/* 17 stops, the longest 900 us; 70 stops, the longest of the first 64: 900 us */
static void put_longest(FILE *out, const struct lc_snapshot_figures *figures)
{
	size_t n = snapshot_n_listed(figures);
	char figure[TEXT_FIGURE_SIZE];

	fprintf(out, "%zu stops, the longest", figures->n_freezes);
	if (n < figures->n_freezes)
		fprintf(out, " of the first %zu:", n);
	fprintf(out, " %s", text_time(snapshot_longest(figures), figure));
}

/* 2 passes, 514 MiB copied while it ran, 1.2 MiB while it stood still, 3.1 MiB/s dirtied */
static void put_amounts(FILE *out, const struct lc_snapshot_figures *figures)
{
	bool is_precopy = figures->taken == LC_SNAPSHOT_PRECOPY;
	char figure[TEXT_FIGURE_SIZE];

	if (is_precopy) {
		fprintf(out, "%u pass%s, ", figures->n_passes, figures->n_passes == 1 ? "" : "es");
		fprintf(out, "%s copied while it ran, ", text_size(figures->bytes_outside, figure));
	}
	fprintf(out, "%s%s while it stood still", text_size(figures->bytes_inside, figure),
		is_precopy ? "" : " copied");
	if (is_precopy)
		fprintf(out, ", %s/s dirtied", text_size(figures->dirty_rate, figure));
}

void snapshot_put_summary(FILE *out, const struct lc_snapshot_figures *figures)
{
	if (figures->taken == LC_SNAPSHOT_OFF)
		return;
	fprintf(out, " (%s: ", lc_snapshot_name(figures->taken));
	/* A single stop is the time that stands before. */
	if (figures->n_freezes > 1) {
		if (figures->n_freezes <= STOPS_SHOWN)
			put_stops(out, figures);
		else
			put_longest(out, figures);
		fputs("; ", out);
	}
	put_amounts(out, figures);
	putc(')', out);
}

void snapshot_put_details(FILE *out, const struct lc_snapshot_figures *figures,
			  unsigned int n_passes)
{
	if (figures->tracker)
		fprintf(out, " by %s", figures->tracker);
	fprintf(out, ", %u pass%s over the threads", n_passes, n_passes == 1 ? "" : "es");
	if (figures->spooled)
		fputs("; spooled through a temporary file", out);
	if (figures->taken != LC_SNAPSHOT_OFF) {
		fputs("; ", out);
		put_amounts(out, figures);
	}
	if (figures->n_freezes > 1) {
		fprintf(out, "; %zu stops: ", figures->n_freezes);
		put_stops(out, figures);
		if (snapshot_n_listed(figures) < figures->n_freezes)
			fputs(" + ...", out);
	}
}

/* livecore: note: precopy was not to be had: the process is under seccomp */
void snapshot_put_notes(FILE *out, const char *program, const struct lc_snapshot_figures *figures)
{
	for (size_t i = 0; i < figures->n_passed_over; i++) {
		fprintf(out, "%s: note: %s was not to be had: ", program,
			lc_snapshot_name(figures->passed_over[i].snapshot));
		text_put(out, figures->passed_over[i].reason);
		putc('\n', out);
	}
	if (figures->n_passed_over && figures->taken == LC_SNAPSHOT_OFF)
		fprintf(out,
			"%s: note: no snapshot was to be had: the process stood still until its "
			"memory was written\n",
			program);
}
