/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Owns the judgement on the notes of a core: their frames, and what the kernel's have in them.
 * Their numbers are as hostile as all others; none drives an allocation but the number of thread
 * notes that are really there.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check_impl.h"

/* Longer than any owner of a note that is known. */
#define MAX_OWNER 64

/* Register sets of one thread; more are not looked at for being twice. */
#define MAX_THREAD_NOTES 32

/* Of Linux 6.12 and later: one for the process, though its owner is "LINUX". */
#define NOTE_X86_XSAVE_LAYOUT 0x205

#define SIGINFO_SIZE          128

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
static int check_prstatus(struct elfw_core *core, const struct note *note, struct note_state *state)
{
	bool is64 = core->abi.elf_class == ELFCLASS64;
	uint32_t pid_off = is64 ? 32 : 24;
	uint32_t regs_off = is64 ? 112 : 72;
	uint32_t tid;
	int r;

	/* At least one register, and pr_fpvalid. */
	if (note->len < regs_off + 2 * elfw_long_size(&core->abi) ||
	    note->len % elfw_long_size(&core->abi))
		return elfw_check_bad(core, "note %llu: NT_PRSTATUS of %u bytes", (ull)note->number,
				      note->len);
	r = elfw_check_read_word(core, note->off + pid_off, &tid);
	if (r < 0)
		return r;
	if (!tid || tid > INT32_MAX)
		return elfw_check_bad(core, "note %llu: NT_PRSTATUS with TID %d", (ull)note->number,
				      (int)tid);
	state->n_thread_notes = 0;
	return add_tid(state, (int32_t)tid);
}

static int check_prpsinfo(struct elfw_core *core, const struct note *note, struct note_state *state)
{
	bool is64 = core->abi.elf_class == ELFCLASS64;

	/* With 16-bit or 32-bit ids. */
	if (is64 ? note->len != 136 : note->len != 124 && note->len != 128)
		return elfw_check_bad(core, "note %llu: NT_PRPSINFO of %u bytes", (ull)note->number,
				      note->len);
	if (state->n_prpsinfo++)
		return elfw_check_bad(core, "note %llu: a second NT_PRPSINFO", (ull)note->number);
	return 0;
}

static int check_siginfo(struct elfw_core *core, const struct note *note, struct note_state *state)
{
	if (note->len != SIGINFO_SIZE)
		return elfw_check_bad(core, "note %llu: NT_SIGINFO of %u bytes", (ull)note->number,
				      note->len);
	state->n_siginfo++;
	return 0;
}

static int check_auxv(struct elfw_core *core, const struct note *note, struct note_state *state)
{
	size_t entry = 2 * elfw_long_size(&core->abi);
	uint64_t type;
	int r;

	if (!note->len || note->len % entry)
		return elfw_check_bad(core, "note %llu: NT_AUXV of %u bytes", (ull)note->number,
				      note->len);
	r = elfw_check_read_long(core, note->off + note->len - entry, &type);
	if (r < 0)
		return r;
	if (type != AT_NULL)
		return elfw_check_bad(core, "note %llu: NT_AUXV does not end in AT_NULL",
				      (ull)note->number);
	if (state->n_auxv++)
		return elfw_check_bad(core, "note %llu: a second NT_AUXV", (ull)note->number);
	return 0;
}

/* The {start, end, file_ofs} of NT_FILE. */
static int check_file_table(struct elfw_core *core, const struct note *note, uint64_t count)
{
	size_t long_size = elfw_long_size(&core->abi);
	uint64_t last_end = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t off = note->off + (2 + 3 * i) * long_size;
		uint64_t start, end;
		int r = elfw_check_read_long(core, off, &start);

		if (r < 0)
			return r;
		r = elfw_check_read_long(core, off + long_size, &end);
		if (r < 0)
			return r;
		if (start >= end)
			return elfw_check_bad(
				core, "note %llu: NT_FILE mapping %llu ends before it starts",
				(ull)note->number, (ull)i);
		if (start < last_end)
			return elfw_check_bad(core,
					      "note %llu: NT_FILE mapping %llu is out of order",
					      (ull)note->number, (ull)i);
		last_end = end;
	}
	return 0;
}

/* The names of NT_FILE: as many NULs as mappings, the last one at the very end. */
static int check_file_names(struct elfw_core *core, const struct note *note, uint64_t off,
			    uint64_t count)
{
	uint64_t end = note->off + note->len;
	uint64_t n_names = 0;
	uint8_t last = 0;

	while (off < end && n_names <= count) {
		size_t len = end - off < 4096 ? (size_t)(end - off) : 4096;
		const uint8_t *text;
		int r = elfw_check_look(core, off, len, &text);

		if (r < 0)
			return r;
		for (size_t i = 0; i < len; i++)
			n_names += !text[i];
		last = text[len - 1];
		off += len;
	}
	if (last)
		return elfw_check_bad(core, "note %llu: the last name of NT_FILE is not terminated",
				      (ull)note->number);
	if (n_names != count)
		return elfw_check_bad(core,
				      "note %llu: NT_FILE does not have one name for each mapping",
				      (ull)note->number);
	return 0;
}

