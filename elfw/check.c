/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Owns the judgement whether a file is a core that can be trusted. Reads through one window of
 * fixed size and lets libelf decode the structures; every number in the file is taken as hostile:
 * none is used as an offset before it was compared with the file, none drives an allocation but the
 * number of thread notes that are really there. Runs after the target is free.
 */
#include <elf.h>
#include <errno.h>
#include <libelf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

#define WINDOW_SIZE 65536

/* Longer than any owner of a note that is known. */
#define MAX_OWNER 64

/* Register sets of one thread; more are not looked at for being twice. */
#define MAX_THREAD_NOTES 32

/* Of Linux 6.12 and later: one for the process, though its owner is "LINUX". */
#define NOTE_X86_XSAVE_LAYOUT 0x205

#define SIGINFO_SIZE          128

/* Bytes of the file with a meaning of their own, on which no contents may lie. */
struct region {
	const char *what;
	uint64_t off, len;
};

enum { REGION_EHDR, REGION_PHDRS, REGION_NOTES, REGION_SHDRS, N_REGIONS };

struct core {
	int fd;
	uint64_t base, size; /* of the core in the file */
	struct elfw_abi abi;
	uint64_t n_phdrs;
	struct region regions[N_REGIONS];
	char *problem;
	size_t problem_len;
	uint64_t window_off;
	size_t window_len;
	uint8_t window[WINDOW_SIZE];
};

/* What the segments before this one took. */
struct load_state {
	uint64_t addr; /* the last address; valid if any */
	uint64_t off;  /* after the last contents */
	bool any;
};

struct note {
	uint64_t number; /* from 0 */
	uint32_t type;
	char owner[MAX_OWNER + 1];
	uint64_t off; /* of the desc */
	uint32_t len; /* of the desc */
};

/* What was found in the notes so far. */
struct note_state {
	int32_t *tids;
	size_t n_tids, cap_tids;
	uint64_t n_prpsinfo, n_auxv, n_siginfo, n_file;
	uint64_t thread_notes[MAX_THREAD_NOTES]; /* since the last NT_PRSTATUS */
	size_t n_thread_notes;
};

__attribute__((format(printf, 2, 3))) static int bad(struct core *core, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(core->problem, core->problem_len, format, args);
	va_end(args);
	return -EBADMSG;
}

typedef unsigned long long ull; /* for printf */

/* ---- reading ------------------------------------------------------------------------------- */

static bool is_within(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

/* Fills the window from `off` on. */
static int read_window(struct core *core, uint64_t off)
{
	uint64_t left = core->size - off;
	size_t want = left < WINDOW_SIZE ? (size_t)left : WINDOW_SIZE;

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
			return bad(core, "the file became shorter while it was read");
		core->window_len += (size_t)n;
	}
	return 0;
}

/* `len` bytes at `off`, at most a window, valid until the next call. The caller has compared them
 * with what they belong to; with the file they are compared here. */
static int look(struct core *core, uint64_t off, size_t len, const uint8_t **ret_data)
{
	int r;

	if (!is_within(off, len, core->size))
		return bad(core, "%zu bytes at 0x%llx are beyond the end of the file", len,
			   (ull)off);
	if (off < core->window_off || !is_within(off - core->window_off, len, core->window_len)) {
		r = read_window(core, off);
		if (r < 0)
			return r;
	}
	*ret_data = core->window + (off - core->window_off);
	return 0;
}

/* A structure of libelf's, in the host's form. */
static int read_native(struct core *core, uint64_t off, Elf_Type type, void *ret_native, size_t len)
{
	Elf_Data data = {
		.d_buf = ret_native,
		.d_type = type,
		.d_version = EV_CURRENT,
		.d_size = len,
	};
	const uint8_t *raw;
	Elf_Data *done;
	int r = look(core, off, len, &raw);

	if (r < 0)
		return r;
	memcpy(ret_native, raw, len);
	if (core->abi.elf_class == ELFCLASS64)
		done = elf64_xlatetom(&data, &data, core->abi.elf_data);
	else
		done = elf32_xlatetom(&data, &data, core->abi.elf_data);
	return done ? 0 : bad(core, "libelf: %s", elf_errmsg(-1));
}

