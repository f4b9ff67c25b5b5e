/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From mappings and pages to segments and pieces, with a page map that the test writes. */
#include "../../core/err.h"
#include "../../core/pieces.h"
#include "../../core/plan.h"
#include "tap.h"

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
#define MIB  (UINT64_C(1) << 20)
#define BASE UINT64_C(0x10000000)

/* Categories of PAGEMAP_SCAN: present, and of which kind. */
enum { OWN = 8, OF_FILE = 8 | 4, ZERO = 8 | 32, GUARD = 16 | 256, MARK = 16, SWAPPED = 16 | 2 };

static struct lc_pagemap pagemap;
static struct lc_vma vma;
static struct lc_vmas vmas = {.v = &vma, .n = 1};
static struct lc_plan plan;
static struct lc_losses losses;
static struct lc_mapfile file = {.fd = -1};
static struct lc_memsrc memsrc = {.memfd = -1};
static struct lc_header_memo headers;

static void start(uint64_t len, const char *perms, uint32_t flags)
{
	lc_plan_free(&plan);
	lc_losses_free(&losses);
	vma = (struct lc_vma){.start = BASE,
			      .end = BASE + len,
			      .flags = flags,
			      .prot = PF_R | PF_W,
			      .name = (char *)""};
	memcpy(vma.perms, perms, 5);
	pagemap = (struct lc_pagemap){
		.fd = -1, .page_size = PAGE, .known_start = 0, .known_end = UINT64_MAX};
}

static void page_run(uint64_t from, uint64_t to, uint64_t categories)
{
	pagemap.regions[pagemap.n++] = (struct lc_page_region){
		.start = BASE + from, .end = BASE + to, .categories = categories};
}

static void make(void)
{
	struct lc_plan_inputs in = {.vmas = &vmas,
				    .pagemap = &pagemap,
				    .file = &file,
				    .memsrc = &memsrc,
				    .headers = &headers,
				    .filter = 0x33,
				    .page_size = PAGE};

	need(lc_plan_make(&in, &losses, &plan) == 0);
}

static void segment(size_t i, uint64_t from, uint64_t memsz, uint64_t filesz, const char *what)
{
	const struct elfw_segment *s = &plan.segments[i];

	if (!ok(i < plan.n && s->vaddr == BASE + from && s->memsz == memsz && s->filesz == filesz,
		"%s", what) &&
	    i < plan.n)
		printf("# segment %zu: +0x%" PRIx64 " memsz 0x%" PRIx64 " filesz 0x%" PRIx64 "\n",
		       i, s->vaddr - BASE, s->memsz, s->filesz);
}

static void test_untouched(void)
{
	start(16 * MIB, "rw-p", 0);
	make();
	is(plan.n, 1, "untouched: one segment");
	segment(0, 0, 16 * MIB, 0, "untouched: zero, in no space");
	is(plan.data_bytes, 0, "untouched: nothing to read");
}

static void test_small_gaps(void)
{
	start(MIB, "rw-p", 0);
	page_run(PAGE, 2 * PAGE, OWN);
	page_run(8 * PAGE, 9 * PAGE, OWN);
	make();
	is(plan.n, 1, "small gaps: one segment");
	segment(0, 0, MIB, 9 * PAGE, "small gaps: it ends with the last page that exists");
	is(plan.data_bytes, 2 * PAGE, "small gaps: two pages to read");
}

static void test_large_gaps(void)
{
	start(UINT64_C(16) << 40, "rw-p", 0);
	page_run(UINT64_C(1) << 40, (UINT64_C(1) << 40) + PAGE, OWN);
	page_run(UINT64_C(9) << 40, (UINT64_C(9) << 40) + 2 * PAGE, OWN);
	make();
	is(plan.n, 3, "16 TiB with two spots: three segments");
	segment(0, 0, UINT64_C(1) << 40, 0, "before the first");
	segment(1, UINT64_C(1) << 40, UINT64_C(8) << 40, PAGE, "the first, and zero after it");
	segment(2, UINT64_C(9) << 40, UINT64_C(7) << 40, 2 * PAGE,
		"the second, and zero to the end");
}

static void test_zero_pages(void)
{
	start(MIB, "rw-p", 0);
	page_run(0, PAGE, OWN);
	page_run(PAGE, 64 * PAGE, ZERO);
	make();
	segment(0, 0, MIB, PAGE, "the zero page is zero");
}

static void test_guards(void)
{
	start(MIB, "rw-p", 0);
	page_run(PAGE, 2 * PAGE, OWN);
	page_run(2 * PAGE, 3 * PAGE, GUARD);
	page_run(3 * PAGE, 4 * PAGE, OWN);
	make();
	is(plan.n, 2, "a guard page: two segments");
	segment(0, 0, 2 * PAGE, 2 * PAGE, "a guard page: up to it");
	segment(1, 3 * PAGE, MIB - 3 * PAGE, PAGE, "a guard page: from behind it on");
	is(losses.n, 0, "a guard page is no loss");
}

