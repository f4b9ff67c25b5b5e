/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The order of the stages, and nothing else knows it:
 *
 *   prepare (the target runs) == freeze: mappings, plan, registers, copy == thaw, finish
 *
 * All of it runs in a thread of its own. ptrace(2) binds a tracee to the thread that seized it, and
 * that thread's exit is the only thing that releases a tracee which did not stop; and while it
 * works, the thread that called is free to show progress on a terminal that may block.
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <fcntl.h>

#include "../elfw/image.h"
#include "capture.h"
#include "err.h"
#include "filter.h"
#include "pending.h"
#include "plan.h"
#include "procnotes.h"
#include "threads.h"

/* What is opened and reserved before the freeze. */
struct prep {
	const struct lc_target *target;
	const struct lc_request *request;
	int taskfd; /* a living thread's directory */
	uint64_t page_size;
	struct lc_procinfo info;
	struct lc_vma_hints hints;
	struct lc_pagemap pagemap;
	struct lc_memsrc memsrc;
	struct lc_mapfile file;
	struct lc_pieces pieces;
	struct lc_header_memo headers;
	struct lc_regbuf regbuf;
	struct elfw_notes notes[LC_NOTES_N_PARTS];
	struct lc_team *team;
};

/* What is learned inside it. */
struct frozen {
	const struct lc_arch *arch;
	struct lc_threads threads;
	struct lc_vmas vmas;
	struct lc_plan plan;
	struct elfw_layout layout;
	uint64_t deadline_ns;      /* by which the target must be let go; 0: never */
	struct lc_pending pending; /* signals when it was frozen */
};

struct job {
	struct lc_target *target;
	const struct lc_request *request;
	struct elfw_sink *sink;
	struct lc_result *result;
	struct lc_err *err;
	sigset_t mask; /* the caller's: the worker takes the signals */
	int r;
	_Atomic uint64_t done, total;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool has_ended;
};

/* ---- before the freeze -------------------------------------------------------------------- */

struct pick {
	const struct lc_target *target;
	pid_t tid;
};

static int pick_living(void *arg, pid_t tid)
{
	struct pick *pick = arg;
	struct lc_stat st;
	char path[40];

	snprintf(path, sizeof(path), "task/%d/stat", tid);
	if (lc_procfs_stat(pick->target->dirfd, path, &st) < 0 || st.state == 'Z' ||
	    st.state == 'X')
		return 0;
	pick->tid = tid;
	return 1;
}