/* gdb's gcore writes a page size of 1, its offsets being bytes. */
static int check_file(struct elfw_core *core, const struct note *note, struct note_state *state)
{
	size_t long_size = elfw_long_size(&core->abi);
	uint64_t count, page_size;
	int r;

	if (note->len < 2 * long_size)
		return elfw_check_bad(core, "note %llu: NT_FILE of %u bytes", (ull)note->number,
				      note->len);
	r = elfw_check_read_long(core, note->off, &count);
	if (r < 0)
		return r;
	r = elfw_check_read_long(core, note->off + long_size, &page_size);
	if (r < 0)
		return r;
	if (count > (note->len - 2 * long_size) / (3 * long_size))
		return elfw_check_bad(core, "note %llu: NT_FILE has no room for its %llu mappings",
				      (ull)note->number, (ull)count);
	if (!page_size)
		return elfw_check_bad(core, "note %llu: NT_FILE with a page size of 0",
				      (ull)note->number);
	r = check_file_table(core, note, count);
	if (r < 0)
		return r;
	if (state->n_file++)
		return elfw_check_bad(core, "note %llu: a second NT_FILE", (ull)note->number);
	return check_file_names(core, note, note->off + (2 + 3 * count) * long_size, count);
}

/* A register set belongs to the NT_PRSTATUS before it, once. NT_SIGINFO does too, but for the
 * process's, which gdb's gcore may write first of all. */
static int check_thread_note(struct elfw_core *core, const struct note *note,
			     struct note_state *state)
{
	uint64_t key = (uint64_t)(note->owner[0] == 'L') << 32 | note->type;

	if (!state->n_tids)
		return elfw_check_bad(core,
				      "note %llu (type 0x%x) comes before the first NT_PRSTATUS",
				      (ull)note->number, note->type);
	for (size_t i = 0; i < state->n_thread_notes; i++)
		if (state->thread_notes[i] == key)
			return elfw_check_bad(
				core, "note %llu (type 0x%x) is the second of thread %d",
				(ull)note->number, note->type, state->tids[state->n_tids - 1]);
	if (state->n_thread_notes < MAX_THREAD_NOTES)
		state->thread_notes[state->n_thread_notes++] = key;
	return 0;
}

static int check_core_note(struct elfw_core *core, const struct note *note,
			   struct note_state *state)
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
static int check_note(struct elfw_core *core, const struct note *note, struct note_state *state)
{
	if (!strcmp(note->owner, "CORE"))
		return check_core_note(core, note, state);
	if (!strcmp(note->owner, "LINUX") && note->type != NOTE_X86_XSAVE_LAYOUT)
		return check_thread_note(core, note, state);
	return 0;
}

/* Zeros up to the next multiple of 4. */
static int check_padding(struct elfw_core *core, const struct note *note, uint64_t off,
			 uint32_t len)
{
	size_t pad = -len & 3;
	const uint8_t *data;
	int r = elfw_check_look(core, off + len, pad, &data);

	for (size_t i = 0; r == 0 && i < pad; i++)
		if (data[i])
			r = elfw_check_bad(core, "note %llu: its padding is not zero",
					   (ull)note->number);
	return r;
}

/* The owner's name, of `len` bytes with its NUL. */
static int read_owner(struct elfw_core *core, struct note *note, uint64_t off, uint32_t len)
{
	const uint8_t *owner;
	int r;

	if (!len || len > MAX_OWNER)
		return elfw_check_bad(core, "note %llu: its owner's name has %u bytes",
				      (ull)note->number, len);
	r = elfw_check_look(core, off, len, &owner);
	if (r < 0)
		return r;
	memcpy(note->owner, owner, len);
	note->owner[len] = '\0';
	if (strlen(note->owner) != len - 1)
		return elfw_check_bad(core,
				      "note %llu: its owner's name is not terminated where it ends",
				      (ull)note->number);
	return check_padding(core, note, off, len);
}

/* The note at *pos, which goes to the next one. */
static int read_note(struct elfw_core *core, struct note *note, uint64_t *pos, uint64_t end)
{
	uint32_t head[3]; /* n_namesz, n_descsz, n_type: words in both classes */
	uint64_t name_len, desc_len;
	int r;

	if (end - *pos < sizeof(head))
		return elfw_check_bad(core, "note %llu is cut off", (ull)note->number);
	r = elfw_check_read_native(core, *pos, ELF_T_WORD, head, sizeof(head));
	if (r < 0)
		return r;
	*pos += sizeof(head);
	name_len = ((uint64_t)head[0] + 3) & ~(uint64_t)3;
	desc_len = ((uint64_t)head[1] + 3) & ~(uint64_t)3;
	if (name_len + desc_len > end - *pos)
		return elfw_check_bad(core, "note %llu is cut off", (ull)note->number);
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

static int check_totals(struct elfw_core *core, struct note_state *state,
			const struct elfw_check_expect *expect)
{
	if (!state->n_tids)
		return elfw_check_bad(core, "no NT_PRSTATUS");
	if (expect->n_threads && expect->n_threads != state->n_tids)
		return elfw_check_bad(core, "%zu NT_PRSTATUS for %zu threads", state->n_tids,
				      expect->n_threads);
	qsort(state->tids, state->n_tids, sizeof(*state->tids), compare_tids);
	for (size_t i = 1; i < state->n_tids; i++)
		if (state->tids[i] == state->tids[i - 1])
			return elfw_check_bad(core, "two NT_PRSTATUS for TID %d", state->tids[i]);
	if (!state->n_prpsinfo)
		return elfw_check_bad(core, "no NT_PRPSINFO");
	if (!state->n_auxv)
		return elfw_check_bad(core, "no NT_AUXV");
	if (!state->n_siginfo)
		return elfw_check_bad(core, "no NT_SIGINFO");
	return 0;
}

int elfw_check_notes(struct elfw_core *core, const struct elfw_check_expect *expect)
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
