/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Seize, interrupt, wait, release. PTRACE_SEIZE stops nobody and sends no signal, so all threads
 * are seized first, while they run; then all are interrupted, and only from there is the target
 * frozen.
 *
 * Threads that are born meanwhile: PTRACE_O_TRACECLONE makes the kernel attach them to us, stopped,
 * so that a chain of threads, each creating the next and exiting, cannot run ahead of us.
 *
 * If livecore dies, at any instant, the kernel detaches from all: nothing here needs undoing.
 */
#include "threads.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include <elf.h>

#include "arch/arch.h"
#include "err.h"

#define STRAY_WAIT_NS 100000000U
#define MAX_PASSES    1000
#define SEIZE_TRIES   60
#define PF_EXITING    0x00000004 /* include/linux/sched.h */
#define PF_IO_WORKER  0x00000010

/* ---- finding and seizing ------------------------------------------------------------------ */

static int task_path(char *path, size_t size, pid_t tid, const char *file)
{
	return snprintf(path, size, "task/%d%s%s", tid, *file ? "/" : "", file);
}

static bool is_dead(char state)
{
	return state == 'Z' || state == 'X' || state == 'x';
}

/* On its way out of do_exit() it has neither registers nor, soon, memory, never stops any more, and
 * may be held up there: by close() of a file whose file system does not answer, say. The kernel's
 * own core leaves it out, too (PF_POSTCOREDUMP, zap_process()). */
static bool has_exited(const struct lc_stat *st)
{
	return is_dead(st->state) || (st->flags & PF_EXITING);
}

/* The kernel lists tasks in one order, new ones last: the thread after the last one that was found
 * is nearly always the one. */
static struct lc_thread *find_thread(struct lc_threads *threads, pid_t tid)
{
	for (size_t i = 0; i < threads->n; i++) {
		size_t at = (threads->cursor + i) % threads->n;

		if (threads->v[at].tid == tid) {
			threads->cursor = at + 1;
			return &threads->v[at];
		}
	}
	return NULL;
}

static struct lc_thread *add_thread(struct lc_threads *threads, pid_t tid)
{
	struct lc_thread *t;

	if (lc_grow((void **)&threads->v, &threads->cap, threads->n, sizeof(*threads->v)) < 0)
		return NULL;
	t = &threads->v[threads->n++];
	*t = (struct lc_thread){.tid = tid};
	threads->cursor = threads->n;
	return t;
}

/* If a tracer that has collected a stop dies, the kernel drops the signal that the thread was about
 * to take; an uncollected one is taken then (ptrace_stop(), kernel/signal.c, returns
 * task->exit_code, which wait clears). ptrace(2) does not ask whether the stop was collected. */
enum lc_look lc_thread_look(pid_t tid, unsigned int *ret_stop)
{
	siginfo_t info = {0};

	if (waitid(P_PID, (id_t)tid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) < 0)
		return errno == EINTR ? LC_LOOK_NOTHING : LC_LOOK_GONE;
	if (info.si_pid != tid)
		return LC_LOOK_NOTHING;
	if (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED) {
		*ret_stop = (unsigned int)info.si_status;
		return LC_LOOK_STOPPED;
	}
	waitpid(tid, NULL, __WALL | WNOHANG);
	return LC_LOOK_GONE;
}

/* The signal that stopped a thread; 0: an event of ptrace's. */
static int signal_of_stop(unsigned int stop)
{
	return stop >> 8 ? 0 : (int)stop;
}

void lc_thread_nap(unsigned int round)
{
	struct timespec ts = {.tv_nsec = round < 200 ? 20000 : 500000};

	if (round < 50)
		sched_yield();
	else
		nanosleep(&ts, NULL);
}

/* A TID that was the target's when it was listed and somebody else's when it was seized: it must
 * be stopped for a moment to be let go. */
