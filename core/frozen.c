/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The stages of a dump between freeze and thaw, and those after it that must know what was not
 * read. The order is dump.c's.
 */
#include "frozen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "caller.h"
#include "err.h"
#include "filter.h"

static uint64_t user_limit(const struct lc_vmas *vmas)
{
	/* the vsyscall page alone is in the kernel's half */
	for (size_t i = vmas->n; i-- > 0;)
		if (vmas->v[i].end <= UINT64_MAX / 2)
			return vmas->v[i].end;
	return 0;
}

/* exec() gives a process other memory; one that is ending has given up its memory some time before
 * /proc calls it dead. After exec() the thread that called it is the leader. */
static bool has_memory(const struct lc_target *target)
{
	struct lc_text auxv = {0};
	int r = lc_procfs_read(target->dirfd, "auxv", &auxv);
	bool has = r == 0 ? auxv.len > 0 : r == -EACCES || r == -EPERM;

	lc_text_free(&auxv);
	return has; /* also if it is not ours any more: a set-uid program */
}

int lc_frozen_refuse_stale(const struct lc_prep *p, struct lc_err *err)
{
	if (!has_memory(p->target))
		return lc_target_has_ended(p->target, err);
	lc_err_set(err, ESTALE, LC_STAGE_FREEZE,
		   "process %d (%s) executed another program during the dump", p->target->id.pid,
		   p->target->id.comm);
	lc_err_hint(err, "nothing was written; run livecore again for the new program");
	return -ESTALE;
}

/* Without time there is no list, and the core is of registers only. */
static int read_mappings(const struct lc_prep *p, struct lc_frozen *f, struct lc_losses *losses,
			 struct lc_err *err)
{
	enum lc_flags_need need = p->request->minimal ? LC_FLAGS_ANY
				  : p->in_a_hurry     ? LC_FLAGS_KNOWN
						      : LC_FLAGS_READ;
	int r = lc_vmas_read(p->taskfd, &p->hints, need, f->deadline_ns, &f->vmas);

	if (r == -EAGAIN)
		return lc_err_set(err, EAGAIN, LC_STAGE_MAPPINGS,
				  "the mappings change faster than they are looked at");
	if (r == -ETIME) {
		lc_losses_add(losses, LC_LOSS_MEMORY, 0, 0, 0, ETIME,
			      "all memory: the list of mappings was not read in time");
		return 0;
	}
	if (r == -EACCES || r == -EPERM)
		return lc_target_why_denied(p->target, -r, 0, 0, err);
	if (r < 0)
		return lc_err_set(err, -r, LC_STAGE_MAPPINGS, "cannot read /proc/%d/maps: %s",
				  p->target->id.pid, strerror(-r));
	if (f->vmas.n > 0)
		return 0;
	if (lc_target_check_alive(p->target, err) < 0)
		return -ESRCH;
	return lc_err_set(err, ESRCH, LC_STAGE_MAPPINGS,
			  "process %d has no memory any more: it is exiting", p->target->id.pid);
}

int lc_frozen_plan(struct lc_prep *p, struct lc_frozen *f, struct lc_losses *losses,
		   struct lc_err *err)
{
	struct lc_plan_inputs in = {
		.vmas = &f->vmas,
		.pagemap = &p->pagemap,
		.file = &p->file,
		.memsrc = &p->memsrc,
		.headers = &p->headers,
		.filter = lc_filter_apply(p->request->filter, p->info.filter),
		.all = p->request->all,
		.minimal = p->request->minimal,
		.page_size = p->page_size,
	};
	int r = read_mappings(p, f, losses, err);

	if (r < 0)
		return r;
	/* it may be longer or shorter than it was before the freeze */
	lc_mapfile_close(&p->file);
	lc_mapfile_settle(&p->file, &f->vmas);
	p->pagemap.deadline_ns = f->deadline_ns;
	lc_pagemap_restart(&p->pagemap, user_limit(&f->vmas));
	p->pagemap.list = NULL;
	if (p->pages)
		r = lc_pagelist_fill(p->pages, &p->pagemap, &f->vmas, p->no_zero_page);
	if (r == 0) {
		p->pagemap.list = p->pages;
		p->pagemap.next = 0;
		r = lc_plan_make(&in, losses, &f->plan);
	}
	if (r == -ESRCH)
		return lc_frozen_refuse_stale(p, err);
	if (r < 0)
		return lc_err_set(err, -r, LC_STAGE_MAPPINGS,
				  "cannot tell which pages of process %d exist: %s",
				  p->target->id.pid, strerror(-r));
	return 0;
}

int lc_frozen_layout(struct lc_frozen *f, size_t notes_len, uint64_t page_size, struct lc_err *err)
{
	int r = elfw_layout_compute(&f->arch->abi, notes_len, f->plan.segments, f->plan.n,
				    page_size, &f->layout);

	return r < 0 ? lc_err_set(err, -r, LC_STAGE_OUTPUT, "the core does not fit ELF%d: %s",
				  f->arch->abi.elf_class == 1 ? 32 : 64, strerror(-r))
		     : 0;
}

