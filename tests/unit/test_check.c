/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A right core passes, and each single thing that is made wrong in it is found and named. */
#include <errno.h>
#include <signal.h>

#include "../../elfw/check.h"
#include "mkcore.h"

/* What a mutation's offset counts from. */
enum where {
	IN_FILE, /* the start of the file */
	IN_PHDR, /* program header `index` */
	IN_NOTE, /* the frame of note `index` */
	IN_DESC, /* the desc of note `index`, all owners being "CORE" */
	IN_SHDR, /* the section header */
};

struct mutation {
	const char *problem; /* part of what must be said */
	enum where where;
	unsigned int index;
	unsigned int off;
	unsigned int size; /* of the integer */
	uint64_t value;
};

/* Of a 64-bit little-endian core: {0: PT_NOTE, 1..4: PT_LOAD}, see mkcore.h. */
static const struct mutation mutations[] = {
	/* e_ident and the ELF header */
	{"not an ELF file", IN_FILE, 0, 1, 1, 'e'},
	{"unknown ELF class 3", IN_FILE, 0, 4, 1, 3},
	{"unknown data encoding 0", IN_FILE, 0, 5, 1, 0},
	{"unknown ELF version 2", IN_FILE, 0, 6, 1, 2},
	{"e_type is 2, not ET_CORE", IN_FILE, 0, 16, 2, ET_EXEC},
	{"e_machine is EM_NONE", IN_FILE, 0, 18, 2, 0},
	{"e_version is 0", IN_FILE, 0, 20, 4, 0},
	{"e_ehsize is 52", IN_FILE, 0, 52, 2, 52},
	{"e_phentsize is 32", IN_FILE, 0, 54, 2, 32},
	{"no program headers", IN_FILE, 0, 56, 2, 0},
	{"program headers at 0x40 do not fit", IN_FILE, 0, 56, 2, 0xfffe},
	{"do not fit into the file", IN_FILE, 0, 32, 8, UINT64_MAX - 10},
	{"do not fit into the file", IN_FILE, 0, 32, 8, 5 * PAGE - 10},
	{"the ELF header and the program headers overlap", IN_FILE, 0, 32, 8, 8},
	{"PN_XNUM without a section header", IN_FILE, 0, 56, 2, PN_XNUM},
	{"e_shentsize is 0", IN_FILE, 0, 40, 8, 5 * PAGE - 64},
	/* program headers */
	{"program header 0 is not PT_NOTE", IN_PHDR, 0, 0, 4, PT_LOAD},
	{"program header 3 is PT_NULL", IN_PHDR, 3, 0, 4, PT_NULL},
	{"program header 2 is a second PT_NOTE", IN_PHDR, 2, 0, 4, PT_NOTE},
	{"the notes end beyond", IN_PHDR, 0, 32, 8, 5 * PAGE},
	{"the notes end beyond", IN_PHDR, 0, 32, 8, UINT64_MAX},
	{"the notes end beyond", IN_PHDR, 0, 8, 8, UINT64_MAX},
	{"the ELF header and the notes overlap", IN_PHDR, 0, 8, 8, 0},
	{"the program headers and the notes overlap", IN_PHDR, 0, 8, 8, 80},
	{"no NT_PRSTATUS", IN_PHDR, 0, 32, 8, 0},
	{"contents of segment 1 overlap the notes", IN_PHDR, 0, 8, 8, PAGE},
	{"segment 1 has p_filesz over p_memsz", IN_PHDR, 1, 32, 8, PAGE + 1},
	{"segment 1 has p_filesz over p_memsz", IN_PHDR, 1, 40, 8, PAGE - 1},
	{"segment 1 has p_align 0x1001", IN_PHDR, 1, 48, 8, PAGE + 1},
	{"segment 1 has p_offset and p_vaddr different", IN_PHDR, 1, 16, 8, 0x400800},
	{"segment 1 has p_offset and p_vaddr different", IN_PHDR, 1, 8, 8, PAGE + 16},
	{"segment 3 overlaps or precedes", IN_PHDR, 3, 16, 8, 0x502000},
	{"segment 3 overlaps or precedes", IN_PHDR, 2, 40, 8, 3 * PAGE + 1},
	{"segment 2 overlaps or precedes", IN_PHDR, 1, 16, 8, 0x600000},
	{"segment 4 wraps around", IN_PHDR, 4, 40, 8, UINT64_MAX},
	{"contents of segment 4 end beyond", IN_PHDR, 4, 8, 8, 5 * PAGE},
	{"contents of segment 4 end beyond", IN_PHDR, 4, 8, 8, UINT64_MAX - 4095},
	{"contents of segment 1 overlap the ELF header", IN_PHDR, 1, 8, 8, 0},
	{"contents of segments 1 and 2 overlap", IN_PHDR, 2, 8, 8, PAGE},
	{"contents of segments 2 and 4 overlap", IN_PHDR, 4, 8, 8, 3 * PAGE},
	{"contents of segments 1 and 2 overlap", IN_PHDR, 1, 8, 8, 3 * PAGE},
	{"contents of segments 1 and 4 overlap", IN_PHDR, 4, 8, 8, PAGE},
	/* frames of notes */
	{"note 0: its owner's name has 0 bytes", IN_NOTE, 0, 0, 4, 0},
	{"note 0: its owner's name has 65 bytes", IN_NOTE, 0, 0, 4, 65},
	{"note 0: its owner's name is not terminated", IN_NOTE, 0, 0, 4, 6},
	{"note 0: its owner's name is not terminated", IN_NOTE, 0, 16, 1, 'x'},
	{"note 0: its padding is not zero", IN_NOTE, 0, 19, 1, 1},
	{"note 5: its padding is not zero", IN_DESC, NOTE_FPREGSET, 7, 1, 1},
	{"note 0 is cut off", IN_NOTE, 0, 4, 4, 0x10000},
	{"note 0 is cut off", IN_NOTE, 0, 0, 4, UINT32_MAX},
	{"note 7 is cut off", IN_NOTE, NOTE_FPREGSET_2, 4, 4, 9},
	/* NT_PRSTATUS */
	{"note 6: NT_PRSTATUS of 0 bytes", IN_NOTE, NOTE_PRSTATUS_2, 4, 4, 0},
	{"note 6: NT_PRSTATUS of 180 bytes", IN_NOTE, NOTE_PRSTATUS_2, 4, 4, 180},
	{"note 0: NT_PRSTATUS with TID 0", IN_DESC, NOTE_PRSTATUS, 32, 4, 0},
	{"note 6: NT_PRSTATUS with TID -1", IN_DESC, NOTE_PRSTATUS_2, 32, 4, UINT32_MAX},
	{"two NT_PRSTATUS for TID 100", IN_DESC, NOTE_PRSTATUS_2, 32, 4, 100},
	{"note 5 (type 0x2) comes before the first", IN_NOTE, NOTE_PRSTATUS, 8, 4, 0x99},
	{"note 7 (type 0x2) is the second of thread 100", IN_NOTE, NOTE_PRSTATUS_2, 8, 4, 0x99},
	/* the process's */
	{"no NT_PRPSINFO", IN_NOTE, NOTE_PRPSINFO, 8, 4, 0x99},
	{"NT_PRPSINFO of 128 bytes", IN_NOTE, NOTE_SIGINFO, 8, 4, NT_PRPSINFO},
	{"no NT_SIGINFO", IN_NOTE, NOTE_SIGINFO, 8, 4, 0x99},
	{"NT_SIGINFO of 136 bytes", IN_NOTE, NOTE_PRPSINFO, 8, 4, NT_SIGINFO},
	{"no NT_AUXV", IN_NOTE, NOTE_AUXV, 8, 4, 0x99},
	{"NT_AUXV does not end in AT_NULL", IN_DESC, NOTE_AUXV, 16, 8, AT_PAGESZ},
	{"NT_AUXV of 136 bytes", IN_NOTE, NOTE_PRPSINFO, 8, 4, NT_AUXV},
	{"a second NT_AUXV", IN_NOTE, NOTE_SIGINFO, 8, 4, NT_AUXV},
	{"NT_FILE of 6 bytes", IN_NOTE, NOTE_FPREGSET, 8, 4, NT_FILE},
	{"NT_FILE has no room for its 4 mappings", IN_DESC, NOTE_FILE, 0, 8, 4},
	{"NT_FILE has no room", IN_DESC, NOTE_FILE, 0, 8, UINT64_MAX},
	{"NT_FILE with a page size of 0", IN_DESC, NOTE_FILE, 8, 8, 0},
	{"NT_FILE mapping 0 ends before", IN_DESC, NOTE_FILE, 16, 8, 0x401000},
	{"NT_FILE mapping 1 is out of order", IN_DESC, NOTE_FILE, 40, 8, 0x400800},
	{"NT_FILE does not have one name", IN_DESC, NOTE_FILE, 0, 8, 1},
	{"NT_FILE does not have one name", IN_DESC, NOTE_FILE, 64 + 6, 1, 'x'},
	{"NT_FILE does not have one name", IN_DESC, NOTE_FILE, 64 + 2, 1, 0},
	{"the last name of NT_FILE is not terminated", IN_DESC, NOTE_FILE, 64 + 14, 1, 'x'},
};

