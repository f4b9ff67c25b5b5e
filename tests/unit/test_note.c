/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The notes of a core, byte by byte. */
#include <errno.h>
#include <signal.h>

#include "../../elfw/note.h"
#include "abis.h"
#include "tap.h"

#define ADDR 0x1122334455667788ULL

/* Each ABI's own place for everything; the long is the difference. */
struct place {
	const struct elfw_abi *abi;
	const char *name;
	size_t word; /* sizeof(long) */
	size_t sigpend, sighold, pid, utime, regs, regs_len, prstatus_len;
	size_t flag, uid, id_size, psinfo_pid, fname, psargs, prpsinfo_len;
};

static const struct place places[] = {
	{&abi_x86_64, "x86_64", 8, 16, 24, 32, 48, 112, 216, 336, 8, 16, 4, 24, 40, 56, 136},
	{&abi_i386, "i386", 4, 16, 20, 24, 40, 72, 68, 144, 4, 8, 2, 12, 28, 44, 124},
	{&abi_mipsel, "mipsel", 4, 16, 20, 24, 40, 72, 180, 256, 4, 8, 4, 16, 32, 48, 128},
	{&abi_s390x, "s390x", 8, 16, 24, 32, 48, 112, 216, 336, 8, 16, 4, 24, 40, 56, 136},
	{&abi_ppc, "ppc", 4, 16, 20, 24, 40, 72, 192, 268, 4, 8, 4, 16, 32, 48, 128},
};

/* The desc of the only note, whose frame is checked. */
static const uint8_t *only_desc(const struct elfw_notes *notes, uint32_t type, size_t len)
{
	const struct elfw_abi *abi = notes->abi;

	is(get_int(abi, notes->data, 4), 5, "n_namesz counts the NUL");
	is(get_int(abi, notes->data + 4, 4), len, "n_descsz");
	is(get_int(abi, notes->data + 8, 4), type, "n_type");
	is_mem(notes->data + 12, "CORE\0\0\0", 8, "owner, padded");
	is(notes->len, 20 + ((len + 3) & ~(size_t)3), "length of the note");
	return notes->data + 20;
}

#define field(off, size) get_int(place->abi, desc + (off), (size))

static void test_prstatus(const struct place *place)
{
	const struct elfw_prstatus p = {
		.si_signo = 11,
		.si_code = -6,
		.si_errno = 5,
		.cursig = 9,
		.sigpend = 0x4142434445464748,
		.sighold = 0x5152535455565758,
		.pid = 0x01020304,
		.ppid = 2,
		.pgrp = 3,
		.sid = 4,
		.utime = {0x0a0b0c0d, 1},
		.stime = {2, 3},
		.cutime = {4, 5},
		.cstime = {6, 999999},
		.fpvalid = true,
	};
	struct elfw_notes notes = ELFW_NOTES_INIT(place->abi);
	size_t word = place->word;
	uint64_t mask = word == 8 ? UINT64_MAX : UINT32_MAX;
	uint8_t regs[256];
	const uint8_t *desc;

	for (size_t i = 0; i < sizeof(regs); i++)
		regs[i] = (uint8_t)(i + 1);
	printf("# %s: NT_PRSTATUS\n", place->name);
	is(elfw_notes_add_prstatus(&notes, &p, regs, place->regs_len), 0, "add");
	desc = only_desc(&notes, NT_PRSTATUS, place->prstatus_len);
	is(field(0, 4), 11, "si_signo");
	is(field(4, 4), 0xfffffffa, "si_code comes second");
	is(field(8, 4), 5, "si_errno comes third");
	is(field(12, 2), 9, "pr_cursig");
	is(field(14, 2), 0, "padding");
	is(field(place->sigpend, word), p.sigpend & mask, "pr_sigpend");
	is(field(place->sighold, word), p.sighold & mask, "pr_sighold");
	is(field(place->pid, 4), 0x01020304, "pr_pid");
	is(field(place->pid + 4, 4), 2, "pr_ppid");
	is(field(place->pid + 8, 4), 3, "pr_pgrp");
	is(field(place->pid + 12, 4), 4, "pr_sid");
	is(field(place->utime, word), 0x0a0b0c0d, "pr_utime.tv_sec");
	for (size_t i = 1; i < 7; i++)
		is(field(place->utime + i * word, word), i, "times");
	is(field(place->utime + 7 * word, word), 999999, "pr_cstime.tv_usec");
	is(place->utime + 8 * word, place->regs, "pr_reg follows the times");
	is_mem(desc + place->regs, regs, place->regs_len, "pr_reg");
	is(field(place->regs + place->regs_len, 4), 1, "pr_fpvalid");
	if (word == 8)
		is(field(place->prstatus_len - 4, 4), 0, "padding at the end");
	elfw_notes_free(&notes);
}