static void release_stray(pid_t tid)
{
	uint64_t deadline = lc_now_ns() + STRAY_WAIT_NS;

	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	for (unsigned int round = 0; lc_now_ns() < deadline; round++) {
		unsigned int stop;
		enum lc_look r = lc_thread_look(tid, &stop);

		if (r == LC_LOOK_STOPPED)
			ptrace(PTRACE_DETACH, tid, NULL, (void *)(uintptr_t)signal_of_stop(stop));
		if (r != LC_LOOK_NOTHING)
			return;
		lc_thread_nap(round);
	}
}

/* A tracer that dies lets go. */
static bool is_there(const struct lc_target *target, pid_t tracer)
{
	struct lc_stat st;
	char path[32];

	snprintf(path, sizeof(path), "%d/stat", tracer);
	return lc_procfs_stat(target->procfd, path, &st) == 0 && !has_exited(&st);
}

/* EPERM may mean that the thread is ours already, by PTRACE_O_TRACECLONE, or that it is dying.
 * Returns 1 where nothing speaks against it now: a tracer has gone, or the number is that of
 * another thread since, as after execve(). */
static int seize_refused(struct lc_threads *threads, struct lc_thread *t, int code,
			 pid_t *ret_tracer)
{
	char path[40];
	struct lc_status status;

	task_path(path, sizeof(path), t->tid, "status");
	if (code == ESRCH || lc_procfs_status(threads->target->dirfd, path, &status) < 0 ||
	    is_dead(status.state)) {
		t->state = LC_THREAD_GONE;
		return 0;
	}
	if (status.tracer == gettid())
		return 0;
	*ret_tracer = status.tracer;
	return status.tracer && is_there(threads->target, status.tracer) ? -code : 1;
}

/* cred_guard_mutex, which execve() holds while it reads the file, is waited for in a call that a
 * signal only starts again (ptrace_attach(), kernel/ptrace.c). */
static int seize_one(const struct lc_threads *threads, pid_t tid)
{
	int before, r, code;

	atomic_store(threads->seizing_ns, lc_now_ns());
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
	r = (int)ptrace(PTRACE_SEIZE, tid, NULL, (void *)PTRACE_O_TRACECLONE);
	code = errno;
	pthread_setcancelstate(before, NULL);
	atomic_store(threads->seizing_ns, 0);
	return r < 0 ? -code : 0;
}

static int try_seize(struct lc_threads *threads, struct lc_thread *t)
{
	int code = EPERM, r = 1;
	pid_t tracer = 0;

	for (unsigned int tries = 0; r > 0 && tries < SEIZE_TRIES; tries++) {
		code = -seize_one(threads, t->tid);
		if (code == 0)
			return 0;
		r = seize_refused(threads, t, code, &tracer);
		if (r > 0)
			lc_thread_nap(tries);
	}
	return r == 0 ? 0
		      : lc_target_why_denied(threads->target, code, t->tid, tracer, threads->err);
}

static int seize(struct lc_threads *threads, struct lc_thread *t)
{
	char path[40];
	struct stat st;
	int r = try_seize(threads, t);

	if (r < 0 || t->state == LC_THREAD_GONE)
		return r;
	task_path(path, sizeof(path), t->tid, "");
	if (fstatat(threads->target->dirfd, path, &st, 0) < 0 &&
	    (errno == ENOENT || errno == ESRCH)) {
		t->state = LC_THREAD_GONE;
		/* we end, and that lets a successor go without having stopped it */
		if (lc_target_check_alive(threads->target, threads->err) < 0)
			return -ESRCH;
		release_stray(t->tid);
	}
	return 0;
}

/* Once for each thread, nearly always before the freeze: NSpid is in status alone, which is slow.
 */
static int read_ns_tid(const struct lc_target *target, pid_t tid, pid_t *ret_ns_tid)
{
	struct lc_status status;
	char path[40];
	int r;

	*ret_ns_tid = tid;
	if (target->status.n_ns <= 1)
		return 0;
	task_path(path, sizeof(path), tid, "status");
	r = lc_procfs_status(target->dirfd, path, &status);
	if (r == 0)
		*ret_ns_tid = status.ns_pid;
	return r;
}