static uint64_t resolve(const struct made_core *core, enum where where, unsigned int index)
{
	switch (where) {
	case IN_PHDR:
		return core->layout.phoff + index * 56;
	case IN_NOTE:
		return core->layout.note_off + core->note_at[index];
	case IN_DESC:
		return core->layout.note_off + core->note_at[index] + 20;
	case IN_SHDR:
		return core->layout.shoff;
	default:
		return 0;
	}
}

static char problem[200];

static int check(int fd, size_t n_threads)
{
	const struct elfw_check_expect expect = {.n_threads = n_threads};
	int r = elfw_check_fd(fd, &expect, problem, sizeof(problem));

	for (const char *c = problem; *c; c++)
		if (*c < ' ' || *c > '~')
			ok(false, "a problem that is not plain ASCII");
	return r;
}

/* What was found must be what was made wrong. */
static void is_problem(int r, const char *want)
{
	if (!ok(r == -EBADMSG && strstr(problem, want), "found: %s", want))
		printf("# got %d, \"%s\"\n", r, problem);
}

static void is_good(int r, const char *what)
{
	if (!ok(r == 0, "%s", what))
		printf("# got %d, \"%s\"\n", r, problem);
}

/* Makes one thing wrong, looks, and makes it right again. */
static void mutate(struct made_core *core, const struct mutation *mutation)
{
	off_t off = (off_t)(resolve(core, mutation->where, mutation->index) + mutation->off);
	uint8_t before[8], after[8];

	put_int(core->abi, after, mutation->value, mutation->size);
	need(pread(core->fd, before, mutation->size, off) == (ssize_t)mutation->size);
	need(pwrite(core->fd, after, mutation->size, off) == (ssize_t)mutation->size);
	is_problem(check(core->fd, 2), mutation->problem);
	need(pwrite(core->fd, before, mutation->size, off) == (ssize_t)mutation->size);
}