static void test_prpsinfo(const struct place *place)
{
	struct elfw_prpsinfo p = {
		.state = 1,
		.sname = 'S',
		.zomb = false,
		.nice = -20,
		.flag = 0x6162636465666768,
		.uid = 1000,
		.gid = 0x12345,
		.pid = 0x01020304,
		.ppid = 2,
		.pgrp = 3,
		.sid = 4,
		.psargs = "one two ",
	};
	struct elfw_notes notes = ELFW_NOTES_INIT(place->abi);
	uint64_t mask = place->word == 8 ? UINT64_MAX : UINT32_MAX;
	const uint8_t *desc;

	memcpy(p.fname, "sixteen-bytes-xy", 16);
	printf("# %s: NT_PRPSINFO\n", place->name);
	is(elfw_notes_add_prpsinfo(&notes, &p), 0, "add");
	desc = only_desc(&notes, NT_PRPSINFO, place->prpsinfo_len);
	is(desc[0], 1, "pr_state");
	is(desc[1], 'S', "pr_sname");
	is(desc[2], 0, "pr_zomb");
	is((int8_t)desc[3], -20, "pr_nice");
	is(field(place->flag, place->word), p.flag & mask, "pr_flag");
	is(field(place->uid, place->id_size), 1000, "pr_uid");
	is(field(place->uid + place->id_size, place->id_size),
	   place->id_size == 2 ? 65534 : 0x12345, "pr_gid, 65534 where it does not fit");
	is(field(place->psinfo_pid, 4), 0x01020304, "pr_pid");
	is(field(place->psinfo_pid + 12, 4), 4, "pr_sid");
	is_mem(desc + place->fname, p.fname, 16, "pr_fname");
	is_mem(desc + place->psargs, p.psargs, 80, "pr_psargs");
	elfw_notes_free(&notes);
}

/* ---- siginfo ------------------------------------------------------------------------------- */

struct expected {
	uint8_t off, size;
	uint64_t value;
};

static void put(uint8_t *info, size_t off, uint64_t value, size_t size)
{
	memcpy(info + off, &value, size); /* the host is little-endian where this runs */
}

/* A 64-bit siginfo of which every byte of the union says something. */
static void fill_info(uint8_t *info, int signo, int code)
{
	memset(info, 0xee, 128);
	put(info, 0, (uint32_t)signo, 4);
	put(info, 4, 77, 4);
	put(info, 8, (uint32_t)code, 4);
	put(info, 12, 0, 4);
	for (size_t off = 16; off < 48; off += 4)
		put(info, off, 0x10101010 + 0x01010101 * off, 4);
}

/* What fill_info() put at an offset. */
#define AT(off) (0x10101010 + 0x01010101 * (off))

static void test_compat_kind(const struct elfw_abi *abi, const char *what, int signo, int code,
			     const struct expected *fields)
{
	struct elfw_notes notes = ELFW_NOTES_INIT(abi);
	uint8_t want[128] = {0};
	uint8_t info[128];
	const uint8_t *desc;

	fill_info(info, signo, code);
	put_int(abi, want, (uint32_t)signo, 4);
	put_int(abi, want + 4, 77, 4);
	put_int(abi, want + 8, (uint32_t)code, 4);
	for (; fields->size; fields++)
		put_int(abi, want + fields->off, fields->value, fields->size);
	printf("# siginfo: %s\n", what);
	is(elfw_notes_add_siginfo(&notes, info), 0, "add");
	desc = only_desc(&notes, NT_SIGINFO, 128);
	is_mem(desc, want, 128, what);
	elfw_notes_free(&notes);
}

