/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Text for a terminal: any bytes in, nothing comes out that acts on one, in a locale with UTF-8 and
 * without; nothing is lost; what is cut is cut between characters.
 */
#include <locale.h>

#include "../../cmd/text.h"
#include "fuzz.h"

/* Unsafe beyond the controls: unsafe_ranges of text.c, written down once more. */
static bool acts(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x200e || code == 0x200f ||
	       (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
	       code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb);
}

/* Returns the length. */
static size_t encode(uint32_t code, char buf[5])
{
	size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};

	buf[n] = '\0';
	for (size_t i = n; i-- > 1; code >>= 6)
		buf[i] = (char)(0x80 | (code & 0x3f));
	buf[0] = (char)(leads[n] | code);
	return n;
}

/* What is decoded is the only form of it; every character has one. */
static void check_decoding(const char *text, uint32_t any)
{
	char buf[5];
	uint32_t code;
	bool is_scalar;

	for (size_t len; *text; text += len ? len : 1) {
		len = text_utf8_decode(text, &code);
		must(!len || (encode(code, buf) == len && memcmp(buf, text, len) == 0));
	}
	any &= 0x1fffff;
	if (!any)
		return;
	encode(any, buf);
	is_scalar = any < 0xd800 || (any > 0xdfff && any <= 0x10ffff);
	must(text_utf8_decode(buf, &code) == (is_scalar ? strlen(buf) : 0));
	must(!is_scalar || code == any);
}

static void check_safe(const char *shown, bool utf8)
{
	while (*shown) {
		uint32_t code;
		size_t len = text_utf8_decode(shown, &code);

		must(len > 0 && !acts(code) && (len == 1 || utf8));
		shown += len;
	}
}

static bool is_octal(const char *s)
{
	return s[0] >= '0' && s[0] <= '3' && strspn(s, "01234567") >= 3;
}

/* What was escaped is there again. */
static void check_unescaped(const char *shown, const char *text)
{
	for (; *shown; text++) {
		char c = *shown++;

		if (c == '\\' && is_octal(shown)) {
			c = (char)((shown[0] - '0') << 6 | (shown[1] - '0') << 3 |
				   (shown[2] - '0'));
			shown += 3;
		} else if (c == '\\') {
			must(*shown++ == '\\');
		}
		must(c == *text);
	}
	must(!*text);
}

static void check_cut(const char *text, const char *whole, size_t size, bool utf8)
{
	char *cut = malloc(size);
	size_t len;

	must(cut && text_escape(text, cut, size) == cut);
	len = strlen(cut);
	must(len < size && memcmp(cut, whole, len) == 0);
	check_safe(cut, utf8);
	/* as much as there is room for: the next character has at most 16 bytes */
	must(len == strlen(whole) || len + 17 > size);
	free(cut);
}

static void check_stream(const char *text, const char *whole)
{
	char *printed;
	size_t len;
	FILE *out = open_memstream(&printed, &len);

	must(out);
	text_put(out, text);
	must(fclose(out) == 0 && len == strlen(whole) && memcmp(printed, whole, len) == 0);
	free(printed);
}

static void check_text(const char *text, size_t cut, bool utf8)
{
	size_t size = 4 * strlen(text) + 1;
	char *whole = malloc(size);

	must(whole && text_escape(text, whole, size) == whole);
	check_safe(whole, utf8);
	check_unescaped(whole, text);
	check_cut(text, whole, cut, utf8);
	check_stream(text, whole);
	free(whole);
}

static void check_figures(uint64_t value)
{
	char buf[TEXT_FIGURE_SIZE];

	must(fuzz_is_plain(text_size(value, buf)));
	must(fuzz_is_plain(text_time(value, buf)));
	must(fuzz_is_plain(text_count(value, "thread", buf)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static locale_t plain, utf8;
	struct fuzz_input in = {data, size};
	size_t cut = 1 + (size_t)fuzz_take(&in, 1);
	uint64_t number;
	char *text;

	if (!plain) {
		plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
		utf8 = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
	}
	must(plain && utf8);
	/* these bytes are the beginning of the text as well */
	number = fuzz_take(&(struct fuzz_input){in.data, in.size}, 8);
	check_figures(number);
	text = fuzz_take_rest(&in);
	check_decoding(text, (uint32_t)number);
	uselocale(plain);
	check_text(text, cut, false);
	uselocale(utf8);
	check_text(text, cut, true);
	free(text);
	return 0;
}
