/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Stop-and-copy. Batches of pieces are read into a buffer that stays in the processor's cache and
 * written from there. Where the output takes writes in any order, two threads do this at once, each
 * with a batch of its own.
 */
#include "capture.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "err.h"

/*
 * Measured for 1 GiB without a zero page, two processors, medians of 7, as a part of cp's time for
 * the resulting file (tmpfs / ext4): two threads of 1 MiB 0.51 / 0.68, of 256 KiB 0.49 / 0.75,
 * three threads 0.59 / 0.78, one thread 0.63 / 1.04, a reader and a writer with a ring 0.52 / 0.77,
 * io_uring 0.62 / 0.76, O_DIRECT - / 1.66, a mapping of the output over 1.1 / over 5. Allocating
 * the file before the freeze (fallocate) makes the freeze shorter on tmpfs, 0.19, in the same whole
 * time; it needs the final size before the freeze and holes punched after it, so half-empty memory
 * takes half as long again.
 */
#define BATCH_SIZE  (UINT64_C(1) << 20)
#define MAX_WORKERS 2
/* below it, starting a thread costs more than it saves */
#define PARALLEL_FROM (UINT64_C(8) << 20)

struct batch {
	uint8_t *buf; /* BATCH_SIZE bytes; the pieces' contents, one after the other */
	size_t n;
	uint64_t len;
	struct lc_piece pieces[LC_MEMSRC_MAX_RANGES];
	struct iovec ranges[LC_MEMSRC_MAX_RANGES];
};

struct lc_capture_buffers {
	struct batch batches[MAX_WORKERS];
	uint8_t *memory;
};

struct job {
	struct lc_capture *c;
	pthread_mutex_t lock; /* the walk, the list of unread ranges, the result */
	bool end;
	int result;
	struct lc_err *err;
};

struct worker {
	struct job *job;
	struct batch *batch;
};

