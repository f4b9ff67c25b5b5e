/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A core that is written in any order and sent in one. */
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../../elfw/sink_impl.h"
#include "inject.h"
#include "outputs.h"

static struct elfw_sink *open_pipe(int *fds)
{
	struct elfw_sink *to;

	need(pipe(fds) == 0 && elfw_sink_open_fd(fds[1], &to) == 0);
	return to;
}

static struct elfw_sink *open_spool(struct elfw_sink *to, unsigned int flags)
{
	struct elfw_sink *spool;

	need(elfw_sink_spool_new(to, ".", flags, &spool) == 0);
	return spool;
}

/* Bytes that are in the pipe. */
static int waiting(int fd)
{
	int n = -1;

	need(ioctl(fd, FIONREAD, &n) == 0);
	return n;
}

/* ---- what it is ---------------------------------------------------------------------------- */

static void test_file(unsigned int flags)
{
	mode_t mask = umask(0777);
	struct elfw_sink *to, *spool;
	struct stat st;
	int fds[2], fd;

	printf("# a temporary file, %s\n", flags ? "without O_TMPFILE" : "with O_TMPFILE");
	to = open_pipe(fds);
	spool = open_spool(to, flags);
	umask(mask);
	is(count_entries("."), 0, "it has no name");
	ok(elfw_sink_can_seek(spool), "can seek");
	fd = elfw_sink_fd(spool);
	need(fd >= 0 && fstat(fd, &st) == 0);
	is(st.st_mode, S_IFREG | 0600, "mode 0600 under umask 0777");
	is(st.st_nlink, 0, "no name anywhere");
	is(fcntl(fd, F_GETFD), FD_CLOEXEC, "is not inherited");
	is(elfw_sink_write(spool, 5, "world", 5, NULL), 0, "the end first");
	is(elfw_sink_write(spool, 0, "HELLO", 5, NULL), 0, "then the start");
	is(elfw_sink_rewrite(spool, 0, "hello", 5), 0, "then over it");
	is(elfw_sink_clear(spool, 5, 1), 0, "and something less");
	is(waiting(fds[0]), 0, "nothing is sent");
	is(elfw_sink_finish(spool, 12), 0, "finish");
	is(waiting(fds[0]), 12, "everything is sent, and no more");
	is(elfw_sink_commit(spool), 0, "commit");
	is(elfw_sink_disk_bytes(spool), 12, "bytes of the output");
	is(pread(fd, (char[13]){0}, 13, 0), 12, "can be read again");
	ok(!elfw_sink_failed_call(spool) && !elfw_sink_failed_dir(spool), "no error");
	ok(!elfw_sink_failed_dir(to), "nor of another sink");
	elfw_sink_close(spool);
	is(fcntl(fd, F_GETFD), -1, "closed with the sink");
	is(elfw_sink_commit(to), 0, "the output is still the caller's");
	elfw_sink_close(to);
	close(fds[1]);
	char text[13];
	is(read(fds[0], text, 13), 12, "read");
	is_mem(text, "hello\0orld\0\0", 12, "in order");
	close(fds[0]);
}

static void test_abandoned(unsigned int flags)
{
	struct elfw_sink *to, *spool;
	int fds[2];

	to = open_pipe(fds);
	spool = open_spool(to, flags);
	need(elfw_sink_write(spool, 0, "x", 1, NULL) == 0);
	errno = 123;
	elfw_sink_close(spool);
	is(errno, 123, "close keeps errno");
	is(elfw_sink_write(to, 0, "other", 5, NULL), 0, "the output takes another core");
	elfw_sink_close(to);
	close(fds[1]);
	is(read(fds[0], (char[10]){0}, 10), 5, "and only that");
	close(fds[0]);
}

