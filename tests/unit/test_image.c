/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ELF header, the program headers and the section header, byte by byte; and as libelf reads
 * them. */
#include <errno.h>
#include <gelf.h>
#include <signal.h>

#include "../../elfw/sink_impl.h"
#include "mkcore.h"

static uint8_t *read_back(const struct made_core *core)
{
	uint8_t *data = malloc(core->layout.size);

	need(data);
	need(pread(core->fd, data, core->layout.size, 0) == (ssize_t)core->layout.size);
	is(lseek(core->fd, 0, SEEK_END), core->layout.size, "the file has the size of the layout");
	return data;
}

/* {offset, size, value} of each field, for either class. */
struct field {
	const char *name;
	uint8_t off64, size64, off32, size32;
};

static const struct field ehdr_fields[] = {
	{"e_type", 16, 2, 16, 2},     {"e_machine", 18, 2, 18, 2},   {"e_version", 20, 4, 20, 4},
	{"e_entry", 24, 8, 24, 4},    {"e_phoff", 32, 8, 28, 4},     {"e_shoff", 40, 8, 32, 4},
	{"e_flags", 48, 4, 36, 4},    {"e_ehsize", 52, 2, 40, 2},    {"e_phentsize", 54, 2, 42, 2},
	{"e_phnum", 56, 2, 44, 2},    {"e_shentsize", 58, 2, 46, 2}, {"e_shnum", 60, 2, 48, 2},
	{"e_shstrndx", 62, 2, 50, 2},
};

static const struct field phdr_fields[] = {
	{"p_type", 0, 4, 0, 4},    {"p_flags", 4, 4, 24, 4},  {"p_offset", 8, 8, 4, 4},
	{"p_vaddr", 16, 8, 8, 4},  {"p_paddr", 24, 8, 12, 4}, {"p_filesz", 32, 8, 16, 4},
	{"p_memsz", 40, 8, 20, 4}, {"p_align", 48, 8, 28, 4},
};

static const struct field shdr_fields[] = {
	{"sh_name", 0, 4, 0, 4},      {"sh_type", 4, 4, 4, 4},     {"sh_flags", 8, 8, 8, 4},
	{"sh_addr", 16, 8, 12, 4},    {"sh_offset", 24, 8, 16, 4}, {"sh_size", 32, 8, 20, 4},
	{"sh_link", 40, 4, 24, 4},    {"sh_info", 44, 4, 28, 4},   {"sh_addralign", 48, 8, 32, 4},
	{"sh_entsize", 56, 8, 36, 4},
};

static void check_fields(const struct elfw_abi *abi, const uint8_t *at, const struct field *fields,
			 size_t n, const uint64_t *want)
{
	bool is64 = abi->elf_class == ELFCLASS64;

	for (size_t i = 0; i < n; i++)
		is(get_int(abi, at + (is64 ? fields[i].off64 : fields[i].off32),
			   is64 ? fields[i].size64 : fields[i].size32),
		   want[i], fields[i].name);
}

#define CHECK(fields, at, ...)                                                                     \
	check_fields(abi, (at), (fields), sizeof(fields) / sizeof((fields)[0]),                    \
		     (const uint64_t[]){__VA_ARGS__})

static void check_ident(const struct elfw_abi *abi, const uint8_t *data)
{
	const uint8_t want[16] = {0x7f, 'E', 'L', 'F', abi->elf_class, abi->elf_data, 1, 0};

	is_mem(data, want, 16, "e_ident");
}