static void test_mutations(void)
{
	struct made_core core;

	make_core(&core, &abi_x86_64);
	for (size_t i = 0; i < sizeof(mutations) / sizeof(mutations[0]); i++)
		mutate(&core, &mutations[i]);
	is_good(check(core.fd, 2), "right again after every mutation");
	free_core(&core);
}

static void test_good(void)
{
	for (size_t i = 0; i < N_ABIS; i++) {
		struct made_core core;

		make_core(&core, all_abis[i]);
		is_good(check(core.fd, 2), "a right core");
		is_good(check(core.fd, 0), "threads not counted");
		is_problem(check(core.fd, 3), "2 NT_PRSTATUS for 3 threads");
		free_core(&core);
	}
}

/* Types that are not known only have to be in the file. */
static void test_other_type(void)
{
	const struct mutation beyond = {
		"program header 4 is beyond the file", IN_PHDR, 4, 32, 8, 2 * PAGE};
	struct made_core core;

	make_core(&core, &abi_x86_64);
	need(pwrite(core.fd, "\2\0\0\x70", 4, (off_t)resolve(&core, IN_PHDR, 4)) == 4);
	is_good(check(core.fd, 2), "a program header of another type");
	mutate(&core, &beyond);
	free_core(&core);
}

/* Writes `core` with what was added to its notes, and wants `want` to be said of it. */
static void check_added(struct made_core *core, const char *want)
{
	struct elfw_sink *sink;

	need(elfw_layout_compute(core->abi, core->notes.len, core->segments, 4, PAGE,
				 &core->layout) == 0);
	core->fd = memfd_create("core", MFD_CLOEXEC);
	need(elfw_sink_open_fd(core->fd, &sink) == 0 && write_core(core, sink) == 0);
	need(elfw_image_write_tail(sink, core->abi, &core->layout) == 0);
	need(elfw_sink_commit(sink) == 0);
	elfw_sink_close(sink);
	is_problem(check(core->fd, 2), want);
	free_core(core);
}