/*
 * A stop would end the request that it waits in, and io_uring cannot start that again: the process
 * would see it fail, with EINTR or worse (splice: -512). It runs no code of the process's. The one
 * that polls a ring ("iou-sqp-") never waits in a request, and takes new ones on: it is stopped.
 */
static bool is_worker(const struct lc_stat *st)
{
	return (st->flags & PF_IO_WORKER) && strncmp(st->comm, "iou-sqp-", 8) != 0;
}

/* A number that was a thread's which has exited may be a new thread's by now. */
static int visit_tid(void *arg, pid_t tid)
{
	struct lc_threads *threads = arg;
	struct lc_thread *t = find_thread(threads, tid);
	bool known = t;
	char path[40];
	pid_t ns_tid;

	if (known && t->state != LC_THREAD_GONE)
		return 0;
	if (!known)
		t = add_thread(threads, tid);
	if (!t)
		return lc_err_set(threads->err, ENOMEM, LC_STAGE_FREEZE, "out of memory");
	task_path(path, sizeof(path), tid, "stat");
	if (lc_procfs_stat(threads->target->dirfd, path, &t->stat) < 0 || has_exited(&t->stat) ||
	    read_ns_tid(threads->target, tid, &ns_tid) < 0) {
		t->state = LC_THREAD_GONE;
		return 0;
	}
	*t = (struct lc_thread){.tid = tid, .ns_tid = ns_tid, .stat = t->stat};
	if (is_worker(&t->stat)) {
		t->state = LC_THREAD_WORKER;
		return 0;
	}
	threads->found_new = true;
	return seize(threads, t);
}

/* Returns 1 if the pass found a thread that was not known, 0 if it did not, or -errno. */
static int pass(struct lc_threads *threads)
{
	int r;

	/* every thread that is found stops, and its children come attached: the number of passes is
	 * small whatever the target does, unless something is wrong with our eyes */
	if (++threads->passes > MAX_PASSES)
		return lc_err_set(threads->err, EAGAIN, LC_STAGE_FREEZE,
				  "process %d has new threads after %d looks at /proc/%d/task",
				  threads->target->id.pid, MAX_PASSES, threads->target->id.pid);
	threads->found_new = false;
	threads->cursor = 0;
	r = lc_procfs_each_pid(threads->target->dirfd, "task", visit_tid, threads);
	if (r < 0 && threads->err->code == 0)
		return lc_target_check_alive(threads->target, threads->err) < 0
			       ? -ESRCH
			       : lc_err_set(threads->err, -r, LC_STAGE_FREEZE,
					    "cannot list the threads of process %d: %s",
					    threads->target->id.pid, strerror(-r));
	return r < 0 ? r : threads->found_new;
}

/* ---- stopping ----------------------------------------------------------------------------- */

static void interrupt_all(struct lc_threads *threads)
{
	if (threads->interrupted_ns == 0)
		threads->interrupted_ns = lc_now_ns();
	for (size_t i = 0; i < threads->n; i++) {
		struct lc_thread *t = &threads->v[i];

		if (t->state != LC_THREAD_SEIZED || t->interrupted)
			continue;
		t->interrupted = true;
		/* ESRCH: it is exiting, or was born stopped; waiting tells */
		if (ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) < 0)
			t->interrupt_code = errno;
	}
}

static bool is_group_stop(unsigned int stop)
{
	return stop >> 8 == PTRACE_EVENT_STOP && (stop & 0x7f) != SIGTRAP;
}

/* Once more if it fails: the thread's system call hangs on it. */
static int regset(int request, pid_t tid, struct iovec *iov)
{
	const struct iovec before = *iov;

	for (int tries = 0; tries < 3; tries++) {
		*iov = before;
		if (ptrace(request, tid, (void *)NT_PRSTATUS, iov) == 0)
			return 0;
	}
	return -errno;
}