static void test_small(const struct elfw_abi *abi)
{
	bool is64 = abi->elf_class == ELFCLASS64;
	size_t phsize = is64 ? 56 : 32;
	struct made_core core;
	const uint8_t *phdr;
	uint8_t *data;

	printf("# machine %u\n", abi->e_machine);
	make_core(&core, abi);
	data = read_back(&core);
	check_ident(abi, data);
	CHECK(ehdr_fields, data, ET_CORE, abi->e_machine, 1, 0, is64 ? 64 : 52, 0, E_FLAGS,
	      is64 ? 64 : 52, phsize, 5, 0, 0, 0);
	phdr = data + (is64 ? 64 : 52);
	CHECK(phdr_fields, phdr, PT_NOTE, 0, (is64 ? 64 : 52) + 5 * phsize, 0, 0, core.notes.len, 0,
	      4);
	CHECK(phdr_fields, phdr + phsize, PT_LOAD, PF_R | PF_X, PAGE, 0x400000, 0, PAGE, PAGE,
	      PAGE);
	CHECK(phdr_fields, phdr + 2 * phsize, PT_LOAD, PF_R | PF_W, 2 * PAGE, 0x500000, 0, 2 * PAGE,
	      3 * PAGE, PAGE);
	CHECK(phdr_fields, phdr + 3 * phsize, PT_LOAD, PF_R, 4 * PAGE, 0x503000, 0, 0, PAGE, PAGE);
	CHECK(phdr_fields, phdr + 4 * phsize, PT_LOAD, PF_R | PF_W, 4 * PAGE, 0x7fff0000, 0, PAGE,
	      PAGE, PAGE);
	is_mem(data + core.layout.note_off, core.notes.data, core.notes.len, "notes");
	is(data[core.layout.note_off + core.notes.len], 0, "padding");
	is(data[4 * PAGE], 3, "contents of the last segment");
	free(data);
	free_core(&core);
}

/* More segments than e_phnum counts, their table longer than any buffer. */
static void test_xnum(const struct elfw_abi *abi, const char *file_name)
{
	bool is64 = abi->elf_class == ELFCLASS64;
	size_t ehsize = is64 ? 64 : 52, phsize = is64 ? 56 : 32, n = 70000;
	struct elfw_segment *segments = calloc(n, sizeof(*segments));
	struct made_core core;
	struct elfw_sink *sink;
	uint8_t *data;

	printf("# PN_XNUM, machine %u\n", abi->e_machine);
	need(segments);
	plan_core(&core, abi);
	for (size_t i = 0; i < n; i++)
		segments[i] = (struct elfw_segment){0x10000 + i * 2 * PAGE, PAGE, 0, 0, PF_R};
	segments[n - 1].filesz = PAGE;
	core.fd = file_name ? open(file_name, O_RDWR | O_CREAT | O_TRUNC, 0600)
			    : memfd_create("core", MFD_CLOEXEC);
	need(elfw_sink_open_fd(core.fd, &sink) == 0);
	need(elfw_layout_compute(abi, core.notes.len, segments, n, PAGE, &core.layout) == 0);
	is(elfw_image_write_head(sink, abi, 0, &core.layout, segments, n, &core.notes, 1), 0,
	   "head");
	need(elfw_sink_write(sink, segments[n - 1].off, core.page, PAGE, NULL) == 0);
	is(elfw_image_write_tail(sink, abi, &core.layout), 0, "tail");
	is(elfw_sink_commit(sink), 0, "commit");
	elfw_sink_close(sink);
	data = read_back(&core);
	CHECK(ehdr_fields, data, ET_CORE, abi->e_machine, 1, 0, ehsize, core.layout.data_end, 0,
	      ehsize, phsize, 0xffff, is64 ? 64 : 40, 1, 0);
	CHECK(phdr_fields, data + ehsize, PT_NOTE, 0, ehsize + (n + 1) * phsize, 0, 0,
	      core.notes.len, 0, 4);
	for (size_t i = 0; i < n; i += 23333)
		CHECK(phdr_fields, data + ehsize + (i + 1) * phsize, PT_LOAD, PF_R,
		      core.layout.data_off, 0x10000 + i * 2 * PAGE, 0, i == n - 1 ? PAGE : 0, PAGE,
		      PAGE);
	CHECK(shdr_fields, data + core.layout.data_end, 0, SHT_NULL, 0, 0, 0, 1, 0, n + 1, 0, 0);
	is_mem(data + core.layout.note_off, core.notes.data, core.notes.len, "notes");
	free(data);
	free(segments);
	free_core(&core);
}

