/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The progress bar. Called while the process is frozen, from a thread that does not hold it. */
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"
#include "text.h"

#define NS_PER_SECOND 1000000000ULL
#define QUIET_NS      (NS_PER_SECOND / 2) /* a dump that is over by then needs no bar */
#define LINE_EVERY_NS NS_PER_SECOND       /* where each update stays in a log */
#define DEFAULT_WIDTH 80
#define LINE_SIZE     256
#define FIGURES_WIDTH 48 /* what is on the right of the bar, at most */
#define LEFT_MAX_S    86400.0
#define BAR_MIN       10
#define BAR_MAX       50

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

void progress_start(struct progress *progress, const struct options *options, pid_t pid, FILE *out)
{
	bool terminal = isatty(fileno(out)) == 1;

	*progress = (struct progress){
		.out = out,
		.terminal = terminal,
		.enabled = options->progress == PROGRESS_ALWAYS ||
			   (options->progress == PROGRESS_AUTO && terminal && !options->quiet),
		.pid = pid,
		.start_ns = now_ns(),
	};
}

static double fraction(uint64_t done, uint64_t total)
{
	if (!total || done >= total)
		return 1.0;
	return (double)done / (double)total;
}

/* "[====>     ] ", or nothing where the line has no room. Returns its length. */
static size_t format_bar(double part, size_t width, char *buf, size_t size)
{
	size_t cells, full;

	if (width < FIGURES_WIDTH + BAR_MIN + 3)
		return 0;
	cells = width - FIGURES_WIDTH - 3;
	if (cells > BAR_MAX)
		cells = BAR_MAX;
	if (cells + 4 > size)
		return 0;
	full = (size_t)((double)cells * part);
	buf[0] = '[';
	memset(buf + 1, '=', full);
	memset(buf + 1 + full, ' ', cells - full);
	if (full < cells)
		buf[1 + full] = '>';
	memcpy(buf + 1 + cells, "] ", 3);
	return cells + 3;
}

/* Whole seconds, rounded up: it is a guess. */
static const char *format_left(double seconds, char buf[static TEXT_FIGURE_SIZE])
{
	uint64_t whole;

	if (seconds >= LEFT_MAX_S)
		return "hours";
	whole = (uint64_t)seconds;
	whole += seconds > (double)whole;
	if (whole >= 60)
		return text_time(whole * NS_PER_SECOND, buf);
	snprintf(buf, TEXT_FIGURE_SIZE, "%" PRIu64 " s", whole);
	return buf;
}

static void format_figures(uint64_t done, uint64_t total, double rate, char *buf, size_t size)
{
	char done_text[TEXT_FIGURE_SIZE], total_text[TEXT_FIGURE_SIZE];
	char rate_text[TEXT_FIGURE_SIZE], left_text[TEXT_FIGURE_SIZE];
	int used;

	used = snprintf(buf, size, "%3.0f%% %s of %s", 100.0 * fraction(done, total),
			text_size(done, done_text), text_size(total, total_text));
	if (rate <= 0.0 || used < 0 || (size_t)used >= size)
		return;
	snprintf(buf + used, size - (size_t)used, ", %s/s, %s left",
		 text_size((uint64_t)rate, rate_text),
		 format_left(total > done ? (double)(total - done) / rate : 0.0, left_text));
}

char *progress_line(uint64_t done, uint64_t total, double rate, size_t width, char *buf,
		    size_t size)
{
	size_t used = format_bar(fraction(done, total), width, buf, size);

	format_figures(done, total, rate, buf + used, size - used);
	if (width < size)
		buf[width] = '\0';
	return buf;
}

static size_t terminal_width(FILE *out)
{
	struct winsize size;

	if (ioctl(fileno(out), TIOCGWINSZ, &size) < 0 || size.ws_col < 2)
		return DEFAULT_WIDTH;
	/* Writing into the last column moves some terminals on to the next line. */
	return size.ws_col - 1U;
}

static void draw_bar(struct progress *progress, uint64_t done, uint64_t total, double rate)
{
	char line[LINE_SIZE];
	size_t width = terminal_width(progress->out);
	int padding = (int)progress->drawn_width;

	if (width >= sizeof(line))
		width = sizeof(line) - 1;
	progress_line(done, total, rate, width, line, sizeof(line));
	/* Spaces over what a longer line left; a narrower window has less to cover. */
	if (padding > (int)width)
		padding = (int)width;
	fprintf(progress->out, "\r%-*s", padding, line);
	progress->drawn_width = strlen(line);
}

static void draw_line(struct progress *progress, uint64_t done, uint64_t total, double rate)
{
	char line[LINE_SIZE];

	format_figures(done, total, rate, line, sizeof(line));
	fprintf(progress->out, "livecore: %d: %s\n", progress->pid, line);
}

/* Counted from the first bytes on: what comes before, stopping threads and reading tables, says
 * nothing about them. */
static double update_rate(struct progress *progress, uint64_t done, uint64_t now)
{
	if (!progress->first_ns && done) {
		progress->first_ns = now;
		progress->first_done = done;
	}
	if (!progress->first_ns || now == progress->first_ns)
		return 0.0;
	return (double)(done - progress->first_done) * (double)NS_PER_SECOND /
	       (double)(now - progress->first_ns);
}

void progress_update(void *arg, uint64_t done, uint64_t total)
{
	struct progress *progress = arg;
	uint64_t now = now_ns();
	double rate = update_rate(progress, done, now);

	if (!progress->enabled || now - progress->start_ns < QUIET_NS)
		return;
	if (progress->terminal) {
		draw_bar(progress, done, total, rate);
	} else {
		if (progress->drawn_ns && now - progress->drawn_ns < LINE_EVERY_NS)
			return;
		draw_line(progress, done, total, rate);
	}
	progress->drawn_ns = now;
	fflush(progress->out);
}

void progress_end(struct progress *progress)
{
	if (!progress->terminal || !progress->drawn_ns)
		return;
	fprintf(progress->out, "\r%*s\r", (int)progress->drawn_width, "");
	fflush(progress->out);
}
