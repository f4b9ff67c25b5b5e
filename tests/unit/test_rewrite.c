/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing over what was written, and taking it back. */
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "../../elfw/sink_impl.h"
#include "inject.h"
#include "outputs.h"

static void forget_injected(void)
{
	punches = writes = zero_writes = reads = (struct injected){0};
}

/* A file of `n` blocks that are full of their number plus one. */
static struct elfw_sink *open_filled(size_t n, uint8_t *model)
{
	struct elfw_sink *sink;

	for (size_t i = 0; i < n; i++)
		memset(model + i * BLOCK, (int)i + 1, BLOCK);
	need(elfw_sink_open_file("new", 0, &sink) == 0);
	need(elfw_sink_write(sink, 0, model, n * BLOCK, NULL) == 0);
	forget_injected();
	return sink;
}

/* The core is `model`, from `base` of the file on to its end. */
static void is_file(int fd, uint64_t base, const uint8_t *model, size_t size, const char *what)
{
	uint8_t *back = malloc(size + 1);
	struct stat st;
	size_t at = 0;
	ssize_t n;

	need(back && fstat(fd, &st) == 0);
	is(st.st_size, base + size, "its size");
	while (at < size && (n = pread(fd, back + at, size - at, (off_t)(base + at))) > 0)
		at += (size_t)n;
	is(at, size, "it can be read");
	is_mem(back, model, size, what);
	free(back);
}

static void finish_is(struct elfw_sink *sink, const uint8_t *model, size_t size, const char *what)
{
	is(elfw_sink_finish(sink, size), 0, "finish");
	is_file(elfw_sink_fd(sink), 0, model, size, what);
	elfw_sink_close(sink);
}

/* ---- what becomes of zeros ----------------------------------------------------------------- */

static void test_zeros_over_data(void)
{
	static const bool zero[8] = {0, 0, 1, 1, 1, 0, 1, 0};
	uint8_t model[8 * BLOCK];
	struct elfw_sink *sink = open_filled(8, model);
	uint64_t before = elfw_sink_disk_bytes(sink);
	int fd = elfw_sink_fd(sink);

	for (size_t i = 0; i < 8; i++)
		memset(model + i * BLOCK, zero[i] ? 0 : (int)i + 50, BLOCK);
	is(elfw_sink_rewrite(sink, 0, model, sizeof(model)), 0, "rewrite with zero pages");
	is(punches.n_calls, 2, "one call for each run of zeros");
	is(writes.n_calls, 3, "one call for each run of others");
	is(zero_writes.n_calls, 0, "no zeros were written");
	if (is_hole(fd, 2 * BLOCK)) {
		for (size_t i = 0; i < 8; i++)
			is(is_hole(fd, (off_t)(i * BLOCK)), zero[i], "a hole where zero");
		is(before - elfw_sink_disk_bytes(sink), 4 * BLOCK, "the blocks were given back");
	} else {
		tap_skip("a file system without holes");
	}
	is(elfw_sink_rewrite(sink, 2 * BLOCK, "x", 1), 0, "into a hole again");
	model[2 * BLOCK] = 'x';
	finish_is(sink, model, sizeof(model), "the new contents");
}

/* Parts of blocks are written, zero or not. */
static void test_part_of_block(void)
{
	uint8_t model[3 * BLOCK];
	struct elfw_sink *sink = open_filled(3, model);

	memset(model + 100, 0, 2 * BLOCK);
	is(elfw_sink_rewrite(sink, 100, model + 100, 2 * BLOCK), 0, "zeros from within a block on");
	is(punches.n_calls, 1, "the whole block between is a hole");
	is(writes.n_calls, 2, "the parts are written");
	finish_is(sink, model, sizeof(model), "zeros, and nothing but");
}

