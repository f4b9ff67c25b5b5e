/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The grammar of --filter and the kernel's rules, as tables. */
#include "../../core/filter.h"
#include "tap.h"

#include <elf.h>

struct grammar_case {
	const char *text;
	int result;
	uint32_t own, want;
};

static const struct grammar_case grammar[] = {
	{"0x33", 0, 0x1ff, 0x33},
	{"0X0", 0, 0x33, 0},
	{"0x1ff", 0, 0, 0x1ff},
	{"0x200", -22, 0, 0},
	{"0x", -22, 0, 0},
	{"0x3g", -22, 0, 0},
	{"0x99999999999999999", -22, 0, 0},
	{"anon-private", 0, 0x33, 0x01},
	{"anon-shared", 0, 0x33, 0x02},
	{"file-private", 0, 0x33, 0x04},
	{"file-shared", 0, 0x33, 0x08},
	{"elf-headers", 0, 0x33, 0x10},
	{"hugetlb-private", 0, 0x33, 0x20},
	{"hugetlb-shared", 0, 0x33, 0x40},
	{"dax-private", 0, 0x33, 0x80},
	{"dax-shared", 0, 0x33, 0x100},
	{"anon-private,file-shared", 0, 0x33, 0x09},
	{"+file-private", 0, 0x33, 0x37},
	{"-anon-shared", 0, 0x33, 0x31},
	{"+file-private,-anon-private", 0, 0x33, 0x36},
	{"-file-private,+file-private", 0, 0x33, 0x37},
	{"anon-private,-anon-private", 0, 0x33, 0},
	{"anon-private,+file-shared", 0, 0x33, 0x09},
	{"", -22, 0, 0},
	{",", -22, 0, 0},
	{"anon-private,", -22, 0, 0},
	{"+", -22, 0, 0},
	{"anon", -22, 0, 0},
	{"anon-private anon-shared", -22, 0, 0},
	{"33", -22, 0, 0},
};

static void test_grammar(void)
{
	for (size_t i = 0; i < sizeof(grammar) / sizeof(*grammar); i++) {
		const struct grammar_case *c = &grammar[i];
		struct lc_filter filter = {0};
		struct lc_err err = {0};

		is(lc_filter_parse(c->text, &filter, &err), c->result, c->text);
		if (c->result == 0)
			is(lc_filter_apply(filter, c->own), c->want, "the bits of it");
		else
			ok(err.code == 22 && err.text[0] && err.hint[0], "it says why: %s",
			   err.text);
	}
	is(lc_filter_apply(LC_FILTER_OWN, 0x137), 0x137, "without an option: the process's own");
}

struct rule_case {
	const char *what;
	struct lc_vma vma;
	bool own_pages;
	uint32_t mask;
	enum lc_take take;
	const char *rule;
};

#define ANON  .name = (char *)""
#define FILE_ .inode = 5, .dev_major = 8, .name = (char *)"/f"
#define RW    .perms = "rw-p", .prot = PF_R | PF_W
#define RX    .perms = "r-xp", .prot = PF_R | PF_X

