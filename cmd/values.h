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
	VALUE_PRECOPY,
};

/* Digits with decimals, above 0, at most a day. */
LC_MUST_CHECK int value_parse_time(const char *text, enum value_time kind, uint64_t *ret_ns,
				   char *ret_problem, size_t size);

/* Decimal digits, 1 to VALUE_PASSES_MAX. */
#define VALUE_PASSES_MAX 1000

LC_MUST_CHECK int value_parse_passes(const char *text, unsigned int *ret_passes, char *ret_problem,
				     size_t size);

/* Bytes, or with one of K, M, G and T behind the digits powers of 1024 of them; above 0, at most
 * INT64_MAX. */
LC_MUST_CHECK int value_parse_size(const char *text, uint64_t *ret_bytes, char *ret_problem,
				   size_t size);

/* A name that lc_snapshot_name() gives. */
LC_MUST_CHECK int value_parse_snapshot(const char *text, enum lc_snapshot *ret_snapshot,
				       char *ret_problem, size_t size);

#endif
