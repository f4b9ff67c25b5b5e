/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reads and writes batches. A batch belongs to one thread at a time; nothing here takes a lock, so
 * a read that never returns holds up nobody else.
 */
#include "batch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "err.h"

/* ---- ranges ------------------------------------------------------------------------------- */

int lc_ranges_add(struct lc_ranges *ranges, uint64_t start, uint64_t end)
{
	struct lc_range *last = ranges->n ? &ranges->v[ranges->n - 1] : NULL;
	int r;

	if (start >= end)
		return 0;
	if (last && last->end == start) {
		last->end = end;
		return 0;
	}
	r = lc_grow((void **)&ranges->v, &ranges->cap, ranges->n, sizeof(*ranges->v));
	if (r < 0)
		return r;
	ranges->v[ranges->n++] = (struct lc_range){start, end};
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct lc_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

void lc_ranges_sort(struct lc_ranges *ranges)
{
	if (ranges->n)
		qsort(ranges->v, ranges->n, sizeof(*ranges->v), by_start);
}

void lc_ranges_merge(struct lc_ranges *ranges)
{
	size_t n = 0;

	lc_ranges_sort(ranges);
	for (size_t i = 0; i < ranges->n; i++) {
		const struct lc_range *r = &ranges->v[i];
		struct lc_range *last = n ? &ranges->v[n - 1] : NULL;

		if (!last || r->start > last->end)
			ranges->v[n++] = *r;
		else if (r->end > last->end)
			last->end = r->end;
	}
	ranges->n = n;
}

bool lc_ranges_have(const struct lc_ranges *ranges, uint64_t at, uint64_t *len)
{
	size_t low = 0, high = ranges->n;
	uint64_t until = UINT64_MAX;
	bool have = false;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (ranges->v[mid].end <= at)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < ranges->n) {
		have = ranges->v[low].start <= at;
		until = (have ? ranges->v[low].end : ranges->v[low].start) - at;
	}
	if (until < *len)
		*len = until;
	return have;
}

void lc_ranges_free(struct lc_ranges *ranges)
{
	free(ranges->v);
	*ranges = (struct lc_ranges){0};
}

/* ---- a batch ------------------------------------------------------------------------------ */

