/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Owns the layouts of the notes that Linux defines for a process (include/linux/elfcore.h,
 * fs/binfmt_elf.c, fs/compat_binfmt_elf.c). They follow from the ABI alone: each field at its
 * natural alignment, `long` as wide as the class. Nothing here is a sizeof of the host's, so every
 * layout can be made on every host. Runs inside the freeze.
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "note.h"

#define SIGINFO_SIZE 128

/* What the kernel writes for an id that does not fit 16 bits (DEFAULT_OVERFLOWUID). */
#define OVERFLOW_ID 65534

/* A structure of the target's, being filled field by field. */
struct record {
	const struct elfw_abi *abi;
	uint8_t *data; /* NULL: only to measure */
	size_t pos;
};

static void record_align(struct record *rec, size_t align)
{
	rec->pos = (rec->pos + align - 1) & ~(align - 1);
}

/* An integer of `size` bytes, at its alignment. */
static void record_put(struct record *rec, uint64_t value, size_t size)
{
	record_align(rec, size);
	for (size_t i = 0; rec->data && i < size; i++) {
		size_t at = rec->abi->elf_data == ELFDATA2MSB ? size - 1 - i : i;

		rec->data[rec->pos + at] = (uint8_t)(value >> (8 * i));
	}
	rec->pos += size;
}

static void record_put_int(struct record *rec, int32_t value)
{
	record_put(rec, (uint32_t)value, 4);
}

static void record_put_long(struct record *rec, uint64_t value)
{
	record_put(rec, value, elfw_long_size(rec->abi));
}

static void record_put_time(struct record *rec, const struct elfw_timeval *time)
{
	record_put_long(rec, (uint64_t)time->sec);
	record_put_long(rec, (uint64_t)time->usec);
}

static void record_put_bytes(struct record *rec, const void *bytes, size_t len)
{
	if (rec->data && len)
		memcpy(rec->data + rec->pos, bytes, len);
	rec->pos += len;
}

/*
 *                    64-bit  32-bit
 *   pr_info               0       0   si_signo, si_code, si_errno: in this order
 *   pr_cursig            12      12   a short
 *   pr_sigpend           16      16
 *   pr_sighold           24      20
 *   pr_pid, pr_ppid,     32      24
 *     pr_pgrp, pr_sid
 *   pr_utime, pr_stime,  48      40
 *     pr_cutime, pr_cstime
 *   pr_reg              112      72
 *   pr_fpvalid                        after the registers; the whole is padded to a long
 */
static size_t encode_prstatus(struct record *rec, const struct elfw_prstatus *p, const void *regs,
			      size_t regs_len)
{
	record_put_int(rec, p->si_signo);
	record_put_int(rec, p->si_code);
	record_put_int(rec, p->si_errno);
	record_put(rec, (uint16_t)p->cursig, 2);
	record_put_long(rec, p->sigpend);
	record_put_long(rec, p->sighold);
	record_put_int(rec, p->pid);
	record_put_int(rec, p->ppid);
	record_put_int(rec, p->pgrp);
	record_put_int(rec, p->sid);
	record_put_time(rec, &p->utime);
	record_put_time(rec, &p->stime);
	record_put_time(rec, &p->cutime);
	record_put_time(rec, &p->cstime);
	record_put_bytes(rec, regs, regs_len);
	record_put_int(rec, p->fpvalid);
	record_align(rec, elfw_long_size(rec->abi));
	return rec->pos;
}

int elfw_notes_add_prstatus(struct elfw_notes *notes, const struct elfw_prstatus *p,
			    const void *regs, size_t regs_len)
{
	struct record rec = {.abi = notes->abi};
	size_t len = encode_prstatus(&rec, p, regs, regs_len);
	void *desc;
	int r = elfw_notes_add_blank(notes, "CORE", NT_PRSTATUS, len, &desc);

	if (r < 0)
		return r;
	rec = (struct record){.abi = notes->abi, .data = desc};
	encode_prstatus(&rec, p, regs, regs_len);
	return 0;
}

