/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where everything of a core is. */
#include <errno.h>

#include "../../elfw/layout.h"
#include "abis.h"
#include "tap.h"

#define PAGE 4096

static void test_small_64(void)
{
	struct elfw_segment segments[] = {
		{.vaddr = 0x400000, .memsz = 0x1000, .filesz = 0x1000},
		{.vaddr = 0x500000, .memsz = 0x3000, .filesz = 0x1800},
		{.vaddr = 0x600000, .memsz = 0x1000},
		{.vaddr = 0x7ffffffff000, .memsz = 0x1000, .filesz = 1},
	};
	struct elfw_layout layout;

	is(elfw_layout_compute(&abi_x86_64, 1000, segments, 4, PAGE, &layout), 0, "64-bit");
	is(layout.phoff, 64, "program headers after the ELF header");
	is(layout.n_phdrs, 5, "PT_NOTE counts");
	is(layout.note_off, 64 + 5 * 56, "notes after the program headers");
	is(layout.note_len, 1000, "length of the notes");
	is(layout.data_off, PAGE, "contents at the next page");
	is(segments[0].off, 0x1000, "first segment");
	is(segments[1].off, 0x2000, "second segment");
	is(segments[2].off, 0x4000, "third segment: after the padding of the second");
	is(segments[3].off, 0x4000, "fourth segment: the third has no contents");
	is(layout.data_end, 0x5000, "end of the contents");
	is(layout.shoff, 0, "no section header");
	is(layout.size, 0x5000, "size");
	is(layout.page_size, PAGE, "page size");
}

static void test_small_32(void)
{
	struct elfw_segment segments[] = {{.vaddr = 0xffff0000, .memsz = 0x1000, .filesz = 0x1000}};
	struct elfw_layout layout;

	is(elfw_layout_compute(&abi_i386, 100, segments, 1, 65536, &layout), 0, "32-bit");
	is(layout.phoff, 52, "32-bit: program headers");
	is(layout.note_off, 52 + 2 * 32, "32-bit: notes");
	is(layout.data_off, 65536, "64 KiB pages: contents");
	is(layout.size, 2 * 65536, "64 KiB pages: the last page is whole");
}

static void test_page_end(void)
{
	struct elfw_layout layout;

	is(elfw_layout_compute(&abi_x86_64, PAGE - 64 - 56, NULL, 0, PAGE, &layout), 0,
	   "notes up to a page's end");
	is(layout.data_off, PAGE, "no page of padding");
	is(layout.size, PAGE, "no segments: the file ends at the page");
	is(elfw_layout_compute(&abi_x86_64, PAGE - 64 - 56 + 1, NULL, 0, PAGE, &layout), 0,
	   "one byte more");
	is(layout.data_off, 2 * PAGE, "a page more");
}

static void test_xnum(const struct elfw_abi *abi, size_t shdr_size)
{
	struct elfw_segment *segments = calloc(70000, sizeof(*segments));
	struct elfw_layout layout;

	need(segments);
	for (size_t i = 0; i < 70000; i++)
		segments[i] = (struct elfw_segment){.vaddr = i * 2 * PAGE, .memsz = PAGE};
	segments[7].filesz = PAGE;
	is(elfw_layout_compute(abi, 0, segments, 65533, PAGE, &layout), 0, "65534 headers");
	is(layout.shoff, 0, "65534: e_phnum holds it");
	is(layout.size, layout.data_end, "65534: nothing after the contents");
	is(elfw_layout_compute(abi, 0, segments, 65534, PAGE, &layout), 0, "65535 headers");
	is(layout.n_phdrs, 65535, "65535: the true number");
	is(layout.shoff, layout.data_end, "65535: section header after the contents");
	is(layout.size, layout.data_end + shdr_size, "65535: and nothing after it");
	is(elfw_layout_compute(abi, 0, segments, 70000, PAGE, &layout), 0, "70001 headers");
	is(layout.n_phdrs, 70001, "70001: the true number");
	is(layout.data_end, layout.data_off + PAGE, "70001: contents");
	free(segments);
}

