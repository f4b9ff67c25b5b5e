/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the fuzzers share. Each is one file with LLVMFuzzerTestOneInput(), which takes any bytes and
 * ends in must() if what it tests breaks its promise: that it does not crash is the least of them.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(good)                                                                                 \
	do {                                                                                       \
		if (!(good)) {                                                                     \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #good);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The bytes that are left of an input. Where there are none it gives zeros and empty texts. */
struct fuzz_input {
	const uint8_t *data;
	size_t size;
};

static inline uint64_t fuzz_take(struct fuzz_input *in, size_t n)
{
	uint64_t value = 0;

	for (; n > 0 && in->size > 0; n--, in->size--)
		value = value << 8 | *in->data++;
	return value;
}

/* A terminated copy of exactly that size, so that a read beyond its end is seen. To be freed. */
static inline char *fuzz_text(const void *data, size_t size)
{
	char *text = malloc(size + 1);

	must(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* The bytes up to the next NUL, which goes with them. To be freed. */
static inline char *fuzz_take_string(struct fuzz_input *in)
{
	size_t len = in->size ? strnlen((const char *)in->data, in->size) : 0;
	char *string = fuzz_text(in->data, len);

	len += len < in->size;
	in->data += len;
	in->size -= len;
	return string;
}

/* The rest. */
static inline char *fuzz_take_rest(struct fuzz_input *in)
{
	char *text = fuzz_text(in->data, in->size);

	in->data += in->size;
	in->size = 0;
	return text;
}

/* Printable ASCII, and something. */
static inline bool fuzz_is_plain(const char *text)
{
	const char *s = text;

	while (*s >= 0x20 && *s < 0x7f)
		s++;
	return s > text && !*s;
}

#endif
