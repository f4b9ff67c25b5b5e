/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Owns the judgement whether a file is a core that can be trusted; the notes are check_notes.c's.
 * Reads through one window of fixed size and lets libelf decode the structures; every number in the
 * file is taken as hostile: none is used as an offset before it was compared with the file. Runs
 * after the target is free.
 */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check_impl.h"

/* The contents of one segment. */
struct extent {
	uint64_t off, len;
	uint64_t index; /* of its program header */
};

/* What the segments before this one took. */
struct load_state {
	uint64_t addr; /* the last address; valid if any */
	bool any;
	struct extent *extents; /* of those that have contents */
	size_t n_extents, cap_extents;
	bool unsorted; /* not in the order of the file */
};

int elfw_check_bad(struct elfw_core *core, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(core->problem, core->problem_len, format, args);
	va_end(args);
	return -EBADMSG;
}

/* ---- reading ------------------------------------------------------------------------------- */

static bool is_within(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

/* Fills the window from `off` on. */
static int read_window(struct elfw_core *core, uint64_t off)
{
	uint64_t left = core->size - off;
	size_t want = left < CHECK_WINDOW_SIZE ? (size_t)left : CHECK_WINDOW_SIZE;

	core->window_off = off;
	core->window_len = 0;
	while (core->window_len < want) {
		ssize_t n =
			pread(core->fd, core->window + core->window_len, want - core->window_len,
			      (off_t)(core->base + off + core->window_len));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return elfw_check_bad(core, "the file became shorter while it was read");
		core->window_len += (size_t)n;
	}
	return 0;
}

int elfw_check_look(struct elfw_core *core, uint64_t off, size_t len, const uint8_t **ret_data)
{
	int r;

	*ret_data = core->window;
	if (!is_within(off, len, core->size))
		return elfw_check_bad(core, "%zu bytes at 0x%llx are beyond the end of the file",
				      len, (ull)off);
	if (off < core->window_off || !is_within(off - core->window_off, len, core->window_len)) {
		r = read_window(core, off);
		if (r < 0)
			return r;
	}
	*ret_data = core->window + (off - core->window_off);
	return 0;
}

int elfw_check_read_native(struct elfw_core *core, uint64_t off, Elf_Type type, void *ret_native,
			   size_t len)
{
	Elf_Data data = {
		.d_buf = ret_native,
		.d_type = type,
		.d_version = EV_CURRENT,
		.d_size = len,
	};
	const uint8_t *raw;
	Elf_Data *done;
	int r = elfw_check_look(core, off, len, &raw);

	if (r < 0)
		return r;
	memcpy(ret_native, raw, len);
	if (core->abi.elf_class == ELFCLASS64)
		done = elf64_xlatetom(&data, &data, core->abi.elf_data);
	else
		done = elf32_xlatetom(&data, &data, core->abi.elf_data);
	return done ? 0 : elfw_check_bad(core, "libelf: %s", elf_errmsg(-1));
}

int elfw_check_read_word(struct elfw_core *core, uint64_t off, uint32_t *ret_word)
{
	Elf64_Word word = 0;
	int r = elfw_check_read_native(core, off, ELF_T_WORD, &word, sizeof(word));

	*ret_word = word;
	return r;
}

int elfw_check_read_long(struct elfw_core *core, uint64_t off, uint64_t *ret_long)
{
	Elf64_Addr addr64 = 0;
	Elf32_Addr addr32 = 0;
	int r;

	if (core->abi.elf_class == ELFCLASS64)
		r = elfw_check_read_native(core, off, ELF_T_ADDR, &addr64, sizeof(addr64));
	else
		r = elfw_check_read_native(core, off, ELF_T_ADDR, &addr32, sizeof(addr32));
	*ret_long = core->abi.elf_class == ELFCLASS64 ? addr64 : addr32;
	return r;
}

static int read_ehdr(struct elfw_core *core, Elf64_Ehdr *ret_ehdr)
{
	Elf32_Ehdr ehdr32;
	int r;

	if (core->abi.elf_class == ELFCLASS64)
		return elfw_check_read_native(core, 0, ELF_T_EHDR, ret_ehdr, sizeof(*ret_ehdr));
	r = elfw_check_read_native(core, 0, ELF_T_EHDR, &ehdr32, sizeof(ehdr32));
	if (r < 0)
		return r;
	*ret_ehdr = (Elf64_Ehdr){
		.e_type = ehdr32.e_type,
		.e_machine = ehdr32.e_machine,
		.e_version = ehdr32.e_version,
		.e_phoff = ehdr32.e_phoff,
		.e_shoff = ehdr32.e_shoff,
		.e_ehsize = ehdr32.e_ehsize,
		.e_phentsize = ehdr32.e_phentsize,
		.e_phnum = ehdr32.e_phnum,
		.e_shentsize = ehdr32.e_shentsize,
		.e_shnum = ehdr32.e_shnum,
	};
	return 0;
}

static int read_phdr(struct elfw_core *core, uint64_t index, Elf64_Phdr *ret_phdr)
{
	uint64_t off = core->regions[REGION_PHDRS].off;
	Elf32_Phdr phdr32;
	int r;

	if (core->abi.elf_class == ELFCLASS64)
		return elfw_check_read_native(core, off + index * sizeof(*ret_phdr), ELF_T_PHDR,
					      ret_phdr, sizeof(*ret_phdr));
	r = elfw_check_read_native(core, off + index * sizeof(phdr32), ELF_T_PHDR, &phdr32,
				   sizeof(phdr32));
	if (r < 0)
		return r;
	*ret_phdr = (Elf64_Phdr){
		.p_type = phdr32.p_type,
		.p_flags = phdr32.p_flags,
		.p_offset = phdr32.p_offset,
		.p_vaddr = phdr32.p_vaddr,
		.p_filesz = phdr32.p_filesz,
		.p_memsz = phdr32.p_memsz,
		.p_align = phdr32.p_align,
	};
	return 0;
}

static int read_shdr(struct elfw_core *core, uint64_t off, Elf64_Shdr *ret_shdr)
{
	Elf32_Shdr shdr32;
	int r;

	if (core->abi.elf_class == ELFCLASS64)
		return elfw_check_read_native(core, off, ELF_T_SHDR, ret_shdr, sizeof(*ret_shdr));
	r = elfw_check_read_native(core, off, ELF_T_SHDR, &shdr32, sizeof(shdr32));
	if (r < 0)
		return r;
	*ret_shdr = (Elf64_Shdr){
		.sh_type = shdr32.sh_type,
		.sh_size = shdr32.sh_size,
		.sh_info = shdr32.sh_info,
	};
	return 0;
}

/* ---- ELF header ---------------------------------------------------------------------------- */

static int check_ident(struct elfw_core *core)
{
	const uint8_t *ident;
	int r;

	if (core->size < EI_NIDENT)
		return elfw_check_bad(core, "the file has %llu bytes, too few for an ELF file",
				      (ull)core->size);
	r = elfw_check_look(core, 0, EI_NIDENT, &ident);
	if (r < 0)
		return r;
	if (memcmp(ident, ELFMAG, SELFMAG) != 0)
		return elfw_check_bad(core, "not an ELF file");
	if (ident[EI_CLASS] != ELFCLASS32 && ident[EI_CLASS] != ELFCLASS64)
		return elfw_check_bad(core, "unknown ELF class %u", ident[EI_CLASS]);
	if (ident[EI_DATA] != ELFDATA2LSB && ident[EI_DATA] != ELFDATA2MSB)
		return elfw_check_bad(core, "unknown data encoding %u", ident[EI_DATA]);
	if (ident[EI_VERSION] != EV_CURRENT)
		return elfw_check_bad(core, "unknown ELF version %u", ident[EI_VERSION]);
	core->abi.elf_class = ident[EI_CLASS];
	core->abi.elf_data = ident[EI_DATA];
	return 0;
}

static size_t ehdr_size(const struct elfw_core *core)
{
	return core->abi.elf_class == ELFCLASS64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
}

static size_t phdr_size(const struct elfw_core *core)
{
	return core->abi.elf_class == ELFCLASS64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
}

static size_t shdr_size(const struct elfw_core *core)
{
	return core->abi.elf_class == ELFCLASS64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
}

static int check_ehdr(struct elfw_core *core, const Elf64_Ehdr *ehdr)
{
	if (ehdr->e_type != ET_CORE)
		return elfw_check_bad(core, "e_type is %u, not ET_CORE", ehdr->e_type);
	if (ehdr->e_version != EV_CURRENT)
		return elfw_check_bad(core, "e_version is %u", ehdr->e_version);
	if (ehdr->e_machine == EM_NONE)
		return elfw_check_bad(core, "e_machine is EM_NONE");
	if (ehdr->e_ehsize != ehdr_size(core))
		return elfw_check_bad(core, "e_ehsize is %u, not %zu", ehdr->e_ehsize,
				      ehdr_size(core));
	if (ehdr->e_phentsize != phdr_size(core))
		return elfw_check_bad(core, "e_phentsize is %u, not %zu", ehdr->e_phentsize,
				      phdr_size(core));
	if (!ehdr->e_phnum)
		return elfw_check_bad(core, "no program headers");
	/* gdb's gcore writes section headers, the kernel none. */
	if (ehdr->e_shoff && ehdr->e_shentsize != shdr_size(core))
		return elfw_check_bad(core, "e_shentsize is %u, not %zu", ehdr->e_shentsize,
				      shdr_size(core));
	return 0;
}

static void set_region(struct elfw_core *core, int index, const char *what, uint64_t off,
		       uint64_t len)
{
	core->regions[index] = (struct elfw_region){.what = what, .off = off, .len = len};
}

/* The section headers, which hold nothing that a core needs but, with PN_XNUM, the number of
 * program headers: in sh_info of the first. e_shnum is 0 where sh_size holds it. */
static int check_shdrs(struct elfw_core *core, const Elf64_Ehdr *ehdr)
{
	uint64_t n_shdrs = ehdr->e_shnum;
	Elf64_Shdr first;
	int r;

	core->n_phdrs = ehdr->e_phnum;
	if (!ehdr->e_shoff)
		return ehdr->e_phnum == PN_XNUM
			       ? elfw_check_bad(core, "PN_XNUM without a section header")
			       : 0;
	if (!is_within(ehdr->e_shoff, shdr_size(core), core->size))
		return elfw_check_bad(
			core, "the section headers at 0x%llx are beyond the end of the file",
			(ull)ehdr->e_shoff);
	r = read_shdr(core, ehdr->e_shoff, &first);
	if (r < 0)
		return r;
	if (!n_shdrs)
		n_shdrs = first.sh_size;
	if (!n_shdrs || n_shdrs > (core->size - ehdr->e_shoff) / shdr_size(core))
		return elfw_check_bad(core,
				      "%llu section headers at 0x%llx do not fit into the file",
				      (ull)n_shdrs, (ull)ehdr->e_shoff);
	set_region(core, REGION_SHDRS, "the section headers", ehdr->e_shoff,
		   n_shdrs * shdr_size(core));
	if (ehdr->e_phnum != PN_XNUM)
		return 0;
	if (first.sh_type != SHT_NULL)
		return elfw_check_bad(core, "PN_XNUM, and section header 0 is not SHT_NULL");
	if (first.sh_info < PN_XNUM)
		return elfw_check_bad(core, "PN_XNUM for only %u program headers", first.sh_info);
	core->n_phdrs = first.sh_info;
	return 0;
}

static bool regions_overlap(uint64_t off, uint64_t len, const struct elfw_region *region)
{
	return len && region->len && off < region->off + region->len && region->off < off + len;
}

static int check_regions(struct elfw_core *core)
{
	for (int i = 0; i < N_REGIONS; i++)
		for (int j = 0; j < i; j++) {
			const struct elfw_region *a = &core->regions[i];

			if (regions_overlap(a->off, a->len, &core->regions[j]))
				return elfw_check_bad(core, "%s and %s overlap",
						      core->regions[j].what, a->what);
		}
	return 0;
}

static int check_phdrs_place(struct elfw_core *core, const Elf64_Ehdr *ehdr)
{
	if (ehdr->e_phoff > core->size ||
	    core->n_phdrs > (core->size - ehdr->e_phoff) / phdr_size(core))
		return elfw_check_bad(core,
				      "%llu program headers at 0x%llx do not fit into the file",
				      (ull)core->n_phdrs, (ull)ehdr->e_phoff);
	set_region(core, REGION_PHDRS, "the program headers", ehdr->e_phoff,
		   core->n_phdrs * phdr_size(core));
	return check_regions(core);
}

/* ---- program headers ----------------------------------------------------------------------- */

static int check_note_phdr(struct elfw_core *core)
{
	Elf64_Phdr phdr;
	int r = read_phdr(core, 0, &phdr);

	if (r < 0)
		return r;
	if (phdr.p_type != PT_NOTE)
		return elfw_check_bad(core, "program header 0 is not PT_NOTE");
	if (!is_within(phdr.p_offset, phdr.p_filesz, core->size))
		return elfw_check_bad(core, "the notes end beyond the end of the file");
	set_region(core, REGION_NOTES, "the notes", phdr.p_offset, phdr.p_filesz);
	return check_regions(core);
}

/* Memory of the order of the program headers, which no hole of the file can hold. */
static int add_extent(struct load_state *state, uint64_t index, const Elf64_Phdr *phdr)
{
	const size_t n = state->n_extents;

	if (n == state->cap_extents) {
		size_t cap = n ? 2 * n : 64;
		struct extent *more = reallocarray(state->extents, cap, sizeof(*more));

		if (!more)
			return -ENOMEM;
		state->extents = more;
		state->cap_extents = cap;
	}
	if (n && phdr->p_offset < state->extents[n - 1].off)
		state->unsorted = true;
	state->n_extents++;
	state->extents[n] = (struct extent){
		.off = phdr->p_offset,
		.len = phdr->p_filesz,
		.index = index,
	};
	return 0;
}

static int compare_extents(const void *a, const void *b)
{
	const struct extent *first = a, *second = b;

	if (first->off != second->off)
		return first->off < second->off ? -1 : 1;
	return first->index < second->index ? -1 : first->index > second->index;
}

/* In the file, segments may come in any order, with anything between them, but none may share the
 * bytes of another. */
static int check_extents(struct elfw_core *core, struct load_state *state)
{
	if (state->unsorted)
		qsort(state->extents, state->n_extents, sizeof(state->extents[0]), compare_extents);
	for (size_t i = 1; i < state->n_extents; i++) {
		const struct extent *a = &state->extents[i - 1], *b = &state->extents[i];

		if (b->off - a->off < a->len)
			return elfw_check_bad(core, "contents of segments %llu and %llu overlap",
					      (ull)(a->index < b->index ? a->index : b->index),
					      (ull)(a->index < b->index ? b->index : a->index));
	}
	return 0;
}

static int check_contents(struct elfw_core *core, uint64_t index, const Elf64_Phdr *phdr,
			  struct load_state *state)
{
	if (!phdr->p_filesz)
		return 0;
	if (!is_within(phdr->p_offset, phdr->p_filesz, core->size))
		return elfw_check_bad(core,
				      "contents of segment %llu end beyond the end of the file",
				      (ull)index);
	for (int i = 0; i < N_REGIONS; i++)
		if (regions_overlap(phdr->p_offset, phdr->p_filesz, &core->regions[i]))
			return elfw_check_bad(core, "contents of segment %llu overlap %s",
					      (ull)index, core->regions[i].what);
	return add_extent(state, index, phdr);
}

static int check_addresses(struct elfw_core *core, uint64_t index, const Elf64_Phdr *phdr,
			   struct load_state *state)
{
	uint64_t max = core->abi.elf_class == ELFCLASS64 ? UINT64_MAX : UINT32_MAX;

	if (phdr->p_memsz && phdr->p_vaddr > max - (phdr->p_memsz - 1))
		return elfw_check_bad(
			core, "segment %llu wraps around the end of the address space", (ull)index);
	if (state->any && phdr->p_vaddr <= state->addr)
		return elfw_check_bad(core, "segment %llu overlaps or precedes the one before it",
				      (ull)index);
	if (phdr->p_memsz) {
		state->addr = phdr->p_vaddr + (phdr->p_memsz - 1);
		state->any = true;
	}
	return 0;
}

static int check_load(struct elfw_core *core, uint64_t index, const Elf64_Phdr *phdr,
		      struct load_state *state)
{
	int r;

	if (phdr->p_filesz > phdr->p_memsz)
		return elfw_check_bad(core, "segment %llu has p_filesz over p_memsz", (ull)index);
	if (phdr->p_align & (phdr->p_align - 1))
		return elfw_check_bad(core, "segment %llu has p_align 0x%llx, not a power of two",
				      (ull)index, (ull)phdr->p_align);
	if (phdr->p_align && ((phdr->p_offset ^ phdr->p_vaddr) & (phdr->p_align - 1)))
		return elfw_check_bad(
			core, "segment %llu has p_offset and p_vaddr different modulo p_align",
			(ull)index);
	r = check_addresses(core, index, phdr, state);
	if (r < 0)
		return r;
	return check_contents(core, index, phdr, state);
}

static int check_each_phdr(struct elfw_core *core, struct load_state *state)
{
	for (uint64_t i = 1; i < core->n_phdrs; i++) {
		Elf64_Phdr phdr;
		int r = read_phdr(core, i, &phdr);

		if (r < 0)
			return r;
		if (phdr.p_type == PT_NOTE)
			return elfw_check_bad(core, "program header %llu is a second PT_NOTE",
					      (ull)i);
		/* Nobody writes it, and a hole can hold billions of them. */
		if (phdr.p_type == PT_NULL)
			return elfw_check_bad(core, "program header %llu is PT_NULL", (ull)i);
		/* The kernel's have others too (PT_AARCH64_MEMTAG_MTE): no memory of the process.
		 */
		if (phdr.p_type != PT_LOAD) {
			if (!is_within(phdr.p_offset, phdr.p_filesz, core->size))
				return elfw_check_bad(
					core, "program header %llu is beyond the file", (ull)i);
			continue;
		}
		r = check_load(core, i, &phdr, state);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_phdrs(struct elfw_core *core)
{
	struct load_state state = {.any = false};
	int r = check_each_phdr(core, &state);

	if (r == 0)
		r = check_extents(core, &state);
	free(state.extents);
	return r;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static int find_size(struct elfw_core *core, const struct elfw_check_expect *expect)
{
	struct stat st;

	if (fstat(core->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ESPIPE;
	if (expect->base > (uint64_t)st.st_size)
		return elfw_check_bad(core, "the file ends before the core begins");
	core->base = expect->base;
	core->size = (uint64_t)st.st_size - expect->base;
	if (expect->size > core->size)
		return elfw_check_bad(core, "the core has %llu bytes, not %llu", (ull)core->size,
				      (ull)expect->size);
	if (expect->size)
		core->size = expect->size;
	return 0;
}

static int check_core(struct elfw_core *core, const struct elfw_check_expect *expect)
{
	Elf64_Ehdr ehdr;
	int r = find_size(core, expect);

	if (r < 0)
		return r;
	r = check_ident(core);
	if (r < 0)
		return r;
	r = read_ehdr(core, &ehdr);
	if (r < 0)
		return r;
	set_region(core, REGION_EHDR, "the ELF header", 0, ehdr_size(core));
	r = check_ehdr(core, &ehdr);
	if (r < 0)
		return r;
	r = check_shdrs(core, &ehdr);
	if (r < 0)
		return r;
	r = check_phdrs_place(core, &ehdr);
	if (r < 0)
		return r;
	r = check_note_phdr(core);
	if (r < 0)
		return r;
	r = check_phdrs(core);
	if (r < 0)
		return r;
	return elfw_check_notes(core, expect);
}

int elfw_check_fd(int fd, const struct elfw_check_expect *expect, char *ret_problem,
		  size_t problem_len)
{
	struct elfw_core *core;
	int r;

	if (problem_len)
		ret_problem[0] = '\0';
	if (elf_version(EV_CURRENT) == EV_NONE)
		return -EINVAL;
	core = calloc(1, sizeof(*core));
	if (!core)
		return -ENOMEM;
	core->fd = fd;
	core->problem = ret_problem;
	core->problem_len = problem_len;
	r = check_core(core, expect);
	free(core);
	return r;
}