static int open_task(const struct lc_target *target, pid_t tid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "task/%d", tid);
	fd = openat(target->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Memory is reached through a thread that lives: a leader that has exited has none. */
static int open_living_task(struct prep *p, struct lc_err *err)
{
	struct pick pick = {.target = p->target};

	/* again where the thread that was picked exits at once */
	for (int tries = 0; tries < 100; tries++) {
		if (lc_procfs_each_pid(p->target->dirfd, "task", pick_living, &pick) <= 0)
			break;
		p->taskfd = open_task(p->target, pick.tid);
		if (p->taskfd >= 0) {
			p->info.tid = pick.tid;
			return 0;
		}
	}
	p->taskfd = -1;
	if (lc_target_check_alive(p->target, err) < 0)
		return -ESRCH;
	return lc_err_set(err, ESRCH, LC_STAGE_TARGET, "process %d has no living thread",
			  p->target->id.pid);
}

static int open_memory(struct prep *p, struct lc_err *err)
{
	int r = lc_memsrc_open(&p->memsrc, p->info.tid, p->taskfd);

	if (r == -EPERM || r == -EACCES)
		return lc_target_why_denied(p->target, EPERM, err);
	if (r < 0)
		return lc_err_set(err, -r, LC_STAGE_TARGET, "cannot open /proc/%d/mem: %s",
				  p->target->id.pid, strerror(-r));
	r = lc_pagemap_open(&p->pagemap, p->taskfd, p->page_size);
	if (r == -EPERM || r == -EACCES)
		return lc_target_why_denied(p->target, EPERM, err);
	if (r < 0)
		return lc_err_set(err, -r, LC_STAGE_TARGET, "cannot open /proc/%d/pagemap: %s",
				  p->target->id.pid, strerror(-r));
	return 0;
}

static void prep_init(struct prep *p, const struct lc_target *target,
		      const struct lc_request *request)
{
	*p = (struct prep){
		.target = target,
		.request = request,
		.taskfd = -1,
		.page_size = (uint64_t)sysconf(_SC_PAGESIZE),
		.pagemap.fd = -1,
		.memsrc.memfd = -1,
		.file = LC_MAPFILE_INIT(target),
	};
}

static void prep_free(struct prep *p)
{
	lc_team_end(p->team);
	for (size_t i = 0; i < LC_NOTES_N_PARTS; i++)
		elfw_notes_free(&p->notes[i]);
	lc_regbuf_free(&p->regbuf);
	lc_mapfile_close(&p->file);
	lc_header_memo_free(&p->headers);
	lc_memsrc_close(&p->memsrc);
	lc_pagemap_close(&p->pagemap);
	lc_vma_hints_free(&p->hints);
	lc_procinfo_free(&p->info);
	lc_close(&p->taskfd);
}

static int prep_open(struct prep *p, struct lc_err *err)
{
	int r = open_living_task(p, err);

	if (r == 0)
		r = lc_procinfo_read(p->target, p->taskfd, &p->info, err);
	if (r == 0)
		r = open_memory(p, err);
	if (r < 0)
		return r;
	r = lc_vma_hints_read(p->taskfd, &p->hints);
	if (r < 0 && r != -ENOENT)
		return lc_err_set(err, -r, LC_STAGE_TARGET, "cannot read /proc/%d/smaps: %s",
				  p->target->id.pid, strerror(-r));
	return 0;
}

/* ---- mappings, plan, layout: before the freeze for the estimate, inside it for the truth -- */

static uint64_t user_limit(const struct lc_vmas *vmas)
{
	/* the vsyscall page alone is in the kernel's half */
	for (size_t i = vmas->n; i-- > 0;)
		if (vmas->v[i].end <= UINT64_MAX / 2)
			return vmas->v[i].end;
	return 0;
}

static int make_plan(struct prep *p, struct frozen *f, struct lc_losses *losses, struct lc_err *err)
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
	int r = lc_vmas_read(p->taskfd, &p->hints, &f->vmas);

	if (r < 0)
		return lc_err_set(err, -r, LC_STAGE_MAPPINGS, "cannot read /proc/%d/maps: %s",
				  p->target->id.pid, strerror(-r));
	if (f->vmas.n == 0)
		return lc_target_check_alive(p->target, err) < 0
			       ? -ESRCH
			       : lc_err_set(err, ESRCH, LC_STAGE_MAPPINGS,
					    "process %d has no memory any more: it is exiting",
					    p->target->id.pid);
	lc_mapfile_settle(&p->file, &f->vmas);
	p->pagemap.deadline_ns = f->deadline_ns;
	lc_pagemap_restart(&p->pagemap, user_limit(&f->vmas));
	r = lc_plan_make(&in, losses, &f->plan);
	if (r < 0)
		return lc_err_set(err, -r, LC_STAGE_MAPPINGS,
				  "cannot tell which pages of process %d exist: %s",
				  p->target->id.pid, strerror(-r));
	return 0;
}

static int make_layout(struct frozen *f, size_t notes_len, uint64_t page_size, struct lc_err *err)
{
	int r = elfw_layout_compute(&f->arch->abi, notes_len, f->plan.segments, f->plan.n,
				    page_size, &f->layout);

	return r < 0 ? lc_err_set(err, -r, LC_STAGE_OUTPUT, "the core does not fit ELF%d: %s",
				  f->arch->abi.elf_class == 1 ? 32 : 64, strerror(-r))
		     : 0;
}

static int choose_arch(const struct prep *p, struct frozen *f, struct lc_err *err)
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

static void frozen_free(struct frozen *f)
{
	lc_plan_free(&f->plan);
	lc_vmas_free(&f->vmas);
	lc_threads_free(&f->threads);
}

/* The core as it would be now. Headers are exact, notes near enough. */
static int estimate(struct prep *p, struct frozen *f, struct lc_err *err)
{
	int r = choose_arch(p, f, err);

	if (r == 0)
		r = make_plan(p, f, NULL, err);
	if (r < 0)
		return r;
	return make_layout(
		f, lc_notes_estimate(f->arch, p->target->id.n_threads, &f->vmas, p->info.auxv.len),
		p->page_size, err);
}

/* What the core would take on disk: holes take nothing where the output has them. */
static uint64_t space_needed(const struct frozen *f, const struct elfw_sink *sink)
{
	return elfw_sink_can_seek(sink) ? f->layout.data_off + f->plan.data_bytes : f->layout.size;
}