static void test_beyond_end(void)
{
	uint8_t model[6 * BLOCK] = {0};
	struct elfw_sink *sink = open_filled(2, model);

	is(elfw_sink_rewrite(sink, 2 * BLOCK, model + 2 * BLOCK, 4 * BLOCK), 0,
	   "zeros behind everything");
	is(elfw_sink_clear(sink, 2 * BLOCK, 4 * BLOCK), 0, "clear behind everything");
	is(elfw_sink_clear(sink, UINT64_MAX - 5, 5), 0, "where no file can be");
	is(punches.n_calls + writes.n_calls + zero_writes.n_calls, 0, "cost nothing");
	memset(model + BLOCK, 0, BLOCK);
	is(elfw_sink_rewrite(sink, BLOCK, model + BLOCK, 5 * BLOCK), 0, "zeros across the end");
	is(punches.n_calls, 1, "cost one call");
	is(elfw_sink_write(sink, 5 * BLOCK, "x", 1, NULL), 0, "the end is farther now");
	model[5 * BLOCK] = 0;
	is(elfw_sink_rewrite(sink, 4 * BLOCK, model + 4 * BLOCK, 2 * BLOCK), 0, "zeros up to it");
	is(punches.n_calls, 2, "cost one call");
	finish_is(sink, model, sizeof(model), "everything is as it was written last");
}

/* ---- clear --------------------------------------------------------------------------------- */

static void clear_is(uint64_t off, uint64_t len, const char *what)
{
	uint8_t model[6 * BLOCK + 300];
	struct elfw_sink *sink = open_filled(6, model);
	uint64_t n = len < sizeof(model) - off ? len : sizeof(model) - off;

	memset(model + 6 * BLOCK, 9, 300);
	need(elfw_sink_write(sink, 6 * BLOCK, model + 6 * BLOCK, 300, NULL) == 0);
	memset(model + off, 0, n);
	is(elfw_sink_clear(sink, off, len), 0, what);
	for (uint64_t i = (off + BLOCK - 1) / BLOCK; (i + 1) * BLOCK <= off + n; i++)
		ok(is_hole(elfw_sink_fd(sink), (off_t)(i * BLOCK)), "a hole");
	finish_is(sink, model, sizeof(model), what);
}

static void test_clear(void)
{
	clear_is(BLOCK, 2 * BLOCK, "clear blocks");
	clear_is(BLOCK + 5, 20, "clear within a block");
	clear_is(BLOCK - 5, 10, "clear across blocks, none of them whole");
	clear_is(BLOCK - 5, 3 * BLOCK + 10, "clear blocks and parts of two");
	clear_is(0, 6 * BLOCK + 300, "clear everything");
	clear_is(5 * BLOCK, BLOCK + 299, "clear up to the last byte");
	clear_is(5 * BLOCK + 1, UINT64_MAX, "clear to the end of all numbers");
	clear_is(3 * BLOCK, 0, "clear nothing");
}

static void test_clear_last_block(void)
{
	uint8_t model[2 * BLOCK] = {0};
	struct elfw_sink *sink = open_filled(1, model);
	uint64_t before = elfw_sink_disk_bytes(sink);

	need(elfw_sink_write(sink, BLOCK, "x", 1, NULL) == 0);
	is(elfw_sink_clear(sink, BLOCK, BLOCK), 0, "clear a block that was written in part");
	is(elfw_sink_disk_bytes(sink), before, "it is given back as a whole");
	is(punches.n_calls, 1, "in one call");
	finish_is(sink, model, sizeof(model), "and reads as zero");
}

