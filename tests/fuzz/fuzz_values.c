/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Numbers of the command line: in their range or refused, in words that do nothing to a terminal.
 */
#include <errno.h>

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
	options_is_gcore(text);
	free(text);
	return 0;
}