static void test_compat_siginfo(const struct elfw_abi *abi)
{
	const struct expected kill_[] = {{12, 4, AT(16)}, {16, 4, AT(20)}, {0}};
	const struct expected three[] = {{12, 4, AT(16)}, {16, 4, AT(20)}, {20, 4, AT(24)}, {0}};
	const struct expected child[] = {{12, 4, AT(16)}, {16, 4, AT(20)}, {20, 4, AT(24)},
					 {24, 4, AT(32)}, {28, 4, AT(40)}, {0}};
	const struct expected fault[] = {{12, 4, AT(16)}, {0}};
	const struct expected mceerr[] = {{12, 4, AT(16)}, {16, 2, AT(24) & 0xffff}, {0}};
	const struct expected bounds[] = {{12, 4, AT(16)}, {20, 4, AT(32)}, {24, 4, AT(40)}, {0}};
	const struct expected pkey[] = {{12, 4, AT(16)}, {20, 4, AT(32)}, {0}};
	const struct expected perf[] = {
		{12, 4, AT(16)}, {16, 4, AT(24)}, {20, 4, AT(32)}, {24, 4, AT(36)}, {0}};
	const struct expected poll_[] = {{12, 4, AT(16)}, {16, 4, AT(24)}, {0}};
	const struct expected sys[] = {{12, 4, AT(16)}, {16, 4, AT(24)}, {20, 4, AT(28)}, {0}};

	test_compat_kind(abi, "kill()", SIGTERM, 0, kill_);
	test_compat_kind(abi, "SI_KERNEL", SIGSEGV, 0x80, kill_);
	test_compat_kind(abi, "a code over SI_KERNEL", SIGSEGV, 0x81, kill_);
	test_compat_kind(abi, "an unknown code of a signal without codes", SIGUSR1, 7, kill_);
	test_compat_kind(abi, "timer", SIGALRM, SI_TIMER, three);
	test_compat_kind(abi, "sigqueue()", SIGRTMIN, SI_QUEUE, three);
	test_compat_kind(abi, "tgkill()", SIGABRT, SI_TKILL, three);
	test_compat_kind(abi, "SIGCHLD", SIGCHLD, CLD_STOPPED, child);
	test_compat_kind(abi, "SIGCHLD by kill()", SIGCHLD, 0, kill_);
	test_compat_kind(abi, "SIGILL", SIGILL, 11, fault);
	test_compat_kind(abi, "SIGFPE", SIGFPE, 15, fault);
	test_compat_kind(abi, "SIGFPE, unknown code", SIGFPE, 16, kill_);
	test_compat_kind(abi, "SIGSEGV", SIGSEGV, 2, fault);
	test_compat_kind(abi, "SIGSEGV bounds", SIGSEGV, 3, bounds);
	test_compat_kind(abi, "SIGSEGV protection key", SIGSEGV, 4, pkey);
	test_compat_kind(abi, "SIGSEGV, last code", SIGSEGV, 10, fault);
	test_compat_kind(abi, "SIGBUS", SIGBUS, 1, fault);
	test_compat_kind(abi, "SIGBUS memory error", SIGBUS, 4, mceerr);
	test_compat_kind(abi, "SIGBUS memory error, optional", SIGBUS, 5, mceerr);
	test_compat_kind(abi, "SIGTRAP", SIGTRAP, 1, fault);
	test_compat_kind(abi, "SIGTRAP perf", SIGTRAP, 6, perf);
	test_compat_kind(abi, "SIGPOLL", SIGPOLL, 6, poll_);
	test_compat_kind(abi, "F_SETSIG", SIGRTMIN, 1, poll_);
	test_compat_kind(abi, "SIGIO queued", SIGPOLL, SI_SIGIO, poll_);
	test_compat_kind(abi, "SIGSYS", SIGSYS, 1, sys);
	test_compat_kind(abi, "SIGSYS user dispatch", SIGSYS, 2, sys);
}

static void test_native_siginfo(void)
{
	struct elfw_notes notes = ELFW_NOTES_INIT(&abi_x86_64);
	uint8_t info[129];
	const uint8_t *desc;

	fill_info(info + 1, SIGSEGV, 1);
	is(elfw_notes_add_siginfo(&notes, info + 1), 0, "siginfo of the host's own ABI");
	desc = only_desc(&notes, NT_SIGINFO, 128);
	is_mem(desc, info + 1, 128, "byte for byte, leftovers included");
	elfw_notes_free(&notes);

	notes = ELFW_NOTES_INIT(&abi_s390x);
	is(elfw_notes_add_siginfo(&notes, info + 1), -EOPNOTSUPP, "of an ABI that is not here");
	is(notes.len, 0, "nothing was added");
	elfw_notes_free(&notes);
}

/* ---- files --------------------------------------------------------------------------------- */

