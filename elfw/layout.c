/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Owns the arithmetic of a core: which byte of the file is what. Calls nothing and may run inside
 * the freeze.
 */
#include <elf.h>
#include <errno.h>

#include "layout.h"

static uint64_t class_max(const struct elfw_abi *abi)
{
	return abi->elf_class == ELFCLASS64 ? UINT64_MAX : UINT32_MAX;
}

/* *pos += len, within the class. */
static int advance(const struct elfw_abi *abi, uint64_t *pos, uint64_t len)
{
	if (len > class_max(abi) || *pos > class_max(abi) - len)
		return -EOVERFLOW;
	*pos += len;
	return 0;
}

/* Rounds *pos up to `align`, a power of two, within the class. */
static int align_up(const struct elfw_abi *abi, uint64_t *pos, uint64_t align)
{
	return advance(abi, pos, -*pos & (align - 1));
}

static bool is_page_size(uint64_t page_size)
{
	return page_size && !(page_size & (page_size - 1));
}

static uint64_t ehdr_size(const struct elfw_abi *abi)
{
	return abi->elf_class == ELFCLASS64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
}

static uint64_t phdr_size(const struct elfw_abi *abi)
{
	return abi->elf_class == ELFCLASS64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
}

static int check_segment(const struct elfw_abi *abi, const struct elfw_segment *segment,
			 uint64_t page_size)
{
	if (segment->filesz > segment->memsz)
		return -EINVAL;
	if (segment->vaddr & (page_size - 1))
		return -EINVAL;
	if (segment->memsz > class_max(abi) || segment->vaddr > class_max(abi))
		return -EOVERFLOW;
	/* The last byte must have an address; the one after it need not. */
	if (segment->memsz && segment->vaddr > class_max(abi) - (segment->memsz - 1))
		return -EOVERFLOW;
	return 0;
}

/* Each segment's contents at the next page, in order. *pos ends after the last. */
static int place_segments(const struct elfw_abi *abi, struct elfw_segment *segments,
			  size_t n_segments, uint64_t page_size, uint64_t *pos)
{
	for (size_t i = 0; i < n_segments; i++) {
		int r = check_segment(abi, &segments[i], page_size);

		if (r < 0)
			return r;
		segments[i].off = *pos;
		r = advance(abi, pos, segments[i].filesz);
		if (r < 0)
			return r;
		r = align_up(abi, pos, page_size);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * The end of the file, which *pos is before it. e_phnum has 16 bits and 0xffff means PN_XNUM: the
 * true number is then in sh_info of section header 0, which exists for nothing else (elf(5)).
 */
static int place_shdr(const struct elfw_abi *abi, uint64_t pos, struct elfw_layout *layout)
{
	uint64_t shoff = 0;
	int r;

	if (layout->n_phdrs >= PN_XNUM) {
		r = align_up(abi, &pos, elfw_long_size(abi));
		if (r < 0)
			return r;
		shoff = pos;
		r = advance(abi, &pos,
			    abi->elf_class == ELFCLASS64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr));
		if (r < 0)
			return r;
	}
	layout->shoff = shoff;
	layout->size = pos;
	return 0;
}

/* The table at `phoff`; *ret_end is after it. */
static int place_phdrs(const struct elfw_abi *abi, uint64_t phoff, size_t n_segments,
		       struct elfw_layout *layout, uint64_t *ret_end)
{
	*ret_end = phoff;
	/* sh_info, the last resort of the number, has 32 bits. */
	if (n_segments >= UINT32_MAX)
		return -EOVERFLOW;
	layout->phoff = phoff;
	layout->n_phdrs = (uint64_t)n_segments + 1;
	return advance(abi, ret_end, layout->n_phdrs * phdr_size(abi));
}

/* The table at *pos and the notes behind it; *pos ends after them. */
static int place_head(const struct elfw_abi *abi, uint64_t note_len, size_t n_segments,
		      struct elfw_layout *layout, uint64_t *pos)
{
	int r = place_phdrs(abi, *pos, n_segments, layout, pos);

	if (r < 0)
		return r;
	layout->note_off = *pos;
	layout->note_len = note_len;
	return advance(abi, pos, note_len);
}

int elfw_layout_compute(const struct elfw_abi *abi, uint64_t note_len,
			struct elfw_segment *segments, size_t n_segments, uint64_t page_size,
			struct elfw_layout *ret_layout)
{
	struct elfw_layout layout = {.page_size = page_size};
	uint64_t pos = ehdr_size(abi);
	int r;

	if (!is_page_size(page_size))
		return -EINVAL;
	r = place_head(abi, note_len, n_segments, &layout, &pos);
	if (r < 0)
		return r;
	r = align_up(abi, &pos, page_size);
	if (r < 0)
		return r;
	layout.data_off = pos;
	r = place_segments(abi, segments, n_segments, page_size, &pos);
	if (r < 0)
		return r;
	layout.data_end = pos;
	r = place_shdr(abi, pos, &layout);
	if (r < 0)
		return r;
	*ret_layout = layout;
	return 0;
}

int elfw_layout_move_head(const struct elfw_abi *abi, uint64_t note_len, size_t n_segments,
			  struct elfw_layout *layout)
{
	struct elfw_layout moved = *layout;
	uint64_t pos = layout->data_end;
	int r;

	r = align_up(abi, &pos, elfw_long_size(abi));
	if (r < 0)
		return r;
	r = place_head(abi, note_len, n_segments, &moved, &pos);
	if (r < 0)
		return r;
	r = place_shdr(abi, pos, &moved);
	if (r < 0)
		return r;
	*layout = moved;
	return 0;
}

/* A segment whose place is given. */
static int check_place(const struct elfw_abi *abi, const struct elfw_segment *segment,
		       const struct elfw_layout *layout)
{
	int r = check_segment(abi, segment, layout->page_size);

	if (r < 0)
		return r;
	if (segment->off > class_max(abi))
		return -EOVERFLOW;
	if (segment->off & (layout->page_size - 1))
		return -EINVAL;
	if (!segment->filesz)
		return 0;
	if (segment->off < layout->data_off || segment->off > layout->data_end ||
	    segment->filesz > layout->data_end - segment->off)
		return -EINVAL;
	return 0;
}

int elfw_layout_around(const struct elfw_abi *abi, uint64_t note_len,
		       const struct elfw_segment *segments, size_t n_segments, uint64_t page_size,
		       uint64_t data_off, uint64_t data_end, struct elfw_layout *ret_layout)
{
	struct elfw_layout layout = {
		.page_size = page_size, .data_off = data_off, .data_end = data_end};
	uint64_t pos = ehdr_size(abi);
	int r;

	if (!is_page_size(page_size) || data_off < pos || data_off > data_end)
		return -EINVAL;
	if (data_end > class_max(abi))
		return -EOVERFLOW;
	for (size_t i = 0; i < n_segments; i++) {
		r = check_place(abi, &segments[i], &layout);
		if (r < 0)
			return r;
	}
	r = place_head(abi, note_len, n_segments, &layout, &pos);
	if (r == 0 && pos <= data_off)
		r = place_shdr(abi, data_end, &layout);
	else
		r = elfw_layout_move_head(abi, note_len, n_segments, &layout);
	if (r < 0)
		return r;
	*ret_layout = layout;
	return 0;
}