static void test_refused(void)
{
	struct elfw_segment seg = {.vaddr = 0x1000, .memsz = 0x1000};
	struct elfw_layout layout = {.size = 42};

	is(elfw_layout_compute(&abi_x86_64, 0, &seg, 1, 0, &layout), -EINVAL, "no page size");
	is(elfw_layout_compute(&abi_x86_64, 0, &seg, 1, 4095, &layout), -EINVAL, "odd page size");
	seg.filesz = 0x1001;
	is(elfw_layout_compute(&abi_x86_64, 0, &seg, 1, PAGE, &layout), -EINVAL,
	   "filesz over memsz");
	seg = (struct elfw_segment){.vaddr = 0x1001, .memsz = 0x1000};
	is(elfw_layout_compute(&abi_x86_64, 0, &seg, 1, PAGE, &layout), -EINVAL, "odd address");
	seg = (struct elfw_segment){.vaddr = 0x100000000, .memsz = 0x1000};
	is(elfw_layout_compute(&abi_i386, 0, &seg, 1, PAGE, &layout), -EOVERFLOW,
	   "32-bit: address over 4 GiB");
	seg = (struct elfw_segment){.vaddr = 0xfffff000, .memsz = 0x2000};
	is(elfw_layout_compute(&abi_i386, 0, &seg, 1, PAGE, &layout), -EOVERFLOW,
	   "32-bit: end over 4 GiB");
	seg = (struct elfw_segment){.vaddr = 0, .memsz = 0xffffffff, .filesz = 0xfffff000};
	is(elfw_layout_compute(&abi_i386, 0, &seg, 1, PAGE, &layout), -EOVERFLOW,
	   "32-bit: file over 4 GiB");
	seg = (struct elfw_segment){.vaddr = -(uint64_t)PAGE, .memsz = 2 * PAGE};
	is(elfw_layout_compute(&abi_x86_64, 0, &seg, 1, PAGE, &layout), -EOVERFLOW,
	   "64-bit: end wraps");
	is(elfw_layout_compute(&abi_i386, UINT64_MAX, NULL, 0, PAGE, &layout), -EOVERFLOW,
	   "32-bit: notes too long");
	is(elfw_layout_compute(&abi_x86_64, UINT64_MAX, NULL, 0, PAGE, &layout), -EOVERFLOW,
	   "64-bit: notes too long");
	is(elfw_layout_compute(&abi_x86_64, UINT64_MAX - 200, NULL, 0, PAGE, &layout), -EOVERFLOW,
	   "64-bit: rounding wraps");
	is(elfw_layout_compute(&abi_x86_64, 0, &seg, UINT32_MAX, PAGE, &layout), -EOVERFLOW,
	   "more segments than sh_info counts");
	is(layout.size, 42, "failures leave the layout alone");
	seg = (struct elfw_segment){.vaddr = -(uint64_t)PAGE, .memsz = PAGE};
	is(elfw_layout_compute(&abi_x86_64, 0, &seg, 1, PAGE, &layout), 0,
	   "64-bit: the last page of the address space");
}

static void test_move(void)
{
	struct elfw_segment segments[] = {
		{.vaddr = 0x400000, .memsz = 0x1000, .filesz = 0x1000},
		{.vaddr = 0x500000, .memsz = 0x1000, .filesz = 0x1000},
	};
	struct elfw_layout layout, before;

	need(elfw_layout_compute(&abi_i386, 10, segments, 2, PAGE, &layout) == 0);
	before = layout;
	is(elfw_layout_move_head(&abi_i386, 12, 5, &layout), 0, "move");
	is(layout.phoff, before.data_end, "moved behind the contents");
	is(layout.n_phdrs, 6, "moved: number");
	is(layout.note_off, before.data_end + 6 * 32, "moved: notes behind it");
	is(layout.note_len, 12, "moved: their new length");
	is(layout.size, layout.note_off + 12, "moved: size");
	is(layout.shoff, 0, "moved: no section header");
	is(elfw_layout_move_head(&abi_i386, 12, 65534, &layout), 0, "move many");
	is(layout.phoff, before.data_end, "moved again: to the same place");
	is(layout.shoff, before.data_end + 65535 * 32 + 12, "moved: section header behind");
	is(layout.size, layout.shoff + 40, "moved: size with it");
	before = layout;
	is(elfw_layout_move_head(&abi_i386, 12, UINT32_MAX / 32, &layout), -EOVERFLOW,
	   "move over 4 GiB");
	is_mem(&layout, &before, sizeof(layout), "a failed move leaves the layout alone");
}

#define AROUND_OFF (4 * PAGE)
#define AROUND_END (20 * PAGE)

/* In no order, with unused ranges before, between and after them. */
static const struct elfw_segment placed[] = {
	{.vaddr = 0x400000, .memsz = 0x2000, .filesz = 0x2000, .off = 17 * PAGE},
	{.vaddr = 0x500000, .memsz = 0x3000, .filesz = 0x1800, .off = 5 * PAGE},
	{.vaddr = 0x600000, .memsz = 0x1000},
	{.vaddr = 0xfffff000, .memsz = 0x1000, .filesz = 1, .off = 10 * PAGE},
};

static int around(const struct elfw_abi *abi, uint64_t note_len, struct elfw_layout *layout)
{
	return elfw_layout_around(abi, note_len, placed, 4, PAGE, AROUND_OFF, AROUND_END, layout);
}