/* What can only be wrong with one note more. */
static void test_second(void)
{
	const struct elfw_file_mapping map = {0x400000, 0x401000, 0, "/bin/x"};
	const struct elfw_prpsinfo prpsinfo = {.sname = 'R'};
	struct made_core core;

	plan_core(&core, &abi_x86_64);
	need(elfw_notes_add_prpsinfo(&core.notes, &prpsinfo) == 0);
	check_added(&core, "note 8: a second NT_PRPSINFO");
	plan_core(&core, &abi_x86_64);
	need(elfw_notes_add_files(&core.notes, &map, 1, PAGE) == 0);
	check_added(&core, "note 8: a second NT_FILE");
}

/* Cut anywhere, a core is not right: its last byte belongs to a segment. */
static void test_truncated(void)
{
	struct made_core core;
	off_t size;
	int n_found = 0, n = 0;

	make_core(&core, &abi_x86_64);
	size = (off_t)core.layout.size;
	for (off_t at = size - 1; at >= 0; at -= at > 3000 ? 97 : 1, n++) {
		need(ftruncate(core.fd, at) == 0);
		n_found += check(core.fd, 2) == -EBADMSG && problem[0];
	}
	is(n_found, n, "cut off anywhere");
	is_problem(check(core.fd, 2), "the file has 0 bytes");
	free_core(&core);
}

/* In the middle of a file. */
static void test_base(void)
{
	struct elfw_check_expect expect = {.n_threads = 2, .base = 1003};
	struct made_core core;
	struct elfw_sink *sink;
	int r;

	plan_core(&core, &abi_s390x);
	core.fd = memfd_create("core", MFD_CLOEXEC);
	need(core.fd >= 0 && lseek(core.fd, 1003, SEEK_SET) == 1003);
	need(elfw_sink_open_fd(core.fd, &sink) == 0 && write_core(&core, sink) == 0);
	need(elfw_image_write_tail(sink, core.abi, &core.layout) == 0);
	need(elfw_sink_commit(sink) == 0);
	elfw_sink_close(sink);
	is_good(elfw_check_fd(core.fd, &expect, problem, sizeof(problem)), "not at the start");
	need(write(core.fd, "trailer", 7) == 7);
	expect.size = core.layout.size;
	is_good(elfw_check_fd(core.fd, &expect, problem, sizeof(problem)), "nor up to the end");
	expect.size = core.layout.size - 1;
	r = elfw_check_fd(core.fd, &expect, problem, sizeof(problem));
	is_problem(r, "contents of segment 4 end beyond");
	expect.size = core.layout.size + 8;
	r = elfw_check_fd(core.fd, &expect, problem, sizeof(problem));
	is_problem(r, "bytes, not");
	expect.base = core.layout.size * 2;
	r = elfw_check_fd(core.fd, &expect, problem, sizeof(problem));
	is_problem(r, "the file ends before the core begins");
	free_core(&core);
}

static void test_rewritten(void)
{
	struct made_core core;
	struct elfw_sink *sink;

	plan_core(&core, &abi_i386);
	core.fd = memfd_create("core", MFD_CLOEXEC);
	need(elfw_sink_open_fd(core.fd, &sink) == 0 && write_core(&core, sink) == 0);
	need(elfw_image_rewrite_head(sink, core.abi, 0, &core.layout, core.segments + 1, 3,
				     &core.notes, 1) == 0);
	need(elfw_image_write_tail(sink, core.abi, &core.layout) == 0);
	need(elfw_sink_commit(sink) == 0);
	elfw_sink_close(sink);
	is_good(check(core.fd, 2), "program headers at the end");
	free_core(&core);
}

