/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The writer: any segments, threads and names of files give a core that the check is content with,
 * of every class and byte order, or are refused before anything is written; with the contents in
 * order behind the head, and in any order with the head around them.
 *
 *   0  1  which ABI; bits 4 to 6: the page size
 *   1  1  the number of threads
 *   2  1  the number of segments
 *   3  1  the number of mappings of files
 *         8 bytes for each segment: 4 the gap before it in pages, 2 its pages, 2 those with
 * contents 6 bytes for each mapping of a file: 4 the gap, 2 its pages the names, each ended by a
 * NUL
 */
#include <elf.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../elfw/check.h"
#include "../../elfw/image.h"
#include "../unit/abis.h"
#include "fuzz.h"

#define MAX_SEGMENTS 64
#define MAX_FILES    32
/* No file of a test is larger. */
#define MAX_SIZE (1U << 24)

struct made {
	const struct elfw_abi *abi;
	uint64_t page_size;
	size_t n_threads, n_segments, n_files;
	struct elfw_segment segments[MAX_SEGMENTS];
	struct elfw_file_mapping files[MAX_FILES];
	char *names[MAX_FILES];
	struct elfw_notes notes;
	struct elfw_layout layout;
};

static void take_segments(struct made *made, struct fuzz_input *in)
{
	uint64_t addr = 0;

	for (size_t i = 0; i < made->n_segments; i++) {
		struct elfw_segment *seg = &made->segments[i];

		seg->vaddr = addr + fuzz_take(in, 4) * made->page_size;
		seg->memsz = (1 + fuzz_take(in, 2)) * made->page_size;
		seg->filesz = fuzz_take(in, 2) * made->page_size;
		seg->flags = PF_R;
		addr = seg->vaddr + seg->memsz;
	}
}

static void take_files(struct made *made, struct fuzz_input *in)
{
	uint64_t addr = 0;

	for (size_t i = 0; i < made->n_files; i++) {
		struct elfw_file_mapping *map = &made->files[i];

		map->start = addr + fuzz_take(in, 4) * made->page_size;
		map->end = map->start + (1 + fuzz_take(in, 2)) * made->page_size;
		addr = map->end;
	}
	for (size_t i = 0; i < made->n_files; i++)
		made->files[i].name = made->names[i] = fuzz_take_string(in);
}

static int add_notes(struct made *made)
{
	const struct elfw_prpsinfo prpsinfo = {.sname = 'R', .uid = 70000};
	size_t word = elfw_long_size(made->abi);
	uint8_t block[17 * 8] = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < made->n_threads; i++) {
		const struct elfw_prstatus prstatus = {.pid = (pid_t)i + 1};

		r = elfw_notes_add_prstatus(&made->notes, &prstatus, block, 17 * word);
	}
	if (r == 0)
		r = elfw_notes_add_prpsinfo(&made->notes, &prpsinfo);
	if (r == 0)
		r = elfw_notes_add(&made->notes, "CORE", NT_SIGINFO, block, 128);
	if (r == 0)
		r = elfw_notes_add(&made->notes, "CORE", NT_AUXV, block, 2 * word);
	if (r == 0)
		r = elfw_notes_add_files(&made->notes, made->files, made->n_files, made->page_size);
	return r;
}

static uint64_t round_up(const struct made *made, uint64_t len)
{
	return (len + made->page_size - 1) / made->page_size * made->page_size;
}

/* No number here comes near to 64 bits. */
static bool fits_class(const struct made *made)
{
	bool is64 = made->abi->elf_class == ELFCLASS64;
	uint64_t max = is64 ? UINT64_MAX : UINT32_MAX;
	uint64_t phdr_size = is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	uint64_t pos = is64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);

	pos = round_up(made, pos + (made->n_segments + 1) * phdr_size + made->notes.len);
	for (size_t i = 0; i < made->n_segments; i++) {
		if (made->segments[i].memsz > max ||
		    made->segments[i].vaddr + (made->segments[i].memsz - 1) > max)
			return false;
		pos += round_up(made, made->segments[i].filesz);
	}
	return pos <= max;
}

static bool has_contents_beyond_memory(const struct made *made)
{
	for (size_t i = 0; i < made->n_segments; i++)
		if (made->segments[i].filesz > made->segments[i].memsz)
			return true;
	return false;
}

