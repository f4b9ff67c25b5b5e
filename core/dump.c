/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The order of the stages, and nothing else knows it:
 *
 *   prepare (the target runs) == freeze: registers, mappings, plan, read == thaw; write, finish
 *
 * for one strategy after the other, until one of them does not give way (capture.h).
 *
 * What is between prepare and thaw runs in a thread of its own, the holder. ptrace(2) binds a
 * tracee to the thread that seized it, and that thread's exit is the only thing that releases a
 * tracee which did not stop: so it ends as soon as it has let go. Meanwhile the thread that called
 * is free to show progress on a terminal that may block; it does the rest when the holder has
 * ended.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capture.h"
#include "err.h"
#include "sharers.h"

/* A freeze of a large process without a look at smaps is tried so often. */
#define MAX_HURRIED 4

/* What was prepared for a process that executes another program meanwhile is prepared anew. */
#define MAX_TRIES 20

struct job {
	struct lc_target *target;
	const struct lc_request *request;
	struct elfw_sink *sink;
	struct lc_result *result;
	struct lc_err *err;

	struct lc_prep prep;
	struct lc_frozen frozen;
	struct lc_capture capture;
	const struct lc_strategy *strategy;
	struct lc_snap snap;
	struct elfw_sink *output; /* what `sink` is, or is a spool for */
	struct elfw_sink *spool;
	bool gave_way;

	sigset_t mask; /* the caller's */
	int r;         /* the holder's */
	_Atomic uint64_t done, total;
	_Atomic uint64_t seizing_ns;
	_Atomic bool freezing; /* the holder may be caught in the kernel */
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool has_ended;
};

/* ---- before the freeze -------------------------------------------------------------------- */

static int estimate_and_reserve(struct job *job)
{
	struct lc_prep *p = &job->prep;
	struct lc_frozen now = {0};
	int r = lc_frozen_estimate(p, &now, job->err);

	if (r == 0)
		r = lc_frozen_check_space(&now, job->request, job->sink, job->err);
	if (r == 0)
		r = lc_prep_reserve(p, now.arch, now.layout.note_len, now.plan.data_bytes,
				    job->sink, job->err);
	lc_frozen_free(&now);
	return r;
}

/* Signals go to the threads that read and write, so that they interrupt their system calls; the
 * holder looks at the abort flag. */
static void leave_signals_to_team(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
}

/* The thread through which it was looked at has exited, or execve() has replaced the memory that
 * was opened: nothing is lost yet. */
static bool is_worth_another_try(const struct job *job, int r)
{
	struct lc_err ended;

	if (lc_aborted(job->request->abort) || lc_target_check_alive(job->target, &ended) < 0)
		return false;
	return r == -ESRCH || r == -ENOENT || (r == 0 && lc_memsrc_is_stale(&job->prep.memsrc));
}

static int open_and_estimate(struct job *job)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	for (int tries = 1;; tries++) {
		int r = lc_prep_open(&job->prep, job->err);

		if (r == 0)
			r = estimate_and_reserve(job);
		if (!is_worth_another_try(job, r))
			return r;
		if (tries == MAX_TRIES)
			return lc_frozen_refuse_stale(&job->prep, job->err);
		lc_prep_free(&job->prep);
		lc_prep_init(&job->prep, job->target, job->request);
		*job->err = (struct lc_err){0};
		nanosleep(&moment, NULL);
	}
}

static int prepare(struct job *job)
{
	int r = lc_target_lock(job->target, job->request->wait_ns, job->request->abort, job->err);

	if (r == 0)
		r = open_and_estimate(job);
	if (r == 0 && lc_sharers_find(job->target, job->prep.info.tid, &job->result->sharers) < 0)
		r = lc_err_set(job->err, ENOMEM, LC_STAGE_TARGET, "out of memory");
	return r;
}

/*
 * Where a strategy fails, the next may not: unless the target has ended or is another program now,
 * the output fails, or somebody wants an end.
 */
static int or_give_way(struct job *job, int r)
{
	struct lc_err ended;

	if (r < 0 && r != -EINTR && r != -ESTALE && job->err->stage != LC_STAGE_OUTPUT &&
	    !lc_aborted(job->request->abort) && lc_target_check_alive(job->target, &ended) == 0)
		job->gave_way = true;
	return r;
}