static const struct mutation scattered_mutations[] = {
	{"contents of segments 1 and 2 overlap", IN_PHDR, 1, 8, 8, 5 * PAGE},
	{"contents of segments 1 and 2 overlap", IN_PHDR, 1, 8, 8, 4 * PAGE},
	{"contents of segments 2 and 4 overlap", IN_PHDR, 2, 8, 8, PAGE},
	{"contents of segments 2 and 4 overlap", IN_PHDR, 2, 8, 8, 2 * PAGE},
	{"contents of segments 1 and 4 overlap", IN_PHDR, 1, 8, 8, 2 * PAGE},
	{"contents of segment 1 end beyond", IN_PHDR, 1, 8, 8, 10 * PAGE},
	{"segment 2 overlaps or precedes", IN_PHDR, 1, 16, 8, 0x600000},
};

/* Contents in another order than the addresses, and bytes that are nobody's. */
static void test_scattered(void)
{
	for (int behind = 0; behind < 2; behind++) {
		struct made_core core;
		struct elfw_sink *sink;

		plan_scattered(&core, &abi_x86_64, behind);
		core.fd = memfd_create("core", MFD_CLOEXEC);
		need(elfw_sink_open_fd(core.fd, &sink) == 0);
		need(elfw_sink_write(sink, (behind ? 6 : 8) * PAGE, "nobody's", 8, NULL) == 0);
		need(write_core(&core, sink) == 0);
		need(elfw_image_write_tail(sink, core.abi, &core.layout) == 0);
		need(elfw_sink_commit(sink) == 0);
		elfw_sink_close(sink);
		is_good(check(core.fd, 2), "contents in any order");
		for (size_t i = 0;
		     behind && i < sizeof(scattered_mutations) / sizeof(scattered_mutations[0]);
		     i++)
			mutate(&core, &scattered_mutations[i]);
		free_core(&core);
	}
}

/* More than the check begins with, from the last to the first; then two of them meet. */
static void test_backwards(void)
{
	struct elfw_segment segments[500];
	struct made_core core;
	struct elfw_sink *sink;

	plan_core(&core, &abi_x86_64);
	for (size_t i = 0; i < 500; i++)
		segments[i] = (struct elfw_segment){0x10000 + i * 2 * PAGE, PAGE, PAGE,
						    (510 - i) * PAGE, PF_R};
	need(elfw_layout_around(core.abi, core.notes.len, segments, 500, PAGE, 10 * PAGE,
				511 * PAGE, &core.layout) == 0);
	core.fd = memfd_create("core", MFD_CLOEXEC);
	need(elfw_sink_open_fd(core.fd, &sink) == 0);
	need(elfw_image_write_head(sink, core.abi, 0, &core.layout, segments, 500, &core.notes,
				   1) == 0);
	need(elfw_image_write_tail(sink, core.abi, &core.layout) == 0);
	need(elfw_sink_commit(sink) == 0);
	elfw_sink_close(sink);
	is_good(check(core.fd, 2), "contents from the last to the first");
	mutate(&core, &(struct mutation){"contents of segments 33 and 467 overlap", IN_PHDR, 467, 8,
					 8, (510 - 32) * PAGE});
	free_core(&core);
}

static const struct mutation xnum_mutations[] = {
	{"section header 0 is not SHT_NULL", IN_SHDR, 0, 4, 4, 1},
	{"PN_XNUM for only 4 program headers", IN_SHDR, 0, 44, 4, 4},
	{"4294967295 program headers at 0x40 do not fit", IN_SHDR, 0, 44, 4, UINT32_MAX},
	{"program headers and the notes overlap", IN_SHDR, 0, 44, 4, 70002},
	{"PN_XNUM without a section header", IN_FILE, 0, 40, 8, 0},
	{"the section headers at 0xffffffffffffffff are beyond", IN_FILE, 0, 40, 8, UINT64_MAX},
	{"e_shentsize is 40", IN_FILE, 0, 58, 2, 40},
	{"2 section headers", IN_FILE, 0, 60, 2, 2},
	{"segment 70000 overlaps or precedes", IN_PHDR, 70000, 16, 8, 0x10000},
};

