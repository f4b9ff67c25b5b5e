/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Words and figures for people. Pure functions, except that the locale's character set is asked. */
#include <inttypes.h>
#include <langinfo.h>
#include <string.h>

#include "text.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

#define KIB               1024.0
#define NS_PER_US         1000.0
#define NS_PER_SECOND     1000000000ULL

/* Room for the longest escaped character: four bytes as \NNN. */
#define ESCAPED_MAX 17

/* ---- UTF-8 ------------------------------------------------------------------------------- */

static const struct {
	unsigned char mask, lead;
	uint32_t min; /* smaller ones have a shorter form */
} utf8_forms[] = {
	{0x80, 0x00, 0},
	{0xe0, 0xc0, 0x80},
	{0xf0, 0xe0, 0x800},
	{0xf8, 0xf0, 0x10000},
};

static bool is_scalar(uint32_t code)
{
	return code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

/* A terminating NUL is no continuation byte, so nothing behind the end is looked at. */
static size_t decode_as(const char *s, size_t form, uint32_t *ret_code)
{
	uint32_t code = (unsigned char)s[0] & (unsigned char)~utf8_forms[form].mask;

	for (size_t i = 1; i <= form; i++) {
		unsigned char c = (unsigned char)s[i];

		if ((c & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (c & 0x3f);
	}
	if (code < utf8_forms[form].min || !is_scalar(code))
		return 0;
	*ret_code = code;
	return form + 1;
}

size_t text_utf8_decode(const char *s, uint32_t *ret_code)
{
	if (!*s)
		return 0;
	for (size_t i = 0; i < N_ELEMENTS(utf8_forms); i++) {
		if (((unsigned char)*s & utf8_forms[i].mask) == utf8_forms[i].lead)
			return decode_as(s, i, ret_code);
	}
	return 0;
}

/* ---- escaping ---------------------------------------------------------------------------- */

/*
 * Ranges that must not reach a terminal: C0 and C1 controls (xterm takes U+009B as CSI even in
 * UTF-8), line and paragraph separators, and the marks that change the direction of the text after
 * them, with which a name can dress up as another.
 */
static const struct {
	uint32_t first, last;
} unsafe_ranges[] = {
	{0x00, 0x1f},     {0x7f, 0x9f},     {0x200e, 0x200f}, {0x2028, 0x202e},
	{0x2066, 0x2069}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
};

bool text_is_safe(uint32_t code)
{
	for (size_t i = 0; i < N_ELEMENTS(unsafe_ranges); i++) {
		if (code >= unsafe_ranges[i].first && code <= unsafe_ranges[i].last)
			return false;
	}
	return true;
}

/* Asked each time: it is a look into a table, and there is no state of our own to go stale. */
static bool locale_is_utf8(void)
{
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

static size_t escape_octal(const char *s, size_t len, char *buf)
{
	for (size_t i = 0; i < len; i++)
		snprintf(buf + 4 * i, 5, "\\%03o", (unsigned char)s[i]);
	return 4 * len;
}

/* Escapes the first character of `s` into `buf`. Returns the number of bytes it had. */
static size_t escape_one(const char *s, char buf[static ESCAPED_MAX], size_t *ret_len)
{
	uint32_t code;
	size_t len = text_utf8_decode(s, &code);
	bool passes = len && text_is_safe(code) && (len == 1 || locale_is_utf8());

	if (!len)
		len = 1;
	if (!passes) {
		*ret_len = escape_octal(s, len, buf);
		return len;
	}
	*ret_len = 0;
	if (code == '\\')
		buf[(*ret_len)++] = '\\';
	memcpy(buf + *ret_len, s, len);
	*ret_len += len;
	return len;
}

char *text_escape(const char *s, char *buf, size_t size)
{
	char one[ESCAPED_MAX];
	size_t used = 0, len;

	while (*s) {
		s += escape_one(s, one, &len);
		if (used + len >= size)
			break;
		memcpy(buf + used, one, len);
		used += len;
	}
	buf[used] = '\0';
	return buf;
}

void text_put(FILE *out, const char *s)
{
	char one[ESCAPED_MAX];
	size_t len;

	while (*s) {
		s += escape_one(s, one, &len);
		fwrite(one, 1, len, out);
	}
}

/* ---- figures ----------------------------------------------------------------------------- */

/* One decimal where it says something: 1.5 GiB, 83 MiB, 0 us. 9.96 is 10, not 10.0. */
static void print_scaled(double value, const char *unit, char buf[static TEXT_FIGURE_SIZE])
{
	snprintf(buf, TEXT_FIGURE_SIZE, value > 0 && value < 9.95 ? "%.1f %s" : "%.0f %s", value,
		 unit);
}

const char *text_size(uint64_t bytes, char buf[static TEXT_FIGURE_SIZE])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes / KIB;
	size_t unit = 0;

	if (bytes < 1024)
		return text_count(bytes, "byte", buf);
	/* What would be rounded to 1024 of one unit is 1.0 of the next. */
	for (; value >= KIB - 0.5 && unit + 1 < N_ELEMENTS(units); unit++)
		value /= KIB;
	print_scaled(value, units[unit], buf);
	return buf;
}

const char *text_time(uint64_t ns, char buf[static TEXT_FIGURE_SIZE])
{
	static const char *const units[] = {"us", "ms"};
	double value = (double)ns / NS_PER_US;
	uint64_t s = (ns + NS_PER_SECOND / 2) / NS_PER_SECOND;

	for (size_t i = 0; i < N_ELEMENTS(units); i++, value /= 1000.0) {
		if (value < 999.5) {
			print_scaled(value, units[i], buf);
			return buf;
		}
	}
	if (s < 60)
		print_scaled(value, "s", buf);
	else
		snprintf(buf, TEXT_FIGURE_SIZE, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	return buf;
}

const char *text_count(uint64_t n, const char *noun, char buf[static TEXT_FIGURE_SIZE])
{
	snprintf(buf, TEXT_FIGURE_SIZE, "%" PRIu64 " %s%s", n, noun, n == 1 ? "" : "s");
	return buf;
}

const char *text_errno_name(int code)
{
#if __GLIBC_PREREQ(2, 32)
	return strerrorname_np(code);
#else
	(void)code;
	return NULL;
#endif
}