static int prepare_strategy(struct job *job)
{
	const struct lc_strategy *s = job->strategy;
	int r = s->probe ? s->probe(&job->snap, job->err) : 0;

	if (r == 0 && s->prepare)
		r = s->prepare(&job->snap, job->err);
	return or_give_way(job, r);
}

/* ---- inside the freeze -------------------------------------------------------------------- */

static int write_head(void *arg)
{
	const struct job *job = arg;
	const struct lc_frozen *f = &job->frozen;

	return elfw_image_write_head(job->sink, &f->arch->abi, job->prep.info.e_flags, &f->layout,
				     f->plan.segments, f->plan.n, job->prep.notes,
				     LC_NOTES_N_PARTS);
}

/* Every few milliseconds while memory is read. */
static int look(void *arg)
{
	struct job *job = arg;
	struct lc_frozen *f = &job->frozen;

	/* killed: its parent waits for it, and cannot have it before we have let go */
	if (lc_threads_have_died(&f->threads))
		return -ESRCH;
	return job->request->yield && lc_pending_is_new(&f->pending, &f->threads);
}

static void fill_capture(struct job *job)
{
	struct lc_prep *p = &job->prep;
	struct lc_frozen *f = &job->frozen;
	bool can_seek = elfw_sink_can_seek(job->sink);

	p->pieces.plan = &f->plan;
	p->pieces.vmas = &f->vmas;
	p->pieces.pagemap = &p->pagemap;
	p->pieces.file = &p->file;
	p->pieces.small_first = can_seek;
	if (!lc_arch_is_host(f->arch))
		p->pieces.own_vdso = NULL;
	job->capture = (struct lc_capture){
		.memsrc = &p->memsrc,
		.pieces = &p->pieces,
		.sink = job->sink,
		.page_size = p->page_size,
		.abort = job->request->abort,
		/* a pipe needs the head first; elsewhere it waits until the target runs again */
		.prologue = can_seek ? NULL : write_head,
		.prologue_arg = job,
		.deadline_ns = f->deadline_ns ? f->deadline_ns : UINT64_MAX,
		.look = look,
		.look_arg = job,
		.done = &job->done,
		.arena = job->snap.arena.mem ? &job->snap.arena : NULL,
		.rewrites = job->strategy->place,
	};
	p->pieces.cover =
		job->strategy->cover ? job->strategy->cover(&job->snap) : (struct lc_cover){0};
	atomic_store(&job->total, f->plan.data_bytes);
}

/* Notes the time since `*mark` and moves the mark. */
static uint64_t lap(uint64_t *mark)
{
	uint64_t now = lc_now_ns(), spent = now - *mark;

	*mark = now;
	return spent;
}

static int read_registers(struct job *job)
{
	struct lc_prep *p = &job->prep;
	struct lc_frozen *f = &job->frozen;
	int r = lc_frozen_reopen(p, f, job->err);

	if (r == 0)
		r = lc_frozen_check_program(p, job->err);
	if (r == 0)
		r = lc_frozen_choose_arch(p, f, job->err);
	if (r == 0 && job->request->yield)
		lc_pending_read(&f->pending, &f->threads);
	if (r == 0)
		r = lc_frozen_add_threads(p, f, &job->result->losses, job->err);
	return r;
}

/* A snapshot learns all pages at once, and asks the list for them twice. */
static int plan_memory(struct job *job)
{
	struct lc_prep *p = &job->prep;
	struct lc_frozen *f = &job->frozen;
	bool listed = job->strategy->snapshot != LC_SNAPSHOT_OFF;
	int r;

	p->no_zero_page = job->snap.no_zero_page;
	p->pages = listed ? &job->snap.pages : NULL;
	r = lc_frozen_plan(p, f, &job->result->losses, job->err);
	if (r == 0)
		r = lc_frozen_add_files(p, f, job->err);
	if (r == 0 && job->strategy->place)
		r = job->strategy->place(&job->snap, job->err);
	else if (r == 0)
		r = lc_frozen_layout(f, lc_frozen_notes_len(p), p->page_size, job->err);
	return r;
}

