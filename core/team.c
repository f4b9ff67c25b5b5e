/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Threads read batches of pieces into buffers that stay in the processor's cache, and write them
 * from there; where the output takes writes in any order there are two. Where there is an arena,
 * they keep what they read in it as long as it has room, and write that when the target runs again.
 * The thread that holds the target only watches: whatever happens to a read or a write, it can let
 * the target go, and it does so when the last batch was read, before it is written.
 */
#include "team.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "err.h"

/*
 * Measured for 1 GiB without a zero page, two processors, medians of 7, as a part of cp's time for
 * the resulting file (tmpfs / ext4): two threads of 1 MiB 0.51 / 0.68, of 256 KiB 0.49 / 0.75,
 * three threads 0.59 / 0.78, one thread 0.63 / 1.04, a reader and a writer with a ring 0.52 / 0.77,
 * io_uring 0.62 / 0.76, O_DIRECT - / 1.66, a mapping of the output over 1.1 / over 5. Allocating
 * the file before the freeze (fallocate) makes the freeze shorter on tmpfs, 0.19, in the same whole
 * time; it needs the final size before the freeze and holes punched after it, so half-empty memory
 * takes half as long again. Reading ahead of the writes into 8 MiB of buffers made no freeze
 * shorter: buffers that are not in the cache cost as much as the writes.
 */
#define MAX_WORKERS 2

/* Workers that are caught in a read are replaced, up to so many. */
#define MAX_TEAM 8

/* How long one read may take: what is there is read in a millisecond; what must be fetched from
 * somewhere, perhaps by the very process that is stopped, is not waited for. */
#define READ_TIMEOUT_NS UINT64_C(2000000000)

/* How often the watching thread looks up. */
#define TICK_NS 5000000

enum worker_state {
	WORKER_IDLE,
	WORKER_READING,
	WORKER_WRITING,
	WORKER_WAITING, /* until the target runs, with what is kept */
	WORKER_DONE,
	WORKER_ABANDONED, /* touches nothing but the lock when its read returns */
};

struct worker {
	struct lc_team *team;
	pthread_t thread;
	struct lc_batch *batch;
	enum worker_state state;
	uint64_t reading_since;
};

struct lc_team {
	pthread_mutex_t lock; /* all of this, and the capture's walk and list */
	pthread_cond_t start, changed;
	struct worker workers[MAX_TEAM];
	size_t n;
	bool go, quit, drain;
	size_t next_kept; /* of the arena's, to be written */
	struct lc_capture *c;
	/* Copies of what the capture lends: a read that returns late must not find them gone. */
	struct lc_memsrc memsrc;
	const uint8_t *own_vdso;
	uint64_t page_size;
	bool prologue_done;
	bool end;          /* no more batches */
	uint64_t moved_ns; /* CLOCK_MONOTONIC: when a batch was last begun or finished */
	int result;
	struct lc_err err;
	_Atomic bool let_go; /* what was not read by then is not the frozen process's */
};

/* ---- workers ------------------------------------------------------------------------------ */

/* The first failure is the team's. Called with the lock held. */
static void fail(struct lc_team *team, int r, enum lc_stage stage, const char *what)
{
	if (team->result == 0) {
		team->result = r;
		lc_err_set(&team->err, -r, stage, "%s", what);
	}
	team->end = true;
}

/* Called with the lock held, as is everything here that has no comment. */
static void lose_batch(struct lc_team *team, const struct lc_batch *batch)
{
	for (size_t i = 0; i < batch->n; i++) {
		uint64_t start = batch->pieces[i].addr & ~(team->c->page_size - 1);

		if (lc_ranges_add(&team->c->unread, start,
				  batch->pieces[i].addr + batch->pieces[i].len) < 0)
			fail(team, -ENOMEM, LC_STAGE_COPY, "out of memory");
	}
}

static bool is_kept(const struct worker *w)
{
	return w->batch->buf != w->batch->own;
}

static void lend_buffer(struct lc_arena *arena, struct lc_batch *batch)
{
	uint8_t *lent = lc_arena_take(arena, batch->len);

	if (lent)
		batch->buf = lent;
}