/* SET_UID() of include/linux/highuid.h. */
static void record_put_id(struct record *rec, uint32_t id)
{
	if (!rec->abi->uid16)
		record_put(rec, id, 4);
	else
		record_put(rec, id > UINT16_MAX ? OVERFLOW_ID : id, 2);
}

/*
 *                      64-bit  32-bit  32-bit, 16-bit ids
 *   state, sname,           0       0       0
 *     zomb, nice
 *   flag                    8       4       4
 *   uid, gid               16       8       8
 *   pid, ppid, pgrp, sid   24      16      12
 *   fname[16]              40      32      28
 *   psargs[80]             56      48      44
 *   size                  136     128     124
 */
static size_t encode_prpsinfo(struct record *rec, const struct elfw_prpsinfo *p)
{
	record_put(rec, p->state, 1);
	record_put(rec, (uint8_t)p->sname, 1);
	record_put(rec, p->zomb, 1);
	record_put(rec, (uint8_t)p->nice, 1);
	record_put_long(rec, p->flag);
	record_put_id(rec, p->uid);
	record_put_id(rec, p->gid);
	record_put_int(rec, p->pid);
	record_put_int(rec, p->ppid);
	record_put_int(rec, p->pgrp);
	record_put_int(rec, p->sid);
	record_put_bytes(rec, p->fname, sizeof(p->fname));
	record_put_bytes(rec, p->psargs, sizeof(p->psargs));
	record_align(rec, elfw_long_size(rec->abi));
	return rec->pos;
}

int elfw_notes_add_prpsinfo(struct elfw_notes *notes, const struct elfw_prpsinfo *p)
{
	struct record rec = {.abi = notes->abi};
	size_t len = encode_prpsinfo(&rec, p);
	void *desc;
	int r = elfw_notes_add_blank(notes, "CORE", NT_PRPSINFO, len, &desc);

	if (r < 0)
		return r;
	rec = (struct record){.abi = notes->abi, .data = desc};
	encode_prpsinfo(&rec, p);
	return 0;
}

/* ---- NT_SIGINFO ---------------------------------------------------------------------------- */

/* The kernel's siginfo_layout(), kernel/signal.c: what the union of a siginfo holds. */
enum siginfo_kind {
	KIND_KILL,
	KIND_TIMER,
	KIND_POLL,
	KIND_FAULT,
	KIND_FAULT_MCEERR,
	KIND_FAULT_BNDERR,
	KIND_FAULT_PKUERR,
	KIND_FAULT_PERF,
	KIND_CHLD,
	KIND_RT,
	KIND_SYS,
};

/* The codes that a signal is known to have: 1 to `limit` (NSIGILL, ... of <asm-generic/siginfo.h>;
 * numbers, because the C library's headers have older ones or none). */
static const struct {
	int signo;
	int limit;
	enum siginfo_kind kind;
} known_codes[] = {
	{SIGILL, 11, KIND_FAULT}, {SIGFPE, 15, KIND_FAULT}, {SIGSEGV, 10, KIND_FAULT},
	{SIGBUS, 5, KIND_FAULT},  {SIGTRAP, 6, KIND_FAULT}, {SIGCHLD, 6, KIND_CHLD},
	{SIGPOLL, 6, KIND_POLL},  {SIGSYS, 2, KIND_SYS},
};

enum {
	CODE_KERNEL = 0x80,
	CODE_TIMER = -2,
	CODE_SIGIO = -5,
	CODE_BUS_MCEERR_AR = 4,
	CODE_BUS_MCEERR_AO = 5,
	CODE_SEGV_BNDERR = 3,
	CODE_SEGV_PKUERR = 4,
	CODE_TRAP_PERF = 6,
	N_POLL_CODES = 6,
};