int lc_frozen_choose_arch(const struct lc_prep *p, struct lc_frozen *f, struct lc_err *err)
{
	const struct lc_thread *first = lc_threads_first(&f->threads);

	f->arch = p->info.arch;
	if (!f->arch && first)
		f->arch = lc_arch_by_length(first->regs_len);
	if (!f->arch)
		f->arch = lc_arch_list[0]; /* nothing stopped, nothing readable: the host's */
	if (f->arch->rows[0].size > LC_GENERAL_REGS_MAX)
		return lc_err_set(err, ENOTSUP, LC_STAGE_REGISTERS,
				  "no table of the architecture %s", f->arch->name);
	return 0;
}

void lc_frozen_free(struct lc_frozen *f)
{
	lc_plan_free(&f->plan);
	lc_vmas_free(&f->vmas);
	lc_threads_free(&f->threads);
}

/* The core as it would be now. Headers are exact, notes near enough. */
int lc_frozen_estimate(struct lc_prep *p, struct lc_frozen *f, struct lc_err *err)
{
	int r = lc_frozen_choose_arch(p, f, err);

	if (r == 0)
		r = lc_frozen_plan(p, f, NULL, err);
	if (r < 0)
		return r;
	return lc_frozen_layout(
		f, lc_notes_estimate(f->arch, p->target->id.n_threads, &f->vmas, p->info.auxv.len),
		p->page_size, err);
}

/* What the core would take on disk: holes take nothing where the output has them. */
static uint64_t space_needed(const struct lc_frozen *f, const struct elfw_sink *sink)
{
	return elfw_sink_can_seek(sink) ? f->layout.data_off + f->plan.data_bytes : f->layout.size;
}

int lc_frozen_check_space(const struct lc_frozen *f, const struct lc_request *request,
			  const struct elfw_sink *sink, struct lc_err *err)
{
	uint64_t need = space_needed(f, sink), have;
	int r = elfw_sink_space(sink, &have);

	if (r < 0 || request->ignore_space || need <= have)
		return 0; /* a file system that does not tell is tried */
	lc_err_set(err, ENOSPC, LC_STAGE_OUTPUT,
		   "the core needs %.1f MiB and the output has room for %.1f MiB",
		   (double)need / 1048576, (double)have / 1048576);
	lc_err_hint(err,
		    "write it elsewhere, leave memory out (--filter, --minimal), or try all the "
		    "same (--force)");
	return -ENOSPC;
}

/*
 * What a capability opened and who was seized by it while the target ran is looked at again now
 * that it cannot change: it may have executed a set-uid program in between, and come back from it.
 * The memory is opened anew, so that it is that of the process which is checked; what is read of
 * /proc next, the kernel checks by the caller's own rights.
 */
static int reopen_for_caller(struct lc_prep *p, struct lc_err *err)
{
	int opened, r;

	if (!p->request->for_caller)
		return 0;
	lc_memsrc_close(&p->memsrc);
	opened = lc_memsrc_open(&p->memsrc, p->info.tid, p->taskfd, true);
	r = lc_caller_check(p->target, true, err);
	if (r == 0 && opened < 0)
		r = lc_target_why_denied(p->target, -opened, 0, 0, err);
	return r;
}

/* The thread through which the memory is reached may have exited since. */
int lc_frozen_reopen(struct lc_prep *p, const struct lc_frozen *f, struct lc_err *err)
{
	const struct lc_thread *first = lc_threads_first(&f->threads);

	if (!first || first->tid == p->info.tid)
		return reopen_for_caller(p, err);
	lc_close(&p->taskfd);
	p->taskfd = lc_prep_open_task(p->target, first->tid);
	if (p->taskfd < 0)
		return lc_target_check_alive(p->target, err) < 0
			       ? -ESRCH
			       : lc_err_set(err, ESRCH, LC_STAGE_FREEZE, "thread %d is gone",
					    first->tid);
	p->info.tid = first->tid;
	p->memsrc.tid = first->tid;
	return reopen_for_caller(p, err);
}

/* exec() gives the process a new auxiliary vector; all that was opened is of the memory before it.
 */
int lc_frozen_check_program(struct lc_prep *p, struct lc_err *err)
{
	struct lc_text now = {0};
	int r = lc_procfs_read(p->taskfd, "auxv", &now);
	bool same = r == 0 && now.len == p->info.auxv.len &&
		    memcmp(now.data, p->info.auxv.data, now.len) == 0 &&
		    !lc_memsrc_is_stale(&p->memsrc);

	lc_text_free(&now);
	if (same)
		return 0;
	return lc_frozen_refuse_stale(p, err);
}

