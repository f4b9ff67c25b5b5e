/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The order of the stages, and nothing else knows it:
 *
 *   prepare (the target runs) == freeze: registers, mappings, plan, read == thaw; write, finish
 *
 * What is between prepare and thaw runs in a thread of its own, the holder. ptrace(2) binds a
 * tracee to the thread that seized it, and that thread's exit is the only thing that releases a
 * tracee which did not stop: so it ends as soon as it has let go. Meanwhile the thread that called
 * is free to show progress on a terminal that may block; it does the rest when the holder has
 * ended.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "caller.h"
#include "err.h"
#include "frozen.h"
#include "sharers.h"

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
	leave_signals_to_team();
	return r;
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

static int plan_memory(struct job *job)
{
	struct lc_prep *p = &job->prep;
	struct lc_frozen *f = &job->frozen;
	int r = lc_frozen_plan(p, f, &job->result->losses, job->err);

	if (r == 0)
		r = lc_frozen_add_files(p, f, job->err);
	if (r == 0)
		r = lc_frozen_layout(f, lc_frozen_notes_len(p), p->page_size, job->err);
	return r;
}

static int read_memory(struct job *job)
{
	int r;

	fill_capture(job);
	if (job->frozen.plan.data_bytes == 0 && !job->capture.prologue)
		return 0;
	r = lc_capture_stop(&job->capture, job->prep.team, job->err);
	return r == -ESRCH ? lc_target_has_ended(job->target, job->err) : r;
}

static int while_frozen(struct job *job)
{
	struct lc_result *res = job->result;
	uint64_t mark = job->frozen.threads.interrupted_ns;
	int r;

	res->stop_ns = lap(&mark);
	r = read_registers(job);
	res->registers_ns = lap(&mark);
	if (r == 0)
		r = plan_memory(job);
	res->mappings_ns = lap(&mark);
	if (r == 0)
		r = read_memory(job);
	res->copy_ns = lap(&mark);
	return r;
}

/* Who promises when the target is let go must be on a processor then, however busy the machine is:
 * it only sleeps and looks. Without CAP_SYS_NICE it does what it can. */
static void keep_time(void)
{
	const struct sched_param param = {.sched_priority = 1};

	sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param);
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

static void note_freeze(struct lc_result *res, uint64_t frozen_ns)
{
	struct lc_snapshot_figures *s = &res->snapshot;

	res->frozen_ns += frozen_ns;
	if (s->n_freezes < LC_FREEZES_MAX)
		s->freezes_ns[s->n_freezes] = frozen_ns;
	s->n_freezes++;
}

static int freeze_and_read(struct job *job)
{
	struct lc_freeze_options options = {.timeout_ns = job->request->timeout_ns,
					    .max_freeze_ns = job->request->max_freeze_ns,
					    .abort = job->request->abort,
					    .seizing_ns = &job->seizing_ns};
	struct lc_frozen *f = &job->frozen;
	struct lc_result *res = job->result;
	uint64_t mark;
	int r;

	atomic_store(&job->freezing, true);
	lc_caller_raise(job->request->for_caller);
	r = lc_threads_freeze(job->target, &options, &f->threads, job->err);
	lc_caller_lower(job->request->for_caller);
	atomic_store(&job->freezing, false);
	if (r < 0)
		return r;
	f->deadline_ns = freeze_deadline(&f->threads, job->request->max_freeze_ns);
	if (f->deadline_ns)
		keep_time();
	r = while_frozen(job);
	res->n_threads = count_threads(&f->threads);
	mark = lc_now_ns();
	lc_threads_thaw(&f->threads);
	res->thaw_ns = lap(&mark);
	note_freeze(res, mark - f->threads.interrupted_ns);
	res->n_passes = f->threads.passes;
	res->n_mappings = f->vmas.n;
	return r;
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
	if (job->r == 0)
		job->r = freeze_and_read(job);
	explain_end(job);
	pthread_mutex_lock(&job->lock);
	job->has_ended = true;
	pthread_cond_signal(&job->ended);
	pthread_mutex_unlock(&job->lock);
	return NULL;
}

/* ---- after the thaw: the caller's thread -------------------------------------------------- */

static int write_rest(struct job *job)
{
	struct lc_prep *p = &job->prep;
	struct lc_frozen *f = &job->frozen;
	bool can_seek = elfw_sink_can_seek(job->sink);
	int r = can_seek ? write_head(job) : 0;

	job->result->n_segments = f->plan.n;
	lc_frozen_lose_unread(&job->capture, !can_seek, &job->result->losses);
	if (r == 0 && job->capture.unread.n && can_seek)
		r = lc_frozen_uncover(p, f, &job->capture, &job->result->n_segments, job->err);
	if (r == 0)
		r = elfw_image_write_tail(job->sink, &f->arch->abi, &f->layout);
	if (r < 0)
		return lc_err_set(job->err, -r, LC_STAGE_OUTPUT, "cannot write: %s", strerror(-r));
	job->result->bytes = f->layout.size;
	job->result->bytes_read = f->plan.data_bytes;
	return 0;
}

/* Signals stay with the team until it has ended. */
static int finish(struct job *job)
{
	int r = job->r;

	if (r == 0)
		r = lc_capture_finish(&job->capture, job->prep.team, job->err);
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

	if (r < 0 && job->err->stage == LC_STAGE_OUTPUT && call)
		lc_err_set(job->err, -r, LC_STAGE_OUTPUT, "%s: %s", call, strerror(-r));
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

	lc_prep_init(&job->prep, job->target, job->request);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&job->ended, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&job->lock, NULL);
}

static void free_job(struct job *job)
{
	lc_capture_free(&job->capture);
	lc_frozen_free(&job->frozen);
	lc_prep_free(&job->prep);
	pthread_cond_destroy(&job->ended);
	pthread_mutex_destroy(&job->lock);
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

int lc_dump(struct lc_target *target, const struct lc_request *request, struct elfw_sink *sink,
	    struct lc_result *ret_result, struct lc_err *err)
{
	struct job job = {.target = target,
			  .request = request,
			  .sink = sink,
			  .result = ret_result,
			  .err = err};
	uint64_t start = lc_now_ns();
	int r;

	*ret_result = (struct lc_result){0};
	*err = (struct lc_err){0};
	init_job(&job);
	elfw_sink_on_interrupt(sink, is_aborted, (void *)(uintptr_t)request);
	job.r = run_holder(&job);
	r = finish(&job);
	name_failed_call(&job, r);
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