/* Some of the memory could not be read: other program headers, after the contents. */
static void test_rewrite(const struct elfw_abi *abi, const char *file_name)
{
	bool is64 = abi->elf_class == ELFCLASS64;
	size_t ehsize = is64 ? 64 : 52, phsize = is64 ? 56 : 32;
	struct elfw_segment segments[2];
	struct made_core core;
	struct elfw_sink *sink;
	uint8_t *data;

	printf("# rewritten, machine %u\n", abi->e_machine);
	plan_core(&core, abi);
	core.fd = file_name ? open(file_name, O_RDWR | O_CREAT | O_TRUNC, 0600)
			    : memfd_create("core", MFD_CLOEXEC);
	need(elfw_sink_open_fd(core.fd, &sink) == 0);
	need(write_core(&core, sink) == 0);
	segments[0] = core.segments[1];
	segments[0].memsz = segments[0].filesz = PAGE;
	segments[1] = core.segments[3];
	is(elfw_image_rewrite_head(sink, abi, E_FLAGS, &core.layout, segments, 2, &core.notes, 1),
	   0, "rewrite");
	is(elfw_image_write_tail(sink, abi, &core.layout), 0, "tail");
	is(elfw_sink_commit(sink), 0, "commit");
	elfw_sink_close(sink);
	data = read_back(&core);
	is(core.layout.phoff, 5 * PAGE, "behind the contents");
	CHECK(ehdr_fields, data, ET_CORE, abi->e_machine, 1, 0, 5 * PAGE, 0, E_FLAGS, ehsize,
	      phsize, 3, 0, 0, 0);
	CHECK(phdr_fields, data + 5 * PAGE, PT_NOTE, 0, core.layout.note_off, 0, 0, core.notes.len,
	      0, 4);
	CHECK(phdr_fields, data + 5 * PAGE + phsize, PT_LOAD, PF_R | PF_W, 2 * PAGE, 0x500000, 0,
	      PAGE, PAGE, PAGE);
	CHECK(phdr_fields, data + 5 * PAGE + 2 * phsize, PT_LOAD, PF_R | PF_W, 4 * PAGE, 0x7fff0000,
	      0, PAGE, PAGE, PAGE);
	is(core.layout.note_off, 5 * PAGE + 3 * phsize, "the notes behind them");
	is_mem(data + core.layout.note_off, core.notes.data, core.notes.len, "every byte of them");
	is(core.layout.size, core.layout.note_off + core.notes.len, "and nothing after them");
	free(data);
	free_core(&core);
}

/* Contents that had their places first: the head is written last, in front of them or behind. */
static void test_around(const struct elfw_abi *abi, bool behind, const char *file_name)
{
	bool is64 = abi->elf_class == ELFCLASS64;
	size_t ehsize = is64 ? 64 : 52, phsize = is64 ? 56 : 32;
	uint64_t first = behind ? 2 : 4, end = (first + 7) * PAGE, phoff = behind ? end : ehsize;
	uint8_t stale[PAGE], *data;
	const uint8_t *phdr;
	struct made_core core;
	struct elfw_sink *sink;

	printf("# around, %s, machine %u\n", behind ? "behind" : "in front", abi->e_machine);
	plan_scattered(&core, abi, behind);
	core.fd = file_name ? open(file_name, O_RDWR | O_CREAT | O_TRUNC, 0600)
			    : memfd_create("core", MFD_CLOEXEC);
	need(elfw_sink_open_fd(core.fd, &sink) == 0);
	memset(stale, 0xee, PAGE);
	need(elfw_sink_write(sink, (first + 4) * PAGE, stale, PAGE, NULL) == 0);
	need(write_core(&core, sink) == 0);
	is(elfw_image_write_tail(sink, abi, &core.layout), 0, "tail");
	is(elfw_sink_commit(sink), 0, "commit");
	elfw_sink_close(sink);
	data = read_back(&core);
	check_ident(abi, data);
	CHECK(ehdr_fields, data, ET_CORE, abi->e_machine, 1, 0, phoff, 0, E_FLAGS, ehsize, phsize,
	      5, 0, 0, 0);
	phdr = data + phoff;
	CHECK(phdr_fields, phdr, PT_NOTE, 0, phoff + 5 * phsize, 0, 0, core.notes.len, 0, 4);
	CHECK(phdr_fields, phdr + phsize, PT_LOAD, PF_R | PF_X, (first + 5) * PAGE, 0x400000, 0,
	      PAGE, PAGE, PAGE);
	CHECK(phdr_fields, phdr + 2 * phsize, PT_LOAD, PF_R | PF_W, (first + 2) * PAGE, 0x500000, 0,
	      2 * PAGE, 3 * PAGE, PAGE);
	CHECK(phdr_fields, phdr + 3 * phsize, PT_LOAD, PF_R, 0, 0x503000, 0, 0, PAGE, PAGE);
	CHECK(phdr_fields, phdr + 4 * phsize, PT_LOAD, PF_R | PF_W, first * PAGE, 0x7fff0000, 0,
	      PAGE, PAGE, PAGE);
	is_mem(data + phoff + 5 * phsize, core.notes.data, core.notes.len, "notes");
	is(core.layout.size, behind ? phoff + 5 * phsize + core.notes.len : end, "the end");
	is(data[first * PAGE], 3, "contents of the last segment, first");
	is(data[(first + 2) * PAGE], 1, "of the second");
	is(data[(first + 5) * PAGE], 0, "of the first, last");
	is(data[(first + 5) * PAGE + 1], 0x5a, "the rest of it");
	is_mem(data + (first + 4) * PAGE, stale, PAGE, "what is nobody's is left as it is");
	free(data);
	free_core(&core);
}