static int read_memory(struct job *job)
{
	int r;

	fill_capture(job);
	if (job->frozen.plan.data_bytes == 0 && !job->capture.prologue)
		return 0;
	r = lc_team_read(&job->capture, job->prep.team, job->err);
	if (r == -ESRCH)
		return lc_target_has_ended(job->target, job->err);
	job->result->snapshot.bytes_inside = atomic_load(&job->capture.bytes_read);
	/* the next strategy may do with less time, and the last one says what it lost */
	if (r == 0 && job->capture.cut_short && job->strategy->snapshot != LC_SNAPSHOT_OFF)
		return lc_err_set(job->err, ETIME, LC_STAGE_COPY,
				  "the process had to be let go before everything was read");
	return r;
}

static int while_frozen(struct job *job)
{
	struct lc_result *res = job->result;
	uint64_t mark = job->frozen.threads.interrupted_ns;
	int r;

	res->stop_ns = lap(&mark);
	r = read_registers(job);
	res->registers_ns = lap(&mark);
	if (r == 0 && job->strategy->stopped)
		r = or_give_way(job, job->strategy->stopped(&job->snap, job->err));
	if (r == 0)
		r = plan_memory(job);
	res->mappings_ns = lap(&mark);
	if (r == 0)
		r = or_give_way(job, read_memory(job));
	res->copy_ns = lap(&mark);
	return r;
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

static size_t count_threads(const struct lc_threads *threads)
{
	size_t n = 0;

	for (size_t i = 0; i < threads->n; i++)
		n += lc_thread_is_dumped(&threads->v[i]);
	return n;
}

static int freeze_once(struct job *job)
{
	struct lc_frozen *f = &job->frozen;
	struct lc_result *res = job->result;
	int r;

	r = lc_snap_freeze(&job->snap, &f->threads, job->err);
	if (r < 0)
		return r;
	f->deadline_ns = freeze_deadline(&f->threads, job->request->max_freeze_ns);
	r = while_frozen(job);
	res->n_threads = count_threads(&f->threads);
	lc_snap_thaw(&job->snap, &f->threads);
	res->n_mappings = f->vmas.n;
	return r;
}

/* Takes back what one freeze has learned. */
static void forget_freeze(struct job *job)
{
	lc_frozen_free(&job->frozen);
	job->frozen = (struct lc_frozen){0};
	for (size_t i = 0; i < LC_NOTES_EXTRA; i++)
		job->prep.notes[i].len = 0;
	lc_losses_free(&job->result->losses);
	*job->err = (struct lc_err){0};
}

static int freeze_and_read(struct job *job)
{
	for (int tries = 1;; tries++) {
		int r;

		job->prep.in_a_hurry =
			job->strategy->again && tries < MAX_HURRIED && lc_prep_is_large(&job->prep);
		r = freeze_once(job);
		if (r != -EAGAIN || !job->prep.in_a_hurry)
			return r;
		forget_freeze(job);
		job->prep.in_a_hurry = false;
		r = or_give_way(job, job->strategy->again(&job->snap, job->err));
		if (r < 0)
			return r;
	}
}

/* Of a process that has ended, any file of /proc may be what was missed first. */
static void explain_end(struct job *job)
{
	if (job->r < 0 && job->r != -EINTR && job->err->stage != LC_STAGE_OUTPUT &&
	    lc_target_check_alive(job->target, job->err) < 0)
		job->r = -ESRCH;
}

static void *hold(void *arg)
{
	struct job *job = arg;

	/* enabled where PTRACE_SEIZE waits, alone */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	pthread_sigmask(SIG_SETMASK, &job->mask, NULL);
	job->r = prepare(job);
	leave_signals_to_team();
	if (job->r == 0)
		job->r = prepare_strategy(job);
	if (job->r == 0)
		job->r = freeze_and_read(job);
	if (job->r == 0 && job->strategy->read_rest)
		job->r = or_give_way(job, job->strategy->read_rest(&job->snap, job->err));
	if (job->strategy->end)
		job->strategy->end(&job->snap);
	explain_end(job);
	pthread_mutex_lock(&job->lock);
	job->has_ended = true;
	pthread_cond_signal(&job->ended);
	pthread_mutex_unlock(&job->lock);
	return NULL;
}

/* ---- after the thaw: the caller's thread -------------------------------------------------- */

static int write_head_and_tail(struct job *job)
{
	const struct lc_frozen *f = &job->frozen;
	bool can_seek = elfw_sink_can_seek(job->sink);
	int r = 0;

	job->result->n_segments = f->plan.n;
	if (job->capture.unread.n && can_seek)
		r = lc_frozen_uncover(&job->prep, &job->frozen, &job->capture,
				      &job->result->n_segments, job->err);
	else if (can_seek)
		r = write_head(job);
	if (r == 0)
		r = elfw_image_write_tail(job->sink, &f->arch->abi, &f->layout);
	return r < 0 ? lc_err_set(job->err, -r, LC_STAGE_OUTPUT, "cannot write: %s", strerror(-r))
		     : 0;
}

static int write_rest(struct job *job)
{
	int r = job->strategy->finish ? job->strategy->finish(&job->snap, job->err) : 0;

	lc_frozen_lose_unread(&job->capture, !elfw_sink_can_seek(job->sink), &job->result->losses);
	if (r == 0)
		r = write_head_and_tail(job);
	if (r < 0)
		return r;
	job->result->bytes = job->frozen.layout.size;
	job->result->bytes_read = job->frozen.plan.data_bytes;
	return 0;
}

/* Signals stay with the team until it has ended. */
static int finish(struct job *job)
{
	int r = job->r;

	if (r == 0)
		r = lc_team_finish(&job->capture, job->prep.team, job->err);
	/* before anything else that it uses goes away */
	lc_team_end(job->prep.team);
	job->prep.team = NULL;
	pthread_sigmask(SIG_SETMASK, &job->mask, NULL);
	return r == 0 ? write_rest(job) : r;
}

/* An output's error is told by its call: "write: No space left on device". */
static void name_failed_call(const struct job *job, int r)
{
	const char *call = elfw_sink_failed_call(job->sink);
	const char *dir = elfw_sink_failed_dir(job->sink);

	if (r >= 0 || job->err->stage != LC_STAGE_OUTPUT || !call)
		return;
	if (!dir) {
		lc_err_set(job->err, -r, LC_STAGE_OUTPUT, "%s: %s", call, strerror(-r));
		return;
	}
	lc_err_set(job->err, -r, LC_STAGE_OUTPUT,
		   "cannot write the temporary file in %.200s: %s: %s", dir, call, strerror(-r));
	lc_err_hint(job->err, "name a directory with more room in TMPDIR, or write to a file");
}

/* Waits for the holder's end, for 20 ms at most. Called with the lock held. */
static void wait_a_little(struct job *job)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += 20000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&job->ended, &job->lock, &until);
}