static int check_space(const struct frozen *f, const struct lc_request *request,
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

/* Reserves what the freeze will need, so that nothing is allocated while the target waits. */
static int reserve(struct prep *p, const struct frozen *f, const struct elfw_sink *sink,
		   struct lc_err *err)
{
	int r;

	for (size_t i = 0; i < LC_NOTES_N_PARTS; i++)
		p->notes[i] = ELFW_NOTES_INIT(&f->arch->abi);
	r = elfw_notes_reserve(&p->notes[LC_NOTES_HEAD], 4096 + p->info.auxv.len);
	if (r == 0)
		r = elfw_notes_reserve(&p->notes[LC_NOTES_TAIL],
				       f->layout.note_len + f->layout.note_len / 8 + 16384);
	/* CPUID is slow in a virtual machine */
	if (r == 0 && f->arch->add_extra_notes)
		r = f->arch->add_extra_notes(&p->notes[LC_NOTES_EXTRA]);
	if (r == 0)
		r = lc_regbuf_reserve(&p->regbuf, 16384);
	if (r == 0)
		r = lc_team_start(sink, &p->team);
	lc_pieces_find_own_vdso(&p->pieces);
	return r < 0 ? lc_err_set(err, -r, LC_STAGE_OUTPUT, "out of memory") : 0;
}

/* From here on signals go to the threads that read and write, so that they interrupt their system
 * calls; this one looks at the abort flag. */
static void leave_signals_to_team(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
}

static int prepare(struct job *job, struct prep *p)
{
	struct frozen now = {0};
	int r = lc_target_lock(job->target, job->request->wait_ns, job->request->abort, job->err);

	if (r == 0)
		r = prep_open(p, job->err);
	if (r == 0)
		r = estimate(p, &now, job->err);
	if (r == 0)
		r = check_space(&now, job->request, job->sink, job->err);
	if (r == 0)
		r = reserve(p, &now, job->sink, job->err);
	if (r == 0)
		leave_signals_to_team();
	frozen_free(&now);
	return r;
}

/* ---- inside the freeze -------------------------------------------------------------------- */

/* The thread through which the memory is reached may have exited since. */
static int reopen_task(struct prep *p, const struct frozen *f, struct lc_err *err)
{
	const struct lc_thread *first = lc_threads_first(&f->threads);

	if (!first || first->tid == p->info.tid)
		return 0;
	lc_close(&p->taskfd);
	p->taskfd = open_task(p->target, first->tid);
	if (p->taskfd < 0)
		return lc_target_check_alive(p->target, err) < 0
			       ? -ESRCH
			       : lc_err_set(err, ESRCH, LC_STAGE_FREEZE, "thread %d is gone",
					    first->tid);
	p->info.tid = first->tid;
	p->memsrc.tid = first->tid;
	return 0;
}

/* exec() gives the process a new auxiliary vector; all that was opened is of the memory before it.
 */
static int check_same_program(struct prep *p, struct lc_err *err)
{
	struct lc_text now = {0};
	int r = lc_procfs_read(p->taskfd, "auxv", &now);
	bool same = r == 0 && now.len == p->info.auxv.len &&
		    memcmp(now.data, p->info.auxv.data, now.len) == 0;

	lc_text_free(&now);
	if (same)
		return 0;
	if (lc_target_check_alive(p->target, err) < 0)
		return -ESRCH;
	lc_err_set(err, ESTALE, LC_STAGE_FREEZE,
		   "process %d (%s) executed another program during the dump", p->target->id.pid,
		   p->target->id.comm);
	lc_err_hint(err, "nothing was written; run livecore again for the new program");
	return -ESTALE;
}

static struct lc_note_inputs note_inputs(const struct prep *p, const struct frozen *f)
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

static int add_threads(struct prep *p, struct frozen *f, struct lc_losses *losses,
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

static int add_files(struct prep *p, struct frozen *f, struct lc_err *err)
{
	struct lc_note_inputs in = note_inputs(p, f);
	int r = lc_notes_set_files(&in, NULL, 0, p->notes);

	return r < 0 ? lc_err_set(err, -r, LC_STAGE_MAPPINGS, "cannot build the notes: %s",
				  strerror(-r))
		     : 0;
}

static size_t notes_len(const struct prep *p)
{
	size_t len = 0;

	for (size_t i = 0; i < LC_NOTES_N_PARTS; i++)
		len += p->notes[i].len;
	return len;
}

struct head {
	struct elfw_sink *sink;
	const struct prep *p;
	const struct frozen *f;
};

static int write_head(void *arg)
{
	const struct head *head = arg;
	const struct frozen *f = head->f;

	return elfw_image_write_head(head->sink, &f->arch->abi, head->p->info.e_flags, &f->layout,
				     f->plan.segments, f->plan.n, head->p->notes, LC_NOTES_N_PARTS);
}

static bool has_new_signal(void *arg)
{
	struct frozen *f = arg;

	return lc_pending_is_new(&f->pending, &f->threads);
}

static void fill_capture(struct job *job, struct prep *p, struct frozen *f, struct head *head,
			 struct lc_capture *c)
{
	p->pieces.plan = &f->plan;
	p->pieces.vmas = &f->vmas;
	p->pieces.pagemap = &p->pagemap;
	p->pieces.file = &p->file;
	p->pieces.small_first = elfw_sink_can_seek(job->sink);
	if (!lc_arch_is_host(f->arch))
		p->pieces.own_vdso = NULL;
	*head = (struct head){.sink = job->sink, .p = p, .f = f};
	*c = (struct lc_capture){
		.memsrc = &p->memsrc,
		.pieces = &p->pieces,
		.sink = job->sink,
		.page_size = p->page_size,
		.abort = job->request->abort,
		/* a pipe needs the head first; elsewhere it waits until the target runs again */
		.prologue = elfw_sink_can_seek(job->sink) ? NULL : write_head,
		.prologue_arg = head,
		.deadline_ns = f->deadline_ns ? f->deadline_ns : UINT64_MAX,
		.wants_release = job->request->yield ? has_new_signal : NULL,
		.wants_release_arg = f,
		.done = &job->done,
	};
	atomic_store(&job->total, f->plan.data_bytes);
}

/* Notes the time since `*mark` and moves the mark. */
static uint64_t lap(uint64_t *mark)
{
	uint64_t now = lc_now_ns(), spent = now - *mark;

	*mark = now;
	return spent;
}

static int while_frozen(struct job *job, struct prep *p, struct frozen *f, struct head *head,
			struct lc_capture *c)
{
	struct lc_result *res = job->result;
	uint64_t mark = f->threads.interrupted_ns;
	int r;

	res->stop_ns = lap(&mark);
	r = reopen_task(p, f, job->err);
	if (r == 0)
		r = check_same_program(p, job->err);
	if (r == 0)
		r = choose_arch(p, f, job->err);
	if (r == 0 && job->request->yield)
		lc_pending_read(&f->pending, &f->threads);
	if (r == 0)
		r = add_threads(p, f, &res->losses, job->err);
	res->registers_ns = lap(&mark);
	if (r == 0)
		r = make_plan(p, f, &res->losses, job->err);
	if (r == 0)
		r = add_files(p, f, job->err);
	if (r == 0)
		r = make_layout(f, notes_len(p), p->page_size, job->err);
	res->mappings_ns = lap(&mark);
	if (r == 0)
		fill_capture(job, p, f, head, c);
	if (r == 0 && (f->plan.data_bytes || c->prologue))
		r = lc_capture_stop(c, p->team, job->err);
	res->copy_ns = lap(&mark);
	return r;
}

static size_t count_threads(const struct lc_threads *threads)
{
	size_t n = 0;

	for (size_t i = 0; i < threads->n; i++)
		n += threads->v[i].state == LC_THREAD_STOPPED ||
		     threads->v[i].state == LC_THREAD_STUCK;
	return n;
}

/* Who promises when the target is let go must be on a processor then, however busy the machine is:
 * it only sleeps and looks. Without CAP_SYS_NICE it does what it can. */
static void keep_time(bool on)
{
	const struct sched_param param = {.sched_priority = on ? 1 : 0};

	sched_setscheduler(0, on ? SCHED_FIFO | SCHED_RESET_ON_FORK : SCHED_OTHER, &param);
}

/* Letting go takes time too, some 5 us for each thread. */
static uint64_t freeze_deadline(const struct lc_threads *threads, uint64_t max_freeze_ns)
{
	uint64_t letting_go = threads->n * 5000 + 300000;

	if (max_freeze_ns == 0)
		return 0;
	return threads->interrupted_ns +
	       (max_freeze_ns > letting_go ? max_freeze_ns - letting_go : 0);
}

static int freeze_and_copy(struct job *job, struct prep *p, struct frozen *f, struct head *head,
			   struct lc_capture *c)
{
	struct lc_freeze_options options = {.timeout_ns = job->request->timeout_ns,
					    .max_freeze_ns = job->request->max_freeze_ns,
					    .abort = job->request->abort};
	struct lc_result *res = job->result;
	uint64_t mark;
	int r;

	r = lc_threads_freeze(job->target, &options, &f->threads, job->err);
	if (r < 0)
		return r;
	f->deadline_ns = freeze_deadline(&f->threads, job->request->max_freeze_ns);
	if (f->deadline_ns)
		keep_time(true);
	r = while_frozen(job, p, f, head, c);
	res->n_threads = count_threads(&f->threads);
	mark = lc_now_ns();
	lc_threads_thaw(&f->threads);
	res->thaw_ns = lap(&mark);
	if (f->deadline_ns)
		keep_time(false);
	res->frozen_ns = mark - f->threads.interrupted_ns;
	res->n_passes = f->threads.passes;
	res->n_mappings = f->vmas.n;
	return r;
}

/* ---- after the thaw ----------------------------------------------------------------------- */

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
static int uncover(struct job *job, struct prep *p, struct frozen *f, const struct lc_capture *c)
{
	struct lc_note_inputs in = note_inputs(p, f);
	struct elfw_segment *left;
	size_t n;
	int r;

	left = calloc(2 * f->plan.n + c->unread.n, sizeof(*left));
	if (!left)
		return lc_err_set(job->err, ENOMEM, LC_STAGE_OUTPUT, "out of memory");
	n = cut_all(left, &f->plan, c);
	r = lc_notes_set_files(&in, c->unread.v, c->unread.n, p->notes);
	if (r == 0)
		r = elfw_image_rewrite_head(job->sink, &f->arch->abi, p->info.e_flags, &f->layout,
					    left, n, p->notes, LC_NOTES_N_PARTS);
	free(left);
	if (r < 0)
		return lc_err_set(job->err, -r, LC_STAGE_OUTPUT, "cannot write: %s", strerror(-r));
	job->result->n_segments = n;
	return 0;
}

static void lose_unread(struct lc_result *res, const struct lc_capture *c, bool covered)
{
	const char *why = c->cut_short ? "not read before the process was let go"
				       : "the kernel could not read it";

	for (size_t i = 0; i < c->unread.n; i++)
		lc_losses_add(&res->losses, LC_LOSS_MEMORY, 0, c->unread.v[i].start,
			      c->unread.v[i].end, EFAULT, "%s%s", why,
			      covered ? "; in a stream it reads as zero" : "");
}

static int finish(struct job *job, struct prep *p, struct frozen *f, struct head *head,
		  struct lc_capture *c)
{
	bool can_seek = elfw_sink_can_seek(job->sink);
	int r = lc_capture_finish(c, p->team, job->err);

	pthread_sigmask(SIG_SETMASK, &job->mask, NULL);
	if (r < 0)
		return r;
	job->result->n_segments = f->plan.n;
	lose_unread(job->result, c, !can_seek);
	if (can_seek)
		r = write_head(head);
	if (r == 0 && c->unread.n && can_seek)
		r = uncover(job, p, f, c);
	if (r == 0)
		r = elfw_image_write_tail(job->sink, &f->arch->abi, &f->layout);
	if (r < 0)
		return lc_err_set(job->err, -r, LC_STAGE_OUTPUT, "cannot write: %s", strerror(-r));
	job->result->bytes = f->layout.size;
	job->result->bytes_read = f->plan.data_bytes;
	return 0;
}

/* An output's error is told by its call: "write: No space left on device". */
static void name_failed_call(const struct job *job)
{
	const char *call = elfw_sink_failed_call(job->sink);

	if (job->r == 0 || job->err->stage != LC_STAGE_OUTPUT || !call)
		return;
	lc_err_set(job->err, -job->r, LC_STAGE_OUTPUT, "%s: %s", call, strerror(-job->r));
}

static int dump(struct job *job)
{
	struct prep p;
	struct frozen f = {0};
	struct lc_capture c = {0};
	struct head head;
	int r;

	prep_init(&p, job->target, job->request);
	r = prepare(job, &p);
	if (r == 0)
		r = freeze_and_copy(job, &p, &f, &head, &c);
	if (r == 0)
		r = finish(job, &p, &f, &head, &c);
	/* first the threads that use the rest */
	lc_team_end(p.team);
	p.team = NULL;
	lc_capture_free(&c);
	frozen_free(&f);
	prep_free(&p);
	return r;
}

/* ---- the thread ---------------------------------------------------------------------------- */

static void *run(void *arg)
{
	struct job *job = arg;

	pthread_sigmask(SIG_SETMASK, &job->mask, NULL);
	job->r = dump(job);
	name_failed_call(job);
	pthread_mutex_lock(&job->lock);
	job->has_ended = true;
	pthread_cond_signal(&job->ended);
	pthread_mutex_unlock(&job->lock);
	return NULL;
}

/* Until the worker ends; calls the progress function on the way, with no lock held. */
static void watch(struct job *job)
{
	pthread_mutex_lock(&job->lock);
	while (!job->has_ended) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += 100000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&job->ended, &job->lock, &until);
		if (job->has_ended || !job->request->progress || !atomic_load(&job->total))
			continue;
		pthread_mutex_unlock(&job->lock);
		job->request->progress(job->request->progress_arg, atomic_load(&job->done),
				       atomic_load(&job->total));
		pthread_mutex_lock(&job->lock);
	}
	pthread_mutex_unlock(&job->lock);
}