/* What a caller's file holds goes with the first write, and not before. */
static void test_clear_first(void)
{
	int fd = open("passed", O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct elfw_sink *sink;

	need(fd >= 0 && write(fd, "0123456789", 10) == 10 && lseek(fd, 4, SEEK_SET) == 4);
	need(elfw_sink_open_fd(fd, &sink) == 0);
	is(elfw_sink_clear(sink, 0, BLOCK), 0, "clear before anything was written");
	is_file(fd, 0, (const uint8_t *)"0123456789", 10, "touches nothing");
	is(elfw_sink_rewrite(sink, 2, "x", 1), 0, "rewrite where nothing was written");
	is(elfw_sink_clear(sink, UINT64_MAX - 3, 3), 0, "clear where no file can be");
	is_file(fd, 0, (const uint8_t *)"0123\0\0x", 7, "is a write");
	elfw_sink_close(sink);
	is_file(fd, 0, (const uint8_t *)"0123", 4, "and abandoned as one");
	close(fd);
	unlink("passed");
}

/* ---- what the output does not do ----------------------------------------------------------- */

static void test_cannot_seek(void)
{
	struct elfw_sink *sink;
	int fds[2];

	need(pipe(fds) == 0 && elfw_sink_open_fd(fds[1], &sink) == 0);
	is(elfw_sink_rewrite(sink, 0, "x", 1), -ESPIPE, "rewrite into a pipe");
	is(elfw_sink_clear(sink, 0, 1), -ESPIPE, "clear in a pipe");
	ok(!elfw_sink_failed_call(sink), "is no error of the output");
	is(elfw_sink_write(sink, 0, "x", 1, NULL), 0, "which goes on");
	elfw_sink_close(sink);
	close(fds[0]);
	close(fds[1]);
}

static void test_no_punch(void)
{
	uint8_t model[8 * BLOCK + 10];
	struct elfw_sink *sink = open_filled(8, model);

	memset(model + 8 * BLOCK, 9, 10);
	need(elfw_sink_write(sink, 8 * BLOCK, model + 8 * BLOCK, 10, NULL) == 0);
	punches = (struct injected){.error = EOPNOTSUPP, .n_bad = 100};
	memset(model + BLOCK, 0, 2 * BLOCK);
	is(elfw_sink_rewrite(sink, BLOCK, model + BLOCK, 2 * BLOCK), 0, "without punching");
	is(zero_writes.n_calls, 1, "zeros are written");
	memset(model + 5 * BLOCK - 7, 0, 2 * BLOCK + 7);
	is(elfw_sink_clear(sink, 5 * BLOCK - 7, 2 * BLOCK + 7), 0, "clear too");
	is(zero_writes.n_calls, 2, "in one call");
	is(punches.n_calls, 1, "it was tried once");
	memset(model + 8 * BLOCK + 2, 0, 8);
	is(elfw_sink_clear(sink, 8 * BLOCK + 2, 100 * BLOCK), 0, "clear beyond the end");
	is_file(elfw_sink_fd(sink), 0, model, sizeof(model), "the file did not grow by it");
	ok(!elfw_sink_failed_call(sink), "no error");
	finish_is(sink, model, sizeof(model), "the new contents");
}

/* Megabytes of zeros, and calls that take only a part of them. */
static void test_many_zeros(void)
{
	size_t size = 3 * MIB + 5;
	uint8_t *model = malloc(size);
	struct elfw_sink *sink;

	need(model && elfw_sink_open_file("new", 0, &sink) == 0);
	memset(model, 7, size);
	need(elfw_sink_write(sink, 0, model, size, NULL) == 0);
	forget_injected();
	punches = (struct injected){.error = ENOSYS, .n_bad = 1};
	memset(model + 1, 0, size - 2);
	is(elfw_sink_clear(sink, 1, size - 2), 0, "clear megabytes without punching");
	is(zero_writes.n_calls, 4, "a megabyte a call");
	is_file(elfw_sink_fd(sink), 0, model, size, "every byte");
	need(elfw_sink_write(sink, 0, memset(model, 7, 3 * BLOCK), 3 * BLOCK, NULL) == 0);
	zero_writes = (struct injected){.most = 1000};
	memset(model, 0, 3 * BLOCK);
	is(elfw_sink_rewrite(sink, 0, model, 3 * BLOCK), 0, "zeros, taken in parts");
	is(zero_writes.n_calls, 13, "of a thousand");
	writes = (struct injected){.most = 1000};
	memset(model, 5, 3 * BLOCK);
	is(elfw_sink_rewrite(sink, 0, model, 3 * BLOCK), 0, "data, taken in parts");
	is(writes.n_calls, 13, "of a thousand");
	finish_is(sink, model, size, "every byte");
	free(model);
}

/* A full file system may have no block for the record of a hole. */
static void test_no_space_to_punch(void)
{
	uint8_t model[4 * BLOCK];
	struct elfw_sink *sink = open_filled(4, model);

	punches = (struct injected){.error = ENOSPC, .n_bad = 1};
	memset(model, 0, BLOCK);
	is(elfw_sink_clear(sink, 0, BLOCK), 0, "no space for a hole");
	is(zero_writes.n_calls, 1, "zeros are written");
	memset(model + 2 * BLOCK, 0, BLOCK);
	is(elfw_sink_clear(sink, 2 * BLOCK, BLOCK), 0, "the next one");
	is(zero_writes.n_calls, 1, "is a hole again");
	ok(!elfw_sink_failed_call(sink), "no error");
	finish_is(sink, model, sizeof(model), "the new contents");
}

/* ---- errors -------------------------------------------------------------------------------- */

static void is_kept(struct elfw_sink *sink, int code)
{
	is_str(elfw_sink_failed_call(sink), "write", "the call that failed");
	is(elfw_sink_write(sink, 0, "x", 1, NULL), code, "kept for write");
	is(elfw_sink_rewrite(sink, 0, "x", 1), code, "kept for rewrite");
	is(elfw_sink_clear(sink, 0, 1), code, "kept for clear");
	is(elfw_sink_finish(sink, 1), code, "kept for finish");
	is(elfw_sink_commit(sink), code, "kept for commit");
	elfw_sink_close(sink);
	is(count_entries("."), 0, "nothing is left");
}

static void test_errors(void)
{
	uint8_t model[4 * BLOCK];
	struct elfw_sink *sink = open_filled(4, model);

	punches = (struct injected){.error = EOPNOTSUPP, .n_bad = 1};
	zero_writes = (struct injected){.error = ENOSPC, .n_bad = 1};
	is(elfw_sink_clear(sink, 0, BLOCK), -ENOSPC, "clear: neither punch nor write");
	is_kept(sink, -ENOSPC);
	sink = open_filled(4, model);
	punches = (struct injected){.error = EIO, .n_bad = 1};
	zero_writes = (struct injected){.error = EDQUOT, .n_bad = 1};
	memset(model, 0, BLOCK);
	is(elfw_sink_rewrite(sink, 0, model, BLOCK), -EDQUOT, "rewrite: neither punch nor write");
	is_kept(sink, -EDQUOT);
	sink = open_filled(4, model);
	writes = (struct injected){.error = EIO, .n_bad = 1};
	is(elfw_sink_rewrite(sink, 0, model, BLOCK), -EIO, "rewrite: data");
	is_kept(sink, -EIO);
	is(elfw_sink_open_file("new", 0, &sink), 0, "a new one");
	is(elfw_sink_rewrite(sink, INT64_MAX, "x", 1), -EFBIG, "beyond what a file can be");
	is_kept(sink, -EFBIG);
}

static void test_file_size_limit(void)
{
	uint8_t model[6 * BLOCK];
	struct elfw_sink *sink = open_filled(4, model);
	struct rlimit old, limit;

	need(getrlimit(RLIMIT_FSIZE, &old) == 0);
	limit = (struct rlimit){4 * BLOCK, old.rlim_max};
	need(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	memset(model + BLOCK, 0, 5 * BLOCK);
	is(elfw_sink_rewrite(sink, BLOCK, model + BLOCK, 5 * BLOCK), 0, "zeros over the limit");
	punches = (struct injected){.error = EOPNOTSUPP, .n_bad = 1};
	memset(model, 0, BLOCK);
	is(elfw_sink_clear(sink, 0, 6 * BLOCK), 0, "clear over the limit, without punching");
	memset(model, 1, sizeof(model));
	is(elfw_sink_rewrite(sink, 0, model, sizeof(model)), -EFBIG, "data over the limit");
	need(setrlimit(RLIMIT_FSIZE, &old) == 0);
	is_file(elfw_sink_fd(sink), 0, model, 4 * BLOCK, "what there was room for is there");
	is_kept(sink, -EFBIG);
}

/* Refused by the kernel itself. */
static void test_sealed(void)
{
	int fd = memfd_create("core", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct elfw_sink *sink;

	need(fd >= 0 && elfw_sink_open_fd(fd, &sink) == 0);
	need(elfw_sink_write(sink, 0, "x", 1, NULL) == 0);
	need(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0);
	is(elfw_sink_clear(sink, 0, 1), -EPERM, "a file that is sealed");
	is_kept(sink, -EPERM);
	close(fd);
}

/* ---- signals ------------------------------------------------------------------------------- */

static unsigned int n_asked;

static bool gives_up(void *arg)
{
	n_asked++;
	return *(bool *)arg;
}

/* Clears and rewrites with zeros; the first calls of `call` are interrupted. */
static void interrupt(struct injected *call, unsigned int after, const char *what)
{
	const struct injected bad = {.error = EINTR, .n_bad = 1, .after = after, .most = 1000};
	uint8_t model[4 * BLOCK];
	struct elfw_sink *sink = open_filled(4, model);
	bool stop = false;

	printf("# %s\n", what);
	if (call == &zero_writes)
		punches = (struct injected){.error = EOPNOTSUPP, .n_bad = 1};
	*call = bad;
	is(elfw_sink_clear(sink, 0, BLOCK), -EINTR, "clear is interrupted");
	is(elfw_sink_clear(sink, 0, BLOCK), 0, "and can be repeated");
	is_file(elfw_sink_fd(sink), 0, memset(model, 0, BLOCK), sizeof(model), "no more, no less");
	*call = bad;
	is(elfw_sink_rewrite(sink, BLOCK, model, BLOCK), -EINTR, "rewrite is interrupted");
	is(elfw_sink_rewrite(sink, BLOCK, model, BLOCK), 0, "and can be repeated");
	memset(model + BLOCK, 0, BLOCK);
	is_file(elfw_sink_fd(sink), 0, model, sizeof(model), "both did all");

	need(elfw_sink_write(sink, 0, memset(model, 1, 2 * BLOCK), 2 * BLOCK, NULL) == 0);
	n_asked = 0;
	elfw_sink_on_interrupt(sink, gives_up, &stop);
	*call = bad;
	is(elfw_sink_clear(sink, 0, BLOCK), 0, "clear goes on if it may");
	is_file(elfw_sink_fd(sink), 0, memset(model, 0, BLOCK), sizeof(model), "no more, no less");
	*call = bad;
	is(elfw_sink_rewrite(sink, BLOCK, model, BLOCK), 0, "rewrite goes on if it may");
	memset(model + BLOCK, 0, BLOCK);
	is(n_asked, 2, "after having asked");
	is_file(elfw_sink_fd(sink), 0, model, sizeof(model), "both did all");
	stop = true;
	need(elfw_sink_write(sink, 0, memset(model, 1, 2 * BLOCK), 2 * BLOCK, NULL) == 0);
	*call = bad;
	is(elfw_sink_clear(sink, 0, BLOCK), -EINTR, "clear gives up if it must");
	memset(model, 0, 2 * BLOCK);
	*call = bad;
	is(elfw_sink_rewrite(sink, 0, model, BLOCK), -EINTR, "rewrite gives up if it must");
	is(n_asked, 4, "after having asked");
	ok(!elfw_sink_failed_call(sink), "which is no error");
	elfw_sink_close(sink);
	forget_injected();
}

/* ---- any order ----------------------------------------------------------------------------- */

#define MODEL_SIZE (64 * BLOCK)

static uint64_t random_state;

/* xorshift64: the same numbers in every run. */
static uint64_t random_below(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

/* Pages and parts of them, more often whole ones; near each other, so that they meet. */
static void random_range(uint64_t limit, uint64_t *ret_off, uint64_t *ret_len)
{
	uint64_t off = random_below(limit), len = 1 + random_below(8 * BLOCK);

	if (random_below(2))
		off = off / BLOCK * BLOCK;
	if (random_below(2))
		len = (len + BLOCK - 1) / BLOCK * BLOCK;
	*ret_off = off;
	*ret_len = len < limit - off ? len : limit - off;
}

/* Some pages of it are zero, and some begin with a zero. */
static void random_data(uint8_t *data, uint64_t len)
{
	for (uint64_t at = 0; at < len; at += BLOCK) {
		uint64_t n = len - at < BLOCK ? len - at : BLOCK;

		memset(data + at, random_below(2) ? 0 : 1 + (int)random_below(255), n);
		if (random_below(4) == 0)
			data[at + random_below(n)] ^= 1;
	}
}

static void model_step(struct elfw_sink *sink, uint8_t *model, uint64_t *written)
{
	static uint8_t data[8 * BLOCK];
	uint64_t off, len;
	int r;

	random_range(MODEL_SIZE, &off, &len);
	random_data(data, len);
	switch (random_below(4)) {
	case 0:
		r = elfw_sink_clear(sink, off, len);
		memset(model + off, 0, len);
		break;
	case 1: /* as a first pass does: where nothing was written before */
		off = *written;
		len = len < MODEL_SIZE - off ? len : MODEL_SIZE - off;
		r = elfw_sink_write(sink, off, data, len, NULL);
		memcpy(model + off, data, len);
		*written = off + len;
		break;
	default:
		off = off < *written ? off : *written;
		len = len < MODEL_SIZE - off ? len : MODEL_SIZE - off;
		r = elfw_sink_rewrite(sink, off, data, len);
		memcpy(model + off, data, len);
		if (*written < off + len)
			*written = off + len;
	}
	need(r == 0);
}

/* So many random steps, the file compared with the model on the way and at the end. */
static void run_model(struct elfw_sink *sink, int fd, uint64_t base, uint8_t *model, bool at_end)
{
	uint64_t written = 0;
	uint8_t *back = calloc(1, MODEL_SIZE);
	unsigned int n_bad = 0;

	need(back);
	memset(model, 0, MODEL_SIZE);
	for (int i = 0; i < 400; i++) {
		model_step(sink, model, &written);
		if (at_end || i % 20)
			continue;
		memset(back, 0, MODEL_SIZE);
		need(pread(fd, back, MODEL_SIZE, (off_t)base) >= 0);
		n_bad += memcmp(back, model, MODEL_SIZE) != 0;
	}
	is(n_bad, 0, "the file is the model after every step");
	is(elfw_sink_finish(sink, MODEL_SIZE), 0, "finish");
	free(back);
}

static void model_file(unsigned int flags)
{
	uint8_t *model = malloc(MODEL_SIZE);
	struct elfw_sink *sink;

	need(model && elfw_sink_open_file("new", flags, &sink) == 0);
	run_model(sink, elfw_sink_fd(sink), 0, model, false);
	is_file(elfw_sink_fd(sink), 0, model, MODEL_SIZE, "a new file is the model");
	elfw_sink_close(sink);
	free(model);
}

static void model_passed(uint64_t base)
{
	int fd = open("passed", O_RDWR | O_CREAT | O_TRUNC, 0600);
	uint8_t *model = malloc(MODEL_SIZE);
	struct elfw_sink *sink;

	need(model && fd >= 0);
	memset(model, 0xee, MODEL_SIZE);
	need(write(fd, model, MODEL_SIZE) == MODEL_SIZE);
	need(lseek(fd, (off_t)base, SEEK_SET) == (off_t)base);
	need(elfw_sink_open_fd(fd, &sink) == 0);
	run_model(sink, fd, base, model, false);
	is_file(fd, base, model, MODEL_SIZE, "a caller's file is the model");
	need(pread(fd, model, base, 0) == (ssize_t)base);
	for (uint64_t i = 0; i < base; i++)
		if (model[i] != 0xee)
			ok(false, "a byte before the core");
	elfw_sink_close(sink);
	close(fd);
	unlink("passed");
	free(model);
}

/* The contents of a spool's file are what a file would be; what it ends in is too. */
static void model_spool(unsigned int flags, bool to_pipe)
{
	uint8_t *model = malloc(MODEL_SIZE);
	struct elfw_sink *sink, *to;
	struct reader reader = {.fd = -1};
	int fds[2] = {-1, -1};

	need(model);
	if (to_pipe) {
		need(pipe(fds) == 0 && elfw_sink_open_fd(fds[1], &to) == 0);
		reader_start(&reader, fds[0], MODEL_SIZE + 1);
	} else {
		need(elfw_sink_open_file("new", 0, &to) == 0);
	}
	need(elfw_sink_spool_new(to, ".", flags, &sink) == 0);
	run_model(sink, elfw_sink_fd(sink), 0, model, false);
	elfw_sink_close(sink);
	if (!to_pipe)
		is_file(elfw_sink_fd(to), 0, model, MODEL_SIZE, "a spooled file is the model");
	elfw_sink_close(to);
	if (to_pipe) {
		close(fds[1]);
		reader_join(&reader);
		is(reader.len, MODEL_SIZE, "every byte arrived");
		is_mem(reader.data, model, MODEL_SIZE, "a spooled pipe is the model");
		free(reader.data);
	}
	free(model);
}

static void test_models(const char *what)
{
	static const uint64_t bases[] = {0, 1, 100, BLOCK, 3 * BLOCK + 1234, MODEL_SIZE + 77};

	printf("# any order: %s\n", what);
	random_state = 0x9e3779b97f4a7c15;
	model_file(0);
	model_file(ELFW_SINK_NO_TMPFILE);
	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]) && bases[i] <= MODEL_SIZE; i++)
		model_passed(bases[i]);
	model_spool(0, true);
	model_spool(ELFW_SINK_NO_TMPFILE, false);
}

static void test_models_injected(void)
{
	writes.most = zero_writes.most = 777;
	test_models("calls that take a part");
	forget_injected();
	punches = (struct injected){.error = EOPNOTSUPP, .n_bad = UINT32_MAX};
	test_models("a file system without holes");
	zero_writes.most = 777;
	test_models("both");
	forget_injected();
}

/* ---- several threads ----------------------------------------------------------------------- */

#define N_WORKERS 4

/* Each has its own pieces of one file, next to those of the others, none of them a block. */
#define PIECE    1500
#define N_PIECES 64

struct worker {
	pthread_t thread;
	struct elfw_sink *sink;
	unsigned int number;
	int r;
};

static int work_piece(struct elfw_sink *sink, unsigned int i, unsigned int pass)
{
	uint8_t data[PIECE];

	if ((i + pass) % 5 == 0)
		return elfw_sink_clear(sink, (uint64_t)i * PIECE, PIECE);
	memset(data, (i + pass) % 7 ? (int)(i * 3 + pass) : 0, sizeof(data));
	return elfw_sink_rewrite(sink, (uint64_t)i * PIECE, data, sizeof(data));
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;

	for (unsigned int pass = 0; pass < 30; pass++)
		for (unsigned int i = worker->number; i < N_PIECES && worker->r == 0;
		     i += N_WORKERS)
			worker->r = work_piece(worker->sink, i, pass);
	return NULL;
}

static void test_threads(void)
{
	struct worker workers[N_WORKERS];
	uint8_t *model = calloc(N_PIECES, PIECE);
	struct elfw_sink *sink;

	need(model && elfw_sink_open_file("new", 0, &sink) == 0);
	for (unsigned int i = 0; i < N_WORKERS; i++) {
		workers[i] = (struct worker){.sink = sink, .number = i};
		need(!pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]));
	}
	for (unsigned int i = 0; i < N_WORKERS; i++) {
		need(!pthread_join(workers[i].thread, NULL));
		is(workers[i].r, 0, "one of several threads");
	}
	for (unsigned int i = 0; i < N_PIECES; i++)
		if ((i + 29) % 5 && (i + 29) % 7)
			memset(model + (size_t)i * PIECE, (int)(i * 3 + 29), PIECE);
	finish_is(sink, model, (size_t)N_PIECES * PIECE, "everybody's bytes are in their place");
	free(model);
}