#define CAUGHT_NS  1000000000U /* PTRACE_SEIZE takes microseconds, on the busiest machine less */
#define ABORTED_NS 100000000U

/* Is the holder caught in PTRACE_SEIZE? Nothing is frozen then. */
static bool is_caught(struct job *job)
{
	uint64_t since = atomic_load(&job->seizing_ns), now = lc_now_ns();
	uint64_t limit =
		job->request->timeout_ns > CAUGHT_NS ? job->request->timeout_ns : CAUGHT_NS;

	if (lc_aborted(job->request->abort))
		limit = ABORTED_NS;
	return since && now > since && now - since > limit;
}

static int explain_caught(struct job *job)
{
	const struct lc_identity *id = &job->target->id;

	if (lc_aborted(job->request->abort))
		return lc_err_set(job->err, EINTR, LC_STAGE_FREEZE, "interrupted");
	lc_err_set(
		job->err, ETIMEDOUT, LC_STAGE_FREEZE,
		"process %d (%s) is executing another program, which does not come to an end: it "
		"cannot be traced meanwhile",
		id->pid, id->comm);
	lc_err_hint(job->err,
		    "the file of that program may be on a file system that does not answer");
	return -ETIMEDOUT;
}

/* Until the holder ends, or is caught; calls the progress function on the way, with no lock held.
 */
