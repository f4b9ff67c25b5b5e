/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Values of the command line: in their range or refused, in words that do nothing to a terminal. */
#include <errno.h>
#include <inttypes.h>

#include "../../cmd/options.h"
#include "../../cmd/values.h"
#include "fuzz.h"

#define DAY_NS 86400000000000ULL

static void check_refused(int r, const char *problem)
{
	must(r == -EINVAL && memchr(problem, '\0', 512) && fuzz_is_plain(problem));
}

static void check_pid(const char *text)
{
	char problem[512], digits[16];
	pid_t pid = -7;
	int r = value_parse_pid(text, &pid, problem, sizeof(problem));

	if (r < 0) {
		check_refused(r, problem);
		must(pid == -7);
		return;
	}
	must(pid >= 1 && pid <= 4194304);
	snprintf(digits, sizeof(digits), "%d", pid);
	must(strcmp(text + strspn(text, "0"), digits) == 0);
}

static void check_passes(const char *text)
{
	char problem[512], digits[16];
	unsigned int passes = 7777;
	int r = value_parse_passes(text, &passes, problem, sizeof(problem));

	if (r < 0) {
		check_refused(r, problem);
		must(passes == 7777);
		return;
	}
	must(passes >= 1 && passes <= VALUE_PASSES_MAX);
	snprintf(digits, sizeof(digits), "%u", passes);
	must(strcmp(text + strspn(text, "0"), digits) == 0);
}

/* The value, printed in the unit that the text has, is the text. */
static void check_size(const char *text)
{
	static const char letters[] = "KMGT";
	const char *letter = *text ? strchr(letters, text[strlen(text) - 1]) : NULL;
	int shift = letter ? 10 * (int)(letter - letters + 1) : 0;
	char problem[512], shown[32];
	uint64_t bytes = 7;
	int r = value_parse_size(text, &bytes, problem, sizeof(problem));

	if (r < 0) {
		check_refused(r, problem);
		must(bytes == 7);
		return;
	}
	must(bytes >= 1 && bytes <= INT64_MAX && bytes >> shift << shift == bytes);
	snprintf(shown, sizeof(shown), "%" PRIu64 "%.1s", bytes >> shift, letter ? letter : "");
	must(strcmp(text + strspn(text, "0"), shown) == 0);
}

static void check_snapshot(const char *text)
{
	char problem[512];
	enum lc_snapshot snapshot = LC_SNAPSHOT_N;
	int r = value_parse_snapshot(text, &snapshot, problem, sizeof(problem));

	if (r < 0) {
		check_refused(r, problem);
		must(snapshot == LC_SNAPSHOT_N);
		return;
	}
	must(strcmp(text, lc_snapshot_name(snapshot)) == 0);
}

static void check_timeout(const char *text)
{
	char problem[512];
	uint64_t ns = 7;
	int r = value_parse_time(text, VALUE_TIMEOUT, &ns, problem, sizeof(problem));

	if (r < 0) {
		check_refused(r, problem);
		must(ns == 7);
		return;
	}
	must(ns >= 1 && ns <= DAY_NS);
	must(strspn(text, "0123456789.") == strlen(text) && strpbrk(text, "123456789"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);

	check_pid(text);
	check_timeout(text);
	check_passes(text);
	check_size(text);
	check_snapshot(text);
	options_is_gcore(text);
	free(text);
	return 0;
}