static bool take(struct lc_team *team, struct worker *w)
{
	int r;

	if (team->end)
		return false;
	r = lc_batch_take(w->batch, team->c->pieces);
	if (r == -ETIME)
		team->c->cut_short = true;
	else if (r < 0)
		fail(team, r, LC_STAGE_COPY, "cannot tell which pages exist");
	if (r <= 0)
		team->end = true;
	if (r > 0 && team->c->arena)
		lend_buffer(team->c->arena, w->batch);
	w->state = r > 0 ? WORKER_READING : WORKER_IDLE;
	w->reading_since = lc_now_ns();
	team->moved_ns = w->reading_since;
	return r > 0;
}

/* Takes over what was read. False if it must not be written, or not yet. */
static bool accept_batch(struct lc_team *team, struct worker *w, int r, bool in_time)
{
	const struct lc_ranges *unread = &w->batch->unread;

	if (r < 0) {
		fail(team, r, LC_STAGE_COPY,
		     r == -ESRCH ? "the process ended during the dump" : "out of memory");
		return false;
	}
	if (!in_time) {
		lose_batch(team, w->batch);
		return false;
	}
	for (size_t i = 0; i < unread->n; i++)
		if (lc_ranges_add(&team->c->unread, unread->v[i].start, unread->v[i].end) < 0)
			fail(team, -ENOMEM, LC_STAGE_COPY, "out of memory");
	atomic_fetch_add_explicit(&team->c->bytes_read, w->batch->len, memory_order_relaxed);
	if (!is_kept(w))
		return true;
	if (lc_batch_keep(w->batch, team->c->arena) < 0)
		fail(team, -ENOMEM, LC_STAGE_COPY, "out of memory");
	return false;
}

/* Without the lock. */
static int write_batch(struct lc_team *team, struct worker *w, bool prologue)
{
	struct lc_capture *c = team->c;
	int r = prologue ? c->prologue(c->prologue_arg) : 0;

	if (r == 0 && w->batch->n)
		r = lc_batch_write(w->batch, c->sink, c->rewrites);
	if (r == 0)
		atomic_fetch_add_explicit(c->done, w->batch->len, memory_order_relaxed);
	return r;
}

static void write_and_note(struct lc_team *team, struct worker *w)
{
	bool prologue = team->c->prologue && !team->prologue_done;
	int r;

	team->prologue_done = true;
	w->state = WORKER_WRITING;
	pthread_cond_signal(&team->changed);
	pthread_mutex_unlock(&team->lock);
	r = write_batch(team, w, prologue);
	pthread_mutex_lock(&team->lock);
	if (r < 0)
		fail(team, r, LC_STAGE_OUTPUT, "cannot write");
	else if (lc_aborted(team->c->abort))
		fail(team, -EINTR, LC_STAGE_COPY, "interrupted");
}

/* Without the lock. */
static int write_kept(const struct lc_capture *c, const struct lc_kept *kept)
{
	int r = c->rewrites ? elfw_sink_rewrite(c->sink, kept->off, kept->data, kept->len)
			    : elfw_sink_write(c->sink, kept->off, kept->data, kept->len, NULL);

	if (r == 0)
		atomic_fetch_add_explicit(c->done, kept->len, memory_order_relaxed);
	return r;
}

static void drain(struct lc_team *team, struct worker *w)
{
	struct lc_arena *arena = team->c->arena;

	w->state = WORKER_WAITING;
	pthread_cond_signal(&team->changed);
	while (!team->drain && !team->quit)
		pthread_cond_wait(&team->start, &team->lock);
	w->state = WORKER_WRITING;
	while (!team->quit && team->result == 0 && team->next_kept < arena->n) {
		const struct lc_kept kept = arena->v[team->next_kept++];
		int r;

		pthread_mutex_unlock(&team->lock);
		r = write_kept(team->c, &kept);
		pthread_mutex_lock(&team->lock);
		if (r < 0)
			fail(team, r, LC_STAGE_OUTPUT, "cannot write");
		else if (lc_aborted(team->c->abort))
			fail(team, -EINTR, LC_STAGE_COPY, "interrupted");
	}
}

static void work(struct lc_team *team, struct worker *w)
{
	while (take(team, w)) {
		bool in_time;
		int r;

		pthread_mutex_unlock(&team->lock);
		r = lc_batch_read(w->batch, &team->memsrc, team->own_vdso, team->page_size);
		/* before the lock, for which it may have to wait until the target runs again */
		in_time = !atomic_load(&team->let_go);
		pthread_mutex_lock(&team->lock);
		if (w->state == WORKER_ABANDONED)
			return;
		if (accept_batch(team, w, r, in_time))
			write_and_note(team, w);
	}
	/* a stream's head goes out even if there is nothing behind it */
	if (team->c->prologue && !team->prologue_done && team->result == 0)
		write_and_note(team, w);
	if (team->c->arena)
		drain(team, w);
	w->state = WORKER_DONE;
}