static void check_layout(const struct made *made)
{
	const struct elfw_layout *at = &made->layout;
	uint64_t pos = at->data_off;

	must(at->note_off >= at->phoff && at->note_off + at->note_len <= at->data_off);
	must(at->data_off % made->page_size == 0 && at->n_phdrs == made->n_segments + 1);
	for (size_t i = 0; i < made->n_segments; i++) {
		must(made->segments[i].off % made->page_size == 0);
		must(made->segments[i].off >= pos);
		pos = made->segments[i].off + made->segments[i].filesz;
	}
	must(pos <= at->data_end && at->data_end <= at->size);
}

static void check_file(const struct made *made, int fd)
{
	const struct elfw_check_expect expect = {.n_threads = made->n_threads,
						 .size = made->layout.size};
	char problem[256];
	int r = elfw_check_fd(fd, &expect, problem, sizeof(problem));

	if (r < 0)
		fprintf(stderr, "%s\n", problem);
	must(r == 0);
}

/* Once as planned, once with the last segment lost after the contents were written. */
static void write_core(struct made *made)
{
	int fd = memfd_create("core", MFD_CLOEXEC);
	struct elfw_sink *sink;
	size_t n = made->n_segments;

	must(fd >= 0 && elfw_sink_open_fd(fd, &sink) == 0);
	must(elfw_image_write_head(sink, made->abi, 0, &made->layout, made->segments, n,
				   &made->notes, 1) == 0);
	must(elfw_image_write_tail(sink, made->abi, &made->layout) == 0);
	check_file(made, fd);
	n -= n > 0;
	must(elfw_image_rewrite_head(sink, made->abi, 0, &made->layout, made->segments, n,
				     &made->notes, 1) == 0);
	must(elfw_image_write_tail(sink, made->abi, &made->layout) == 0);
	check_file(made, fd);
	must(elfw_sink_commit(sink) == 0);
	elfw_sink_close(sink);
	close(fd);
}

/* The contents from the last segment to the first, with pages between them that are nobody's. */
static void scatter(struct made *made, uint64_t data_off)
{
	uint64_t pos = round_up(made, data_off);

	for (size_t i = made->n_segments; i-- > 0;) {
		pos += made->page_size;
		made->segments[i].off = pos;
		pos += round_up(made, made->segments[i].filesz);
	}
	must(elfw_layout_around(made->abi, made->notes.len, made->segments, made->n_segments,
				made->page_size, data_off, pos + 1, &made->layout) == 0);
	must(made->layout.data_off == data_off && made->layout.data_end == pos + 1);
	must((made->layout.phoff < data_off) == (made->layout.size == pos + 1));
}

static void test(struct made *made)
{
	uint64_t data_off;

	int r = add_notes(made);

	must(r == 0 || (r == -EOVERFLOW && made->abi->elf_class == ELFCLASS32));
	if (r < 0)
		return;
	r = elfw_layout_compute(made->abi, made->notes.len, made->segments, made->n_segments,
				made->page_size, &made->layout);
	must((r == 0) == (fits_class(made) && !has_contents_beyond_memory(made)));
	if (r < 0)
		return;
	check_layout(made);
	if (made->layout.size > MAX_SIZE)
		return;
	data_off = made->layout.data_off;
	write_core(made);
	scatter(made, data_off);
	write_core(made);
	scatter(made, sizeof(Elf64_Ehdr));
	write_core(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct made made = {.n_threads = 0};
	unsigned int kind = (unsigned int)fuzz_take(&in, 1);

	made.abi = all_abis[kind % N_ABIS];
	made.page_size = UINT64_C(4096) << (kind >> 4 & 7);
	made.notes = ELFW_NOTES_INIT(made.abi);
	made.n_threads = 1 + (size_t)fuzz_take(&in, 1) % 32;
	made.n_segments = (size_t)fuzz_take(&in, 1) % MAX_SEGMENTS;
	made.n_files = (size_t)fuzz_take(&in, 1) % MAX_FILES;
	take_segments(&made, &in);
	take_files(&made, &in);
	test(&made);
	elfw_notes_free(&made.notes);
	for (size_t i = 0; i < made.n_files; i++)
		free(made.names[i]);
	return 0;
}
