/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A small core that is right in every respect, for any ABI, in a memfd. */
#ifndef MKCORE_H
#define MKCORE_H

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../elfw/image.h"
#include "abis.h"
#include "tap.h"

#define PAGE    4096
#define E_FLAGS 0x5060708
#define N_REGS  68
#define N_NOTES 8

enum {
	NOTE_PRSTATUS,
	NOTE_PRPSINFO,
	NOTE_SIGINFO,
	NOTE_AUXV,
	NOTE_FILE,
	NOTE_FPREGSET,
	NOTE_PRSTATUS_2,
	NOTE_FPREGSET_2
};

struct made_core {
	const struct elfw_abi *abi;
	struct elfw_segment segments[4];
	struct elfw_layout layout;
	struct elfw_notes notes;
	size_t note_at[N_NOTES]; /* in the notes: where each begins */
	int fd;
	uint8_t page[PAGE];
};

static inline void add_thread(struct elfw_notes *notes, pid_t tid)
{
	const struct elfw_prstatus prstatus = {.pid = tid};
	const uint8_t regs[N_REGS] = {1};
	size_t regs_len = elfw_long_size(notes->abi) * (N_REGS / 8);

	need(elfw_notes_add_prstatus(notes, &prstatus, regs, regs_len) == 0);
}

static inline void add_siginfo(struct elfw_notes *notes)
{
	uint8_t info[128] = {5};

	need(elfw_notes_add(notes, "CORE", NT_SIGINFO, info, sizeof(info)) == 0);
}

static inline void add_auxv(struct elfw_notes *notes)
{
	size_t word = elfw_long_size(notes->abi);
	uint8_t auxv[4 * 8] = {0};

	put_int(notes->abi, auxv, AT_PAGESZ, word);
	put_int(notes->abi, auxv + word, PAGE, word);
	need(elfw_notes_add(notes, "CORE", NT_AUXV, auxv, 4 * word) == 0);
}

static inline void make_notes(struct made_core *core)
{
	const struct elfw_file_mapping maps[] = {
		{0x400000, 0x401000, 0, "/bin/x"},
		{0x500000, 0x502000, PAGE, "/bin/xy"},
	};
	const struct elfw_prpsinfo prpsinfo = {.sname = 'R', .fname = "x", .pid = 100};
	struct elfw_notes *notes = &core->notes;

	core->note_at[NOTE_PRSTATUS] = notes->len;
	add_thread(notes, 100);
	core->note_at[NOTE_PRPSINFO] = notes->len;
	need(elfw_notes_add_prpsinfo(notes, &prpsinfo) == 0);
	core->note_at[NOTE_SIGINFO] = notes->len;
	add_siginfo(notes);
	core->note_at[NOTE_AUXV] = notes->len;
	add_auxv(notes);
	core->note_at[NOTE_FILE] = notes->len;
	need(elfw_notes_add_files(notes, maps, 2, PAGE) == 0);
	core->note_at[NOTE_FPREGSET] = notes->len;
	need(elfw_notes_add(notes, "CORE", NT_FPREGSET, "fpregs", 6) == 0);
	core->note_at[NOTE_PRSTATUS_2] = notes->len;
	add_thread(notes, 101);
	core->note_at[NOTE_FPREGSET_2] = notes->len;
	need(elfw_notes_add(notes, "CORE", NT_FPREGSET, "fpregs", 6) == 0);
}

/* Writes it into `sink`, the tail not. */
static inline int write_core(struct made_core *core, struct elfw_sink *sink)
{
	size_t n_segments = sizeof(core->segments) / sizeof(core->segments[0]);
	int r = elfw_image_write_head(sink, core->abi, E_FLAGS, &core->layout, core->segments,
				      n_segments, &core->notes, 1);

	for (size_t i = 0; i < n_segments && r == 0; i++) {
		core->page[0] = (uint8_t)i;
		for (uint64_t off = 0; off < core->segments[i].filesz && r == 0; off += PAGE)
			r = elfw_sink_write(sink, core->segments[i].off + off, core->page, PAGE,
					    NULL);
	}
	return r;
}

/* Notes and layout; nothing is written yet. */
static inline void plan_core(struct made_core *core, const struct elfw_abi *abi)
{
	*core = (struct made_core){
		.abi = abi,
		.notes = ELFW_NOTES_INIT(abi),
		.fd = -1,
		.segments =
			{
				{0x400000, PAGE, PAGE, 0, PF_R | PF_X},
				{0x500000, 3 * PAGE, 2 * PAGE, 0, PF_R | PF_W},
				{0x503000, PAGE, 0, 0, PF_R},
				{0x7fff0000, PAGE, PAGE, 0, PF_R | PF_W},
			},
	};
	memset(core->page, 0x5a, PAGE);
	make_notes(core);
	need(elfw_layout_compute(abi, core->notes.len, core->segments, 4, PAGE, &core->layout) ==
	     0);
}

/* As plan_core(), with the contents in another order than their addresses, and nobody's pages
 * before, between and behind them. The head is `behind` them, or in the three pages in front. */
static inline void plan_scattered(struct made_core *core, const struct elfw_abi *abi, bool behind)
{
	const uint64_t first = behind ? 2 : 4;

	plan_core(core, abi);
	core->segments[0].off = (first + 5) * PAGE;
	core->segments[1].off = (first + 2) * PAGE;
	core->segments[2].off = 0;
	core->segments[3].off = first * PAGE;
	need(elfw_layout_around(abi, core->notes.len, core->segments, 4, PAGE,
				behind ? 64 : 3 * PAGE, (first + 7) * PAGE, &core->layout) == 0);
}

static inline void make_core(struct made_core *core, const struct elfw_abi *abi)
{
	struct elfw_sink *sink;

	plan_core(core, abi);
	core->fd = memfd_create("core", MFD_CLOEXEC);
	need(core->fd >= 0 && elfw_sink_open_fd(core->fd, &sink) == 0);
	need(write_core(core, sink) == 0);
	need(elfw_image_write_tail(sink, abi, &core->layout) == 0);
	need(elfw_sink_commit(sink) == 0);
	elfw_sink_close(sink);
}

static inline void free_core(struct made_core *core)
{
	elfw_notes_free(&core->notes);
	if (core->fd >= 0)
		close(core->fd);
}

#endif