/*
 * Reads the general registers, and sees to it that the system call which we interrupted goes on
 * where the kernel would make it fail (struct lc_arch, fix_eintr). At once, not with the release:
 * if livecore is killed from here on, the thread goes on as it should.
 */
static void take_registers(struct lc_thread *t, unsigned int stop)
{
	struct iovec iov = {.iov_base = t->regs, .iov_len = sizeof(t->regs)};
	const struct lc_arch *arch;
	uint8_t fixed[LC_GENERAL_REGS_MAX];

	if (regset(PTRACE_GETREGSET, t->tid, &iov) < 0)
		return;
	t->regs_len = iov.iov_len;
	arch = lc_arch_by_length(t->regs_len);
	/* in a group stop it was the stop signal that interrupted the call, before us */
	if (!arch || !arch->fix_eintr || is_group_stop(stop))
		return;
	memcpy(fixed, t->regs, t->regs_len);
	if (!arch->fix_eintr(fixed, t->regs_len))
		return;
	iov = (struct iovec){.iov_base = fixed, .iov_len = t->regs_len};
	/* it fails only for a thread that was killed */
	(void)regset(PTRACE_SETREGSET, t->tid, &iov);
}

/* Returns true if the thread needs no more waiting. */
static bool try_wait(struct lc_threads *threads, struct lc_thread *t)
{
	unsigned int stop;

	switch (lc_thread_look(t->tid, &stop)) {
	case LC_LOOK_NOTHING:
		return false;
	case LC_LOOK_GONE:
		t->state = LC_THREAD_GONE;
		return true;
	case LC_LOOK_STOPPED:
		break;
	}
	t->state = LC_THREAD_STOPPED;
	t->signal = signal_of_stop(stop);
	t->trapped = stop == (SIGTRAP | PTRACE_EVENT_STOP << 8);
	threads->n_stopped++;
	take_registers(t, stop);
	return true;
}

/* A leader that has exited before its threads is traced and a zombie, and waiting tells nothing. */
static bool has_died(const struct lc_threads *threads, const struct lc_thread *t)
{
	char path[40];
	struct lc_stat now;

	task_path(path, sizeof(path), t->tid, "stat");
	return lc_procfs_stat(threads->target->dirfd, path, &now) < 0 || has_exited(&now);
}

static void give_up(struct lc_threads *threads)
{
	for (size_t i = 0; i < threads->n; i++) {
		struct lc_thread *t = &threads->v[i];

		if (t->state == LC_THREAD_SEIZED)
			t->state = has_died(threads, t) ? LC_THREAD_GONE : LC_THREAD_STUCK;
	}
}

/* Goes round all threads that have not stopped. Returns how many are left. */
static size_t wait_round(struct lc_threads *threads, size_t *first, bool look_for_dead)
{
	size_t left = 0;

	for (size_t i = *first; i < threads->n; i++) {
		struct lc_thread *t = &threads->v[i];

		if (t->state != LC_THREAD_SEIZED || try_wait(threads, t))
			continue;
		if (look_for_dead && has_died(threads, t) && !try_wait(threads, t)) {
			t->state = LC_THREAD_GONE;
			continue;
		}
		if (left++ == 0)
			*first = i;
	}
	return left;
}

static uint64_t wait_deadline(const struct lc_threads *threads,
			      const struct lc_freeze_options *options)
{
	uint64_t deadline = lc_now_ns() + options->timeout_ns;
	uint64_t bound = threads->interrupted_ns + options->max_freeze_ns;

	return options->max_freeze_ns && bound < deadline ? bound : deadline;
}

/*
 * Polls each thread by its TID: waitpid(-1) would take the children of a program that uses the
 * engine. Threads stop within 0.1 ms as a rule, so the first rounds only yield.
 */