int lc_capture_stop_prepare(struct lc_capture_buffers **ret_buffers)
{
	struct lc_capture_buffers *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	/* populated: a page fault in fresh memory costs more than copying the page */
	b->memory = mmap(NULL, MAX_WORKERS * BATCH_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (b->memory == MAP_FAILED) {
		free(b);
		return -ENOMEM;
	}
	for (size_t i = 0; i < MAX_WORKERS; i++)
		b->batches[i].buf = b->memory + i * BATCH_SIZE;
	*ret_buffers = b;
	return 0;
}

void lc_capture_buffers_free(struct lc_capture_buffers *buffers)
{
	if (!buffers)
		return;
	munmap(buffers->memory, MAX_WORKERS * BATCH_SIZE);
	free(buffers);
}

/* ---- the shared state: all of it under the lock ------------------------------------------- */

static int add_unread(struct lc_capture *c, uint64_t start, uint64_t end)
{
	struct lc_range *last = c->n_unread ? &c->unread[c->n_unread - 1] : NULL;

	if (last && last->end == start) {
		last->end = end;
		return 0;
	}
	if (lc_grow((void **)&c->unread, &c->cap_unread, c->n_unread, sizeof(*c->unread)) < 0)
		return -ENOMEM;
	c->unread[c->n_unread++] = (struct lc_range){start, end};
	return 0;
}

/* The first failure is the job's. */
static void fail(struct job *job, int r, enum lc_stage stage, const char *what)
{
	pthread_mutex_lock(&job->lock);
	if (job->result == 0) {
		job->result = r;
		lc_err_set(job->err, -r, stage, "%s", what);
	}
	job->end = true;
	pthread_mutex_unlock(&job->lock);
}

/* A file that became shorter gives zeros for what it lost, and that is said. */
static int read_file_piece(struct job *job, const struct lc_piece *piece, uint8_t *to)
{
	struct lc_capture *c = job->c;
	size_t done = 0;

	while (done < piece->len) {
		ssize_t n = pread(c->pieces->file->fd, to + done, piece->len - done,
				  (off_t)(piece->file_off + done));

		if (n < 0 && errno == EINTR && !lc_aborted(c->abort))
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done == piece->len)
		return 0;
	memset(to + done, 0, piece->len - done);
	return add_unread(c, (piece->addr + done) & ~(c->page_size - 1), piece->addr + piece->len);
}

/* Fills a batch with the next pieces. Files are read here: the walk holds them open. */
static bool take_batch(struct job *job, struct batch *b)
{
	int r = 0;

	b->n = 0;
	b->len = 0;
	pthread_mutex_lock(&job->lock);
	while (!job->end && b->n < LC_MEMSRC_MAX_RANGES && b->len < BATCH_SIZE) {
		struct lc_piece *piece = &b->pieces[b->n];

		r = lc_pieces_next(job->c->pieces, BATCH_SIZE - b->len, piece);
		if (r <= 0) {
			job->end = true;
			break;
		}
		if (piece->via == LC_VIA_FILE)
			r = read_file_piece(job, piece, b->buf + b->len);
		else if (piece->via == LC_VIA_OWN_VDSO)
			memcpy(b->buf + b->len, job->c->pieces->own_vdso + piece->file_off,
			       piece->len);
		if (r < 0)
			break;
		b->len += piece->len;
		b->n++;
	}
	pthread_mutex_unlock(&job->lock);
	if (r < 0)
		fail(job, r, LC_STAGE_COPY, "cannot tell which pages exist");
	return r >= 0 && b->n > 0;
}

/* ---- reading ------------------------------------------------------------------------------ */

/* A place in a batch: `skip` bytes into piece `i`, whose contents start at `at` in the buffer. */
struct cursor {
	size_t i;
	uint64_t skip;
	uint64_t at;
};

static void advance(const struct batch *b, struct cursor *cur, uint64_t bytes)
{
	while (cur->i < b->n && bytes >= b->pieces[cur->i].len - cur->skip) {
		bytes -= b->pieces[cur->i].len - cur->skip;
		cur->at += b->pieces[cur->i].len;
		cur->skip = 0;
		cur->i++;
	}
	cur->skip += bytes;
}

/* As many ranges as one call takes, from the cursor on. */
static size_t gather(struct batch *b, const struct cursor *cur, uint64_t *ret_len)
{
	uint64_t skip = cur->skip;
	size_t n = 0;

	*ret_len = 0;
	for (size_t i = cur->i; i < b->n && b->pieces[i].via == LC_VIA_PROCESS; i++, skip = 0) {
		const struct lc_piece *piece = &b->pieces[i];

		b->ranges[n++] =
			(struct iovec){(void *)(uintptr_t)(piece->addr + skip), piece->len - skip};
		*ret_len += piece->len - skip;
	}
	return n;
}

/* The page at the cursor could not be read: another way, or it is lost, alone. */
static int read_one_page(struct job *job, struct batch *b, struct cursor *cur)
{
	const struct lc_piece *piece = &b->pieces[cur->i];
	uint64_t addr = piece->addr + cur->skip;
	uint64_t end = (addr | (job->c->page_size - 1)) + 1;
	uint64_t len = (end < piece->addr + piece->len ? end : piece->addr + piece->len) - addr;
	uint8_t *to = b->buf + cur->at + cur->skip;
	ssize_t got = lc_memsrc_read_forced(job->c->memsrc, addr, len, to);
	int r = 0;

	if (got < 0)
		return (int)got;
	if ((uint64_t)got < len) {
		memset(to, 0, len);
		pthread_mutex_lock(&job->lock);
		r = add_unread(job->c, addr & ~(job->c->page_size - 1), addr + len);
		pthread_mutex_unlock(&job->lock);
	}
	advance(b, cur, len);
	return r;
}

static int read_from_process(struct job *job, struct batch *b, struct cursor *cur)
{
	uint64_t want;
	size_t n = gather(b, cur, &want);
	ssize_t got = lc_memsrc_read(job->c->memsrc, b->ranges, n, b->buf + cur->at + cur->skip);

	if (got < 0)
		return (int)got;
	advance(b, cur, (uint64_t)got);
	return (uint64_t)got < want ? read_one_page(job, b, cur) : 0;
}

static int read_forced(struct job *job, struct batch *b, struct cursor *cur)
{
	const struct lc_piece *piece = &b->pieces[cur->i];
	uint64_t want = piece->len - cur->skip;
	ssize_t got = lc_memsrc_read_forced(job->c->memsrc, piece->addr + cur->skip, want,
					    b->buf + cur->at + cur->skip);

	if (got < 0)
		return (int)got;
	advance(b, cur, (uint64_t)got);
	return (uint64_t)got < want ? read_one_page(job, b, cur) : 0;
}

static int read_batch(struct job *job, struct batch *b)
{
	struct cursor cur = {0};
	int r = 0;

	while (r == 0 && cur.i < b->n) {
		switch (b->pieces[cur.i].via) {
		case LC_VIA_PROCESS:
			r = read_from_process(job, b, &cur);
			break;
		case LC_VIA_FORCED:
			r = read_forced(job, b, &cur);
			break;
		case LC_VIA_FILE:
		case LC_VIA_OWN_VDSO: /* is there already */
			advance(b, &cur, b->pieces[cur.i].len - cur.skip);
			break;
		}
	}
	return r;
}

/* ---- writing ------------------------------------------------------------------------------ */

static int write_all(struct lc_capture *c, uint64_t off, const uint8_t *data, uint64_t len)
{
	while (len > 0) {
		size_t done = 0;
		int r = elfw_sink_write(c->sink, off, data, len, &done);

		if (r < 0 && (r != -EINTR || lc_aborted(c->abort)))
			return r;
		off += done;
		data += done;
		len -= done;
		if (r == 0)
			break;
	}
	return 0;
}

/* Pieces that follow one another in the core are one write. */
static int write_batch(struct lc_capture *c, const struct batch *b)
{
	uint64_t at = 0;

	for (size_t i = 0; i < b->n;) {
		uint64_t off = b->pieces[i].off, len = 0;
		int r;

		while (i < b->n && b->pieces[i].off == off + len)
			len += b->pieces[i++].len;
		r = write_all(c, off, b->buf + at, len);
		if (r < 0)
			return r;
		at += len;
	}
	return 0;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct lc_capture *c = w->job->c;

	while (take_batch(w->job, w->batch)) {
		int r = read_batch(w->job, w->batch);

		if (r < 0) {
			fail(w->job, r, LC_STAGE_COPY,
			     r == -ESRCH ? "the process ended during the dump" : "out of memory");
			break;
		}
		r = write_batch(c, w->batch);
		if (r < 0) {
			fail(w->job, r, LC_STAGE_OUTPUT, "cannot write");
			break;
		}
		if (lc_aborted(c->abort)) {
			fail(w->job, -EINTR, LC_STAGE_COPY, "interrupted");
			break;
		}
		atomic_fetch_add_explicit(c->done, w->batch->len, memory_order_relaxed);
	}
	return NULL;
}

static bool has_two_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) > 1;
}

