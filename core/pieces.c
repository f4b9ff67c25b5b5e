/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The plan knows segments; which pages in them exist is asked again here, so that no list of pages
 * is ever kept: livecore's memory does not grow with the target's. Runs inside the freeze.
 */
#include "pieces.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>

#include "procfs.h"

/* The part of a segment that is in the file and not yet walked. */
struct span {
	const struct lc_vma *vma;
	uint64_t start, end;
};

static int give_process(const struct span *s, uint64_t start, uint64_t end, uint32_t kind,
			struct lc_piece *ret)
{
	ret->addr = start;
	ret->len = end - start;
	ret->via = s->vma->prot & PF_R ? LC_VIA_PROCESS : LC_VIA_FORCED;
	ret->may_wait = s->vma->flags & (LC_VMA_UFFD | LC_VMA_REMOTE);
	ret->kind = kind;
	return 1;
}

/* The file cannot be opened (any more). Reading it through the process costs that some pages of
 * page table, but where it is shared memory, it would make the holes of it, and where somebody else
 * serves the file, it would wait for him. */
static int give_without_file(const struct span *s, uint64_t start, uint64_t end,
			     struct lc_piece *ret)
{
	give_process(s, start, end, 0, ret);
	if (s->vma->flags & (LC_VMA_SHARED | LC_VMA_REMOTE))
		ret->via = LC_VIA_NOTHING;
	return 1;
}

/* Data of the file behind [start, end); 0 if that is all hole. */
static int give_file(struct lc_pieces *walk, const struct span *s, uint64_t start, uint64_t end,
		     struct lc_piece *ret)
{
	uint64_t base = s->vma->start - s->vma->offset; /* may wrap: address = base + file offset */
	uint64_t from, to;
	int r;

	if (lc_mapfile_get(walk->file, s->vma) < 0)
		return give_without_file(s, start, end, ret);
	r = lc_mapfile_next_data(walk->file, start - base, end - base, &from, &to);
	if (r <= 0)
		return r;
	ret->addr = from + base;
	ret->len = to - from;
	ret->file_off = from;
	ret->fd = walk->file->fd;
	ret->via = LC_VIA_FILE;
	return 1;
}

static int next_of_pages(struct lc_pieces *walk, const struct span *s, struct lc_piece *ret)
{
	struct lc_page_run run = {.end = s->start};
	int r;

	do
		r = lc_pagemap_next(walk->pagemap, run.end, s->end, &run);
	while (r > 0 && (run.kind & (LC_PAGE_ZERO | LC_PAGE_GUARD)));
	return r > 0 ? give_process(s, run.start, run.end, run.kind, ret) : r;
}

/* What the process has is its own, perhaps written to; what it has not is the file's. */
static int next_of_private_file(struct lc_pieces *walk, const struct span *s, struct lc_piece *ret)
{
	uint64_t at = s->start;

	while (at < s->end) {
		struct lc_page_run run;
		int r = lc_pagemap_next(walk->pagemap, at, s->end, &run);

		if (r < 0)
			return r;
		if (r == 0)
			return give_file(walk, s, at, s->end, ret);
		if (run.start == at)
			return give_process(s, run.start, run.end, run.kind, ret);
		r = give_file(walk, s, at, run.start, ret);
		if (r)
			return r;
		at = run.start;
	}
	return 0;
}

/* All of it, exists or not; a strategy wants to know which pages it is about. */
static int next_of_process(struct lc_pieces *walk, const struct span *s, struct lc_piece *ret)
{
	struct lc_page_run run = {.end = s->end};
	int r = 0;

	if (walk->cover.has)
		r = lc_pagemap_next(walk->pagemap, s->start, s->end, &run);
	if (r <= 0)
		return r < 0 ? r : give_process(s, s->start, s->end, 0, ret);
	if (run.start > s->start)
		return give_process(s, s->start, run.start, 0, ret);
	return give_process(s, run.start, run.end, run.kind, ret);
}

