/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The grammar of --filter and the kernel's rules of what a core holds. Pure functions. */
#include "filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

/* In the order of the bits of /proc/PID/coredump_filter. */
static const char *const bit_names[LC_FILTER_N_BITS] = {
	[LC_FILTER_ANON_PRIVATE] = "anon-private",
	[LC_FILTER_ANON_SHARED] = "anon-shared",
	[LC_FILTER_FILE_PRIVATE] = "file-private",
	[LC_FILTER_FILE_SHARED] = "file-shared",
	[LC_FILTER_ELF_HEADERS] = "elf-headers",
	[LC_FILTER_HUGETLB_PRIVATE] = "hugetlb-private",
	[LC_FILTER_HUGETLB_SHARED] = "hugetlb-shared",
	[LC_FILTER_DAX_PRIVATE] = "dax-private",
	[LC_FILTER_DAX_SHARED] = "dax-shared",
};

#define FILTER_ALL_BITS ((1U << LC_FILTER_N_BITS) - 1)

const char *lc_filter_bit_name(enum lc_filter_bit bit)
{
	return bit < LC_FILTER_N_BITS ? bit_names[bit] : NULL;
}

static int fail_word(struct lc_err *err, const char *word, size_t len)
{
	char known[LC_TEXT_SIZE];
	size_t at = 0;

	for (size_t i = 0; i < LC_FILTER_N_BITS; i++)
		at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "",
				       bit_names[i]);
	lc_err_set(err, EINVAL, LC_STAGE_NONE, "'%.*s' is no kind of mapping",
		   (int)(len > 64 ? 64 : len), word);
	lc_err_hint(err, "known are %s, or the bits as a number (0x33)", known);
	return -EINVAL;
}

static int find_bit(const char *word, size_t len)
{
	for (int i = 0; i < LC_FILTER_N_BITS; i++)
		if (strlen(bit_names[i]) == len && memcmp(bit_names[i], word, len) == 0)
			return i;
	return -1;
}

static int parse_number(const char *text, struct lc_filter *ret, struct lc_err *err)
{
	unsigned long bits;
	char *end;

	errno = 0;
	bits = strtoul(text, &end, 16);
	if (errno || *end || end == text + 2 || bits > FILTER_ALL_BITS) {
		lc_err_set(err, EINVAL, LC_STAGE_NONE, "'%.64s' is no set of filter bits", text);
		lc_err_hint(err, "the bits are those of core(5), 0x0 to 0x%x", FILTER_ALL_BITS);
		return -EINVAL;
	}
	*ret = (struct lc_filter){.keep = 0, .set = (uint32_t)bits};
	return 0;
}

int lc_filter_parse(const char *text, struct lc_filter *ret_filter, struct lc_err *err)
{
	struct lc_filter filter = {0};
	const char *word = text;

	if (strncmp(text, "0x", 2) == 0 || strncmp(text, "0X", 2) == 0)
		return parse_number(text, ret_filter, err);
	if (*text == '+' || *text == '-')
		filter.keep = UINT32_MAX;
	for (;;) {
		size_t len = strcspn(word, ",");
		size_t sign = *word == '+' || *word == '-';
		int bit = find_bit(word + sign, len - (len ? sign : 0));

		if (bit < 0)
			return fail_word(err, word, len);
		filter.keep &= ~(1U << bit);
		if (*word == '-')
			filter.set &= ~(1U << bit);
		else
			filter.set |= 1U << bit;
		if (word[len] == '\0')
			break;
		word += len + 1;
	}
	*ret_filter = filter;
	return 0;
}

static struct lc_choice choice(enum lc_take take, const char *rule)
{
	return (struct lc_choice){.take = take, .rule = rule};
}

/* What the reader still finds in the file is covered, what nobody has is not. */
static struct lc_choice leave_out(const struct lc_vma *vma, bool has_anon, const char *rule)
{
	uint32_t no_file = LC_VMA_NAMELESS | LC_VMA_DEVICE | LC_VMA_DONTDUMP | LC_VMA_SPECIAL |
			   LC_VMA_IO | LC_VMA_PFNMAP | LC_VMA_SECRET | LC_VMA_HUGETLB;

	if (!lc_vma_has_file(vma) || has_anon || (vma->flags & no_file))
		return choice(LC_TAKE_NOTHING, rule);
	return choice(LC_TAKE_COVER, rule);
}