struct lc_batch *lc_batch_new(void)
{
	struct lc_batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return NULL;
	batch->own = mmap(NULL, LC_BATCH_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (batch->own == MAP_FAILED) {
		free(batch);
		return NULL;
	}
	batch->buf = batch->own;
	return batch;
}

static void close_files(struct lc_batch *batch)
{
	for (size_t i = 0; i < batch->n; i++)
		if (batch->pieces[i].via == LC_VIA_FILE)
			lc_close(&batch->pieces[i].fd);
}

void lc_batch_free(struct lc_batch *batch)
{
	if (!batch)
		return;
	close_files(batch);
	lc_ranges_free(&batch->unread);
	munmap(batch->own, LC_BATCH_SIZE);
	free(batch);
}

int lc_batch_take(struct lc_batch *batch, struct lc_pieces *walk)
{
	batch->n = 0;
	batch->len = 0;
	batch->unread.n = 0;
	batch->buf = batch->own;
	while (batch->n < LC_MEMSRC_MAX_RANGES && batch->len < LC_BATCH_SIZE) {
		struct lc_piece *piece = &batch->pieces[batch->n];
		const struct lc_pieces before = *walk;
		int r = lc_pieces_next(walk, LC_BATCH_SIZE - batch->len, piece);

		/* after an error, first what there is: it comes again */
		if (r < 0 && batch->n == 0)
			return r;
		if (r <= 0)
			break;
		/* whoever is caught in a read loses what is read with it */
		if (batch->n > 0 && piece->may_wait != batch->pieces[0].may_wait) {
			*walk = before;
			break;
		}
		/* the walk closes its own when it comes to another file */
		if (piece->via == LC_VIA_FILE)
			piece->fd = fcntl(piece->fd, F_DUPFD_CLOEXEC, 3);
		batch->len += piece->len;
		batch->n++;
	}
	return batch->n > 0;
}

/* ---- reading ------------------------------------------------------------------------------ */

/* A place in a batch: `skip` bytes into piece `i`, whose contents start at `at` in the buffer. */
struct cursor {
	struct lc_batch *batch;
	const struct lc_memsrc *src;
	uint64_t page_size;
	size_t i;
	uint64_t skip;
	uint64_t at;
};

static const struct lc_piece *piece_at(const struct cursor *cur)
{
	return &cur->batch->pieces[cur->i];
}

static uint8_t *target_of(const struct cursor *cur)
{
	return cur->batch->buf + cur->at + cur->skip;
}

static void advance(struct cursor *cur, uint64_t bytes)
{
	while (cur->i < cur->batch->n && bytes >= piece_at(cur)->len - cur->skip) {
		bytes -= piece_at(cur)->len - cur->skip;
		cur->at += piece_at(cur)->len;
		cur->skip = 0;
		cur->i++;
	}
	cur->skip += bytes;
}

/* As many ranges as one call takes, from the cursor on; mappings that touch are one range. */
static size_t gather(const struct cursor *cur, uint64_t *ret_len)
{
	struct lc_batch *b = cur->batch;
	uint64_t skip = cur->skip, end = 0;
	size_t n = 0;

	*ret_len = 0;
	for (size_t i = cur->i; i < b->n && b->pieces[i].via == LC_VIA_PROCESS; i++, skip = 0) {
		uint64_t addr = b->pieces[i].addr + skip, len = b->pieces[i].len - skip;

		if (n > 0 && addr == end)
			b->ranges[n - 1].iov_len += len;
		else
			b->ranges[n++] = (struct iovec){(void *)(uintptr_t)addr, len};
		end = addr + len;
		*ret_len += len;
	}
	return n;
}

/* Zeros in the buffer, to the end of the page or of the piece; nothing will cover them. */
static int lose(struct cursor *cur, uint64_t len)
{
	uint64_t addr = piece_at(cur)->addr + cur->skip;
	int r;

	memset(target_of(cur), 0, len);
	r = lc_ranges_add(&cur->batch->unread, addr & ~(cur->page_size - 1), addr + len);
	advance(cur, len);
	return r;
}

/* The page at the cursor could not be read: another way, or it is lost, alone. */
static int read_one_page(struct cursor *cur)
{
	const struct lc_piece *piece = piece_at(cur);
	uint64_t addr = piece->addr + cur->skip;
	uint64_t end = (addr | (cur->page_size - 1)) + 1;
	uint64_t len = (end < piece->addr + piece->len ? end : piece->addr + piece->len) - addr;
	ssize_t got = lc_memsrc_read_forced(cur->src, addr, len, target_of(cur));

	if (got < 0)
		return (int)got;
	if ((uint64_t)got < len)
		return lose(cur, len);
	advance(cur, len);
	return 0;
}

static int read_from_process(struct cursor *cur)
{
	uint64_t want;
	size_t n = gather(cur, &want);
	ssize_t got = lc_memsrc_read(cur->src, cur->batch->ranges, n, target_of(cur));

	if (got < 0)
		return (int)got;
	advance(cur, (uint64_t)got);
	return (uint64_t)got < want ? read_one_page(cur) : 0;
}

static int read_forced(struct cursor *cur)
{
	uint64_t want = piece_at(cur)->len - cur->skip;
	ssize_t got = lc_memsrc_read_forced(cur->src, piece_at(cur)->addr + cur->skip, want,
					    target_of(cur));

	if (got < 0)
		return (int)got;
	advance(cur, (uint64_t)got);
	return (uint64_t)got < want ? read_one_page(cur) : 0;
}

/* A file that became shorter meanwhile has lost what is missing. */
static int read_file(struct cursor *cur)
{
	const struct lc_piece *piece = piece_at(cur);
	uint64_t want = piece->len - cur->skip;
	ssize_t got = pread(piece->fd, target_of(cur), want, (off_t)(piece->file_off + cur->skip));

	if (got < 0 && errno == EINTR)
		return 0;
	if (got <= 0)
		return lose(cur, want);
	advance(cur, (uint64_t)got);
	return 0;
}

int lc_batch_read(struct lc_batch *batch, const struct lc_memsrc *src, const uint8_t *own_vdso,
		  uint64_t page_size)
{
	struct cursor cur = {.batch = batch, .src = src, .page_size = page_size};
	int r = 0;

	while (r == 0 && cur.i < batch->n) {
		const struct lc_piece *piece = piece_at(&cur);

		switch (piece->via) {
		case LC_VIA_PROCESS:
			r = read_from_process(&cur);
			break;
		case LC_VIA_FORCED:
			r = read_forced(&cur);
			break;
		case LC_VIA_FILE:
			r = read_file(&cur);
			break;
		case LC_VIA_NOTHING:
			r = lose(&cur, piece->len - cur.skip);
			break;
		case LC_VIA_OWN_VDSO:
			memcpy(target_of(&cur), own_vdso + piece->file_off, piece->len);
			advance(&cur, piece->len);
			break;
		}
	}
	close_files(batch);
	return r;
}

/* ---- writing ------------------------------------------------------------------------------ */

int lc_batch_keep(const struct lc_batch *batch, struct lc_arena *arena)
{
	uint64_t at = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < batch->n; i++) {
		r = lc_arena_keep(arena, batch->pieces[i].off, batch->pieces[i].len,
				  batch->buf + at);
		at += batch->pieces[i].len;
	}
	return r;
}

int lc_batch_write(const struct lc_batch *batch, struct elfw_sink *sink, bool again)
{
	uint64_t at = 0;

	for (size_t i = 0; i < batch->n;) {
		uint64_t off = batch->pieces[i].off, len = 0;
		int r;

		while (i < batch->n && batch->pieces[i].off == off + len)
			len += batch->pieces[i++].len;
		r = again ? elfw_sink_rewrite(sink, off, batch->buf + at, len)
			  : elfw_sink_write(sink, off, batch->buf + at, len, NULL);
		if (r < 0)
			return r;
		at += len;
	}
	return 0;
}