static void test_userfaultfd(void)
{
	start(MIB, "rw-p", LC_VMA_UFFD);
	page_run(PAGE, 2 * PAGE, OWN);
	make();
	is(plan.n, 1, "userfaultfd: one segment");
	segment(0, PAGE, PAGE, PAGE, "userfaultfd: what is there");
	is(losses.n, 2, "userfaultfd: what is not is lost, not zero");
	ok(losses.v[0].start == BASE && losses.v[0].end == BASE + PAGE, "the part before");
	ok(losses.v[1].start == BASE + 2 * PAGE && losses.v[1].end == BASE + MIB,
	   "the part behind");
}

static void test_shared_without_file(void)
{
	start(MIB, "rw-s", LC_VMA_SHARED | LC_VMA_DELETED | LC_VMA_NAMELESS);
	vma.inode = 9;
	/* as if it had been looked for and not found */
	file = (struct lc_mapfile){.fd = -1, .code = EPERM, .inode = 9};
	page_run(PAGE, 2 * PAGE, OF_FILE);
	make();
	segment(0, PAGE, PAGE, PAGE, "shared memory without its file: what is mapped");
	is(losses.n, 2, "the rest may exist: a loss");
	file = (struct lc_mapfile){.fd = -1};
}

/* A file of 1 MiB that the plan believes to be the mapping's. */
static void start_file(const char *perms, uint32_t flags)
{
	start(MIB, perms, flags);
	vma.inode = 9;
	vma.name = (char *)"/f";
	vma.offset = PAGE;
	lc_mapfile_close(&file);
	file = (struct lc_mapfile){.fd = memfd_create("f", 0), .inode = 9};
	need(file.fd >= 0 && ftruncate(file.fd, MIB - 64 * PAGE) == 0);
	file.st.st_size = MIB - 64 * PAGE;
}

static void test_used_file(void)
{
	start_file("rw-p", 0);
	page_run(PAGE, 2 * PAGE, OWN);
	page_run(4 * PAGE, 5 * PAGE, OF_FILE);
	page_run(40 * PAGE, 41 * PAGE, OF_FILE);
	make();
	is(plan.n, 4, "data of a file: what is used, and what is left to the file");
	segment(0, 0, 5 * PAGE, 5 * PAGE, "small gaps are filled from the file");
	segment(1, 5 * PAGE, 35 * PAGE, 0, "a large one is left to it");
	segment(2, 40 * PAGE, PAGE, PAGE, "the next pages");
	segment(3, 41 * PAGE, MIB - 65 * PAGE - 41 * PAGE, 0,
		"and the rest, up to the end of the file");
	is(plan.data_bytes, 6 * PAGE, "six pages to read");
}

static void test_deleted_file(void)
{
	start_file("rw-p", LC_VMA_DELETED | LC_VMA_NAMELESS);
	page_run(PAGE, 2 * PAGE, OWN);
	make();
	is(plan.n, 1, "data of a deleted file: nobody will find it");
	segment(0, 0, MIB - 65 * PAGE, 2 * PAGE,
		"what exists; holes are zero up to the end of the file");
	/* the file was made shorter behind the process's back */
	start_file("rw-p", LC_VMA_DELETED | LC_VMA_NAMELESS);
	page_run(MIB - 60 * PAGE, MIB - 59 * PAGE, OWN);
	make();
	is(plan.n, 2, "a page beyond the end of the file");
	segment(0, 0, MIB - 65 * PAGE, 0, "the file is a hole");
	segment(1, MIB - 60 * PAGE, PAGE, PAGE, "the page alone: nothing around it is there");
}

static void test_guards_in_file(void)
{
	start_file("rw-p", LC_VMA_DELETED | LC_VMA_NAMELESS);
	page_run(PAGE, 2 * PAGE, OWN);
	page_run(2 * PAGE, 3 * PAGE, GUARD);
	make();
	is(plan.n, 2, "a guard page in a file that has no name");
	segment(0, 0, 2 * PAGE, 2 * PAGE, "up to it");
	segment(1, 3 * PAGE, MIB - 68 * PAGE, 0, "from behind it on");
	start_file("rw-p", 0);
	page_run(PAGE, 2 * PAGE, OWN);
	page_run(3 * PAGE, 4 * PAGE, GUARD);
	page_run(5 * PAGE, 6 * PAGE, OWN);
	make();
	is(plan.n, 4, "a guard page in a file that has one");
	segment(0, 0, 2 * PAGE, 2 * PAGE, "the pages");
	segment(1, 2 * PAGE, PAGE, 0, "left to the file up to the guard");
	segment(2, 4 * PAGE, 2 * PAGE, 2 * PAGE, "from behind it on");
	start_file("rw-s", LC_VMA_SHARED | LC_VMA_DELETED | LC_VMA_NAMELESS);
	need(pwrite(file.fd, "x", 1, 20 * PAGE) == 1);
	page_run(18 * PAGE, 20 * PAGE, GUARD);
	make();
	is(plan.n, 2, "a guard page in shared memory");
	segment(0, 0, 18 * PAGE, 0, "up to it");
	segment(1, 20 * PAGE, MIB - 85 * PAGE, 0, "from behind it on");
	is(losses.n, 0, "no guard page is a loss");
}