/* A table longer than any buffer, and the section header behind it. */
static void test_around_xnum(const struct elfw_abi *abi)
{
	bool is64 = abi->elf_class == ELFCLASS64;
	size_t ehsize = is64 ? 64 : 52, phsize = is64 ? 56 : 32, n = 70000;
	struct elfw_segment *segments = calloc(n, sizeof(*segments));
	struct made_core core;
	struct elfw_sink *sink;
	uint8_t *data;

	printf("# around, PN_XNUM, machine %u\n", abi->e_machine);
	need(segments);
	plan_core(&core, abi);
	for (size_t i = 0; i < n; i++)
		segments[i] = (struct elfw_segment){0x10000 + i * 2 * PAGE, PAGE, 0, 0, PF_R};
	segments[n - 1].filesz = PAGE;
	segments[n - 1].off = PAGE;
	core.fd = memfd_create("core", MFD_CLOEXEC);
	need(elfw_sink_open_fd(core.fd, &sink) == 0);
	need(elfw_layout_around(abi, core.notes.len, segments, n, PAGE, PAGE, 2 * PAGE,
				&core.layout) == 0);
	need(elfw_sink_write(sink, PAGE, core.page, PAGE, NULL) == 0);
	is(elfw_image_write_head(sink, abi, 0, &core.layout, segments, n, &core.notes, 1), 0,
	   "head");
	is(elfw_image_write_tail(sink, abi, &core.layout), 0, "tail");
	is(elfw_sink_commit(sink), 0, "commit");
	elfw_sink_close(sink);
	data = read_back(&core);
	CHECK(ehdr_fields, data, ET_CORE, abi->e_machine, 1, 0, 2 * PAGE, core.layout.shoff, 0,
	      ehsize, phsize, 0xffff, is64 ? 64 : 40, 1, 0);
	CHECK(phdr_fields, data + 2 * PAGE, PT_NOTE, 0, 2 * PAGE + (n + 1) * phsize, 0, 0,
	      core.notes.len, 0, 4);
	CHECK(phdr_fields, data + 2 * PAGE + n * phsize, PT_LOAD, PF_R, PAGE,
	      0x10000 + (n - 1) * 2 * PAGE, 0, PAGE, PAGE, PAGE);
	is_mem(data + core.layout.note_off, core.notes.data, core.notes.len, "notes");
	is_mem(data + PAGE, core.page, PAGE, "contents");
	CHECK(shdr_fields, data + core.layout.shoff, 0, SHT_NULL, 0, 0, 0, 1, 0, n + 1, 0, 0);
	free(data);
	free(segments);
	free_core(&core);
}

/* Behind the contents a head can be written twice: what was in its place does not show, not even
 * under a page of zeros. */