static void test_around_in_front(void)
{
	uint64_t room = AROUND_OFF - 64 - 5 * 56;
	struct elfw_layout layout;

	is(around(&abi_x86_64, room, &layout), 0, "around: the head fits exactly");
	is(layout.phoff, 64, "program headers after the ELF header");
	is(layout.n_phdrs, 5, "PT_NOTE counts");
	is(layout.note_off, 64 + 5 * 56, "notes after the program headers");
	is(layout.note_len, room, "length of the notes");
	is(layout.data_off, AROUND_OFF, "contents: given");
	is(layout.data_end, AROUND_END, "end of the contents: given");
	is(layout.shoff, 0, "no section header");
	is(layout.size, AROUND_END, "size");
	is(layout.page_size, PAGE, "page size");
	is(around(&abi_i386, 10, &layout), 0, "around: 32-bit");
	is(layout.phoff, 52, "32-bit: program headers");
	is(layout.note_off, 52 + 5 * 32, "32-bit: notes");
	is(layout.size, AROUND_END, "32-bit: size");
}

static void test_around_behind(void)
{
	uint64_t room = AROUND_OFF - 64 - 5 * 56;
	struct elfw_layout layout;

	is(around(&abi_x86_64, room + 1, &layout), 0, "around: one byte too many in front");
	is(layout.phoff, AROUND_END, "program headers behind the contents");
	is(layout.n_phdrs, 5, "PT_NOTE counts");
	is(layout.note_off, AROUND_END + 5 * 56, "notes behind them");
	is(layout.note_len, room + 1, "length of the notes");
	is(layout.data_off, AROUND_OFF, "contents: given");
	is(layout.data_end, AROUND_END, "end of the contents: given");
	is(layout.shoff, 0, "no section header");
	is(layout.size, AROUND_END + 5 * 56 + room + 1, "size");
	is(layout.page_size, PAGE, "page size");
	is(elfw_layout_around(&abi_x86_64, 1, placed, 4, PAGE, 64, AROUND_END + 3, &layout), 0,
	   "around: no room but for the ELF header, an odd end");
	is(layout.phoff, AROUND_END + 8, "program headers are aligned");
	is(layout.data_end, AROUND_END + 3, "the end is not");
	is(elfw_layout_around(&abi_i386, 1, placed, 4, PAGE, 52, AROUND_END + 3, &layout), 0,
	   "around: 32-bit, the same");
	is(layout.phoff, AROUND_END + 4, "32-bit: alignment");
	is(layout.note_off, AROUND_END + 4 + 5 * 32, "32-bit: notes");
	is(elfw_layout_around(&abi_x86_64, 1, NULL, 0, PAGE, 64, 64, &layout), 0,
	   "around: nothing");
	is(layout.size, 64 + 56 + 1, "size of a head");
}

static void test_around_xnum(const struct elfw_abi *abi, size_t phsize, size_t shsize)
{
	struct elfw_segment *segments = calloc(70000, sizeof(*segments));
	struct elfw_layout layout;

	need(segments);
	for (size_t i = 0; i < 70000; i++)
		segments[i] = (struct elfw_segment){.vaddr = i * 2 * PAGE, .memsz = PAGE};
	segments[7].filesz = PAGE;
	segments[7].off = 2000 * PAGE;
	is(elfw_layout_around(abi, 3, segments, 70000, PAGE, 2000 * PAGE, 2001 * PAGE, &layout), 0,
	   "around: 70001 headers in front");
	is(layout.note_off, (abi->elf_class == 2 ? 64 : 52) + 70001 * phsize, "notes");
	is(layout.shoff, 2001 * PAGE, "section header behind the contents");
	is(layout.size, 2001 * PAGE + shsize, "and nothing behind it");
	is(elfw_layout_around(abi, 3, segments, 70000, PAGE, PAGE, 2001 * PAGE, &layout), 0,
	   "around: 70001 headers behind");
	is(layout.phoff, 2001 * PAGE, "program headers behind the contents");
	is(layout.note_off, 2001 * PAGE + 70001 * phsize, "notes behind them");
	is(layout.shoff, layout.note_off + (abi->elf_class == 2 ? 8 - 70001 * phsize % 8 : 4),
	   "section header behind the notes, aligned");
	is(layout.size, layout.shoff + shsize, "and nothing behind it");
	is(layout.n_phdrs, 70001, "the true number");
	is(elfw_layout_around(abi, 3, segments, 65533, PAGE, PAGE, 2001 * PAGE, &layout), 0,
	   "around: 65534 headers");
	is(layout.shoff, 0, "no section header");
	free(segments);
}

/* One segment at `off` with `filesz` bytes. */
static int around_one(const struct elfw_abi *abi, uint64_t off, uint64_t filesz)
{
	const struct elfw_segment seg = {
		.vaddr = 0x1000, .memsz = 0x100000, .filesz = filesz, .off = off};
	struct elfw_layout layout = {.size = 42};
	int r = elfw_layout_around(abi, 10, &seg, 1, PAGE, AROUND_OFF, AROUND_END, &layout);

	is(layout.size == 42, r < 0, "failures leave the layout alone");
	return r;
}