static void init_waiting(struct job *job)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&job->ended, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&job->lock, NULL);
}

int lc_dump(struct lc_target *target, const struct lc_request *request, struct elfw_sink *sink,
	    struct lc_result *ret_result, struct lc_err *err)
{
	struct job job = {.target = target,
			  .request = request,
			  .sink = sink,
			  .result = ret_result,
			  .err = err};
	uint64_t start = lc_now_ns();
	pthread_t thread;
	sigset_t all;
	int r;

	*ret_result = (struct lc_result){.strategy = "stop"};
	*err = (struct lc_err){0};
	init_waiting(&job);
	/* every signal goes to the worker, whose system calls it must interrupt */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &job.mask);
	r = pthread_create(&thread, NULL, run, &job);
	if (r == 0) {
		watch(&job);
		pthread_join(thread, NULL);
		r = -job.r;
	} else {
		lc_err_set(err, r, LC_STAGE_TARGET, "cannot start a thread: %s", strerror(r));
	}
	pthread_sigmask(SIG_SETMASK, &job.mask, NULL);
	pthread_cond_destroy(&job.ended);
	pthread_mutex_destroy(&job.lock);
	ret_result->total_ns = lc_now_ns() - start;
	return -r;
}

void lc_result_free(struct lc_result *result)
{
	lc_losses_free(&result->losses);
}