static int read_word(struct core *core, uint64_t off, uint32_t *ret_word)
{
	Elf64_Word word = 0;
	int r = read_native(core, off, ELF_T_WORD, &word, sizeof(word));

	*ret_word = word;
	return r;
}

static int read_long(struct core *core, uint64_t off, uint64_t *ret_long)
{
	Elf64_Addr addr64 = 0;
	Elf32_Addr addr32 = 0;
	int r;

	if (core->abi.elf_class == ELFCLASS64)
		r = read_native(core, off, ELF_T_ADDR, &addr64, sizeof(addr64));
	else
		r = read_native(core, off, ELF_T_ADDR, &addr32, sizeof(addr32));
	*ret_long = core->abi.elf_class == ELFCLASS64 ? addr64 : addr32;
	return r;
}

static int read_ehdr(struct core *core, Elf64_Ehdr *ret_ehdr)
{
	Elf32_Ehdr ehdr32;
	int r;

	if (core->abi.elf_class == ELFCLASS64)
		return read_native(core, 0, ELF_T_EHDR, ret_ehdr, sizeof(*ret_ehdr));
	r = read_native(core, 0, ELF_T_EHDR, &ehdr32, sizeof(ehdr32));
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

static int read_phdr(struct core *core, uint64_t index, Elf64_Phdr *ret_phdr)
{
	uint64_t off = core->regions[REGION_PHDRS].off;
	Elf32_Phdr phdr32;
	int r;

	if (core->abi.elf_class == ELFCLASS64)
		return read_native(core, off + index * sizeof(*ret_phdr), ELF_T_PHDR, ret_phdr,
				   sizeof(*ret_phdr));
	r = read_native(core, off + index * sizeof(phdr32), ELF_T_PHDR, &phdr32, sizeof(phdr32));
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

static int read_shdr(struct core *core, uint64_t off, Elf64_Shdr *ret_shdr)
{
	Elf32_Shdr shdr32;
	int r;

	if (core->abi.elf_class == ELFCLASS64)
		return read_native(core, off, ELF_T_SHDR, ret_shdr, sizeof(*ret_shdr));
	r = read_native(core, off, ELF_T_SHDR, &shdr32, sizeof(shdr32));
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

static int check_ident(struct core *core)
{
	const uint8_t *ident;
	int r;

	if (core->size < EI_NIDENT)
		return bad(core, "the file has %llu bytes, too few for an ELF file",
			   (ull)core->size);
	r = look(core, 0, EI_NIDENT, &ident);
	if (r < 0)
		return r;
	if (memcmp(ident, ELFMAG, SELFMAG))
		return bad(core, "not an ELF file");
	if (ident[EI_CLASS] != ELFCLASS32 && ident[EI_CLASS] != ELFCLASS64)
		return bad(core, "unknown ELF class %u", ident[EI_CLASS]);
	if (ident[EI_DATA] != ELFDATA2LSB && ident[EI_DATA] != ELFDATA2MSB)
		return bad(core, "unknown data encoding %u", ident[EI_DATA]);
	if (ident[EI_VERSION] != EV_CURRENT)
		return bad(core, "unknown ELF version %u", ident[EI_VERSION]);
	core->abi.elf_class = ident[EI_CLASS];
	core->abi.elf_data = ident[EI_DATA];
	return 0;
}

static size_t ehdr_size(const struct core *core)
{
	return core->abi.elf_class == ELFCLASS64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
}

static size_t phdr_size(const struct core *core)
{
	return core->abi.elf_class == ELFCLASS64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
}

static size_t shdr_size(const struct core *core)
{
	return core->abi.elf_class == ELFCLASS64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
}

static int check_ehdr(struct core *core, const Elf64_Ehdr *ehdr)
{
	if (ehdr->e_type != ET_CORE)
		return bad(core, "e_type is %u, not ET_CORE", ehdr->e_type);
	if (ehdr->e_version != EV_CURRENT)
		return bad(core, "e_version is %u", ehdr->e_version);
	if (ehdr->e_machine == EM_NONE)
		return bad(core, "e_machine is EM_NONE");
	if (ehdr->e_ehsize != ehdr_size(core))
		return bad(core, "e_ehsize is %u, not %zu", ehdr->e_ehsize, ehdr_size(core));
	if (ehdr->e_phentsize != phdr_size(core))
		return bad(core, "e_phentsize is %u, not %zu", ehdr->e_phentsize, phdr_size(core));
	if (!ehdr->e_phnum)
		return bad(core, "no program headers");
	/* gdb's gcore writes section headers, the kernel none. */
	if (ehdr->e_shoff && ehdr->e_shentsize != shdr_size(core))
		return bad(core, "e_shentsize is %u, not %zu", ehdr->e_shentsize, shdr_size(core));
	return 0;
}

static void set_region(struct core *core, int index, const char *what, uint64_t off, uint64_t len)
{
	core->regions[index] = (struct region){.what = what, .off = off, .len = len};
}

/* The section headers, which hold nothing that a core needs but, with PN_XNUM, the number of
 * program headers: in sh_info of the first. e_shnum is 0 where sh_size holds it. */
static int check_shdrs(struct core *core, const Elf64_Ehdr *ehdr)
{
	uint64_t n_shdrs = ehdr->e_shnum;
	Elf64_Shdr first;
	int r;

	core->n_phdrs = ehdr->e_phnum;
	if (!ehdr->e_shoff)
		return ehdr->e_phnum == PN_XNUM ? bad(core, "PN_XNUM without a section header") : 0;
	if (!is_within(ehdr->e_shoff, shdr_size(core), core->size))
		return bad(core, "the section headers at 0x%llx are beyond the end of the file",
			   (ull)ehdr->e_shoff);
	r = read_shdr(core, ehdr->e_shoff, &first);
	if (r < 0)
		return r;
	if (!n_shdrs)
		n_shdrs = first.sh_size;
	if (!n_shdrs || n_shdrs > (core->size - ehdr->e_shoff) / shdr_size(core))
		return bad(core, "%llu section headers at 0x%llx do not fit into the file",
			   (ull)n_shdrs, (ull)ehdr->e_shoff);
	set_region(core, REGION_SHDRS, "the section headers", ehdr->e_shoff,
		   n_shdrs * shdr_size(core));
	if (ehdr->e_phnum != PN_XNUM)
		return 0;
	if (first.sh_type != SHT_NULL)
		return bad(core, "PN_XNUM, and section header 0 is not SHT_NULL");
	if (first.sh_info < PN_XNUM)
		return bad(core, "PN_XNUM for only %u program headers", first.sh_info);
	core->n_phdrs = first.sh_info;
	return 0;
}

static bool regions_overlap(uint64_t off, uint64_t len, const struct region *region)
{
	return len && region->len && off < region->off + region->len && region->off < off + len;
}

static int check_regions(struct core *core)
{
	for (int i = 0; i < N_REGIONS; i++)
		for (int j = 0; j < i; j++) {
			const struct region *a = &core->regions[i];

			if (regions_overlap(a->off, a->len, &core->regions[j]))
				return bad(core, "%s and %s overlap", core->regions[j].what,
					   a->what);
		}
	return 0;
}

static int check_phdrs_place(struct core *core, const Elf64_Ehdr *ehdr)
{
	if (ehdr->e_phoff > core->size ||
	    core->n_phdrs > (core->size - ehdr->e_phoff) / phdr_size(core))
		return bad(core, "%llu program headers at 0x%llx do not fit into the file",
			   (ull)core->n_phdrs, (ull)ehdr->e_phoff);
	set_region(core, REGION_PHDRS, "the program headers", ehdr->e_phoff,
		   core->n_phdrs * phdr_size(core));
	return check_regions(core);
}

/* ---- program headers ----------------------------------------------------------------------- */

static int check_note_phdr(struct core *core)
{
	Elf64_Phdr phdr;
	int r = read_phdr(core, 0, &phdr);

	if (r < 0)
		return r;
	if (phdr.p_type != PT_NOTE)
		return bad(core, "program header 0 is not PT_NOTE");
	if (!is_within(phdr.p_offset, phdr.p_filesz, core->size))
		return bad(core, "the notes end beyond the end of the file");
	set_region(core, REGION_NOTES, "the notes", phdr.p_offset, phdr.p_filesz);
	return check_regions(core);
}

static int check_contents(struct core *core, uint64_t index, const Elf64_Phdr *phdr,
			  struct load_state *state)
{
	if (!phdr->p_filesz)
		return 0;
	if (!is_within(phdr->p_offset, phdr->p_filesz, core->size))
		return bad(core, "contents of segment %llu end beyond the end of the file",
			   (ull)index);
	for (int i = 0; i < N_REGIONS; i++)
		if (regions_overlap(phdr->p_offset, phdr->p_filesz, &core->regions[i]))
			return bad(core, "contents of segment %llu overlap %s", (ull)index,
				   core->regions[i].what);
	if (phdr->p_offset < state->off)
		return bad(core, "contents of segment %llu overlap or precede those before them",
			   (ull)index);
	state->off = phdr->p_offset + phdr->p_filesz;
	return 0;
}

static int check_addresses(struct core *core, uint64_t index, const Elf64_Phdr *phdr,
			   struct load_state *state)
{
	uint64_t max = core->abi.elf_class == ELFCLASS64 ? UINT64_MAX : UINT32_MAX;

	if (phdr->p_memsz && phdr->p_vaddr > max - (phdr->p_memsz - 1))
		return bad(core, "segment %llu wraps around the end of the address space",
			   (ull)index);
	if (state->any && phdr->p_vaddr <= state->addr)
		return bad(core, "segment %llu overlaps or precedes the one before it", (ull)index);
	if (phdr->p_memsz) {
		state->addr = phdr->p_vaddr + (phdr->p_memsz - 1);
		state->any = true;
	}
	return 0;
}

static int check_load(struct core *core, uint64_t index, const Elf64_Phdr *phdr,
		      struct load_state *state)
{
	int r;

	if (phdr->p_filesz > phdr->p_memsz)
		return bad(core, "segment %llu has p_filesz over p_memsz", (ull)index);
	if (phdr->p_align & (phdr->p_align - 1))
		return bad(core, "segment %llu has p_align 0x%llx, not a power of two", (ull)index,
			   (ull)phdr->p_align);
	if (phdr->p_align && ((phdr->p_offset ^ phdr->p_vaddr) & (phdr->p_align - 1)))
		return bad(core, "segment %llu has p_offset and p_vaddr different modulo p_align",
			   (ull)index);
	r = check_addresses(core, index, phdr, state);
	if (r < 0)
		return r;
	return check_contents(core, index, phdr, state);
}

static int check_phdrs(struct core *core)
{
	struct load_state state = {.off = 0};

	for (uint64_t i = 1; i < core->n_phdrs; i++) {
		Elf64_Phdr phdr;
		int r = read_phdr(core, i, &phdr);

		if (r < 0)
			return r;
		if (phdr.p_type == PT_NOTE)
			return bad(core, "program header %llu is a second PT_NOTE", (ull)i);
		/* The kernel's have others too (PT_AARCH64_MEMTAG_MTE): no memory of the process.
		 */
		if (phdr.p_type != PT_LOAD) {
			if (!is_within(phdr.p_offset, phdr.p_filesz, core->size))
				return bad(core, "program header %llu is beyond the file", (ull)i);
			continue;
		}
		r = check_load(core, i, &phdr, &state);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- notes --------------------------------------------------------------------------------- */

static int add_tid(struct note_state *state, int32_t tid)
{
	if (state->n_tids == state->cap_tids) {
		size_t cap = state->cap_tids ? state->cap_tids * 2 : 64;
		int32_t *tids = reallocarray(state->tids, cap, sizeof(*tids));

		if (!tids)
			return -ENOMEM;
		state->tids = tids;
		state->cap_tids = cap;
	}
	state->tids[state->n_tids++] = tid;
	return 0;
}

/* The layout is drawn in note_linux.c. */
static int check_prstatus(struct core *core, const struct note *note, struct note_state *state)
{
	bool is64 = core->abi.elf_class == ELFCLASS64;
	uint32_t pid_off = is64 ? 32 : 24;
	uint32_t regs_off = is64 ? 112 : 72;
	uint32_t tid;
	int r;

	/* At least one register, and pr_fpvalid. */
	if (note->len < regs_off + 2 * elfw_long_size(&core->abi) ||
	    note->len % elfw_long_size(&core->abi))
		return bad(core, "note %llu: NT_PRSTATUS of %u bytes", (ull)note->number,
			   note->len);
	r = read_word(core, note->off + pid_off, &tid);
	if (r < 0)
		return r;
	if (!tid || tid > INT32_MAX)
		return bad(core, "note %llu: NT_PRSTATUS with TID %d", (ull)note->number, (int)tid);
	state->n_thread_notes = 0;
	return add_tid(state, (int32_t)tid);
}

static int check_prpsinfo(struct core *core, const struct note *note, struct note_state *state)
{
	bool is64 = core->abi.elf_class == ELFCLASS64;

	/* With 16-bit or 32-bit ids. */
	if (is64 ? note->len != 136 : note->len != 124 && note->len != 128)
		return bad(core, "note %llu: NT_PRPSINFO of %u bytes", (ull)note->number,
			   note->len);
	if (state->n_prpsinfo++)
		return bad(core, "note %llu: a second NT_PRPSINFO", (ull)note->number);
	return 0;
}

static int check_siginfo(struct core *core, const struct note *note, struct note_state *state)
{
	if (note->len != SIGINFO_SIZE)
		return bad(core, "note %llu: NT_SIGINFO of %u bytes", (ull)note->number, note->len);
	state->n_siginfo++;
	return 0;
}

static int check_auxv(struct core *core, const struct note *note, struct note_state *state)
{
	size_t entry = 2 * elfw_long_size(&core->abi);
	uint64_t type;
	int r;

	if (!note->len || note->len % entry)
		return bad(core, "note %llu: NT_AUXV of %u bytes", (ull)note->number, note->len);
	r = read_long(core, note->off + note->len - entry, &type);
	if (r < 0)
		return r;
	if (type != AT_NULL)
		return bad(core, "note %llu: NT_AUXV does not end in AT_NULL", (ull)note->number);
	if (state->n_auxv++)
		return bad(core, "note %llu: a second NT_AUXV", (ull)note->number);
	return 0;
}

/* The {start, end, file_ofs} of NT_FILE. */
static int check_file_table(struct core *core, const struct note *note, uint64_t count)
{
	size_t long_size = elfw_long_size(&core->abi);
	uint64_t last_end = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t off = note->off + (2 + 3 * i) * long_size;
		uint64_t start, end;
		int r = read_long(core, off, &start);

		if (r < 0)
			return r;
		r = read_long(core, off + long_size, &end);
		if (r < 0)
			return r;
		if (start >= end)
			return bad(core, "note %llu: NT_FILE mapping %llu ends before it starts",
				   (ull)note->number, (ull)i);
		if (start < last_end)
			return bad(core, "note %llu: NT_FILE mapping %llu is out of order",
				   (ull)note->number, (ull)i);
		last_end = end;
	}
	return 0;
}

/* The names of NT_FILE: as many NULs as mappings, the last one at the very end. */
static int check_file_names(struct core *core, const struct note *note, uint64_t off,
			    uint64_t count)
{
	uint64_t end = note->off + note->len;
	uint64_t n_names = 0;
	uint8_t last = 0;

	while (off < end && n_names <= count) {
		size_t len = end - off < 4096 ? (size_t)(end - off) : 4096;
		const uint8_t *text;
		int r = look(core, off, len, &text);

		if (r < 0)
			return r;
		for (size_t i = 0; i < len; i++)
			n_names += !text[i];
		last = text[len - 1];
		off += len;
	}
	if (last)
		return bad(core, "note %llu: the last name of NT_FILE is not terminated",
			   (ull)note->number);
	if (n_names != count)
		return bad(core, "note %llu: NT_FILE does not have one name for each mapping",
			   (ull)note->number);
	return 0;
}

/* gdb's gcore writes a page size of 1, its offsets being bytes. */
static int check_file(struct core *core, const struct note *note, struct note_state *state)
{
	size_t long_size = elfw_long_size(&core->abi);
	uint64_t count, page_size;
	int r;

	if (note->len < 2 * long_size)
		return bad(core, "note %llu: NT_FILE of %u bytes", (ull)note->number, note->len);
	r = read_long(core, note->off, &count);
	if (r < 0)
		return r;
	r = read_long(core, note->off + long_size, &page_size);
	if (r < 0)
		return r;
	if (count > (note->len - 2 * long_size) / (3 * long_size))
		return bad(core, "note %llu: NT_FILE has no room for its %llu mappings",
			   (ull)note->number, (ull)count);
	if (!page_size)
		return bad(core, "note %llu: NT_FILE with a page size of 0", (ull)note->number);
	r = check_file_table(core, note, count);
	if (r < 0)
		return r;
	if (state->n_file++)
		return bad(core, "note %llu: a second NT_FILE", (ull)note->number);
	return check_file_names(core, note, note->off + (2 + 3 * count) * long_size, count);
}

/* A register set belongs to the NT_PRSTATUS before it, once. NT_SIGINFO does too, but for the
 * process's, which gdb's gcore may write first of all. */
static int check_thread_note(struct core *core, const struct note *note, struct note_state *state)
{
	uint64_t key = (uint64_t)(note->owner[0] == 'L') << 32 | note->type;

	if (!state->n_tids)
		return bad(core, "note %llu (type 0x%x) comes before the first NT_PRSTATUS",
			   (ull)note->number, note->type);
	for (size_t i = 0; i < state->n_thread_notes; i++)
		if (state->thread_notes[i] == key)
			return bad(core, "note %llu (type 0x%x) is the second of thread %d",
				   (ull)note->number, note->type, state->tids[state->n_tids - 1]);
	if (state->n_thread_notes < MAX_THREAD_NOTES)
		state->thread_notes[state->n_thread_notes++] = key;
	return 0;
}

static int check_core_note(struct core *core, const struct note *note, struct note_state *state)
{
	switch (note->type) {
	case NT_PRSTATUS:
		return check_prstatus(core, note, state);
	case NT_PRPSINFO:
		return check_prpsinfo(core, note, state);
	case NT_SIGINFO:
		return check_siginfo(core, note, state);
	case NT_AUXV:
		return check_auxv(core, note, state);
	case NT_FILE:
		return check_file(core, note, state);
	case NT_FPREGSET:
		return check_thread_note(core, note, state);
	default:
		return 0;
	}
}

/* Owners that are not known here (GDB, ...) only have to be well-formed. */
static int check_note(struct core *core, const struct note *note, struct note_state *state)
{
	if (!strcmp(note->owner, "CORE"))
		return check_core_note(core, note, state);
	if (!strcmp(note->owner, "LINUX") && note->type != NOTE_X86_XSAVE_LAYOUT)
		return check_thread_note(core, note, state);
	return 0;
}

/* Zeros up to the next multiple of 4. */
static int check_padding(struct core *core, const struct note *note, uint64_t off, uint32_t len)
{
	size_t pad = -len & 3;
	const uint8_t *data;
	int r = look(core, off + len, pad, &data);

	for (size_t i = 0; r == 0 && i < pad; i++)
		if (data[i])
			r = bad(core, "note %llu: its padding is not zero", (ull)note->number);
	return r;
}

/* The owner's name, of `len` bytes with its NUL. */
static int read_owner(struct core *core, struct note *note, uint64_t off, uint32_t len)
{
	const uint8_t *owner;
	int r;

	if (!len || len > MAX_OWNER)
		return bad(core, "note %llu: its owner's name has %u bytes", (ull)note->number,
			   len);
	r = look(core, off, len, &owner);
	if (r < 0)
		return r;
	memcpy(note->owner, owner, len);
	note->owner[len] = '\0';
	if (strlen(note->owner) != len - 1)
		return bad(core, "note %llu: its owner's name is not terminated where it ends",
			   (ull)note->number);
	return check_padding(core, note, off, len);
}

/* The note at *pos, which goes to the next one. */
static int read_note(struct core *core, struct note *note, uint64_t *pos, uint64_t end)
{
	uint32_t head[3]; /* n_namesz, n_descsz, n_type: words in both classes */
	uint64_t name_len, desc_len;
	int r;

	if (end - *pos < sizeof(head))
		return bad(core, "note %llu is cut off", (ull)note->number);
	r = read_native(core, *pos, ELF_T_WORD, head, sizeof(head));
	if (r < 0)
		return r;
	*pos += sizeof(head);
	name_len = ((uint64_t)head[0] + 3) & ~(uint64_t)3;
	desc_len = ((uint64_t)head[1] + 3) & ~(uint64_t)3;
	if (name_len + desc_len > end - *pos)
		return bad(core, "note %llu is cut off", (ull)note->number);
	r = read_owner(core, note, *pos, head[0]);
	if (r < 0)
		return r;
	note->type = head[2];
	note->off = *pos + name_len;
	note->len = head[1];
	*pos += name_len + desc_len;
	return check_padding(core, note, note->off, note->len);
}

static int compare_tids(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return (x > y) - (x < y);
}

static int check_totals(struct core *core, struct note_state *state,
			const struct elfw_check_expect *expect)
{
	if (!state->n_tids)
		return bad(core, "no NT_PRSTATUS");
	if (expect->n_threads && expect->n_threads != state->n_tids)
		return bad(core, "%zu NT_PRSTATUS for %zu threads", state->n_tids,
			   expect->n_threads);
	qsort(state->tids, state->n_tids, sizeof(*state->tids), compare_tids);
	for (size_t i = 1; i < state->n_tids; i++)
		if (state->tids[i] == state->tids[i - 1])
			return bad(core, "two NT_PRSTATUS for TID %d", state->tids[i]);
	if (!state->n_prpsinfo)
		return bad(core, "no NT_PRPSINFO");
	if (!state->n_auxv)
		return bad(core, "no NT_AUXV");
	if (!state->n_siginfo)
		return bad(core, "no NT_SIGINFO");
	return 0;
}

static int check_notes(struct core *core, const struct elfw_check_expect *expect)
{
	uint64_t pos = core->regions[REGION_NOTES].off;
	uint64_t end = pos + core->regions[REGION_NOTES].len;
	struct note_state state = {.n_tids = 0};
	struct note note = {.number = 0};
	int r = 0;

	for (; r == 0 && pos < end; note.number++) {
		r = read_note(core, &note, &pos, end);
		if (r == 0)
			r = check_note(core, &note, &state);
	}
	if (r == 0)
		r = check_totals(core, &state, expect);
	free(state.tids);
	return r;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static int find_size(struct core *core, const struct elfw_check_expect *expect)
{
	struct stat st;

	if (fstat(core->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ESPIPE;
	if (expect->base > (uint64_t)st.st_size)
		return bad(core, "the file ends before the core begins");
	core->base = expect->base;
	core->size = (uint64_t)st.st_size - expect->base;
	if (expect->size > core->size)
		return bad(core, "the core has %llu bytes, not %llu", (ull)core->size,
			   (ull)expect->size);
	if (expect->size)
		core->size = expect->size;
	return 0;
}

static int check_core(struct core *core, const struct elfw_check_expect *expect)
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
	return check_notes(core, expect);
}

int elfw_check_fd(int fd, const struct elfw_check_expect *expect, char *ret_problem,
		  size_t problem_len)
{
	struct core *core;
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
