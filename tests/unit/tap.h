/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The Test Anything Protocol for the unit tests: each check is one line, main() ends in
 * `return tap_done();`. Included once, by the file with main(). */
#ifndef TAP_H
#define TAP_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned int tap_n, tap_n_failed;

__attribute__((format(printf, 2, 3))) static inline bool tap_ok(bool good, const char *format, ...)
{
	va_list args;

	printf("%sok %u - ", good ? "" : "not ", ++tap_n);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	tap_n_failed += !good;
	return good;
}

static inline bool tap_is(int64_t got, int64_t want, const char *what, int line)
{
	bool good = tap_ok(got == want, "%s", what);

	if (!good)
		printf("# line %d: got %" PRId64 " (0x%" PRIx64 "), want %" PRId64 " (0x%" PRIx64
		       ")\n",
		       line, got, got, want, want);
	return good;
}

static inline bool tap_is_mem(const void *got, const void *want, size_t len, const char *what,
			      int line)
{
	const uint8_t *a = got, *b = want;
	bool good = tap_ok(!len || !memcmp(a, b, len), "%s", what);

	for (size_t i = 0; !good && i < len; i++)
		if (a[i] != b[i]) {
			printf("# line %d: byte %zu: got 0x%02x, want 0x%02x\n", line, i, a[i],
			       b[i]);
			break;
		}
	return good;
}

static inline bool tap_is_str(const char *got, const char *want, const char *what, int line)
{
	bool good = tap_ok(got && !strcmp(got, want), "%s", what);

	if (!good)
		printf("# line %d: got \"%s\", want \"%s\"\n", line, got ? got : "(null)", want);
	return good;
}

__attribute__((format(printf, 1, 2))) static inline void tap_skip(const char *format, ...)
{
	va_list args;

	printf("ok %u # SKIP ", ++tap_n);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/* What a test needs and cannot go on without. */
__attribute__((format(printf, 1, 2), noreturn)) static inline void tap_bail(const char *format, ...)
{
	va_list args;

	printf("Bail out! ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	exit(99);
}

#define ok(good, ...)                tap_ok((good), __VA_ARGS__)
#define is(got, want, what)          tap_is((int64_t)(got), (int64_t)(want), (what), __LINE__)
#define is_mem(got, want, len, what) tap_is_mem((got), (want), (len), (what), __LINE__)
#define is_str(got, want, what)      tap_is_str((got), (want), (what), __LINE__)
#define need(good)                                                                                 \
	do {                                                                                       \
		if (!(good))                                                                       \
			tap_bail("%s:%d: %s", __FILE__, __LINE__, #good);                          \
	} while (0)

static inline int tap_done(void)
{
	printf("1..%u\n", tap_n);
	return tap_n_failed ? 1 : 0;
}

#endif