static void test_xnum(void)
{
	struct elfw_segment *segments = calloc(70000, sizeof(*segments));
	struct made_core core;
	struct elfw_sink *sink;

	need(segments);
	plan_core(&core, &abi_x86_64);
	for (size_t i = 0; i < 70000; i++)
		segments[i] = (struct elfw_segment){0x10000 + i * 2 * PAGE, PAGE, 0, 0, PF_R};
	core.fd = memfd_create("core", MFD_CLOEXEC);
	need(elfw_sink_open_fd(core.fd, &sink) == 0);
	need(elfw_layout_compute(core.abi, core.notes.len, segments, 70000, PAGE, &core.layout) ==
	     0);
	need(elfw_image_write_head(sink, core.abi, 0, &core.layout, segments, 70000, &core.notes,
				   1) == 0);
	need(elfw_image_write_tail(sink, core.abi, &core.layout) == 0);
	need(elfw_sink_commit(sink) == 0);
	elfw_sink_close(sink);
	is_good(check(core.fd, 2), "PN_XNUM");
	for (size_t i = 0; i < sizeof(xnum_mutations) / sizeof(xnum_mutations[0]); i++)
		mutate(&core, &xnum_mutations[i]);
	/* Other writers leave the number of section headers to sh_size as well. */
	need(pwrite(core.fd, "\0", 2, 60) == 2);
	is_good(check(core.fd, 2), "PN_XNUM with e_shnum 0");
	free(segments);
	free_core(&core);
}

static void test_unreadable(void)
{
	char small[5] = "xxxx";
	const struct elfw_check_expect expect = {.n_threads = 0};
	int fds[2];
	int fd = memfd_create("core", MFD_CLOEXEC);

	is(check(-1, 0), -EBADF, "no descriptor");
	need(pipe(fds) == 0);
	is(check(fds[0], 0), -ESPIPE, "a pipe");
	close(fds[0]);
	close(fds[1]);
	is(elfw_check_fd(fd, &expect, small, sizeof(small)), -EBADMSG, "empty");
	is(strcmp(small, "the "), 0, "the problem is cut to the buffer");
	is(elfw_check_fd(fd, &expect, NULL, 0), -EBADMSG, "or not wanted");
	close(fd);
}

/* Every byte of headers and notes, to every value of a few: nothing may crash, hang or be read
 * outside the file (which the sanitizers see). */
static void test_bytes(const struct elfw_abi *abi)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
	struct made_core core;
	size_t end, n_bad = 0;

	make_core(&core, abi);
	end = core.layout.note_off + core.layout.note_len;
	for (size_t at = 0; at < end; at++) {
		uint8_t before;

		need(pread(core.fd, &before, 1, (off_t)at) == 1);
		for (size_t i = 0; i < sizeof(values); i++) {
			int r;

			need(pwrite(core.fd, &values[i], 1, (off_t)at) == 1);
			r = check(core.fd, 2);
			n_bad += r != 0 && r != -EBADMSG;
		}
		need(pwrite(core.fd, &before, 1, (off_t)at) == 1);
	}
	is(n_bad, 0, "any byte, any value: right or wrong, nothing else");
	free_core(&core);
}

/* With names of cores as arguments it checks those instead. */
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		int fd = open(argv[i], O_RDONLY | O_CLOEXEC);

		need(fd >= 0);
		is_good(check(fd, 0), argv[i]);
		close(fd);
	}
	if (argc > 1)
		return tap_done();
	test_good();
	test_mutations();
	test_other_type();
	test_second();
	test_truncated();
	test_base();
	test_rewritten();
	test_scattered();
	test_backwards();
	test_xnum();
	test_unreadable();
	for (size_t i = 0; i < N_ABIS; i++)
		test_bytes(all_abis[i]);
	return tap_done();
}