static void test_refused(void)
{
	struct elfw_sink *to, *spool;
	int fds[2], fd;

	to = open_pipe(fds);
	fd = dup(0);
	close(fd);
	is(elfw_sink_open_spool(to, "nowhere", &spool), -ENOENT, "no directory");
	is(elfw_sink_open_spool(to, "", &spool), -ENOENT, "no name");
	is(elfw_sink_open_spool(to, "/dev/null", &spool), -ENOTDIR, "a file for a directory");
	ok(elfw_sink_open_spool(to, "/proc", &spool) < 0, "/proc");
	if (geteuid() == 0) {
		need(mkdir("closed", 0755) == 0 && seteuid(65534) == 0);
		is(elfw_sink_open_spool(to, "closed", &spool), -EACCES, "a closed directory");
		need(seteuid(0) == 0 && rmdir("closed") == 0);
	} else {
		tap_skip("permissions of another user: not root");
	}
	ok(!elfw_sink_failed_call(to), "no error of the output");
	is(dup(0), fd, "no descriptor is left");
	close(fd);
	elfw_sink_close(to);
	close(fds[0]);
	close(fds[1]);
}

static void test_killed(void)
{
	struct elfw_sink *to, *spool;
	int fds[2], status;
	pid_t child = fork();

	need(child >= 0);
	if (child == 0) {
		to = open_pipe(fds);
		spool = open_spool(to, 0);
		if (elfw_sink_write(spool, 0, "x", 1, NULL) == 0)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	need(waitpid(child, &status, 0) == child);
	ok(WIFSIGNALED(status), "killed while it wrote");
	is(count_entries("."), 0, "nothing is left");
}

/* ---- what is sent -------------------------------------------------------------------------- */

/* A hole is not read: a terabyte of it takes no time; and it stays a hole where there can be one.
 */
static void test_holes(void)
{
	const uint64_t far = UINT64_C(1) << 40;
	struct elfw_sink *to, *spool;
	uint8_t page[BLOCK];
	int fd;

	memset(page, 1, sizeof(page));
	need(elfw_sink_open_file("new", 0, &to) == 0);
	spool = open_spool(to, 0);
	fd = elfw_sink_fd(to);
	need(elfw_sink_write(spool, far, page, BLOCK, NULL) == 0);
	need(elfw_sink_write(spool, 3 * BLOCK, page, BLOCK, NULL) == 0);
	need(elfw_sink_write(spool, 9 * BLOCK, page, BLOCK, NULL) == 0);
	need(elfw_sink_clear(spool, 9 * BLOCK, BLOCK) == 0);
	if (!is_hole(elfw_sink_fd(spool), 0)) {
		tap_skip("a file system without holes");
		elfw_sink_close(spool);
		elfw_sink_close(to);
		return;
	}
	reads = (struct injected){0};
	is(elfw_sink_finish(spool, far + 5 * BLOCK), 0, "finish after a terabyte");
	is(reads.n_calls, 2, "two reads");
	is(lseek(fd, 0, SEEK_DATA), 3 * BLOCK, "the first contents");
	is(lseek(fd, 3 * BLOCK, SEEK_HOLE), 4 * BLOCK, "end");
	is(lseek(fd, 4 * BLOCK, SEEK_DATA), far, "the others");
	is(lseek(fd, (off_t)far, SEEK_HOLE), far + BLOCK, "end");
	is(lseek(fd, 0, SEEK_END), far + 5 * BLOCK, "a hole at the end");
	is(elfw_sink_disk_bytes(spool), elfw_sink_disk_bytes(to), "blocks of the output");
	elfw_sink_close(spool);
	elfw_sink_close(to);
}

/* What is behind the core's end is none of it. */
static void test_beyond_size(void)
{
	struct elfw_sink *to, *spool;
	uint8_t page[BLOCK];
	int fds[2];

	memset(page, 1, sizeof(page));
	to = open_pipe(fds);
	spool = open_spool(to, 0);
	need(elfw_sink_write(spool, 0, page, BLOCK, NULL) == 0);
	need(elfw_sink_write(spool, 5 * BLOCK, page, BLOCK, NULL) == 0);
	is(elfw_sink_finish(spool, 100), 0, "finish before everything that was written");
	is(waiting(fds[0]), 100, "no more than that is sent");
	elfw_sink_close(spool);
	elfw_sink_close(to);
	to = NULL;
	need(elfw_sink_open_fd(fds[1], &to) == 0);
	spool = open_spool(to, 0);
	is(elfw_sink_finish(spool, 0), 0, "finish with nothing");
	is(waiting(fds[0]), 100, "nothing is sent");
	elfw_sink_close(spool);
	elfw_sink_close(to);
	close(fds[0]);
	close(fds[1]);
}

/* More than any buffer, read and written in parts. */
static void send_much(const char *what)
{
	size_t size = 2 * MIB + 12345;
	uint8_t *data = malloc(size);
	struct elfw_sink *to, *spool;
	struct reader reader;
	int fds[2];

	printf("# %s\n", what);
	need(data);
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	to = open_pipe(fds);
	spool = open_spool(to, 0);
	need(elfw_sink_write(spool, 3000000, data, size, NULL) == 0);
	reader_start(&reader, fds[0], 3000000 + size + 10);
	is(elfw_sink_finish(spool, 3000000 + size), 0, "finish");
	elfw_sink_close(spool);
	elfw_sink_close(to);
	close(fds[1]);
	reader_join(&reader);
	is(reader.len, 3000000 + size, "every byte arrived");
	is_mem(reader.data + 3000000, data, size, "once and in order");
	is(reader.data[0] | memcmp(reader.data, reader.data + 1, 3000000 - 1), 0, "zeros before");
	free(reader.data);
	free(data);
}

/* ---- space --------------------------------------------------------------------------------- */

/* An output that is whatever the test wants; the functions that it lacks are not called. */
struct fake_sink {
	struct elfw_sink sink;
	uint64_t space;
	int r; /* of everything */
};

static int fake_space(const struct elfw_sink *sink, uint64_t *ret_bytes)
{
	*ret_bytes = ((const struct fake_sink *)sink)->space;
	return ((const struct fake_sink *)sink)->r;
}

static const struct elfw_sink_ops fake_ops = {.space = fake_space};

static void test_space(void)
{
	struct fake_sink fake = {{.ops = &fake_ops}, .space = 12345};
	struct elfw_sink *to, *spool;
	uint64_t space = 0;
	struct rlimit old, limit;
	int fds[2];

	spool = open_spool(&fake.sink, 0);
	is(elfw_sink_space(spool, &space), 0, "space");
	is(space, 12345, "the output has less");
	fake.r = -EIO;
	is(elfw_sink_space(spool, &space), -EIO, "the output does not say");
	elfw_sink_close(spool);
	to = open_pipe(fds);
	spool = open_spool(to, 0);
	is(elfw_sink_space(spool, &space), 0, "space, into a pipe");
	ok(space > 0 && space < UINT64_MAX, "is that of the directory");
	need(getrlimit(RLIMIT_FSIZE, &old) == 0);
	limit = (struct rlimit){10 * BLOCK, old.rlim_max};
	need(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	is(elfw_sink_space(spool, &space), 0, "space with a limit");
	is(space, 10 * BLOCK, "is the limit");
	need(setrlimit(RLIMIT_FSIZE, &old) == 0);
	elfw_sink_close(spool);
	elfw_sink_close(to);
	close(fds[0]);
	close(fds[1]);
}

/* ---- errors -------------------------------------------------------------------------------- */

/* Of the temporary file: nothing reached the output, and nothing will. */
static void failed_is(struct elfw_sink *spool, const char *call, const char *dir, int code)
{
	is_str(elfw_sink_failed_call(spool), call, "the call that failed");
	if (dir)
		is_str(elfw_sink_failed_dir(spool), dir, "on the temporary file");
	else
		ok(!elfw_sink_failed_dir(spool), "on the output");
	is(elfw_sink_write(spool, 0, "x", 1, NULL), code, "kept for write");
	is(elfw_sink_rewrite(spool, 0, "x", 1), code, "kept for rewrite");
	is(elfw_sink_clear(spool, 0, 1), code, "kept for clear");
	is(elfw_sink_finish(spool, 1), code, "kept for finish");
}

static void test_file_full(void)
{
	uint8_t *data = malloc(MIB);
	struct elfw_sink *to, *spool;
	struct rlimit old, limit;
	int fds[2];

	need(data && getrlimit(RLIMIT_FSIZE, &old) == 0);
	memset(data, 1, MIB);
	to = open_pipe(fds);
	spool = open_spool(to, 0);
	limit = (struct rlimit){10 * BLOCK, old.rlim_max};
	need(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	is(elfw_sink_write(spool, 0, data, MIB, NULL), -EFBIG, "over the limit");
	failed_is(spool, "write", ".", -EFBIG);
	elfw_sink_close(spool);
	spool = open_spool(to, 0);
	is(elfw_sink_finish(spool, MIB), -EFBIG, "a length over the limit");
	failed_is(spool, "ftruncate", ".", -EFBIG);
	need(setrlimit(RLIMIT_FSIZE, &old) == 0);
	is(waiting(fds[0]), 0, "nothing was sent");
	ok(!elfw_sink_failed_call(to), "no error of the output");
	elfw_sink_close(spool);
	elfw_sink_close(to);
	close(fds[0]);
	close(fds[1]);
	free(data);
}

static void test_injected_errors(void)
{
	struct elfw_sink *to, *spool;
	int fds[2];

	to = open_pipe(fds);
	spool = open_spool(to, 0);
	need(elfw_sink_write(spool, 0, "x", 1, NULL) == 0);
	writes = (struct injected){.error = ENOSPC, .n_bad = 1};
	is(elfw_sink_rewrite(spool, 0, "y", 1), -ENOSPC, "rewrite");
	failed_is(spool, "write", ".", -ENOSPC);
	elfw_sink_close(spool);

	spool = open_spool(to, 0);
	need(elfw_sink_write(spool, 0, "x", 1, NULL) == 0);
	punches = (struct injected){.error = EIO, .n_bad = 1};
	zero_writes = (struct injected){.error = EIO, .n_bad = 1};
	is(elfw_sink_clear(spool, 0, 1), -EIO, "clear");
	failed_is(spool, "write", ".", -EIO);
	elfw_sink_close(spool);

	spool = open_spool(to, 0);
	need(elfw_sink_write(spool, 0, "x", 1, NULL) == 0);
	reads = (struct injected){.error = EIO, .n_bad = 1};
	is(elfw_sink_finish(spool, 1), -EIO, "what was written cannot be read");
	failed_is(spool, "read", ".", -EIO);
	ok(!elfw_sink_failed_call(to), "no error of the output");
	is(waiting(fds[0]), 0, "to which nothing came");
	elfw_sink_close(spool);
	elfw_sink_close(to);
	close(fds[0]);
	close(fds[1]);
}

static void test_output_errors(void)
{
	struct elfw_sink *to, *spool;
	int fds[2], fd = open("/dev/full", O_WRONLY);

	to = open_pipe(fds);
	spool = open_spool(to, 0);
	close(fds[0]);
	is(elfw_sink_write(spool, 0, "x", 1, NULL), 0, "nobody will read");
	is(elfw_sink_finish(spool, 1), -EPIPE, "nobody reads");
	failed_is(spool, "write", NULL, -EPIPE);
	elfw_sink_close(spool);
	is_str(elfw_sink_failed_call(to), "write", "the output's error is its own too");
	elfw_sink_close(to);
	close(fds[1]);

	need(fd >= 0 && elfw_sink_open_fd(fd, &to) == 0);
	spool = open_spool(to, 0);
	is(elfw_sink_finish(spool, 1), -ENOSPC, "a full output, at its end");
	failed_is(spool, "write", NULL, -ENOSPC);
	elfw_sink_close(spool);
	elfw_sink_close(to);
	close(fd);
}

static void test_small_directory(void)
{
	uint8_t *data = malloc(MIB);
	struct elfw_sink *to, *spool;
	uint64_t space;
	int fds[2];

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mkdir("small", 0700) < 0 || mount("tmpfs", "small", "tmpfs", 0, "size=64k") < 0) {
		tap_skip("a small directory: cannot mount (%s)", strerror(errno));
		free(data);
		return;
	}
	need(data);
	memset(data, 1, MIB);
	to = open_pipe(fds);
	need(elfw_sink_open_spool(to, "small", &spool) == 0);
	is(elfw_sink_space(spool, &space), 0, "space");
	is(space, 65536, "is the directory's");
	is(elfw_sink_write(spool, 0, data, 65536, NULL), 0, "all of it");
	is(elfw_sink_clear(spool, 4096, 8192), 0, "some of it given back");
	is(elfw_sink_space(spool, &space), 0, "space");
	is(space, 8192, "is there again");
	is(elfw_sink_rewrite(spool, 65536, data, 65536), -ENOSPC, "more than that");
	failed_is(spool, "write", "small", -ENOSPC);
	elfw_sink_close(spool);
	elfw_sink_close(to);
	close(fds[0]);
	close(fds[1]);
	need(umount("small") == 0 && rmdir("small") == 0);
	free(data);
}

/* ---- signals ------------------------------------------------------------------------------- */

static bool gives_up(void *arg)
{
	return *(volatile sig_atomic_t *)arg != 0;
}

static bool never_gives_up(void *arg)
{
	(void)arg;
	return false;
}

static void install_alarm(void)
{
	const struct sigaction action = {.sa_handler = on_alarm};

	n_alarms = 0;
	need(sigaction(SIGALRM, &action, NULL) == 0);
}

/* Nobody reads: the signal must get through, and what was sent is not sent again. */
static void test_interrupted(uint64_t gap)
{
	uint8_t *data = malloc(MIB);
	struct elfw_sink *to, *spool;
	struct reader reader;
	int fds[2], r;

	printf("# interrupted, after %d bytes of nothing\n", (int)gap);
	need(data);
	for (size_t i = 0; i < MIB; i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	to = open_pipe(fds);
	spool = open_spool(to, 0);
	need(elfw_sink_write(spool, gap, data, MIB, NULL) == 0);
	install_alarm();
	alarm_after(50000, 0);
	is(elfw_sink_finish(spool, gap + MIB + 10), -EINTR, "interrupted, partly sent");
	is(n_alarms, 1, "by the first signal");
	alarm_after(50000, 0);
	is(elfw_sink_finish(spool, gap + MIB + 10), -EINTR, "interrupted, nothing sent");
	is(n_alarms, 2, "by the second signal");
	ok(!elfw_sink_failed_call(spool) && !elfw_sink_failed_call(to), "which is no error");
	reader_start(&reader, fds[0], gap + 2 * MIB);
	do
		r = elfw_sink_finish(spool, gap + MIB + 10);
	while (r == -EINTR);
	is(r, 0, "goes on");
	elfw_sink_close(spool);
	elfw_sink_close(to);
	close(fds[1]);
	reader_join(&reader);
	is(reader.len, gap + MIB + 10, "every byte arrived");
	is_mem(reader.data + gap, data, MIB, "once and in order");
	free(reader.data);
	free(data);
}

static volatile sig_atomic_t aborted;

static void *read_later(void *arg)
{
	usleep(100000);
	return reader_main(arg);
}

static void *abort_later(void *arg)
{
	(void)arg;
	usleep(50000);
	aborted = 1;
	return NULL;
}

/* With an abort flag, set at the spool or before that at its output: signals alone do nothing. */
static void test_abort_flag(bool at_spool)
{
	uint8_t *data = malloc(MIB);
	struct elfw_sink *to, *spool;
	struct reader reader = {.cap = 2 * MIB, .data = malloc(2 * MIB)};
	pthread_t thread;
	int fds[2];

	need(data && reader.data);
	memset(data, 3, MIB);
	to = open_pipe(fds);
	aborted = 0;
	if (!at_spool)
		elfw_sink_on_interrupt(to, gives_up, (void *)(uintptr_t)&aborted);
	spool = open_spool(to, 0);
	if (at_spool)
		elfw_sink_on_interrupt(spool, gives_up, (void *)(uintptr_t)&aborted);
	need(elfw_sink_write(spool, 0, data, MIB, NULL) == 0);
	reader.fd = fds[0];
	install_alarm();
	alarm_after(5000, 5000);
	need(!pthread_create(&reader.thread, NULL, read_later, &reader));
	is(elfw_sink_finish(spool, MIB), 0, "signals that are no reason to stop");
	ok(n_alarms > 0, "there were some");
	elfw_sink_close(spool);
	elfw_sink_close(to);
	close(fds[1]);
	reader_join(&reader);
	is(reader.len, MIB, "every byte arrived");

	to = open_pipe(fds);
	elfw_sink_on_interrupt(to, never_gives_up, NULL);
	spool = open_spool(to, 0);
	elfw_sink_on_interrupt(spool, gives_up, (void *)(uintptr_t)&aborted);
	need(elfw_sink_write(spool, 0, data, MIB, NULL) == 0);
	need(!pthread_create(&thread, NULL, abort_later, NULL));
	is(elfw_sink_finish(spool, MIB), -EINTR, "one that is");
	alarm_after(0, 0);
	need(!pthread_join(thread, NULL));
	elfw_sink_close(spool);
	elfw_sink_close(to);
	close(fds[0]);
	close(fds[1]);
	free(reader.data);
	free(data);
}

/* Signals come to writes into the file as well, where it is far away. */
static void test_write_interrupted(void)
{
	struct elfw_sink *to, *spool;
	size_t done = 9;
	int fds[2];

	to = open_pipe(fds);
	spool = open_spool(to, 0);
	writes = (struct injected){.error = EINTR, .n_bad = 1};
	is(elfw_sink_write(spool, 0, "abc", 3, &done), -EINTR, "write is interrupted");
	is(done, 0, "nothing was written");
	writes = (struct injected){.error = EINTR, .n_bad = 1, .after = 1, .most = 2};
	is(elfw_sink_write(spool, 0, "abc", 3, &done), -EINTR, "again");
	is(done, 2, "something was written");
	aborted = 0;
	elfw_sink_on_interrupt(spool, gives_up, (void *)(uintptr_t)&aborted);
	writes = (struct injected){.error = EINTR, .n_bad = 1, .after = 1, .most = 2};
	is(elfw_sink_write(spool, 0, "abc", 3, &done), 0, "goes on if it may");
	is(done, 3, "to the end");
	is(elfw_sink_finish(spool, 3), 0, "finish");
	elfw_sink_close(spool);
	elfw_sink_on_interrupt(to, never_gives_up, NULL);
	spool = open_spool(to, 0);
	writes = (struct injected){.error = EINTR, .n_bad = 1};
	is(elfw_sink_write(spool, 0, "abc", 3, NULL), 0, "a spool begins as its output does");
	elfw_sink_close(spool);
	elfw_sink_close(to);
	close(fds[0]);
	close(fds[1]);
	writes = (struct injected){0};
}

int main(void)
{
	char path[] = "/tmp/livecore-test-spool-XXXXXX";

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	need(mkdtemp(path) && chmod(path, 0755) == 0 && chdir(path) == 0);
	for (int i = 0; i < 2; i++) {
		unsigned int flags = i ? ELFW_SINK_NO_TMPFILE : 0;

		test_file(flags);
		test_abandoned(flags);
	}
	test_refused();
	test_killed();
	test_holes();
	test_beyond_size();
	send_much("megabytes");
	reads.most = 1000;
	send_much("megabytes, read in parts");
	reads.most = 0;
	test_space();
	test_file_full();
	test_injected_errors();
	test_output_errors();
	test_interrupted(0);
	test_interrupted(MIB);
	test_abort_flag(true);
	test_abort_flag(false);
	test_write_interrupted();
	test_small_directory();
	is(count_entries("."), 0, "nothing is left behind by anything");
	need(chdir("/") == 0);
	rmdir(path);
	return tap_done();
}
