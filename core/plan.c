/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Decides, and writes nothing. A mapping becomes one or more segments: anonymous memory that was
 * never touched is zero, which p_memsz beyond p_filesz says in no space at all, so a large gap ends
 * a segment. What nobody can say the contents of is covered by no segment.
 */
#include "plan.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "filter.h"

/* A gap of pages that do not exist costs 56 bytes of program header if it ends the segment, and a
 * hole if it does not; holes are lost when a core is copied or sent, so only small gaps stay. */
#define SPLIT_GAP (UINT64_C(1) << 20)

/* The same for files: what a gap of file pages costs is its contents, so the bound is lower. */
#define FILE_GAP (UINT64_C(64) << 10)

struct planner {
	const struct lc_plan_inputs *in;
	struct lc_losses *losses; /* may be NULL */
	struct lc_plan *plan;
	size_t at; /* the mapping's index */
	const struct lc_vma *vma;
};

static uint64_t page_up(const struct planner *p, uint64_t n)
{
	return (n + p->in->page_size - 1) & ~(p->in->page_size - 1);
}

/* [start, start + memsz), of which the first `filesz` bytes are in the core. */
static int add_segment(struct planner *p, uint64_t start, uint64_t memsz, uint64_t filesz,
		       enum lc_source source)
{
	struct lc_plan *plan = p->plan;

	if (memsz == 0)
		return 0;
	if (lc_grow((void **)&plan->segments, &plan->cap, plan->n, sizeof(*plan->segments)) < 0 ||
	    lc_grow((void **)&plan->sources, &plan->cap_sources, plan->n, sizeof(*plan->sources)) <
		    0)
		return -ENOMEM;
	plan->segments[plan->n] = (struct elfw_segment){
		.vaddr = start, .memsz = memsz, .filesz = filesz, .flags = p->vma->prot};
	plan->sources[plan->n] =
		(struct lc_segment){.vma = p->at, .source = filesz ? source : LC_SOURCE_NONE};
	plan->n++;
	plan->verdicts[p->at].file_bytes += filesz;
	return 0;
}

static void count_data(struct planner *p, uint64_t bytes)
{
	p->plan->verdicts[p->at].data_bytes += bytes;
	p->plan->data_bytes += bytes;
}

static void lose(struct planner *p, uint64_t start, uint64_t end, const char *why)
{
	if (p->losses && start < end)
		lc_losses_add(p->losses, LC_LOSS_MEMORY, 0, start, end, 0, "%s", why);
}

/* ---- runs of what exists to segments ------------------------------------------------------ */

/* A segment that grows: [start, data_end) has contents. */
struct builder {
	uint64_t start, data_end;
	enum lc_source source;
	uint64_t existing; /* bytes of it that are in pages that exist */
};

static int flush(struct planner *p, struct builder *b, uint64_t end)
{
	enum lc_source source = b->source;

	/* without a gap: the page map need not be asked again */
	if (source == LC_SOURCE_PAGES && b->existing == b->data_end - b->start)
		source = LC_SOURCE_PROCESS;
	b->existing = 0;
	return add_segment(p, b->start, end - b->start, b->data_end - b->start, source);
}

/* The gap before `start` is zero. */
static int add_run(struct planner *p, struct builder *b, uint64_t start, uint64_t end)
{
	if (start - b->data_end >= SPLIT_GAP) {
		int r = flush(p, b, start);

		if (r < 0)
			return r;
		b->start = start;
	}
	b->data_end = end;
	b->existing += end - start;
	count_data(p, end - start);
	return 0;
}

/* What is in [b->data_end, start) is not known, or unreadable by design: nothing covers it. */
static int skip_to(struct planner *p, struct builder *b, uint64_t start)
{
	int r;

	if (b->data_end == start)
		return 0;
	r = flush(p, b, b->data_end);
	b->start = start;
	b->data_end = start;
	return r;
}

/* ---- kinds of mappings -------------------------------------------------------------------- */

static int plan_guard(struct planner *p, struct builder *b, const struct lc_page_run *run)
{
	/* what is before it is zero as ever; the guard itself is nothing */
	int r = flush(p, b, run->start);

	b->start = run->end;
	b->data_end = run->end;
	return r;
}

