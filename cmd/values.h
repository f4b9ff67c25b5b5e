/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Values of options as text. Each function returns 0, or -EINVAL with a sentence in `ret_problem`
 * that is escaped for people, and then leaves the value alone. They open and change nothing.
 */
#ifndef CMD_VALUES_H
#define CMD_VALUES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../core/livecore.h"

/* Decimal digits, 1 to 4194304 (the kernel's PID_MAX_LIMIT). */
LC_MUST_CHECK int value_parse_pid(const char *text, pid_t *ret_pid, char *ret_problem, size_t size);

/* What a time is for: the messages call it by that, and --max-freeze counts in milliseconds. */
enum value_time {
	VALUE_TIMEOUT,
	VALUE_WAIT,
	VALUE_FREEZE,
};

/* Digits with decimals, above 0, at most a day. */
LC_MUST_CHECK int value_parse_time(const char *text, enum value_time kind, uint64_t *ret_ns,
				   char *ret_problem, size_t size);

#endif