static void *run_worker(void *arg)
{
	struct worker *w = arg;
	struct lc_team *team = w->team;

	pthread_mutex_lock(&team->lock);
	while (!team->go && !team->quit)
		pthread_cond_wait(&team->start, &team->lock);
	if (team->go)
		work(team, w);
	pthread_cond_signal(&team->changed);
	pthread_mutex_unlock(&team->lock);
	return NULL;
}

/* ---- the team ----------------------------------------------------------------------------- */

static int add_worker(struct lc_team *team)
{
	struct worker *w;

	if (team->n == MAX_TEAM)
		return -ENOMEM;
	w = &team->workers[team->n];
	*w = (struct worker){.team = team, .batch = lc_batch_new()};
	if (!w->batch)
		return -ENOMEM;
	if (pthread_create(&w->thread, NULL, run_worker, w) != 0) {
		lc_batch_free(w->batch);
		return -ENOMEM;
	}
	team->n++;
	return 0;
}

static bool has_two_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) > 1;
}

static void init_team(struct lc_team *team)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&team->lock, NULL);
	pthread_cond_init(&team->start, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&team->changed, &attr);
	pthread_condattr_destroy(&attr);
}

int lc_team_start(const struct elfw_sink *sink, uint64_t data_bytes, struct lc_team **ret_team)
{
	bool parallel = elfw_sink_can_seek(sink) && data_bytes > LC_BATCH_SIZE && has_two_cpus();
	size_t want = parallel ? MAX_WORKERS : 1;
	struct lc_team *team = calloc(1, sizeof(*team));

	if (!team)
		return -ENOMEM;
	init_team(team);
	team->memsrc.memfd = -1;
	/* one that cannot be had is done without */
	while (team->n < want && add_worker(team) == 0)
		;
	if (team->n == 0) {
		free(team);
		return -ENOMEM;
	}
	*ret_team = team;
	return 0;
}

/* Joins those that end. Returns true if one does not. */
static bool join_workers(struct lc_team *team)
{
	bool any_abandoned = false;

	for (size_t i = 0; i < team->n; i++) {
		struct worker *w = &team->workers[i];
		bool abandoned;

		pthread_mutex_lock(&team->lock);
		abandoned = w->state == WORKER_ABANDONED;
		pthread_mutex_unlock(&team->lock);
		if (abandoned) {
			pthread_detach(w->thread);
			any_abandoned = true;
			continue;
		}
		pthread_join(w->thread, NULL);
		lc_batch_free(w->batch);
	}
	return any_abandoned;
}

void lc_team_end(struct lc_team *team)
{
	if (!team)
		return;
	pthread_mutex_lock(&team->lock);
	team->quit = true;
	team->end = true;
	pthread_cond_broadcast(&team->start);
	pthread_mutex_unlock(&team->lock);
	if (join_workers(team))
		return; /* its memory is still somebody's */
	lc_memsrc_close(&team->memsrc);
	pthread_cond_destroy(&team->changed);
	pthread_cond_destroy(&team->start);
	pthread_mutex_destroy(&team->lock);
	free(team);
}

/* ---- the watch: by the thread that holds the target --------------------------------------- */

static bool any_in(const struct lc_team *team, enum worker_state state)
{
	for (size_t i = 0; i < team->n; i++)
		if (team->workers[i].state == state)
			return true;
	return false;
}

static bool all_written(const struct lc_team *team)
{
	for (size_t i = 0; i < team->n; i++)
		if (team->workers[i].state != WORKER_DONE &&
		    team->workers[i].state != WORKER_ABANDONED)
			return false;
	return true;
}

static void wait_tick(struct lc_team *team, uint64_t until_ns)
{
	uint64_t now = lc_now_ns(), tick = now + TICK_NS;
	struct timespec ts;

	tick = until_ns < tick ? until_ns : tick;
	ts.tv_sec = (time_t)(tick / 1000000000);
	ts.tv_nsec = (long)(tick % 1000000000);
	pthread_cond_timedwait(&team->changed, &team->lock, &ts);
}

/* Leaves behind who is caught in a read, with what it was to read, and puts another in its place.
 */
