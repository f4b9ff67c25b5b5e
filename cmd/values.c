/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Numbers of the command line. What strtol() and strtod() take besides plain ones (blanks, signs,
 * hex, "inf") is refused: in a command line it is a mistake. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "values.h"

#define DIGITS     "0123456789"
#define PID_LIMIT  4194304 /* PID_MAX_LIMIT of include/linux/threads.h on 64-bit kernels */
#define TIME_MAX_S 86400.0
#define SHOWN_SIZE 200 /* of a word of the command line in a message */

int value_parse_pid(const char *text, pid_t *ret_pid, char *ret_problem, size_t size)
{
	char shown[SHOWN_SIZE];
	bool negative = *text == '-';
	const char *digits = text + negative;
	size_t n_digits = strspn(digits, DIGITS);
	long value;

	text_escape(text, shown, sizeof(shown));
	if (!n_digits || digits[n_digits]) {
		snprintf(ret_problem, size, "'%s' is not a process ID: not a number", shown);
		return -EINVAL;
	}
	if (negative) {
		snprintf(ret_problem, size, "'%s' is not a process ID: it is negative", shown);
		return -EINVAL;
	}
	errno = 0;
	value = strtol(digits, NULL, 10);
	if (errno || value < 1 || value > PID_LIMIT) {
		snprintf(ret_problem, size, "process ID %s is out of range: they go from 1 to %d",
			 shown, PID_LIMIT);
		return -EINVAL;
	}
	*ret_pid = (pid_t)value;
	return 0;
}

/* What a time is called and counted in. */
static const struct time_kind {
	const char *what, *units;
	double ns_per_unit, max;
} time_kinds[] = {
	[VALUE_TIMEOUT] = {"time-out", "seconds", 1e9, TIME_MAX_S},
	[VALUE_WAIT] = {"waiting time", "seconds", 1e9, TIME_MAX_S},
	[VALUE_FREEZE] = {"freeze", "milliseconds", 1e6, TIME_MAX_S * 1e3},
	[VALUE_PRECOPY] = {"time of precopy", "seconds", 1e9, TIME_MAX_S},
};

int value_parse_time(const char *text, enum value_time kind, uint64_t *ret_ns, char *ret_problem,
		     size_t size)
{
	const struct time_kind *k = &time_kinds[kind];
	char shown[SHOWN_SIZE];
	char *end;
	double value;

	text_escape(text, shown, sizeof(shown));
	/* strtod() would take "inf", "nan" and "0x1p3" as well. */
	value = strtod(text, &end);
	if (!*text || *end || strspn(text, DIGITS ".") != strlen(text)) {
		snprintf(ret_problem, size, "%s '%s' is not a number of %s", k->what, shown,
			 k->units);
		return -EINVAL;
	}
	if (value > k->max || value * k->ns_per_unit < 1.0) {
		snprintf(ret_problem, size, "%s '%s' is out of range: more than 0, at most %.0f %s",
			 k->what, shown, k->max, k->units);
		return -EINVAL;
	}
	*ret_ns = (uint64_t)(value * k->ns_per_unit);
	return 0;
}

int value_parse_passes(const char *text, unsigned int *ret_passes, char *ret_problem, size_t size)
{
	char shown[SHOWN_SIZE];
	unsigned long value;

	text_escape(text, shown, sizeof(shown));
	if (!*text || text[strspn(text, DIGITS)]) {
		snprintf(ret_problem, size, "'%s' is not a number of passes", shown);
		return -EINVAL;
	}
	/* What exceeds even an unsigned long is ULONG_MAX. */
	value = strtoul(text, NULL, 10);
	if (value < 1 || value > VALUE_PASSES_MAX) {
		snprintf(ret_problem, size, "%s passes are out of range: they go from 1 to %d",
			 shown, VALUE_PASSES_MAX);
		return -EINVAL;
	}
	*ret_passes = (unsigned int)value;
	return 0;
}

/* The binary logarithm of what is behind the digits, or -1. */
static int shift_of(const char *suffix)
{
	static const char letters[] = "KMGT";
	const char *letter;

	if (!*suffix)
		return 0;
	letter = strchr(letters, *suffix);
	if (!letter || suffix[1])
		return -1;
	return 10 * (int)(letter - letters + 1);
}

int value_parse_size(const char *text, uint64_t *ret_bytes, char *ret_problem, size_t size)
{
	char shown[SHOWN_SIZE];
	size_t n_digits = strspn(text, DIGITS);
	int shift = shift_of(text + n_digits);
	uint64_t value;

	text_escape(text, shown, sizeof(shown));
	if (!n_digits || shift < 0) {
		snprintf(ret_problem, size,
			 "'%s' is not a size: a whole number of bytes, or of K, M, G or T, as 512M",
			 shown);
		return -EINVAL;
	}
	/* What exceeds even 64 bits is UINT64_MAX. */
	value = strtoumax(text, NULL, 10);
	if (!value || value > (uint64_t)INT64_MAX >> shift) {
		snprintf(ret_problem, size,
			 "size '%s' is out of range: more than 0, below 8388608T", shown);
		return -EINVAL;
	}
	*ret_bytes = value << shift;
	return 0;
}

int value_parse_snapshot(const char *text, enum lc_snapshot *ret_snapshot, char *ret_problem,
			 size_t size)
{
	char shown[SHOWN_SIZE];

	for (unsigned int i = 0; i < LC_SNAPSHOT_N; i++) {
		if (!strcmp(text, lc_snapshot_name((enum lc_snapshot)i))) {
			*ret_snapshot = (enum lc_snapshot)i;
			return 0;
		}
	}
	snprintf(ret_problem, size, "--snapshot is auto, precopy, fork, copy or off, not '%s'",
		 text_escape(text, shown, sizeof(shown)));
	return -EINVAL;
}