/* The faults that carry more than an address. */
static enum siginfo_kind fault_kind(int signo, int code)
{
	if (signo == SIGBUS && code >= CODE_BUS_MCEERR_AR && code <= CODE_BUS_MCEERR_AO)
		return KIND_FAULT_MCEERR;
	if (signo == SIGSEGV && code == CODE_SEGV_BNDERR)
		return KIND_FAULT_BNDERR;
	if (signo == SIGSEGV && code == CODE_SEGV_PKUERR)
		return KIND_FAULT_PKUERR;
	if (signo == SIGTRAP && code == CODE_TRAP_PERF)
		return KIND_FAULT_PERF;
	return KIND_FAULT;
}

static enum siginfo_kind positive_code_kind(int signo, int code)
{
	for (size_t i = 0; i < sizeof(known_codes) / sizeof(known_codes[0]); i++) {
		if (known_codes[i].signo != signo || code > known_codes[i].limit)
			continue;
		if (known_codes[i].kind == KIND_FAULT)
			return fault_kind(signo, code);
		return known_codes[i].kind;
	}
	/* fcntl(F_SETSIG) sends POLL_* with any signal. */
	return code <= N_POLL_CODES ? KIND_POLL : KIND_KILL;
}

static enum siginfo_kind siginfo_kind(int signo, int code)
{
	if (code > 0 && code < CODE_KERNEL)
		return positive_code_kind(signo, code);
	if (code == CODE_TIMER)
		return KIND_TIMER;
	if (code == CODE_SIGIO)
		return KIND_POLL;
	return code < 0 ? KIND_RT : KIND_KILL;
}

/* One member of the union: `from` in the 64-bit siginfo, `to` in the 32-bit one. A long is
 * truncated, as the kernel does. */
struct siginfo_field {
	uint8_t from, from_size;
	uint8_t to, to_size; /* 0: end of the list */
};

static const struct siginfo_field siginfo_fields[][5] = {
	[KIND_KILL] = {{16, 4, 12, 4}, {20, 4, 16, 4}},                  /* pid, uid */
	[KIND_TIMER] = {{16, 4, 12, 4}, {20, 4, 16, 4}, {24, 4, 20, 4}}, /* tid, overrun, int */
	[KIND_POLL] = {{16, 8, 12, 4}, {24, 4, 16, 4}},                  /* band, fd */
	[KIND_FAULT] = {{16, 8, 12, 4}},                                 /* addr */
	[KIND_FAULT_MCEERR] = {{16, 8, 12, 4}, {24, 2, 16, 2}},          /* ..., addr_lsb */
	[KIND_FAULT_BNDERR] = {{16, 8, 12, 4}, {32, 8, 20, 4}, {40, 8, 24, 4}}, /* ..., bounds */
	[KIND_FAULT_PKUERR] = {{16, 8, 12, 4}, {32, 4, 20, 4}},                 /* ..., pkey */
	[KIND_FAULT_PERF] = {{16, 8, 12, 4}, {24, 8, 16, 4}, {32, 4, 20, 4}, {36, 4, 24, 4}},
	[KIND_CHLD] = {{16, 4, 12, 4}, /* pid, uid, status, utime, stime */
		       {20, 4, 16, 4},
		       {24, 4, 20, 4},
		       {32, 8, 24, 4},
		       {40, 8, 28, 4}},
	[KIND_RT] = {{16, 4, 12, 4}, {20, 4, 16, 4}, {24, 4, 20, 4}},  /* pid, uid, int */
	[KIND_SYS] = {{16, 8, 12, 4}, {24, 4, 16, 4}, {28, 4, 20, 4}}, /* addr, nr, arch */
};

/* An integer of the host's. */
static uint64_t host_int(const void *at, size_t size)
{
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;

	switch (size) {
	case 8:
		memcpy(&u64, at, 8);
		return u64;
	case 4:
		memcpy(&u32, at, 4);
		return u32;
	default:
		memcpy(&u16, at, 2);
		return u16;
	}
}