static struct lc_note_inputs note_inputs(const struct lc_prep *p, const struct lc_frozen *f)
{
	return (struct lc_note_inputs){
		.target = p->target,
		.info = &p->info,
		.arch = f->arch,
		.threads = &f->threads,
		.vmas = &f->vmas,
		.verdicts = f->plan.verdicts,
		.page_size = p->page_size,
		.deadline_ns = f->deadline_ns,
	};
}

int lc_frozen_add_threads(struct lc_prep *p, struct lc_frozen *f, struct lc_losses *losses,
			  struct lc_err *err)
{
	struct lc_note_inputs in = note_inputs(p, f);
	int r;

	for (size_t i = 0; i < LC_NOTES_N_PARTS; i++)
		p->notes[i].abi = &f->arch->abi;
	r = lc_notes_add_threads(&in, &p->regbuf, p->notes, losses);
	return r < 0 ? lc_err_set(err, -r, LC_STAGE_REGISTERS, "cannot build the notes: %s",
				  strerror(-r))
		     : 0;
}

int lc_frozen_add_files(struct lc_prep *p, struct lc_frozen *f, struct lc_err *err)
{
	struct lc_note_inputs in = note_inputs(p, f);
	int r = lc_notes_set_files(&in, NULL, 0, p->notes);

	return r < 0 ? lc_err_set(err, -r, LC_STAGE_MAPPINGS, "cannot build the notes: %s",
				  strerror(-r))
		     : 0;
}

size_t lc_frozen_notes_len(const struct lc_prep *p)
{
	size_t len = 0;

	for (size_t i = 0; i < LC_NOTES_N_PARTS; i++)
		len += p->notes[i].len;
	return len;
}

/* The part [from, to) of a segment. Its place in the file stays, so the contents stay. */
static struct elfw_segment part_of(const struct elfw_segment *seg, uint64_t from, uint64_t to)
{
	uint64_t skip = from - seg->vaddr;
	uint64_t filesz = seg->filesz > skip ? seg->filesz - skip : 0;

	return (struct elfw_segment){.vaddr = from,
				     .memsz = to - from,
				     .filesz = filesz < to - from ? filesz : to - from,
				     .off = seg->off + skip,
				     .flags = seg->flags};
}

/* The segments without what was not read. Both lists are sorted; a range may go on from one segment
 * into the next. `out` has room for 2 n + n_unread segments. */
static size_t cut_all(struct elfw_segment *out, const struct lc_plan *plan,
		      const struct lc_capture *c)
{
	size_t n = 0, u = 0;

	for (size_t i = 0; i < plan->n; i++) {
		const struct elfw_segment *seg = &plan->segments[i];
		uint64_t at = seg->vaddr, end = seg->vaddr + seg->memsz;

		while (u < c->unread.n && c->unread.v[u].start < end) {
			if (c->unread.v[u].start > at)
				out[n++] = part_of(seg, at, c->unread.v[u].start);
			at = c->unread.v[u].end;
			if (at > end)
				break;
			u++;
		}
		if (at < end)
			out[n++] = part_of(seg, at, end);
	}
	return n;
}

/* What was not read must not read as zero, nor as what a file holds: nothing may cover it. */
int lc_frozen_uncover(struct lc_prep *p, struct lc_frozen *f, const struct lc_capture *c,
		      size_t *ret_n_segments, struct lc_err *err)
{
	struct lc_note_inputs in = note_inputs(p, f);
	struct elfw_segment *left;
	size_t n;
	int r;

	left = calloc(2 * f->plan.n + c->unread.n, sizeof(*left));
	if (!left)
		return lc_err_set(err, ENOMEM, LC_STAGE_OUTPUT, "out of memory");
	n = cut_all(left, &f->plan, c);
	r = lc_notes_set_files(&in, c->unread.v, c->unread.n, p->notes);
	if (r == 0)
		r = elfw_image_rewrite_head(c->sink, &f->arch->abi, p->info.e_flags, &f->layout,
					    left, n, p->notes, LC_NOTES_N_PARTS);
	free(left);
	if (r < 0)
		return lc_err_set(err, -r, LC_STAGE_OUTPUT, "cannot write: %s", strerror(-r));
	*ret_n_segments = n;
	return 0;
}

void lc_frozen_lose_unread(const struct lc_capture *c, bool covered, struct lc_losses *losses)
{
	const char *why = c->cut_short ? "not read before the process was let go"
				       : "the kernel could not read it";
	char stalled[64] = "";

	if (c->stalled)
		snprintf(stalled, sizeof(stalled), ", as the output took nothing for %d s",
			 LC_STALL_S);
	for (size_t i = 0; i < c->unread.n; i++)
		lc_losses_add(losses, LC_LOSS_MEMORY, 0, c->unread.v[i].start, c->unread.v[i].end,
			      EFAULT, "%s%s%s", why, stalled,
			      covered ? "; in a stream it reads as zero" : "");
}