/* ---- the dry run --------------------------------------------------------------------------- */

static int fill_rows(const struct frozen *f, struct lc_preview *preview)
{
	preview->rows = calloc(f->vmas.n ? f->vmas.n : 1, sizeof(*preview->rows));
	if (!preview->rows)
		return -ENOMEM;
	for (size_t i = 0; i < f->vmas.n; i++) {
		const struct lc_vma *vma = &f->vmas.v[i];
		const struct lc_verdict *verdict = &f->plan.verdicts[i];
		struct lc_plan_row *row = &preview->rows[i];

		*row = (struct lc_plan_row){
			.start = vma->start,
			.end = vma->end,
			.file_bytes = verdict->file_bytes,
			.data_bytes = verdict->data_bytes,
			.rule = verdict->rule,
			.name = strdup(vma->name),
		};
		memcpy(row->perms, vma->perms, sizeof(row->perms));
		preview->n_rows = i + 1;
		if (!row->name)
			return -ENOMEM;
	}
	return 0;
}

int lc_preview_make(struct lc_target *target, const struct lc_request *request,
		    struct lc_preview *ret_preview, struct lc_err *err)
{
	struct frozen f = {0};
	struct prep p;
	int r;

	*ret_preview = (struct lc_preview){0};
	*err = (struct lc_err){0};
	prep_init(&p, target, request);
	r = prep_open(&p, err);
	if (r == 0)
		r = estimate(&p, &f, err);
	if (r == 0 && fill_rows(&f, ret_preview) < 0)
		r = lc_err_set(err, ENOMEM, LC_STAGE_MAPPINGS, "out of memory");
	if (r == 0) {
		ret_preview->n_threads = target->id.n_threads;
		ret_preview->core_bytes = f.layout.size;
		ret_preview->disk_bytes = f.layout.data_off + f.plan.data_bytes;
	}
	frozen_free(&f);
	prep_free(&p);
	return r;
}

void lc_preview_free(struct lc_preview *preview)
{
	for (size_t i = 0; i < preview->n_rows; i++)
		free(preview->rows[i].name);
	free(preview->rows);
	*preview = (struct lc_preview){0};
}
