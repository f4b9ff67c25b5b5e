/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Escaping, sizes, times, and the line of the progress bar. */
#include <locale.h>

#include "../../cmd/progress.h"
#include "../../cmd/text.h"
#include "tap.h"

#define NS_PER_SECOND 1000000000ULL

static void check_escape(const char *s, const char *want)
{
	char buf[128];

	is_str(text_escape(s, buf, sizeof(buf)), want, want);
}

static void test_escape_ascii(void)
{
	check_escape("plain ~!", "plain ~!");
	check_escape("a\\b", "a\\\\b");
	check_escape("\033[31m\007\n\t\177", "\\033[31m\\007\\012\\011\\177");
	check_escape("\xff\xfe", "\\377\\376");
	check_escape("1\xc3", "1\\303");
	/* In a locale without UTF-8 nothing beyond ASCII passes. */
	check_escape("\xc3\xa9", "\\303\\251");
}

static void test_escape_utf8(void)
{
	if (!setlocale(LC_CTYPE, "C.UTF-8")) {
		tap_skip("no locale C.UTF-8");
		return;
	}
	check_escape("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
		     "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	check_escape("\xc2\x9b"
		     "31m",
		     "\\302\\23331m");
	check_escape("\xe2\x80\xae", "\\342\\200\\256");
	check_escape("\xc0\xaf", "\\300\\257");                   /* an overlong slash */
	check_escape("\xed\xa0\x80", "\\355\\240\\200");          /* a surrogate */
	check_escape("\xf4\x90\x80\x80", "\\364\\220\\200\\200"); /* beyond U+10FFFF */
	check_escape("\xe2\x82", "\\342\\202");
	check_escape("\xe2\x82"
		     "a",
		     "\\342\\202a");
	setlocale(LC_CTYPE, "C");
}

static void test_escape_cut(void)
{
	char buf[8];

	is_str(text_escape("123456789", buf, sizeof(buf)), "1234567", "cut at the end");
	is_str(text_escape("1234\n5", buf, sizeof(buf)), "1234", "never within an escape");
	is_str(text_escape("123\n5", buf, sizeof(buf)), "123\\012", "exactly full");
}

static void test_size(void)
{
	static const struct {
		uint64_t bytes;
		const char *want;
	} cases[] = {
		{0, "0 bytes"},
		{1, "1 byte"},
		{1023, "1023 bytes"},
		{1024, "1.0 KiB"},
		{1536, "1.5 KiB"},
		{10239, "10 KiB"},
		{83ULL << 20, "83 MiB"},
		{512ULL << 20, "512 MiB"},
		{(1ULL << 20) - 1, "1.0 MiB"},
		{3ULL << 29, "1.5 GiB"},
		{16ULL << 40, "16 TiB"},
		{UINT64_MAX, "16 EiB"},
	};
	char buf[TEXT_FIGURE_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(text_size(cases[i].bytes, buf), cases[i].want, cases[i].want);
}

static void test_time(void)
{
	static const struct {
		uint64_t ns;
		const char *want;
	} cases[] = {
		{0, "0 us"},
		{500, "0.5 us"},
		{850000, "850 us"},
		{999600, "1.0 ms"},
		{1200000, "1.2 ms"},
		{41000000, "41 ms"},
		{999600000, "1.0 s"},
		{1500000000, "1.5 s"},
		{59 * NS_PER_SECOND, "59 s"},
		{60 * NS_PER_SECOND, "1 min 0 s"},
		{185 * NS_PER_SECOND, "3 min 5 s"},
	};
	char buf[TEXT_FIGURE_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(text_time(cases[i].ns, buf), cases[i].want, cases[i].want);
}

static void test_words(void)
{
	char buf[TEXT_FIGURE_SIZE];

	is_str(text_count(0, "thread", buf), "0 threads", "none");
	is_str(text_count(1, "thread", buf), "1 thread", "one");
	is_str(text_count(12, "thread", buf), "12 threads", "many");
}

static void check_line(uint64_t done, uint64_t total, double rate, size_t width, const char *want)
{
	char buf[256];

	is_str(progress_line(done, total, rate, width, buf, sizeof(buf)), want, want);
}

static void test_progress_line(void)
{
	const uint64_t gib = 1ULL << 30;
	const double rate = (double)gib;

	check_line(gib, 2 * gib, rate, 79,
		   "[==============>             ]  50% 1.0 GiB of 2.0 GiB, 1.0 GiB/s, 1 s left");
	check_line(gib, 2 * gib, rate, 50, " 50% 1.0 GiB of 2.0 GiB, 1.0 GiB/s, 1 s left");
	check_line(gib, 2 * gib, rate, 10, " 50% 1.0 G");
	check_line(0, 2 * gib, 0, 50, "  0% 0 bytes of 2.0 GiB");
	check_line(2 * gib, 2 * gib, 2 * rate, 61,
		   "[==========] 100% 2.0 GiB of 2.0 GiB, 2.0 GiB/s, 0 s left");
	/* The total is an estimate, and a rate may be next to nothing. */
	check_line(3 * gib, 2 * gib, 3 * rate, 50, "100% 3.0 GiB of 2.0 GiB, 3.0 GiB/s, 0 s left");
	check_line(1, UINT64_MAX, 1, 60, "  0% 1 byte of 16 EiB, 1 byte/s, hours left");
	check_line(0, 0, 0, 50, "100% 0 bytes of 0 bytes");
	check_line(gib, 121 * gib, rate, 60, "  1% 1.0 GiB of 121 GiB, 1.0 GiB/s, 2 min 0 s left");
}

int main(void)
{
	test_escape_ascii();
	test_escape_utf8();
	test_escape_cut();
	test_size();
	test_time();
	test_words();
	test_progress_line();
	return tap_done();
}
