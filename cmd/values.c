/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Numbers of the command line. What strtol() and strtod() take besides plain ones (blanks, signs,
 * hex, "inf") is refused: in a command line it is a mistake. */
#include <errno.h>
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