/* Anonymous memory: what does not exist is zero. */
static int plan_pages(struct planner *p)
{
	struct builder b = {
		.start = p->vma->start, .data_end = p->vma->start, .source = LC_SOURCE_PAGES};
	uint64_t at = p->vma->start;
	struct lc_page_run run;
	int r;

	while ((r = lc_pagemap_next(p->in->pagemap, at, p->vma->end, &run)) > 0) {
		at = run.end;
		if (run.kind & LC_PAGE_GUARD)
			r = plan_guard(p, &b, &run);
		else if (!(run.kind & LC_PAGE_ZERO))
			r = add_run(p, &b, run.start, run.end);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : flush(p, &b, p->vma->end);
}

/* As lc_pagemap_next(), without what may be there or not. */
static int next_surely_there(const struct planner *p, uint64_t at, struct lc_page_run *run)
{
	int r;

	for (; (r = lc_pagemap_next(p->in->pagemap, at, p->vma->end, run)) > 0; at = run->end)
		if (!(run->kind & (LC_PAGE_MARKED | LC_PAGE_GUARD)))
			break;
	return r;
}

/* Only what is known to exist; the rest is a loss with that reason. */
static int plan_known_pages(struct planner *p, const char *why)
{
	struct builder b = {
		.start = p->vma->start, .data_end = p->vma->start, .source = LC_SOURCE_PAGES};
	uint64_t at = p->vma->start;
	struct lc_page_run run;
	int r;

	while ((r = next_surely_there(p, at, &run)) > 0) {
		lose(p, at, run.start, why);
		r = skip_to(p, &b, run.start);
		if (r == 0)
			r = add_run(p, &b, run.start, run.end);
		if (r < 0)
			return r;
		at = run.end;
	}
	if (r < 0)
		return r;
	lose(p, at, p->vma->end, why);
	return flush(p, &b, b.data_end);
}

/* The end of the mapping or of its file, whichever is first; what is beyond raises SIGBUS. */
static uint64_t end_in_file(const struct planner *p, uint64_t size)
{
	uint64_t len = p->vma->end - p->vma->start;
	uint64_t rest = size > p->vma->offset ? page_up(p, size - p->vma->offset) : 0;

	return p->vma->start + (rest < len ? rest : len);
}

/* A walk over what a mapping of a file has: pages, and data of the file. */
struct file_walk {
	uint64_t end;           /* of the file */
	struct lc_page_run run; /* the next pages from where the walk is; none: at its end */
	bool file_only;         /* of pages only the guards count */
};

#define SERVED "not present, and registered with userfaultfd: its handler would say what is there"

/* The next pages from `at` on. */
static int find_pages(struct planner *p, struct file_walk *w, uint64_t at)
{
	int r = 1;

	while (r > 0 && w->run.start < p->vma->end &&
	       (w->run.end <= at || (w->file_only && !(w->run.kind & LC_PAGE_GUARD)))) {
		uint64_t from = w->run.end > at ? w->run.end : at;

		r = lc_pagemap_next(p->in->pagemap, from, p->vma->end, &w->run);
	}
	if (r == 0)
		w->run = (struct lc_page_run){.start = p->vma->end, .end = p->vma->end};
	return r < 0 ? r : 0;
}

/* The next of both from `at` on, whole pages. Returns 1, 0 at the end, or -errno. */
static int next_in_file(struct planner *p, struct file_walk *w, uint64_t at,
			struct lc_page_run *ret)
{
	uint64_t base = p->vma->start - p->vma->offset; /* may wrap: address = base + file offset */
	uint64_t from = 0, to = 0;
	int r = find_pages(p, w, at);

	if (r == 0 && at < w->end && w->run.start > at) {
		uint64_t end = w->run.start < w->end ? w->run.start : w->end;

		r = lc_mapfile_next_data(p->in->file, at - base, end - base, &from, &to);
		from = (from + base) & ~(p->in->page_size - 1);
	}
	if (r < 0)
		return r;
	*ret = w->run;
	if (r > 0) {
		ret->start = from < at ? at : from;
		ret->end = page_up(p, to + base);
		ret->kind = 0;
	}
	return ret->start < ret->end;
}

/* Up to the end of the file a hole is zero, unless a handler fills it; beyond, there is nothing. */
static int end_hole(struct planner *p, struct builder *b, uint64_t file_end, uint64_t end)
{
	uint64_t zero_end = file_end < end ? file_end : end;
	int r;

	if (p->vma->flags & LC_VMA_UFFD) {
		lose(p, b->data_end, zero_end, SERVED);
		return skip_to(p, b, end);
	}
	if (end <= file_end)
		return 0;
	r = flush(p, b, zero_end > b->data_end ? zero_end : b->data_end);
	b->start = end;
	b->data_end = end;
	return r;
}

/* The whole mapping, out of the process and out of the file. */
static int plan_file(struct planner *p, enum lc_source source)
{
	const struct lc_vma *vma = p->vma;
	struct file_walk w = {.end = end_in_file(p, (uint64_t)p->in->file->st.st_size),
			      .file_only = source == LC_SOURCE_SHARED_FILE};
	struct builder b = {.start = vma->start, .data_end = vma->start, .source = source};
	uint64_t at = vma->start;
	struct lc_page_run run;
	int r;

	while ((r = next_in_file(p, &w, at, &run)) > 0) {
		at = run.end;
		r = end_hole(p, &b, w.end, run.start);
		if (r == 0 && (run.kind & LC_PAGE_GUARD))
			r = plan_guard(p, &b, &run);
		else if (r == 0)
			r = add_run(p, &b, run.start, run.end);
		if (r < 0)
			return r;
	}
	if (r == 0)
		r = end_hole(p, &b, w.end, vma->end);
	return r < 0 ? r : flush(p, &b, b.data_end > w.end ? b.data_end : w.end);
}

/* What lies in [b->data_end, start) is left to the file: a segment of its own without contents,
 * because lldb takes what is behind the contents of a segment for zero. */
static int leave_to_file(struct planner *p, struct builder *b, uint64_t start)
{
	int r = flush(p, b, b->data_end);

	if (r == 0)
		r = add_segment(p, b->data_end, start - b->data_end, 0, LC_SOURCE_NONE);
	b->start = start;
	b->data_end = start;
	return r;
}

/* As leave_to_file(), up to the end of the file: what is beyond is nothing. */
static int leave_rest_to_file(struct planner *p, struct builder *b)
{
	uint64_t end = p->vma->end, size;

	if (b->data_end < end && lc_mapfile_size(p->in->file, p->vma, &size) == 0)
		end = end_in_file(p, size);
	return leave_to_file(p, b, end < b->data_end ? b->data_end : end);
}

/*
 * The pages that the process has, as they are; small gaps from the file, large ones left to it: a
 * reader finds them there, and a process that maps far more than it uses has a core of what it
 * uses.
 */
static int plan_used_file(struct planner *p)
{
	struct builder b = {.start = p->vma->start,
			    .data_end = p->vma->start,
			    .source = LC_SOURCE_PRIVATE_FILE};
	uint64_t at = p->vma->start;
	/* what somebody else serves is not read at all */
	uint64_t max_gap = p->vma->flags & LC_VMA_REMOTE ? 1 : FILE_GAP;
	struct lc_page_run run;
	int r;

	while ((r = lc_pagemap_next(p->in->pagemap, at, p->vma->end, &run)) > 0) {
		bool guard = run.kind & LC_PAGE_GUARD;

		at = run.end;
		if (guard || run.start - b.data_end >= max_gap)
			r = leave_to_file(p, &b, run.start);
		if (r == 0 && guard)
			r = plan_guard(p, &b, &run);
		if (r < 0)
			return r;
		count_data(p, run.end - b.data_end);
		b.data_end = run.end;
	}
	return r < 0 ? r : leave_rest_to_file(p, &b);
}

/* Whether a reader will find in the file what this process sees now: it has a name, and nobody
 * writes to it through this mapping. --all trusts no file. */
static bool is_in_its_file(const struct planner *p)
{
	const struct lc_vma *vma = p->vma;
	bool writes_to_it = (vma->flags & LC_VMA_SHARED) && strchr(vma->perms, 'w');

	return !p->in->all && !(vma->flags & LC_VMA_NAMELESS) && !writes_to_it;
}

static int plan_all(struct planner *p, enum lc_source source)
{
	uint64_t len = p->vma->end - p->vma->start;

	count_data(p, len);
	return add_segment(p, p->vma->start, len, len, source);
}

/* A handler fills what is missing. What shared memory has is in its file, mapped here or not; huge
 * pages do not tell their holes. */
static int plan_served(struct planner *p)
{
	uint32_t kind = p->vma->flags & (LC_VMA_SHARED | LC_VMA_HUGETLB);

	if (kind == LC_VMA_SHARED && lc_mapfile_get(p->in->file, p->vma) == 0)
		return plan_file(p, LC_SOURCE_SHARED_FILE);
	return plan_known_pages(p, SERVED);
}

/* hugetlb_file_setup() (mm/hugetlb.c) makes a file for each; private pages are not in it. */
static bool is_anonymous_huge(const struct lc_vma *vma)
{
	return (vma->flags & LC_VMA_HUGETLB) && !(vma->flags & LC_VMA_SHARED) &&
	       strcmp(vma->name, "/anon_hugepage (deleted)") == 0;
}

/* How much of a file that is not to be had is read through the process: a library's worth. */
#define MAX_ASKED (UINT64_C(16) << 20)

static int plan_whole(struct planner *p)
{
	const struct lc_vma *vma = p->vma;
	bool zero = strcmp(vma->name, "/dev/zero") == 0;

	if (vma->flags & LC_VMA_SPECIAL)
		return plan_all(p,
				strcmp(vma->name, "[vdso]") ? LC_SOURCE_PROCESS : LC_SOURCE_VDSO);
	if (vma->flags & LC_VMA_UFFD)
		return plan_served(p);
	if (!lc_vma_has_file(vma) || zero || is_anonymous_huge(vma))
		return plan_pages(p);
	if (is_in_its_file(p))
		return plan_used_file(p);
	if (vma->flags & LC_VMA_REMOTE)
		return plan_known_pages(
			p, "pages of a file that the process has not touched; who serves or guards "
			   "it (FUSE, a network, fanotify) may not answer");
	if (lc_mapfile_get(p->in->file, vma) == 0)
		return plan_file(p, vma->flags & LC_VMA_SHARED ? LC_SOURCE_SHARED_FILE
							       : LC_SOURCE_PRIVATE_FILE);
	if (lc_mapfile_is_zero(p->in->file))
		return plan_pages(p);
	if (vma->flags & (LC_VMA_SHARED | LC_VMA_MEMORY))
		return plan_known_pages(
			p, "shared memory that this process has not touched: whether it "
			   "exists is for CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN to "
			   "see");
	if (vma->end - vma->start > MAX_ASKED)
		return plan_known_pages(
			p, "much of a file that this process has not touched, and that only "
			   "CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN may open");
	/* the file is not to be had: the process has it, at the price of some pages of page table
	 */
	return plan_all(p, LC_SOURCE_PROCESS);
}

/* ---- headers and covers ------------------------------------------------------------------- */

/* 1: the mapping starts with the ELF magic, 0: it does not, -errno: the page does not exist, which
 * it is not made to, and the file cannot be had. */
static int starts_with_elf(struct planner *p)
{
	const struct lc_vma *vma = p->vma;
	struct lc_page_run run;
	char magic[SELFMAG] = "";
	struct iovec range = {(void *)(uintptr_t)vma->start, SELFMAG};
	int r = lc_pagemap_next(p->in->pagemap, vma->start, vma->start + p->in->page_size, &run);

	if (r < 0)
		return r;
	if (r > 0) {
		if (lc_memsrc_read(p->in->memsrc, &range, 1, magic) < SELFMAG)
			return 0;
	} else {
		r = lc_mapfile_get(p->in->file, vma);
		if (r < 0)
			return r;
		if (pread(p->in->file->fd, magic, SELFMAG, 0) < SELFMAG)
			return 0;
	}
	return memcmp(magic, ELFMAG, SELFMAG) == 0;
}

/* The kernel takes the first page of every file with an execute bit, ELF or not. Where the file
 * cannot be asked, the page is taken if the process has it: better one too many. */
static int is_header(struct planner *p)
{
	int r = starts_with_elf(p);

	if (r != 0)
		return r;
	r = lc_mapfile_get(p->in->file, p->vma);
	return r < 0 ? 1 : !!(p->in->file->st.st_mode & 0111);
}

/* Mappings come in the same order each time: what was remembered next is nearly always the one. */
static const struct lc_known_header *recall(struct lc_header_memo *memo, const struct lc_vma *vma)
{
	for (size_t i = 0; i < memo->n; i++) {
		size_t at = (memo->cursor + i) % memo->n;
		const struct lc_known_header *h = &memo->v[at];

		if (h->inode == vma->inode && h->dev_major == vma->dev_major &&
		    h->dev_minor == vma->dev_minor) {
			memo->cursor = at + 1;
			return h;
		}
	}
	return NULL;
}

/* As is_header(), remembered. */
static int has_header(struct planner *p)
{
	struct lc_header_memo *memo = p->in->headers;
	const struct lc_known_header *known = recall(memo, p->vma);
	int r;

	if (known)
		return known->is_header;
	r = is_header(p);
	if (r < 0)
		return r;
	if (lc_grow((void **)&memo->v, &memo->cap, memo->n, sizeof(*memo->v)) == 0)
		memo->v[memo->n++] = (struct lc_known_header){.inode = p->vma->inode,
							      .dev_major = p->vma->dev_major,
							      .dev_minor = p->vma->dev_minor,
							      .is_header = r};
	return r;
}

/* Without the privilege to open it, a file that was never read is nobody's header; but where
 * something went wrong, it may have been one. */
static bool is_mishap(int r)
{
	return r < 0 && r != -EPERM && r != -EACCES && r != -ENOENT && r != -ENODEV &&
	       r != -ENXIO && r != -EREMOTE;
}

void lc_header_memo_free(struct lc_header_memo *memo)
{
	free(memo->v);
	*memo = (struct lc_header_memo){0};
}

static int plan_header(struct planner *p, bool own_pages)
{
	uint64_t len = p->vma->end - p->vma->start;
	bool only_here = own_pages || (p->vma->flags & LC_VMA_NAMELESS);
	int header = has_header(p);
	uint64_t filesz = header > 0 ? p->in->page_size : 0;

	if (header == -ETIME)
		return header;
	if (is_mishap(header))
		lose(p, p->vma->start, p->vma->start + p->in->page_size,
		     "perhaps the header of an ELF file, which cannot be opened");
	if (header <= 0)
		p->plan->verdicts[p->at].rule = "filter without file-private";
	count_data(p, filesz);
	/* the rest is in the file, if a reader can find it */
	return add_segment(p, p->vma->start, only_here ? filesz : len, filesz,
			   LC_SOURCE_PRIVATE_FILE);
}

static int has_own_pages(struct planner *p, bool *ret)
{
	uint64_t at = p->vma->start;
	struct lc_page_run run;
	int r = 0;

	*ret = false;
	if (!lc_filter_wants_anon(p->vma))
		return 0;
	while (!*ret && (r = lc_pagemap_next(p->in->pagemap, at, p->vma->end, &run)) > 0) {
		*ret = run.kind & LC_PAGE_OWN;
		at = run.end;
	}
	return r < 0 ? r : 0;
}

/* Nothing is known of it: no reader may find anything there. */
static int give_up_vma(struct planner *p)
{
	struct lc_verdict *verdict = &p->plan->verdicts[p->at];
	struct lc_choice choice =
		lc_filter_choose(p->vma, false, p->in->filter, p->in->all, p->in->minimal);

	p->plan->data_bytes -= verdict->data_bytes;
	*verdict = (struct lc_verdict){.rule = "not in time", .misleading = true};
	if (choice.take != LC_TAKE_NOTHING)
		lose(p, p->vma->start, p->vma->end, "its pages were not looked up in time");
	return 0;
}

static int plan_vma(struct planner *p)
{
	struct lc_choice choice;
	bool own;
	int r = has_own_pages(p, &own);

	if (r < 0)
		return r;
	choice = lc_filter_choose(p->vma, own, p->in->filter, p->in->all, p->in->minimal);
	p->plan->verdicts[p->at].rule = choice.rule;
	/* private huge pages without a name are in no file that a reader could open */
	p->plan->verdicts[p->at].misleading =
		own && choice.take != LC_TAKE_WHOLE &&
		!((p->vma->flags & LC_VMA_HUGETLB) && (p->vma->flags & LC_VMA_NAMELESS));
	switch (choice.take) {
	case LC_TAKE_NOTHING:
		return 0;
	case LC_TAKE_COVER:
		return add_segment(p, p->vma->start, p->vma->end - p->vma->start, 0,
				   LC_SOURCE_NONE);
	case LC_TAKE_HEADER:
		return plan_header(p, own);
	case LC_TAKE_WHOLE:
		return plan_whole(p);
	}
	return 0;
}

/* Takes back what was planned of a mapping half-way. */
static int plan_or_give_up(struct planner *p)
{
	size_t n = p->plan->n;
	int r = plan_vma(p);

	if (r != -ETIME)
		return r;
	p->plan->n = n;
	return give_up_vma(p);
}

int lc_plan_make(const struct lc_plan_inputs *in, struct lc_losses *losses,
		 struct lc_plan *ret_plan)
{
	struct planner p = {.in = in, .losses = losses, .plan = ret_plan};
	int r = 0;

	ret_plan->verdicts = calloc(in->vmas->n ? in->vmas->n : 1, sizeof(*ret_plan->verdicts));
	if (!ret_plan->verdicts)
		return -ENOMEM;
	for (p.at = 0; r == 0 && p.at < in->vmas->n; p.at++) {
		p.vma = &in->vmas->v[p.at];
		r = plan_or_give_up(&p);
	}
	return r;
}

void lc_plan_free(struct lc_plan *plan)
{
	free(plan->segments);
	free(plan->sources);
	free(plan->verdicts);
	*plan = (struct lc_plan){0};
}
