/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * --verify over any file: it ends, with words that do nothing to a terminal if it is not content;
 * and what it is content with, libelf reads the same way.
 *
 *   0  1  where in the file the core begins
 *   1  1  how much of a hole is behind it, times 64 KiB
 *   2  1  the number of threads to expect; 0: any
 *   3     the core
 */
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../elfw/check.h"
#include "fuzz.h"

#define HOLE_UNIT 65536

static void put_file(int fd, const struct fuzz_input *in, size_t base, size_t hole)
{
	must(ftruncate(fd, 0) == 0);
	must(pwrite(fd, in->data, in->size, (off_t)base) == (ssize_t)in->size);
	must(ftruncate(fd, (off_t)(base + in->size + hole)) == 0);
}

/* The notes in libelf's eyes. */
static size_t count_threads(Elf *elf, const GElf_Phdr *phdr)
{
	Elf_Data *data =
		elf_getdata_rawchunk(elf, (int64_t)phdr->p_offset, phdr->p_filesz, ELF_T_NHDR);
	size_t n = 0, off = 0, name_off, desc_off;
	GElf_Nhdr nhdr;

	must(data);
	while (off < data->d_size) {
		off = gelf_getnote(data, off, &nhdr, &name_off, &desc_off);
		must(off > 0);
		must(nhdr.n_namesz > 0 && desc_off + nhdr.n_descsz <= data->d_size);
		n += nhdr.n_type == NT_PRSTATUS && nhdr.n_namesz == 5 &&
		     !memcmp((char *)data->d_buf + name_off, "CORE", 5);
	}
	return n;
}

static void check_load(const GElf_Phdr *phdr, size_t size, uint64_t *addr)
{
	must(phdr->p_filesz <= phdr->p_memsz);
	must(phdr->p_filesz == 0 ||
	     (phdr->p_offset <= size && phdr->p_filesz <= size - phdr->p_offset));
	must(phdr->p_vaddr >= *addr);
	*addr = phdr->p_vaddr + phdr->p_memsz;
}

/* gdb's gcore writes some; PN_XNUM needs one. */
static void check_sections(Elf *elf, const GElf_Ehdr *ehdr, size_t size)
{
	size_t n;

	if (!ehdr->e_shoff)
		return;
	must(elf_getshdrnum(elf, &n) == 0 && n > 0 && ehdr->e_shoff <= size);
	must(n <= (size - ehdr->e_shoff) / ehdr->e_shentsize);
}

/* Precondition: the check was content with these bytes. */
static void check_with_libelf(char *core, size_t size, size_t n_threads)
{
	Elf *elf = elf_memory(core, size);
	GElf_Ehdr ehdr;
	GElf_Phdr phdr;
	uint64_t addr = 0;
	size_t n;

	must(elf && gelf_getehdr(elf, &ehdr) && ehdr.e_type == ET_CORE);
	must(elf_getphdrnum(elf, &n) == 0 && n > 0);
	must(gelf_getphdr(elf, 0, &phdr) && phdr.p_type == PT_NOTE);
	must(count_threads(elf, &phdr) == n_threads || !n_threads);
	check_sections(elf, &ehdr, size);
	for (size_t i = 1; i < n; i++) {
		must(gelf_getphdr(elf, (int)i, &phdr) && phdr.p_type != PT_NOTE);
		if (phdr.p_type == PT_LOAD)
			check_load(&phdr, size, &addr);
	}
	elf_end(elf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct fuzz_input in = {data, size};
	struct elfw_check_expect expect = {.base = fuzz_take(&in, 1)};
	size_t hole = (size_t)fuzz_take(&in, 1) * HOLE_UNIT;
	char problem[256];
	int r;

	expect.n_threads = fuzz_take(&in, 1);
	if (fd < 0)
		fd = memfd_create("core", MFD_CLOEXEC);
	must(fd >= 0);
	put_file(fd, &in, expect.base, hole);
	memset(problem, 0x7f, sizeof(problem));
	r = elfw_check_fd(fd, &expect, problem, sizeof(problem));
	must(r == 0 || r == -EBADMSG);
	must(r == 0 ? !*problem : fuzz_is_plain(problem));
	if (r == 0) {
		char *core = calloc(1, in.size + hole);

		must(core);
		memcpy(core, in.data, in.size);
		check_with_libelf(core, in.size + hole, expect.n_threads);
		free(core);
	}
	return 0;
}