static int wait_all(struct lc_threads *threads, const struct lc_freeze_options *options)
{
	uint64_t deadline = wait_deadline(threads, options);
	size_t first = 0;

	for (unsigned int round = 0;; round++) {
		if (wait_round(threads, &first, round % 128 == 127) == 0)
			return 0;
		if (lc_aborted(options->abort))
			return lc_err_set(threads->err, EINTR, LC_STAGE_FREEZE, "interrupted");
		if (round >= 50 && lc_now_ns() >= deadline) {
			give_up(threads);
			return 0;
		}
		lc_thread_nap(round);
	}
}

static bool has_thread(const struct lc_threads *threads)
{
	for (size_t i = 0; i < threads->n; i++)
		if (threads->v[i].state != LC_THREAD_GONE &&
		    threads->v[i].state != LC_THREAD_WORKER)
			return true;
	return false;
}

static int freeze(struct lc_threads *threads, const struct lc_freeze_options *options)
{
	int r = pass(threads);

	/* once more while all of it runs: what was born meanwhile costs no frozen time then */
	if (r > 0)
		r = pass(threads);
	/* of threads that are traced, no signal makes a core before we let go */
	if (r >= 0 && lc_target_check_not_crashing(threads->target, threads->err) < 0)
		r = -EBUSY;
	while (r >= 0) {
		int w;

		interrupt_all(threads);
		w = wait_all(threads, options);
		if (w < 0)
			return w;
		r = pass(threads);
		if (r == 0)
			break;
	}
	if (r < 0)
		return r;
	/* one that is caught in a system call is worth its memory; none at all is the end */
	return has_thread(threads) ? 0 : lc_target_has_ended(threads->target, threads->err);
}

int lc_threads_freeze(const struct lc_target *target, const struct lc_freeze_options *options,
		      struct lc_threads *threads, struct lc_err *err)
{
	int r;

	*err = (struct lc_err){0};
	threads->target = target;
	threads->err = err;
	threads->seizing_ns = options->seizing_ns;
	r = freeze(threads, options);
	threads->err = NULL;
	if (r < 0)
		lc_threads_thaw(threads);
	return r;
}

void lc_threads_thaw(struct lc_threads *threads)
{
	for (size_t i = 0; i < threads->n; i++) {
		struct lc_thread *t = &threads->v[i];

		if (t->state != LC_THREAD_STOPPED)
			continue;
		/* one that was killed is a zombie until its tracer, too, has seen it */
		if (ptrace(PTRACE_DETACH, t->tid, NULL, (void *)(uintptr_t)t->signal) < 0)
			waitpid(t->tid, NULL, __WALL | WNOHANG);
		t->state = LC_THREAD_GONE;
	}
	threads->n_stopped = 0;
}

static bool is_exit(int code)
{
	return code == CLD_EXITED || code == CLD_KILLED || code == CLD_DUMPED;
}

/* WNOWAIT: the kernel tells a tracer of stops whatever it asks for, and the stops are the freezing
 * thread's. The leader may be our caller's own child, and no exec waits for it. */
static int collect_dead(void *arg, pid_t tid)
{
	const struct lc_target *target = arg;
	siginfo_t info = {0};

	if (tid == target->id.pid)
		return 0;
	if (waitid(P_PID, (id_t)tid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 &&
	    info.si_pid == tid && is_exit(info.si_code))
		waitpid(tid, NULL, __WALL | WNOHANG);
	return 0;
}

void lc_threads_collect_dead(const struct lc_target *target)
{
	/* a target that is gone has nothing to collect */
	if (lc_procfs_each_pid(target->dirfd, "task", collect_dead, (void *)(uintptr_t)target) < 0)
		return;
}

bool lc_threads_have_died(const struct lc_threads *threads)
{
	const struct lc_thread *first = lc_threads_first(threads);

	return first && has_died(threads, first);
}

const struct lc_thread *lc_threads_first(const struct lc_threads *threads)
{
	for (size_t i = 0; i < threads->n; i++)
		if (threads->v[i].state == LC_THREAD_STOPPED)
			return &threads->v[i];
	return NULL;
}

void lc_threads_free(struct lc_threads *threads)
{
	free(threads->v);
	*threads = (struct lc_threads){0};
}