static void test_around_again(void)
{
	struct made_core core;
	struct elfw_sink *sink;
	uint8_t *data;
	void *desc;

	plan_core(&core, &abi_x86_64);
	need(elfw_notes_add_blank(&core.notes, "LINUX", 0x202, 6 * PAGE, &desc) == 0);
	core.fd = memfd_create("core", MFD_CLOEXEC);
	need(elfw_sink_open_fd(core.fd, &sink) == 0);
	for (int i = 0; i < 2; i++) {
		memset(desc, i ? 0 : 0xff, 6 * PAGE);
		need(elfw_layout_around(core.abi, core.notes.len, core.segments, 4, PAGE, PAGE,
					5 * PAGE, &core.layout) == 0);
		is(write_core(&core, sink), 0, "a head behind the contents");
		is(elfw_image_write_tail(sink, core.abi, &core.layout), 0, "tail");
	}
	need(elfw_sink_commit(sink) == 0);
	elfw_sink_close(sink);
	data = read_back(&core);
	is_mem(data + core.layout.note_off, core.notes.data, core.notes.len, "the second one's");
	free(data);
	free_core(&core);
}

/* Each part of a head goes where the layout has it, also with room between them. */
static void test_apart(void)
{
	struct made_core core;
	struct elfw_sink *sink;
	uint8_t *data;

	plan_scattered(&core, &abi_x86_64, false);
	core.layout.phoff += 24;
	core.layout.note_off += 200;
	core.fd = memfd_create("core", MFD_CLOEXEC);
	need(elfw_sink_open_fd(core.fd, &sink) == 0);
	is(write_core(&core, sink), 0, "a head in parts");
	is(elfw_image_write_tail(sink, core.abi, &core.layout), 0, "tail");
	need(elfw_sink_commit(sink) == 0);
	elfw_sink_close(sink);
	data = read_back(&core);
	is(get_int(core.abi, data + 32, 8), 64 + 24, "e_phoff");
	is(get_int(core.abi, data + 64, 8), 0, "nothing before the program headers");
	is(get_int(core.abi, data + 88, 4), PT_NOTE, "program headers");
	is(get_int(core.abi, data + 88 + 8, 8), core.layout.note_off, "offset of the notes");
	is_mem(data + core.layout.note_off, core.notes.data, core.notes.len, "notes");
	free(data);
	free_core(&core);
}

static void test_around_stream(void)
{
	struct made_core core;
	struct elfw_sink *sink;
	int fds[2];

	plan_scattered(&core, &abi_x86_64, true);
	need(pipe(fds) == 0 && elfw_sink_open_fd(fds[1], &sink) == 0);
	is(write_core(&core, sink), -ESPIPE, "a head behind the contents, into a pipe");
	ok(!elfw_sink_failed_call(sink), "is refused before the output knows");
	is(sink->written, 0, "nothing was written");
	elfw_sink_close(sink);
	close(fds[0]);
	close(fds[1]);
	free_core(&core);
}

/* libelf is who else reads it. */
static void test_libelf(const struct elfw_abi *abi)
{
	struct made_core core;
	GElf_Phdr phdr;
	size_t n = 0;
	Elf *elf;

	make_core(&core, abi);
	need(elf_version(EV_CURRENT) != EV_NONE);
	elf = elf_begin(core.fd, ELF_C_READ, NULL);
	need(elf);
	is(elf_kind(elf), ELF_K_ELF, "libelf: an ELF file");
	is(elf_getphdrnum(elf, &n), 0, "libelf: program headers");
	is(n, 5, "libelf: their number");
	ok(gelf_getphdr(elf, 4, &phdr), "libelf: the last one");
	is(phdr.p_vaddr, 0x7fff0000, "libelf: its address");
	elf_end(elf);
	free_core(&core);
}

/* The same bytes through a pipe, which is what a small core fits into. */
static void test_stream(const struct elfw_abi *abi)
{
	uint8_t *from_pipe, *from_file;
	struct made_core core, piped;
	struct elfw_sink *sink;
	struct elfw_layout before;
	int fds[2];

	make_core(&core, abi);
	from_file = read_back(&core);
	from_pipe = malloc(core.layout.size);
	plan_core(&piped, abi);
	need(from_pipe && pipe(fds) == 0 && elfw_sink_open_fd(fds[1], &sink) == 0);
	is(write_core(&piped, sink), 0, "into a pipe");
	before = piped.layout;
	is(elfw_image_rewrite_head(sink, abi, 0, &piped.layout, piped.segments, 2, &piped.notes, 1),
	   -ESPIPE, "a pipe cannot be rewritten");
	is_mem(&piped.layout, &before, sizeof(before), "the layout is as before");
	is(elfw_image_write_tail(sink, abi, &piped.layout), 0, "but goes on");
	elfw_sink_close(sink);
	close(fds[1]);
	is(read(fds[0], from_pipe, core.layout.size), core.layout.size, "every byte");
	is(read(fds[0], (char[1]){0}, 1), 0, "and no more");
	is_mem(from_pipe, from_file, core.layout.size, "the same as in a file");
	close(fds[0]);
	free(from_pipe);
	free(from_file);
	free_core(&core);
	free_core(&piped);
}