/* In a range with a handler, what is write-protected and not present is not read. */
static void test_marks(void)
{
	start(MIB, "rw-p", LC_VMA_UFFD);
	page_run(PAGE, 2 * PAGE, OWN);
	page_run(2 * PAGE, 3 * PAGE, MARK);
	page_run(3 * PAGE, 4 * PAGE, SWAPPED);
	make();
	is(plan.n, 2, "a mark in the page table");
	segment(0, PAGE, PAGE, PAGE, "what is present");
	segment(1, 3 * PAGE, PAGE, PAGE, "what is swapped out");
	is(losses.n, 3, "the rest is lost");
}

static void test_shared_file(void)
{
	char page[PAGE];

	start_file("rw-s", LC_VMA_SHARED | LC_VMA_DELETED | LC_VMA_NAMELESS);
	memset(page, 1, sizeof(page));
	need(pwrite(file.fd, page, PAGE, 5 * PAGE) == (ssize_t)PAGE);
	make();
	is(plan.n, 1, "shared memory");
	segment(0, 0, MIB - 65 * PAGE, 5 * PAGE, "what exists in the file, mapped here or not");
	is(plan.data_bytes, PAGE, "holes are neither read nor made");
	is(losses.n, 0, "and nothing is lost");
}

static void test_pieces(void)
{
	struct lc_pieces walk = {.plan = &plan, .vmas = &vmas, .pagemap = &pagemap, .file = &file};
	struct lc_piece piece;

	start(MIB, "rw-p", 0);
	page_run(PAGE, 3 * PAGE, OWN);
	page_run(3 * PAGE, 4 * PAGE, ZERO);
	page_run(8 * PAGE, 9 * PAGE, OWN);
	make();
	plan.segments[0].off = 0x5000;
	is(lc_pieces_next(&walk, PAGE, &piece), 1, "a piece");
	ok(piece.addr == BASE + PAGE && piece.len == PAGE && piece.off == 0x6000 &&
		   piece.via == LC_VIA_PROCESS,
	   "no longer than asked for");
	is(lc_pieces_next(&walk, MIB, &piece), 1, "the next");
	ok(piece.addr == BASE + 2 * PAGE && piece.len == PAGE && piece.off == 0x7000,
	   "is the rest");
	is(lc_pieces_next(&walk, MIB, &piece), 1, "the last");
	ok(piece.addr == BASE + 8 * PAGE && piece.off == 0x5000 + 8 * PAGE, "behind the gap");
	is(lc_pieces_next(&walk, MIB, &piece), 0, "the end");
	walk = (struct lc_pieces){.plan = &plan,
				  .vmas = &vmas,
				  .pagemap = &pagemap,
				  .file = &file,
				  .small_first = true};
	plan.segments[0].filesz = LC_SMALL_SEGMENT + PAGE;
	ok(lc_pieces_to_segment(&walk) && walk.large_now, "a large segment has its turn at last");
	vma.prot = 0;
	walk.segment = 0;
	walk.at = 0;
	is(lc_pieces_next(&walk, MIB, &piece), 1, "a mapping that the target may not read");
	is(piece.via, LC_VIA_FORCED, "is read by force");
}

/* The walk itself, forwards and back. */
static void test_pagemap(void)
{
	struct lc_page_run run;

	start(MIB, "rw-p", 0);
	page_run(0, 4 * PAGE, OWN);
	page_run(8 * PAGE, 10 * PAGE, ZERO);
	is(lc_pagemap_next(&pagemap, BASE + PAGE, BASE + 2 * PAGE, &run), 1, "inside a run");
	ok(run.start == BASE + PAGE && run.end == BASE + 2 * PAGE && run.kind == LC_PAGE_OWN,
	   "cut to it");
	is(lc_pagemap_next(&pagemap, BASE + 4 * PAGE, BASE + 8 * PAGE, &run), 0, "between runs");
	is(lc_pagemap_next(&pagemap, BASE + 5 * PAGE, BASE + 9 * PAGE, &run), 1,
	   "over the next one's start");
	ok(run.start == BASE + 8 * PAGE && run.end == BASE + 9 * PAGE &&
		   run.kind == (LC_PAGE_OWN | LC_PAGE_ZERO),
	   "from there");
	is(lc_pagemap_next(&pagemap, BASE, BASE + MIB, &run), 1, "back");
	is(run.start, BASE, "to the first");
}

int main(void)
{
	test_untouched();
	test_small_gaps();
	test_large_gaps();
	test_zero_pages();
	test_guards();
	test_userfaultfd();
	test_shared_without_file();
	test_used_file();
	test_deleted_file();
	test_guards_in_file();
	test_marks();
	test_shared_file();
	lc_mapfile_close(&file);
	test_pieces();
	test_pagemap();
	lc_plan_free(&plan);
	lc_losses_free(&losses);
	return tap_done();
}
