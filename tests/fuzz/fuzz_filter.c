/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The grammar of --filter: what is taken can be printed and taken again, what is refused is said.
 */
#include <errno.h>

#include "../../core/filter.h"
#include "fuzz.h"

#define ALL_BITS ((1U << LC_FILTER_N_BITS) - 1)

/* As names, if it starts from the process's own value or sets something; else as a number. */
static void print(const struct lc_filter *filter, char *to)
{
	bool own = filter->keep != 0;

	if (!own) {
		sprintf(to, "0x%x", filter->set);
		return;
	}
	for (int bit = 0; bit < LC_FILTER_N_BITS; bit++) {
		const char *sign = filter->set & 1U << bit ? "+" : "-";

		if (!(filter->keep & 1U << bit))
			to += sprintf(to, "%s%s,", sign, lc_filter_bit_name(bit));
	}
	to[-1] = '\0';
}

static void check_taken(const char *text, const struct lc_filter *filter)
{
	struct lc_filter again;
	struct lc_err err = {0};
	char words[512];
	bool own = *text == '+' || *text == '-';

	must(!(filter->set & ~ALL_BITS));
	must(own ? (filter->keep | ALL_BITS) == UINT32_MAX : filter->keep == 0);
	must(!(filter->set & filter->keep));
	must(own <= (filter->keep != UINT32_MAX));
	print(filter, words);
	must(lc_filter_parse(words, &again, &err) == 0);
	must(again.keep == filter->keep && again.set == filter->set);
}

static void check_refused(const struct lc_filter *filter, const struct lc_err *err)
{
	must(filter->keep == 1 && filter->set == 2);
	must(err->code == EINVAL && err->text[0] && fuzz_is_plain(err->hint));
	must(memchr(err->text, '\0', sizeof(err->text)));
	must(memchr(err->hint, '\0', sizeof(err->hint)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lc_filter filter = {.keep = 1, .set = 2};
	struct lc_err err = {0};
	char *text = fuzz_text(data, size);
	int r = lc_filter_parse(text, &filter, &err);

	must(r == 0 || r == -EINVAL);
	if (r == 0)
		check_taken(text, &filter);
	else
		check_refused(&filter, &err);
	free(text);
	return 0;
}