static void abandon_caught(struct lc_team *team)
{
	uint64_t now = lc_now_ns();

	for (size_t i = 0; i < team->n; i++) {
		struct worker *w = &team->workers[i];

		if (w->state != WORKER_READING || now - w->reading_since < READ_TIMEOUT_NS)
			continue;
		w->state = WORKER_ABANDONED;
		lose_batch(team, w->batch);
		if (!team->end && add_worker(team) < 0)
			team->end = true;
	}
}

/* Sees whether the target must be let go although not all of it was read. */
static void look(struct lc_team *team, struct lc_capture *c)
{
	int r = c->look ? c->look(c->look_arg) : 0;

	if (r < 0)
		fail(team, r, LC_STAGE_COPY, "the process ended during the dump");
	else if (r > 0 || lc_now_ns() >= c->deadline_ns)
		c->cut_short = true;
	else if (lc_now_ns() - team->moved_ns >= LC_STALL_S * UINT64_C(1000000000))
		c->cut_short = c->stalled = true;
}

/* What the walk had not come to. A gap in it is lost with the rest: the pages are not asked again,
 * because the target runs. */
static void lose_rest(struct lc_team *team)
{
	struct lc_pieces *walk = team->c->pieces;

	for (; lc_pieces_to_segment(walk); walk->segment++, walk->at = 0) {
		const struct elfw_segment *seg = &walk->plan->segments[walk->segment];
		uint64_t at = walk->at ? walk->at : seg->vaddr;

		if (lc_ranges_add(&team->c->unread, at, seg->vaddr + seg->filesz) < 0)
			fail(team, -ENOMEM, LC_STAGE_COPY, "out of memory");
	}
}

static bool is_reading(const struct lc_team *team)
{
	return !team->end || any_in(team, WORKER_READING);
}

static void watch_reading(struct lc_team *team, struct lc_capture *c)
{
	while (is_reading(team)) {
		wait_tick(team, c->deadline_ns);
		if (!is_reading(team))
			break;
		abandon_caught(team);
		look(team, c);
		if (lc_aborted(c->abort))
			fail(team, -EINTR, LC_STAGE_COPY, "interrupted");
		if (c->cut_short || team->result < 0)
			break;
	}
	team->end = true;
	atomic_store(&team->let_go, true);
}

static int report(struct lc_team *team, struct lc_err *err)
{
	if (team->result < 0)
		*err = team->err;
	return team->result;
}

/* While the target waits for what is kept in memory, it must not wait for a processor as well.
 * Without CAP_SYS_NICE it does. */
static void hurry(struct lc_team *team, int policy)
{
	const struct sched_param param = {.sched_priority = policy == SCHED_FIFO ? 1 : 0};

	for (size_t i = 0; i < team->n; i++)
		pthread_setschedparam(team->workers[i].thread, policy, &param);
}

int lc_team_read(struct lc_capture *capture, struct lc_team *team, struct lc_err *err)
{
	int r;

	pthread_mutex_lock(&team->lock);
	team->c = capture;
	team->memsrc = *capture->memsrc;
	team->memsrc.memfd = fcntl(capture->memsrc->memfd, F_DUPFD_CLOEXEC, 3);
	team->own_vdso = capture->pieces->own_vdso;
	team->page_size = capture->page_size;
	team->moved_ns = lc_now_ns();
	team->next_kept = 0;
	team->go = true;
	if (capture->arena)
		hurry(team, SCHED_FIFO);
	pthread_cond_broadcast(&team->start);
	watch_reading(team, capture);
	if (capture->arena)
		hurry(team, SCHED_OTHER);
	r = report(team, err);
	pthread_mutex_unlock(&team->lock);
	return r;
}

int lc_team_finish(struct lc_capture *capture, struct lc_team *team, struct lc_err *err)
{
	int r;

	pthread_mutex_lock(&team->lock);
	team->drain = true;
	pthread_cond_broadcast(&team->start);
	while (team->go && !all_written(team)) {
		wait_tick(team, UINT64_MAX);
		abandon_caught(team);
	}
	if (capture->cut_short)
		lose_rest(team);
	lc_ranges_sort(&capture->unread);
	r = report(team, err);
	pthread_mutex_unlock(&team->lock);
	return r;
}

void lc_capture_free(struct lc_capture *capture)
{
	lc_ranges_free(&capture->unread);
}
