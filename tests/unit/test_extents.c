/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Places in the output that are given before the layout is known, and lists of ranges. */
#include <stdlib.h>
#include <string.h>

#include "../../core/batch.h"
#include "../../core/extents.h"
#include "tap.h"

#define P 0x1000u

static uint64_t place(struct lc_extents *e, uint64_t start, uint64_t end, uint64_t grain,
		      uint64_t *len)
{
	uint64_t off = 0;

	is(lc_extents_place(e, start, end, 0x100000, 0x900000, grain, &off, len), 0, "a place");
	return off;
}

static void test_places(void)
{
	struct lc_extents e;
	uint64_t len;

	lc_extents_init(&e, 0x1234, P);
	is(e.data_off, 0x2000, "contents begin at a page");
	is(place(&e, 0x200000, 0x204000, 1, &len), 0x2000, "the first place");
	is(len, 0x4000, "all of it in a row");
	is(place(&e, 0x201000, 0x202000, 1, &len), 0x3000, "a part keeps its place");
	is(len, 0x1000, "and its length");
	is(place(&e, 0x203000, 0x208000, 1, &len), 0x5000, "over the end: the first part");
	is(len, 0x1000, "is as long as what has a place");
	is(place(&e, 0x204000, 0x208000, 1, &len), 0x6000, "the rest follows");
	is(len, 0x4000, "in a row");
	is(e.n, 1, "in memory and in the file: one extent");
	is(place(&e, 0x500000, 0x501000, 0x100000, &len), 0xa000, "with a grain");
	is(len, 0x1000, "no more than was asked for");
	is(e.data_end, 0x10a000, "but room for all that may follow");
	is(place(&e, 0x580000, 0x581000, 0x100000, &len), 0x8a000, "which it does");
	is(place(&e, 0x8ff000, 0x900000, 0x100000, &len), 0x10a000 + 0xff000,
	   "a grain ends with its mapping");
	is(place(&e, 0x100000, 0x101000, 0x100000, &len), 0x20a000, "before all others");
	is(place(&e, 0x1ff000, 0x202000, 0x100000, &len), 0x309000, "up to the next extent");
	is(len, 0x1000, "and no further");
	lc_extents_free(&e);
}

static void add(struct lc_plan *plan, uint64_t vaddr, uint64_t memsz, uint64_t filesz)
{
	plan->segments = realloc(plan->segments, (plan->n + 1) * sizeof(*plan->segments));
	plan->sources = realloc(plan->sources, (plan->n + 1) * sizeof(*plan->sources));
	plan->segments[plan->n] =
		(struct elfw_segment){.vaddr = vaddr, .memsz = memsz, .filesz = filesz, .flags = 6};
	plan->sources[plan->n] = (struct lc_segment){.vma = plan->n, .source = LC_SOURCE_PROCESS};
	plan->n++;
}

static void is_segment(const struct lc_plan *plan, size_t i, uint64_t vaddr, uint64_t memsz,
		       uint64_t filesz, uint64_t off, size_t vma)
{
	const struct elfw_segment *seg = &plan->segments[i];

	ok(seg->vaddr == vaddr && seg->memsz == memsz && seg->filesz == filesz && seg->off == off &&
		   plan->sources[i].vma == vma && seg->flags == 6,
	   "segment %zu: %llx %llx %llx at %llx of mapping %zu", i, (unsigned long long)seg->vaddr,
	   (unsigned long long)seg->memsz, (unsigned long long)seg->filesz,
	   (unsigned long long)seg->off, plan->sources[i].vma);
}

static void test_cut(void)
{
	struct lc_plan plan = {0};
	struct lc_extents e;
	uint64_t len;

	lc_extents_init(&e, P, P);
	place(&e, 0x300000, 0x302000, 1, &len); /* 1000 */
	place(&e, 0x400000, 0x404000, 1, &len); /* 3000 */
	place(&e, 0x302000, 0x303000, 1, &len); /* 7000 */
	add(&plan, 0x300000, 0x8000, 0x4000);
	add(&plan, 0x401000, 0x1000, 0x1000);
	add(&plan, 0x600000, 0x5000, 0);
	is(lc_extents_cut(&e, &plan), 0, "a plan is cut");
	is(plan.n, 4, "where its places are not in a row");
	is_segment(&plan, 0, 0x300000, 0x2000, 0x2000, 0x1000, 0);
	is_segment(&plan, 1, 0x302000, 0x6000, 0x2000, 0x7000, 0);
	is_segment(&plan, 2, 0x401000, 0x1000, 0x1000, 0x4000, 1);
	is_segment(&plan, 3, 0x600000, 0x5000, 0, 0x1000, 2);
	is(e.data_end, 0x9000, "what had no place has one at the end");
	free(plan.segments);
	free(plan.sources);
	lc_extents_free(&e);
}

static void test_ranges(void)
{
	struct lc_ranges r = {0};
	uint64_t len = 0x100;

	ok(!lc_ranges_have(&r, 5, &len), "an empty list has nothing");
	is(len, 0x100, "as far as one may ask");
	ok(lc_ranges_add(&r, 0x40, 0x50) == 0 && lc_ranges_add(&r, 0x10, 0x20) == 0 &&
		   lc_ranges_add(&r, 0x18, 0x30) == 0 && lc_ranges_add(&r, 0x48, 0x49) == 0 &&
		   lc_ranges_add(&r, 0x30, 0x38) == 0,
	   "ranges in any order");
	lc_ranges_merge(&r);
	is(r.n, 2, "merged");
	ok(r.v[0].start == 0x10 && r.v[0].end == 0x38, "what overlaps and what touches");
	ok(r.v[1].start == 0x40 && r.v[1].end == 0x50, "what is within another");
	len = 0x100;
	ok(!lc_ranges_have(&r, 0, &len), "before the first");
	is(len, 0x10, "up to it");
	len = 0x100;
	ok(lc_ranges_have(&r, 0x12, &len), "in the first");
	is(len, 0x26, "to its end");
	len = 4;
	ok(lc_ranges_have(&r, 0x12, &len), "a part");
	is(len, 4, "as long as was asked");
	len = 0x100;
	ok(!lc_ranges_have(&r, 0x38, &len), "the end is not in it");
	is(len, 8, "nor what is between");
	len = 0x100;
	ok(!lc_ranges_have(&r, 0x50, &len), "behind the last");
	lc_ranges_free(&r);
}

int main(void)
{
	test_places();
	test_cut();
	test_ranges();
	return tap_done();
}