static void watch(struct job *job, pthread_t holder)
{
	bool cancelled = false;

	pthread_mutex_lock(&job->lock);
	for (unsigned int round = 1; !job->has_ended && !cancelled; round++) {
		wait_a_little(job);
		if (job->has_ended)
			break;
		pthread_mutex_unlock(&job->lock);
		if (atomic_load(&job->freezing))
			lc_threads_collect_dead(job->target);
		cancelled = is_caught(job) && pthread_cancel(holder) == 0;
		if (round % 5 == 0 && job->request->progress && atomic_load(&job->total))
			job->request->progress(job->request->progress_arg, atomic_load(&job->done),
					       atomic_load(&job->total));
		pthread_mutex_lock(&job->lock);
	}
	pthread_mutex_unlock(&job->lock);
}

/* A signal that is no abort, such as one that is ignored and that a blocked mask has queued, must
 * not cost the core. */
static bool is_aborted(void *arg)
{
	const struct lc_request *request = arg;

	return lc_aborted(request->abort);
}

static void init_job(struct job *job)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&job->ended, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&job->lock, NULL);
}

static void free_job(struct job *job)
{
	pthread_cond_destroy(&job->ended);
	pthread_mutex_destroy(&job->lock);
}

/* Directories for files that may be large and outlive nobody: not /tmp, which is often memory. */
static const char *spool_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir ? dir : "/var/tmp";
}

/* A strategy writes in any order. */
static int open_spool(struct job *job)
{
	int r;

	job->sink = job->output;
	if (job->strategy->snapshot == LC_SNAPSHOT_OFF || elfw_sink_can_seek(job->output))
		return 0;
	r = elfw_sink_open_spool(job->output, spool_dir(), &job->spool);
	if (r < 0)
		return lc_err_set(job->err, -r, LC_STAGE_TARGET,
				  "the output takes one order only, and no temporary file can be "
				  "made in %.200s: %s",
				  spool_dir(), strerror(-r));
	job->sink = job->spool;
	job->result->snapshot.spooled = true;
	return 0;
}

static void begin_attempt(struct job *job, const struct lc_strategy *strategy)
{
	struct lc_result *res = job->result;

	job->strategy = strategy;
	job->gave_way = false;
	job->has_ended = false;
	job->capture = (struct lc_capture){0};
	job->frozen = (struct lc_frozen){0};
	lc_prep_init(&job->prep, job->target, job->request);
	atomic_store(&job->done, 0);
	atomic_store(&job->total, 0);
	lc_losses_free(&res->losses);
	lc_sharers_free(&res->sharers);
	res->snapshot.taken = strategy->snapshot;
	res->snapshot.tracker = NULL;
	res->snapshot.spooled = false;
	res->snapshot.n_passes = 0;
	res->snapshot.bytes_inside = res->snapshot.bytes_outside = res->snapshot.dirty_rate = 0;
	*job->err = (struct lc_err){0};
}

static void end_attempt(struct job *job)
{
	if (job->strategy->free)
		job->strategy->free(&job->snap);
	lc_capture_free(&job->capture);
	lc_frozen_free(&job->frozen);
	lc_prep_free(&job->prep);
	lc_arena_free(&job->snap.arena);
	lc_pagelist_free(&job->snap.pages);
	elfw_sink_close(job->spool);
	job->spool = NULL;
	job->sink = job->output;
}

/* All signals go to the holder and the team: a handler that interrupts this thread serves nobody.
 */
static int run_holder(struct job *job)
{
	pthread_t thread;
	sigset_t all;
	void *end;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &job->mask);
	r = pthread_create(&thread, NULL, hold, job);
	if (r != 0)
		return lc_err_set(job->err, r, LC_STAGE_TARGET, "cannot start a thread: %s",
				  strerror(r));
	watch(job, thread);
	pthread_join(thread, &end);
	return end == PTHREAD_CANCELED ? explain_caught(job) : job->r;
}