/* copy_siginfo_to_external32(), kernel/signal.c. What the kind does not have stays zero: the host's
 * union may hold leftovers there. */
static void encode_compat_siginfo(struct record *rec, const uint8_t *info)
{
	const siginfo_t *head = (const siginfo_t *)(const void *)info;
	const struct siginfo_field *fields =
		siginfo_fields[siginfo_kind(head->si_signo, head->si_code)];

	record_put_int(rec, head->si_signo);
	record_put_int(rec, head->si_errno);
	record_put_int(rec, head->si_code);
	for (size_t i = 0; i < 5 && fields[i].to_size; i++) {
		rec->pos = fields[i].to;
		record_put(rec, host_int(info + fields[i].from, fields[i].from_size),
			   fields[i].to_size);
	}
}

int elfw_notes_add_siginfo(struct elfw_notes *notes, const void *info)
{
	const uint8_t host_data =
		__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? ELFDATA2MSB : ELFDATA2LSB;
	size_t abi_long = elfw_long_size(notes->abi);
	struct record rec = {.abi = notes->abi};
	/* The caller's may be anywhere in a buffer. */
	union {
		siginfo_t align;
		uint8_t bytes[SIGINFO_SIZE];
	} copy;
	void *desc;
	int r;

	if (abi_long == sizeof(long) && notes->abi->elf_data == host_data)
		return elfw_notes_add(notes, "CORE", NT_SIGINFO, info, SIGINFO_SIZE);
	if (abi_long >= sizeof(long))
		return -EOPNOTSUPP;
	r = elfw_notes_add_blank(notes, "CORE", NT_SIGINFO, SIGINFO_SIZE, &desc);
	if (r < 0)
		return r;
	memcpy(copy.bytes, info, SIGINFO_SIZE);
	rec.data = desc;
	encode_compat_siginfo(&rec, copy.bytes);
	return 0;
}

/* ---- NT_FILE ------------------------------------------------------------------------------- */

/* The length of the desc, or -EOVERFLOW for what its longs cannot hold. */
static int measure_files(const struct elfw_abi *abi, const struct elfw_file_mapping *maps,
			 size_t n_maps, uint64_t page_size, size_t *ret_len)
{
	uint64_t max = abi->elf_class == ELFCLASS64 ? UINT64_MAX : UINT32_MAX;
	size_t len = elfw_long_size(abi) * (2 + 3 * n_maps);

	for (size_t i = 0; i < n_maps; i++) {
		if (maps[i].start > max || maps[i].end > max || maps[i].offset / page_size > max)
			return -EOVERFLOW;
		len += strlen(maps[i].name) + 1;
	}
	*ret_len = len;
	return 0;
}

/*
 *   long count
 *   long page_size
 *   { long start, end, file_ofs; } [count]   file_ofs in units of page_size
 *   names, each ended by a NUL
 *
 * fill_files_note(), fs/binfmt_elf.c.
 */
int elfw_notes_add_files(struct elfw_notes *notes, const struct elfw_file_mapping *maps,
			 size_t n_maps, uint64_t page_size)
{
	struct record rec = {.abi = notes->abi};
	size_t len;
	void *desc;
	int r;

	if (!n_maps)
		return 0;
	r = measure_files(notes->abi, maps, n_maps, page_size, &len);
	if (r < 0)
		return r;
	r = elfw_notes_add_blank(notes, "CORE", NT_FILE, len, &desc);
	if (r < 0)
		return r;
	rec.data = desc;
	record_put_long(&rec, n_maps);
	record_put_long(&rec, page_size);
	for (size_t i = 0; i < n_maps; i++) {
		record_put_long(&rec, maps[i].start);
		record_put_long(&rec, maps[i].end);
		record_put_long(&rec, maps[i].offset / page_size);
	}
	for (size_t i = 0; i < n_maps; i++)
		record_put_bytes(&rec, maps[i].name, strlen(maps[i].name) + 1);
	return 0;
}