static void test_files(const struct place *place)
{
	const struct elfw_file_mapping maps[] = {
		{0x1000, 0x3000, 0, "/bin/a"},
		{0x3000, 0x4000, 0x2000, "/bin/a"},
		{0x70000000, 0x70001000, 0xffff0000, "/tmp/x (deleted)"},
	};
	struct elfw_notes notes = ELFW_NOTES_INIT(place->abi);
	size_t word = place->word;
	const uint64_t longs[] = {3,      4096, 0x1000,     0x3000,     0,      0x3000,
				  0x4000, 2,    0x70000000, 0x70001000, 0xffff0};
	const uint8_t *desc;

	printf("# %s: NT_FILE\n", place->name);
	is(elfw_notes_add_files(&notes, maps, 3, 4096), 0, "add");
	desc = only_desc(&notes, NT_FILE, 11 * word + 7 + 7 + 17);
	for (size_t i = 0; i < 11; i++)
		is(field(i * word, word), longs[i], "count, page size, {start, end, page}");
	is_mem(desc + 11 * word, "/bin/a\0/bin/a\0/tmp/x (deleted)", 31, "names");
	elfw_notes_free(&notes);
}

static void test_files_edges(void)
{
	const struct elfw_file_mapping high = {0x100000000, 0x100001000, 0, "/x"};
	struct elfw_notes notes = ELFW_NOTES_INIT(&abi_i386);

	is(elfw_notes_add_files(&notes, NULL, 0, 4096), 0, "no mappings");
	is(notes.len, 0, "no NT_FILE");
	is(elfw_notes_add_files(&notes, &high, 1, 4096), -EOVERFLOW, "an address over 4 GiB");
	is(notes.len, 0, "nothing was added");
	elfw_notes_free(&notes);
}

/* ---- the buffer ---------------------------------------------------------------------------- */

static void test_buffer(void)
{
	struct elfw_notes notes = ELFW_NOTES_INIT(&abi_s390x);
	const uint8_t want[] = {0,   0,   0,   6,   0,   0, 0, 3, 0, 0, 2, 2,
				'L', 'I', 'N', 'U', 'X', 0, 0, 0, 1, 2, 3, 0};
	uint8_t *data;
	void *desc;

	is(elfw_notes_reserve(&notes, 4096), 0, "reserve");
	data = notes.data;
	is(notes.len, 0, "nothing is there yet");
	is(elfw_notes_add(&notes, "LINUX", 0x202, "\1\2\3", 3), 0, "add");
	is(notes.len, sizeof(want), "length with both paddings");
	is_mem(notes.data, want, sizeof(want), "big-endian, padded with zeros");
	is(elfw_notes_add(&notes, "", 1, NULL, 0), 0, "an empty owner and desc");
	is(notes.len, sizeof(want) + 16, "frame and one padded NUL");
	memset(notes.data + notes.len, 0xee, notes.cap - notes.len);
	is(elfw_notes_add_blank(&notes, "CORE", 7, 6, &desc), 0, "blank");
	is_mem(desc, "\0\0\0\0\0\0\0", 8, "blank is zero");
	ok((uint8_t *)desc == notes.data + notes.len - 8, "blank is the last");
	ok(notes.data == data, "within the reserve nothing moves");
	is(elfw_notes_add(&notes, "CORE", 1, "", (size_t)UINT32_MAX + 1), -EOVERFLOW,
	   "a desc over 4 GiB");
	is(elfw_notes_reserve(&notes, SIZE_MAX - 10), -ENOMEM, "more than there is");
	is(notes.len, sizeof(want) + 16 + 28, "failures leave the buffer alone");
	elfw_notes_free(&notes);
	elfw_notes_free(&notes);
	ok(!notes.data && !notes.len && !notes.cap, "freed, and again");
}

static void test_growth(void)
{
	struct elfw_notes notes = ELFW_NOTES_INIT(&abi_x86_64);
	int r = 0;

	for (uint32_t i = 0; i < 10000 && r == 0; i++)
		r = elfw_notes_add(&notes, "CORE", i, &i, sizeof(i));
	is(r, 0, "10,000 notes");
	is(notes.len, 10000 * 24, "their length");
	is(get_int(&abi_x86_64, notes.data + 9999 * 24 + 20, 4), 9999, "the last one");
	elfw_notes_free(&notes);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		test_prstatus(&places[i]);
		test_prpsinfo(&places[i]);
		test_files(&places[i]);
	}
	if (sizeof(long) == 8 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
		test_compat_siginfo(&abi_i386);
		test_compat_siginfo(&abi_ppc);
		test_native_siginfo();
	} else {
		tap_skip("siginfo: written for a 64-bit little-endian host");
	}
	test_files_edges();
	test_buffer();
	test_growth();
	return tap_done();
}