static const struct rule_case rules[] = {
	{"anonymous", {ANON, RW}, false, 0x01, LC_TAKE_WHOLE, "filter anon-private"},
	{"anonymous, not asked for",
	 {ANON, RW},
	 false,
	 0x3e,
	 LC_TAKE_NOTHING,
	 "filter without anon-private"},
	{"text",
	 {FILE_, RX, .offset = 4096},
	 false,
	 0x33,
	 LC_TAKE_COVER,
	 "filter without file-private"},
	{"text asked for",
	 {FILE_, RX, .offset = 4096},
	 false,
	 0x37,
	 LC_TAKE_WHOLE,
	 "filter file-private"},
	{"first page of a file", {FILE_, RX}, false, 0x33, LC_TAKE_HEADER, "filter elf-headers"},
	{"first page, no headers",
	 {FILE_, RX},
	 false,
	 0x23,
	 LC_TAKE_COVER,
	 "filter without file-private"},
	{"first page, unreadable",
	 {FILE_, .perms = "--xp"},
	 false,
	 0x33,
	 LC_TAKE_COVER,
	 "filter without file-private"},
	{"data that was written to",
	 {FILE_, RW, .offset = 8192},
	 true,
	 0x33,
	 LC_TAKE_WHOLE,
	 "filter anon-private"},
	{"data that was written to, not asked for",
	 {FILE_, RW, .offset = 8192},
	 true,
	 0x32,
	 LC_TAKE_NOTHING,
	 "filter without file-private"},
	{"data that was written to, by its file",
	 {FILE_, RW, .offset = 8192},
	 true,
	 0x04,
	 LC_TAKE_WHOLE,
	 "filter file-private"},
	{"text of a deleted file",
	 {FILE_, RX, .offset = 4096, .flags = LC_VMA_DELETED | LC_VMA_NAMELESS},
	 false,
	 0x33,
	 LC_TAKE_NOTHING,
	 "filter without file-private"},
	{"shared file",
	 {FILE_, RW, .flags = LC_VMA_SHARED},
	 false,
	 0x33,
	 LC_TAKE_COVER,
	 "filter without file-shared"},
	{"shared file asked for",
	 {FILE_, RW, .flags = LC_VMA_SHARED},
	 false,
	 0x08,
	 LC_TAKE_WHOLE,
	 "filter file-shared"},
	{"shared memory",
	 {FILE_, RW, .flags = LC_VMA_SHARED | LC_VMA_DELETED | LC_VMA_NAMELESS},
	 false,
	 0x02,
	 LC_TAKE_WHOLE,
	 "filter anon-shared"},
	{"shared memory, not asked for",
	 {FILE_, RW, .flags = LC_VMA_SHARED | LC_VMA_DELETED | LC_VMA_NAMELESS},
	 false,
	 0x3d,
	 LC_TAKE_NOTHING,
	 "filter without anon-shared"},
	{"huge pages",
	 {ANON, RW, .flags = LC_VMA_HUGETLB},
	 false,
	 0x20,
	 LC_TAKE_WHOLE,
	 "filter hugetlb-private"},
	{"huge pages, not asked for",
	 {FILE_, RW, .flags = LC_VMA_HUGETLB},
	 false,
	 0x1f,
	 LC_TAKE_NOTHING,
	 "filter without hugetlb-private"},
	{"shared huge pages",
	 {FILE_, RW, .flags = LC_VMA_HUGETLB | LC_VMA_SHARED},
	 false,
	 0x40,
	 LC_TAKE_WHOLE,
	 "filter hugetlb-shared"},
	{"DAX", {FILE_, RW, .flags = LC_VMA_DAX}, true, 0x80, LC_TAKE_WHOLE, "filter dax-private"},
	{"DAX is no file",
	 {FILE_, RW, .flags = LC_VMA_DAX},
	 true,
	 0x7f,
	 LC_TAKE_NOTHING,
	 "filter without dax-private"},
	{"shared DAX",
	 {FILE_, RW, .flags = LC_VMA_DAX | LC_VMA_SHARED},
	 false,
	 0x100,
	 LC_TAKE_WHOLE,
	 "filter dax-shared"},
	{"MADV_DONTDUMP",
	 {ANON, RW, .flags = LC_VMA_DONTDUMP},
	 true,
	 0x1ff,
	 LC_TAKE_NOTHING,
	 "MADV_DONTDUMP"},
	{"device", {FILE_, RW, .flags = LC_VMA_IO}, false, 0x1ff, LC_TAKE_NOTHING, "device memory"},
	{"page frames",
	 {FILE_, RW, .flags = LC_VMA_PFNMAP},
	 false,
	 0x1ff,
	 LC_TAKE_NOTHING,
	 "device memory"},
	{"[vdso]", {ANON, RX, .flags = LC_VMA_SPECIAL}, false, 0, LC_TAKE_WHOLE, "always"},
	{"[vvar]",
	 {ANON, RX, .flags = LC_VMA_SPECIAL | LC_VMA_IO},
	 false,
	 0x1ff,
	 LC_TAKE_NOTHING,
	 "the kernel's own, unreadable"},
	{"[vsyscall]",
	 {.name = (char *)"[vsyscall]", .flags = LC_VMA_SPECIAL},
	 false,
	 0x1ff,
	 LC_TAKE_NOTHING,
	 "the kernel's own, unreadable"},
	{"memfd_secret",
	 {FILE_, RW, .flags = LC_VMA_SECRET | LC_VMA_SHARED},
	 false,
	 0x1ff,
	 LC_TAKE_NOTHING,
	 "memfd_secret"},
};

static void test_rules(void)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		const struct rule_case *c = &rules[i];
		struct lc_choice got =
			lc_filter_choose(&c->vma, c->own_pages, c->mask, false, false);

		is(got.take, c->take, c->what);
		is_str(got.rule, c->rule, "its rule");
	}
}

static void test_all_and_minimal(void)
{
	struct lc_vma secret = {ANON, RW, .flags = LC_VMA_DONTDUMP};
	struct lc_vma text = {FILE_, RX};
	struct lc_vma device = {FILE_, RW, .flags = LC_VMA_IO};

	is(lc_filter_choose(&secret, true, 0, true, false).take, LC_TAKE_WHOLE,
	   "--all takes MADV_DONTDUMP");
	is(lc_filter_choose(&text, false, 0, true, false).take, LC_TAKE_WHOLE, "--all takes text");
	is(lc_filter_choose(&device, false, 0x1ff, true, false).take, LC_TAKE_NOTHING,
	   "--all reads no device");
	is(lc_filter_choose(&text, false, 0x1ff, false, true).take, LC_TAKE_COVER,
	   "--minimal covers what a file has");
	is(lc_filter_choose(&text, true, 0x1ff, false, true).take, LC_TAKE_NOTHING,
	   "--minimal does not cover what was written to");
	is(lc_filter_choose(&secret, true, 0x1ff, false, true).take, LC_TAKE_NOTHING,
	   "--minimal takes no memory");
}

int main(void)
{
	test_grammar();
	test_rules();
	test_all_and_minimal();
	return tap_done();
}