/* Notes longer than any buffer. */
static void test_long_notes(void)
{
	struct made_core core;
	struct elfw_sink *sink;
	void *desc;
	uint8_t *data;

	plan_core(&core, &abi_x86_64);
	need(elfw_notes_add_blank(&core.notes, "LINUX", 0x202, 100000, &desc) == 0);
	for (size_t i = 0; i < 100000; i++)
		((uint8_t *)desc)[i] = (uint8_t)(i * 3);
	need(elfw_layout_compute(core.abi, core.notes.len, core.segments, 4, PAGE, &core.layout) ==
	     0);
	core.fd = memfd_create("core", MFD_CLOEXEC);
	need(elfw_sink_open_fd(core.fd, &sink) == 0);
	is(write_core(&core, sink), 0, "long notes");
	is(elfw_image_write_tail(sink, core.abi, &core.layout), 0, "tail");
	need(elfw_sink_commit(sink) == 0);
	elfw_sink_close(sink);
	data = read_back(&core);
	is(data[0], 0x7f, "the header is there");
	is_mem(data + core.layout.note_off, core.notes.data, core.notes.len, "and the notes");
	free(data);
	free_core(&core);
}

static void test_errors(void)
{
	struct elfw_abi odd = {7, ELFDATA2LSB, EM_X86_64, false};
	struct made_core core;
	struct elfw_sink *sink;
	int fd = open("/dev/full", O_WRONLY);

	plan_core(&core, &abi_x86_64);
	need(fd >= 0 && elfw_sink_open_fd(fd, &sink) == 0);
	is(elfw_image_write_head(sink, &abi_x86_64, 0, &core.layout, core.segments, 3, &core.notes,
				 1),
	   -EINVAL, "segments that the layout does not have");
	core.notes.len -= 4;
	is(elfw_image_write_head(sink, &abi_x86_64, 0, &core.layout, core.segments, 4, &core.notes,
				 1),
	   -EINVAL, "notes that the layout does not have");
	core.notes.len += 4;
	odd.elf_class = ELFCLASS64;
	odd.elf_data = 9;
	is(elfw_image_write_head(sink, &odd, 0, &core.layout, core.segments, 4, &core.notes, 1),
	   -EINVAL, "an encoding that there is not");
	is(write_core(&core, sink), -ENOSPC, "a full output");
	is(elfw_image_write_tail(sink, &abi_x86_64, &core.layout), -ENOSPC, "stays full");
	elfw_sink_close(sink);
	close(fd);
	free_core(&core);
}

/* With a directory as argument the cores stay there, to be looked at with other readers. */
int main(int argc, char **argv)
{
	if (argc > 1)
		need(chdir(argv[1]) == 0);
	for (size_t i = 0; i < N_ABIS; i++) {
		test_small(all_abis[i]);
		test_libelf(all_abis[i]);
		test_stream(all_abis[i]);
		test_rewrite(all_abis[i], argc > 1 && i == 0 ? "rewritten" : NULL);
		test_around(all_abis[i], true, argc > 1 && i == 0 ? "behind" : NULL);
		test_around(all_abis[i], false, argc > 1 && i == 0 ? "in-front" : NULL);
	}
	test_xnum(&abi_x86_64, argc > 1 ? "xnum64" : NULL);
	test_xnum(&abi_i386, NULL);
	test_xnum(&abi_s390x, argc > 1 ? "xnum64be" : NULL);
	test_around_xnum(&abi_x86_64);
	test_around_xnum(&abi_i386);
	test_around_xnum(&abi_s390x);
	test_around_again();
	test_apart();
	test_around_stream();
	test_long_notes();
	test_errors();
	return tap_done();
}