static int run_strategy(struct job *job)
{
	int r = or_give_way(job, open_spool(job));

	if (r < 0)
		return r;
	job->snap = (struct lc_snap){
		.target = job->target,
		.request = job->request,
		.sink = job->sink,
		.result = job->result,
		.prep = &job->prep,
		.frozen = &job->frozen,
		.capture = &job->capture,
		.seizing_ns = &job->seizing_ns,
		.freezing = &job->freezing,
		.done = &job->done,
		.total = &job->total,
	};
	job->r = run_holder(job);
	r = finish(job);
	name_failed_call(job, r);
	return r;
}

static void note_passed_over(struct job *job)
{
	struct lc_snapshot_figures *s = &job->result->snapshot;
	struct lc_passed_over *p = &s->passed_over[s->n_passed_over++];

	p->snapshot = job->strategy->snapshot;
	memcpy(p->reason, job->err->text, sizeof(p->reason));
}

/* What was written so far is not the next one's. */
static int clear_output(struct job *job)
{
	int r = elfw_sink_can_seek(job->output) ? elfw_sink_clear(job->output, 0, INT64_MAX) : 0;

	return r < 0 ? lc_err_set(job->err, -r, LC_STAGE_OUTPUT, "cannot write: %s", strerror(-r))
		     : 0;
}

static int refuse_named(struct job *job)
{
	char reason[LC_TEXT_SIZE];

	memcpy(reason, job->err->text, sizeof(reason));
	lc_err_set(job->err, ENOTSUP, LC_STAGE_TARGET, "the snapshot %s is not to be had: %.400s",
		   lc_snapshot_name(job->strategy->snapshot), reason);
	lc_err_hint(job->err, "--snapshot without a mode takes the first one that is to be had");
	return -ENOTSUP;
}

static bool is_asked_for(const struct lc_request *request, enum lc_snapshot snapshot)
{
	if (request->minimal)
		return snapshot == LC_SNAPSHOT_OFF;
	return request->snapshot == LC_SNAPSHOT_AUTO || request->snapshot == snapshot;
}

static int try_strategies(struct job *job)
{
	int r = 0;

	for (size_t i = 0; lc_strategies[i]; i++) {
		if (!is_asked_for(job->request, lc_strategies[i]->snapshot))
			continue;
		begin_attempt(job, lc_strategies[i]);
		r = run_strategy(job);
		end_attempt(job);
		if (!job->gave_way || lc_strategies[i]->snapshot == LC_SNAPSHOT_OFF)
			return r;
		if (job->request->snapshot != LC_SNAPSHOT_AUTO)
			return refuse_named(job);
		note_passed_over(job);
		r = clear_output(job);
		if (r < 0)
			return r;
	}
	return r;
}

int lc_dump(struct lc_target *target, const struct lc_request *request, struct elfw_sink *sink,
	    struct lc_result *ret_result, struct lc_err *err)
{
	struct job job = {.target = target,
			  .request = request,
			  .output = sink,
			  .result = ret_result,
			  .err = err};
	uint64_t start = lc_now_ns();
	int r;

	*ret_result = (struct lc_result){0};
	*err = (struct lc_err){0};
	init_job(&job);
	elfw_sink_on_interrupt(sink, is_aborted, (void *)(uintptr_t)request);
	r = try_strategies(&job);
	/* the request is the caller's */
	elfw_sink_on_interrupt(sink, NULL, NULL);
	free_job(&job);
	ret_result->total_ns = lc_now_ns() - start;
	return r;
}

const char *lc_snapshot_name(enum lc_snapshot snapshot)
{
	static const char *const names[LC_SNAPSHOT_N] = {
		[LC_SNAPSHOT_OFF] = "off",   [LC_SNAPSHOT_AUTO] = "auto",
		[LC_SNAPSHOT_FORK] = "fork", [LC_SNAPSHOT_PRECOPY] = "precopy",
		[LC_SNAPSHOT_COPY] = "copy",
	};

	return snapshot < LC_SNAPSHOT_N ? names[snapshot] : "unknown";
}

void lc_result_free(struct lc_result *result)
{
	lc_losses_free(&result->losses);
	lc_sharers_free(&result->sharers);
}
