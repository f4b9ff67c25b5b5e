/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Words and figures for people: escaping of bytes that others chose, sizes, times, plurals. */
#ifndef CMD_TEXT_H
#define CMD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TEXT_FIGURE_SIZE 32

/*
 * Decodes one character of UTF-8. Returns its length and fills `ret_code`, or 0 where the bytes are
 * no shortest-form UTF-8 of a Unicode scalar value (the end of the string included).
 */
size_t text_utf8_decode(const char *s, uint32_t *ret_code);

/* False for what must not reach a terminal: control characters, and what changes the direction of
 * text. */
bool text_is_safe(uint32_t code);

/*
 * Escapes `s` so that no byte of it acts on a terminal: control characters, invalid UTF-8 and what
 * changes the direction of text become \NNN in octal, byte by byte, a backslash becomes two. What
 * is beyond ASCII passes only where the locale's character set is UTF-8. What does not fit is cut
 * between two characters. Returns `buf`, always terminated.
 */
char *text_escape(const char *s, char *buf, size_t size);

/* The same without a bound, to a stream. */
void text_put(FILE *out, const char *s);

/* "83 MiB", "1.5 GiB", "1 byte". Returns `buf`. */
const char *text_size(uint64_t bytes, char buf[static TEXT_FIGURE_SIZE]);

/* "850 us", "41 ms", "1.2 s", "3 min 5 s". Returns `buf`. */
const char *text_time(uint64_t ns, char buf[static TEXT_FIGURE_SIZE]);

/* "1 thread", "12 threads". Returns `buf`. */
const char *text_count(uint64_t n, const char *noun, char buf[static TEXT_FIGURE_SIZE]);

/* The constant's name of an errno value, "EPERM"; NULL where the C library has none. */
const char *text_errno_name(int code);

#endif