/* ---- other file systems -------------------------------------------------------------------- */

static void test_small(void)
{
	uint8_t *model = malloc(MIB);
	struct elfw_sink *sink;

	need(model && elfw_sink_open_file("new", 0, &sink) == 0);
	memset(model, 1, MIB);
	is(elfw_sink_write(sink, 0, model, 128 * 1024, NULL), 0, "half of what there is");
	is(elfw_sink_rewrite(sink, 0, model, 128 * 1024), 0, "again, in the same place");
	is(elfw_sink_clear(sink, 0, 128 * 1024), 0, "taken back");
	is(elfw_sink_rewrite(sink, 512 * 1024, model, 200 * 1024), 0, "and used elsewhere");
	is(elfw_sink_rewrite(sink, 0, model, 128 * 1024), -ENOSPC, "until it is full");
	is_kept(sink, -ENOSPC);
	free(model);
}

/* ramfs takes no blocks back; a tmpfs can be small. */
static void test_mounts(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		tap_skip("other file systems: cannot mount (%s)", strerror(errno));
		return;
	}
	need(mkdir("mnt", 0700) == 0);
	if (mount("ramfs", "mnt", "ramfs", 0, NULL) == 0) {
		need(chdir("mnt") == 0);
		test_models("ramfs");
		is(punches.n_calls > 0 && zero_writes.n_calls > punches.n_calls, true,
		   "which has no holes to give");
		need(chdir("..") == 0 && umount("mnt") == 0);
	} else {
		tap_skip("ramfs: %s", strerror(errno));
	}
	need(mount("tmpfs", "mnt", "tmpfs", 0, "size=256k") == 0 && chdir("mnt") == 0);
	test_small();
	need(chdir("..") == 0 && umount("mnt") == 0);
	rmdir("mnt");
}

int main(void)
{
	char path[] = "/tmp/livecore-test-rewrite-XXXXXX";

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGXFSZ, SIG_IGN);
	need(mkdtemp(path) && chdir(path) == 0);
	test_zeros_over_data();
	test_part_of_block();
	test_beyond_end();
	test_clear();
	test_clear_last_block();
	test_clear_first();
	test_cannot_seek();
	test_no_punch();
	test_many_zeros();
	test_no_space_to_punch();
	test_errors();
	test_file_size_limit();
	test_sealed();
	interrupt(&punches, 0, "while punching");
	interrupt(&zero_writes, 0, "while writing zeros, nothing done");
	interrupt(&zero_writes, 3, "while writing zeros, a part done");
	test_models("ordinary");
	test_models_injected();
	test_threads();
	test_mounts();
	is(count_entries("."), 0, "nothing is left behind by anything");
	need(chdir("/") == 0);
	rmdir(path);
	return tap_done();
}