static void test_around_refused(void)
{
	struct elfw_segment seg = {.vaddr = 0x1000, .memsz = 0x1000};
	struct elfw_layout layout = {.size = 42};

	is(around_one(&abi_x86_64, AROUND_OFF, AROUND_END - AROUND_OFF), 0, "the whole range");
	is(around_one(&abi_x86_64, AROUND_END, 0), 0, "without contents, at its end");
	is(around_one(&abi_x86_64, 0, 0), 0, "without contents, anywhere");
	is(around_one(&abi_x86_64, UINT64_MAX - 4095, 0), 0, "without contents, even there");
	is(around_one(&abi_x86_64, 8, 0), -EINVAL, "but aligned");
	is(around_one(&abi_x86_64, AROUND_OFF + 8, 1), -EINVAL, "contents that are not aligned");
	is(around_one(&abi_x86_64, AROUND_OFF - PAGE, 1), -EINVAL, "contents before the range");
	is(around_one(&abi_x86_64, AROUND_END, 1), -EINVAL, "behind it");
	is(around_one(&abi_x86_64, AROUND_END + PAGE, 1), -EINVAL, "and far behind it");
	is(around_one(&abi_x86_64, AROUND_END - PAGE, PAGE + 1), -EINVAL, "across its end");
	is(around_one(&abi_x86_64, AROUND_OFF, 0x100001), -EINVAL, "filesz over memsz");
	is(around_one(&abi_i386, 0x100000000, 0), -EOVERFLOW, "32-bit: an offset over 4 GiB");
	seg.vaddr = 0x1001;
	is(elfw_layout_around(&abi_x86_64, 0, &seg, 1, PAGE, PAGE, PAGE, &layout), -EINVAL,
	   "odd address");
	seg.vaddr = 0x100000000;
	is(elfw_layout_around(&abi_i386, 0, &seg, 1, PAGE, PAGE, PAGE, &layout), -EOVERFLOW,
	   "32-bit: address over 4 GiB");
	is(elfw_layout_around(&abi_x86_64, 0, NULL, 0, 0, PAGE, PAGE, &layout), -EINVAL,
	   "no page size");
	is(elfw_layout_around(&abi_x86_64, 0, NULL, 0, 4095, PAGE, PAGE, &layout), -EINVAL,
	   "odd page size");
	is(elfw_layout_around(&abi_x86_64, 0, NULL, 0, PAGE, 2 * PAGE, PAGE, &layout), -EINVAL,
	   "a range that ends before it begins");
	is(elfw_layout_around(&abi_x86_64, 0, NULL, 0, PAGE, 63, PAGE, &layout), -EINVAL,
	   "64-bit: on the ELF header");
	is(elfw_layout_around(&abi_i386, 0, NULL, 0, PAGE, 51, PAGE, &layout), -EINVAL,
	   "32-bit: on the ELF header");
	is(elfw_layout_around(&abi_i386, 0, NULL, 0, PAGE, PAGE, 0x100000000, &layout), -EOVERFLOW,
	   "32-bit: range over 4 GiB");
	is(elfw_layout_around(&abi_i386, PAGE, NULL, 0, PAGE, PAGE, 0xfffff000, &layout),
	   -EOVERFLOW, "32-bit: no room behind it");
	is(elfw_layout_around(&abi_i386, 10, NULL, 0, PAGE, PAGE, UINT32_MAX, &layout), 0,
	   "32-bit: none needed");
	layout.size = 42;
	is(elfw_layout_around(&abi_x86_64, UINT64_MAX, NULL, 0, PAGE, PAGE, PAGE, &layout),
	   -EOVERFLOW, "notes too long");
	is(layout.size, 42, "failures leave the layout alone");
}

/* What came around can be moved once more. */
static void test_around_move(void)
{
	struct elfw_layout layout;

	need(around(&abi_x86_64, 10, &layout) == 0);
	is(elfw_layout_move_head(&abi_x86_64, 20, 3, &layout), 0, "move after around");
	is(layout.phoff, AROUND_END, "behind the contents");
	is(layout.note_off, AROUND_END + 4 * 56, "notes");
	is(layout.size, AROUND_END + 4 * 56 + 20, "size");
}

int main(void)
{
	test_small_64();
	test_small_32();
	test_page_end();
	test_xnum(&abi_x86_64, 64);
	test_xnum(&abi_i386, 40);
	test_refused();
	test_move();
	test_around_in_front();
	test_around_behind();
	test_around_xnum(&abi_x86_64, 56, 64);
	test_around_xnum(&abi_i386, 32, 40);
	test_around_refused();
	test_around_move();
	return tap_done();
}