static int by_start(const void *a, const void *b)
{
	const struct lc_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

int lc_capture_stop(struct lc_capture *capture, struct lc_capture_buffers *buffers,
		    struct lc_err *err)
{
	struct job job = {.c = capture, .err = err, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct worker workers[MAX_WORKERS];
	pthread_t threads[MAX_WORKERS];
	bool parallel = elfw_sink_can_seek(capture->sink) && capture->total >= PARALLEL_FROM &&
			has_two_cpus();
	size_t n = 1;

	for (size_t i = 0; i < MAX_WORKERS; i++)
		workers[i] = (struct worker){.job = &job, .batch = &buffers->batches[i]};
	/* one that cannot be had is done without */
	while (parallel && n < MAX_WORKERS &&
	       pthread_create(&threads[n], NULL, work, &workers[n]) == 0)
		n++;
	work(&workers[0]);
	for (size_t i = 1; i < n; i++)
		pthread_join(threads[i], NULL);
	if (capture->n_unread)
		qsort(capture->unread, capture->n_unread, sizeof(*capture->unread), by_start);
	return job.result;
}

void lc_capture_free(struct lc_capture *capture)
{
	free(capture->unread);
	capture->unread = NULL;
	capture->n_unread = 0;
	capture->cap_unread = 0;
}