static int next_of_vdso(struct lc_pieces *walk, const struct span *s, struct lc_piece *ret)
{
	bool same = walk->own_vdso_len == s->vma->end - s->vma->start;
	struct lc_page_run run;
	int r;

	if (!walk->own_vdso || !same)
		return give_process(s, s->start, s->end, 0, ret);
	r = lc_pagemap_next(walk->pagemap, s->start, s->end, &run);
	if (r < 0)
		return r;
	if (r > 0 && run.start == s->start)
		return give_process(s, run.start, run.end, run.kind, ret);
	ret->addr = s->start;
	ret->len = (r > 0 ? run.start : s->end) - s->start;
	ret->file_off = s->start - s->vma->start;
	ret->via = LC_VIA_OWN_VDSO;
	return 1;
}

static int next_of_span(struct lc_pieces *walk, enum lc_source source, const struct span *s,
			struct lc_piece *ret)
{
	switch (source) {
	case LC_SOURCE_PAGES:
		return next_of_pages(walk, s, ret);
	case LC_SOURCE_PRIVATE_FILE:
		return next_of_private_file(walk, s, ret);
	case LC_SOURCE_SHARED_FILE:
		return give_file(walk, s, s->start, s->end, ret);
	case LC_SOURCE_PROCESS:
		return next_of_process(walk, s, ret);
	case LC_SOURCE_VDSO:
		return next_of_vdso(walk, s, ret);
	case LC_SOURCE_NONE:
		break;
	}
	return 0;
}

void lc_pieces_find_own_vdso(struct lc_pieces *walk)
{
	uint64_t base = getauxval(AT_SYSINFO_EHDR);
	struct lc_text text = {0};
	struct lc_vmas own = {0};

	if (!base || lc_procfs_read(AT_FDCWD, "/proc/self/maps", &text) < 0) {
		lc_text_free(&text);
		return;
	}
	if (lc_vmas_parse(text.data, text.len, &own) < 0)
		return;
	for (size_t i = 0; i < own.n; i++)
		if (own.v[i].start == base && strcmp(own.v[i].name, "[vdso]") == 0) {
			walk->own_vdso = (const uint8_t *)(uintptr_t)base;
			walk->own_vdso_len = own.v[i].end - base;
		}
	lc_vmas_free(&own);
}

static bool is_in_turn(const struct lc_pieces *walk)
{
	bool large = walk->plan->segments[walk->segment].filesz > LC_SMALL_SEGMENT;

	return !walk->small_first || large == walk->large_now;
}

bool lc_pieces_to_segment(struct lc_pieces *walk)
{
	for (;;) {
		for (; walk->segment < walk->plan->n; walk->segment++, walk->at = 0)
			if (is_in_turn(walk))
				return true;
		if (!walk->small_first || walk->large_now)
			return false;
		walk->large_now = true;
		walk->segment = 0;
	}
}

/* The next piece, covered or not. Returns 1, 0 if the segment has none left, or -errno. */
static int next_of_segment(struct lc_pieces *walk, struct lc_piece *ret)
{
	const struct elfw_segment *seg = &walk->plan->segments[walk->segment];
	const struct lc_segment *src = &walk->plan->sources[walk->segment];
	struct span s = {
		.vma = &walk->vmas->v[src->vma],
		.start = walk->at ? walk->at : seg->vaddr,
		.end = seg->vaddr + seg->filesz,
	};
	int r;

	*ret = (struct lc_piece){.vma = s.vma, .fd = -1};
	r = s.start < s.end ? next_of_span(walk, src->source, &s, ret) : 0;
	ret->off = seg->off + (ret->addr - seg->vaddr);
	return r;
}

/* Whether the piece is one of those that the walk gives. */
static bool is_chosen(const struct lc_cover *cover, struct lc_piece *piece)
{
	return !cover->has || cover->has(cover->arg, piece) == cover->wanted;
}

int lc_pieces_next(struct lc_pieces *walk, uint64_t max_len, struct lc_piece *ret_piece)
{
	while (lc_pieces_to_segment(walk)) {
		int r = next_of_segment(walk, ret_piece);
		bool chosen;

		if (r < 0)
			return r;
		if (r == 0) {
			walk->segment++;
			walk->at = 0;
			continue;
		}
		chosen = is_chosen(&walk->cover, ret_piece);
		if (chosen && ret_piece->len > max_len)
			ret_piece->len = max_len;
		walk->at = ret_piece->addr + ret_piece->len;
		r = walk->cover.note ? walk->cover.note(walk->cover.arg, ret_piece) : 0;
		if (r < 0)
			return r;
		if (chosen)
			return 1;
	}
	return 0;
}