/* A pair of filter bits with the rule's text for each answer. */
struct bit_rule {
	enum lc_filter_bit bit;
	const char *yes, *no;
};

static struct lc_choice by_bit(const struct lc_vma *vma, bool has_anon, uint32_t mask,
			       const struct bit_rule *rule)
{
	if (mask & (1U << rule->bit))
		return choice(LC_TAKE_WHOLE, rule->yes);
	return leave_out(vma, has_anon, rule->no);
}

static const struct bit_rule anon_private = {LC_FILTER_ANON_PRIVATE, "filter anon-private",
					     "filter without anon-private"};
static const struct bit_rule file_private = {LC_FILTER_FILE_PRIVATE, "filter file-private",
					     "filter without file-private"};
/* [shared] */
static const struct bit_rule hugetlb[2] = {
	{LC_FILTER_HUGETLB_PRIVATE, "filter hugetlb-private", "filter without hugetlb-private"},
	{LC_FILTER_HUGETLB_SHARED, "filter hugetlb-shared", "filter without hugetlb-shared"},
};
static const struct bit_rule dax[2] = {
	{LC_FILTER_DAX_PRIVATE, "filter dax-private", "filter without dax-private"},
	{LC_FILTER_DAX_SHARED, "filter dax-shared", "filter without dax-shared"},
};
/* [deleted] */
static const struct bit_rule shared_file[2] = {
	{LC_FILTER_FILE_SHARED, "filter file-shared", "filter without file-shared"},
	{LC_FILTER_ANON_SHARED, "filter anon-shared", "filter without anon-shared"},
};

static struct lc_choice choose_private(const struct lc_vma *vma, bool has_anon, uint32_t mask)
{
	bool file = lc_vma_has_file(vma);

	if (!file || has_anon) {
		struct lc_choice by_anon = by_bit(vma, has_anon, mask, &anon_private);

		if (!file || by_anon.take == LC_TAKE_WHOLE)
			return by_anon;
	}
	if (mask & (1U << LC_FILTER_FILE_PRIVATE))
		return choice(LC_TAKE_WHOLE, file_private.yes);
	if ((mask & (1U << LC_FILTER_ELF_HEADERS)) && vma->offset == 0 && strchr(vma->perms, 'r'))
		return choice(LC_TAKE_HEADER, "filter elf-headers");
	return leave_out(vma, has_anon, file_private.no);
}

/* What no option can read: said, and no loss. */
static const char *unreadable(const struct lc_vma *vma)
{
	if (vma->flags & (LC_VMA_IO | LC_VMA_PFNMAP | LC_VMA_DEVICE))
		return vma->flags & LC_VMA_SPECIAL ? "the kernel's own, unreadable"
						   : "device memory";
	if (vma->flags & LC_VMA_SECRET)
		return "memfd_secret";
	if (strcmp(vma->name, "[vsyscall]") == 0)
		return "the kernel's own, unreadable";
	return NULL;
}

bool lc_filter_wants_anon(const struct lc_vma *vma)
{
	uint32_t decided =
		LC_VMA_SHARED | LC_VMA_SPECIAL | LC_VMA_IO | LC_VMA_PFNMAP | LC_VMA_SECRET;

	return lc_vma_has_file(vma) && !(vma->flags & decided);
}

struct lc_choice lc_filter_choose(const struct lc_vma *vma, bool has_anon, uint32_t mask, bool all,
				  bool minimal)
{
	bool shared = vma->flags & LC_VMA_SHARED;
	const char *no = unreadable(vma);

	if (no)
		return choice(LC_TAKE_NOTHING, no);
	if (minimal)
		return leave_out(vma, has_anon, "--minimal");
	if (vma->flags & LC_VMA_SPECIAL)
		return choice(LC_TAKE_WHOLE, "always");
	if (all)
		return choice(LC_TAKE_WHOLE, "--all");
	if (vma->flags & LC_VMA_DONTDUMP)
		return choice(LC_TAKE_NOTHING, "MADV_DONTDUMP");
	if (vma->flags & LC_VMA_DAX)
		return by_bit(vma, has_anon, mask, &dax[shared]);
	if (vma->flags & LC_VMA_HUGETLB)
		return by_bit(vma, has_anon, mask, &hugetlb[shared]);
	if (shared)
		return by_bit(vma, has_anon, mask, &shared_file[!!(vma->flags & LC_VMA_DELETED)]);
	return choose_private(vma, has_anon, mask);
}
