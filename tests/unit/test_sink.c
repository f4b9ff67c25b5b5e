/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where a core goes: names, modes, holes, order, errors, and what is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../elfw/sink_impl.h"
#include "outputs.h"

/* ---- the directory that everything happens in ---------------------------------------------- */

static void put_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	need(file);
	fputs(text, file);
	need(fclose(file) == 0);
}

/* The first bytes of a file as a string; "" if there is none. */
static const char *get_file(const char *path)
{
	static char text[100];
	FILE *file = fopen(path, "r");
	size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	text[n] = '\0';
	if (file)
		fclose(file);
	return text;
}

static uint64_t file_size(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 ? UINT64_MAX : (uint64_t)st.st_size;
}

static int open_and_close(const char *path, unsigned int flags)
{
	struct elfw_sink *sink = NULL;
	int r = elfw_sink_open_file(path, flags, &sink);

	elfw_sink_close(sink);
	return r;
}

/* Opens, writes, commits and closes. */
static int save(const char *path, unsigned int flags, const char *text)
{
	struct elfw_sink *sink = NULL;
	int r = elfw_sink_open_file(path, flags, &sink);

	if (r == 0)
		r = elfw_sink_write(sink, 0, text, strlen(text), NULL);
	if (r == 0)
		r = elfw_sink_finish(sink, strlen(text));
	if (r == 0)
		r = elfw_sink_commit(sink);
	elfw_sink_close(sink);
	return r;
}

/* ---- a new file ---------------------------------------------------------------------------- */

/* `mode` is 0 or ELFW_SINK_NO_TMPFILE: both ways must look the same from outside. */
static void test_new_file(unsigned int mode)
{
	struct elfw_sink *sink;
	struct stat st;
	mode_t mask = umask(0777);
	size_t done = 0;

	printf("# a new file, %s\n", mode ? "without O_TMPFILE" : "with O_TMPFILE");
	is(elfw_sink_open_file("new", mode | ELFW_SINK_FSYNC, &sink), 0, "open");
	umask(mask);
	ok(elfw_sink_can_seek(sink), "can seek");
	is(elfw_sink_write(sink, 5, "world", 5, &done), 0, "write");
	is(done, 5, "all of it");
	is(elfw_sink_write(sink, 0, "hello", 5, NULL), 0, "write before it");
	is(elfw_sink_finish(sink, 12), 0, "finish");
	is(access("new", F_OK), -1, "no name yet");
	is(count_entries("."), mode ? 1 : 0, "nothing else either, but where it must");
	is(elfw_sink_commit(sink), 0, "commit");
	is(lstat("new", &st), 0, "there it is");
	is(st.st_mode, S_IFREG | 0600, "mode 0600 under umask 0777");
	is(st.st_size, 12, "with its trailing hole");
	is(st.st_nlink, 1, "one name");
	is(count_entries("."), 1, "and nothing else");
	is_mem(get_file("new"), "helloworld\0\0", 12, "contents");
	is(pread(elfw_sink_fd(sink), (char[12]){0}, 12, 0), 12, "can be read through the sink");
	is(elfw_sink_disk_bytes(sink), st.st_blocks * 512, "blocks");
	ok(!elfw_sink_failed_call(sink), "no error");
	elfw_sink_close(sink);

	is(save("new", mode, "x"), -EEXIST, "an existing file is refused");
	is(file_size("new"), 12, "and untouched");
	is(save("new", mode | ELFW_SINK_REPLACE, "second"), 0, "but replaced if asked");
	is(strcmp(get_file("new"), "second"), 0, "contents");
	is(save("other", mode | ELFW_SINK_REPLACE, "third"), 0, "replace with nothing there");
	is(count_entries("."), 2, "nothing else is left");
	unlink("new");
	unlink("other");
}

static void test_abandoned(unsigned int mode)
{
	struct elfw_sink *sink;

	need(elfw_sink_open_file("new", mode, &sink) == 0);
	need(elfw_sink_write(sink, 0, "x", 1, NULL) == 0);
	errno = 123;
	elfw_sink_close(sink);
	is(errno, 123, "close keeps errno");
	is(count_entries("."), 0, "what was not committed leaves nothing");
	elfw_sink_close(NULL);
	is(errno, 123, "close accepts NULL");
}

/* What appears while the core is written. */
static void test_races(unsigned int mode)
{
	struct elfw_sink *sink;

	need(elfw_sink_open_file("new", mode, &sink) == 0);
	put_file("new", "theirs");
	is(elfw_sink_commit(sink), -EEXIST, "something appeared: not replaced");
	is(elfw_sink_write(sink, 0, "x", 1, NULL), -EEXIST, "the error stays");
	elfw_sink_close(sink);
	is(strcmp(get_file("new"), "theirs"), 0, "theirs is whole");
	unlink("new");

	need(elfw_sink_open_file("new", mode | ELFW_SINK_REPLACE, &sink) == 0);
	need(mkdir("new", 0700) == 0);
	is(elfw_sink_commit(sink), -EEXIST, "a directory appeared: not replaced");
	elfw_sink_close(sink);
	is(count_entries("."), 1, "nothing but the directory");
	rmdir("new");

	need(mkdir("dir", 0700) == 0);
	need(elfw_sink_open_file("dir/new", mode, &sink) == 0);
	need(rename("dir", "moved") == 0);
	is(elfw_sink_commit(sink), 0, "the directory was renamed");
	elfw_sink_close(sink);
	is(unlink("moved/new"), 0, "the file is in it");
	is(rmdir("moved"), 0, "and nothing else");
}

static void test_symlink(unsigned int mode)
{
	put_file("target", "precious");
	need(symlink("target", "link") == 0);
	is(save("link", mode, "x"), -ELOOP, "a symbolic link is not followed");
	is(save("link", mode | ELFW_SINK_REPLACE, "core"), 0, "but replaced if asked");
	is(strcmp(get_file("target"), "precious"), 0, "its target is untouched");
	is(readlink("link", (char[10]){0}, 10), -1, "it is no link any more");
	is(strcmp(get_file("link"), "core"), 0, "but the core");
	unlink("link");
	need(symlink("nowhere", "link") == 0);
	is(save("link", mode, "x"), -ELOOP, "a dangling one neither");
	is(access("nowhere", F_OK), -1, "nothing came to where it points");
	unlink("link");
	need(mkdir("dir", 0700) == 0 && symlink("dir", "link") == 0);
	is(save("link/core", mode, "core"), 0, "links to the directory are followed");
	is(unlink("dir/core"), 0, "there it is");
	unlink("link");
	unlink("target");
	rmdir("dir");
}

static void test_refused(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char name[300];

	need(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	is(open_and_close("socket", ELFW_SINK_REPLACE), -ENOTSUP, "a socket");
	close(fd);
	unlink("socket");
	put_file("file", "");
	is(open_and_close(".", 0), -EISDIR, ".");
	is(open_and_close("..", ELFW_SINK_REPLACE), -EISDIR, "..");
	is(open_and_close("/", 0), -EISDIR, "/");
	is(open_and_close("/tmp", ELFW_SINK_REPLACE), -EISDIR, "a directory");
	is(open_and_close("new/", 0), -EISDIR, "a trailing slash");
	is(open_and_close("", 0), -ENOENT, "nothing");
	is(open_and_close("no/new", 0), -ENOENT, "no directory");
	is(open_and_close("file/new", 0), -ENOTDIR, "a file for a directory");
	is(open_and_close("/proc/new", 0) < 0, true, "/proc");
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	is(open_and_close(name, 0), -ENAMETOOLONG, "a name that is too long");
	unlink("file");
	is(count_entries("."), 0, "nothing is left");
}

/* As somebody who may not. */
static void test_permissions(void)
{
	if (geteuid() != 0) {
		tap_skip("permissions of another user: not root");
		return;
	}
	need(mkdir("closed", 0755) == 0 && mkdir("sticky", 01777) == 0);
	need(chmod("sticky", 01777) == 0 && chmod(".", 0755) == 0);
	put_file("sticky/theirs", "");
	need(seteuid(65534) == 0);
	is(open_and_close("closed/new", 0), -EACCES, "an unwritable directory");
	is(open_and_close("sticky/theirs", ELFW_SINK_REPLACE), -EPERM,
	   "somebody else's file in a sticky directory, before anything was done");
	is(save("sticky/mine", 0, "x"), 0, "a file of one's own there");
	is(save("sticky/mine", ELFW_SINK_REPLACE, "y"), 0, "replaced");
	need(seteuid(0) == 0);
	unlink("sticky/theirs");
	unlink("sticky/mine");
	rmdir("sticky");
	rmdir("closed");
}

static void test_killed(void)
{
	struct elfw_sink *sink;
	pid_t child = fork();

	need(child >= 0);
	if (child == 0) {
		if (elfw_sink_open_file("new", 0, &sink) == 0 &&
		    elfw_sink_write(sink, 0, "x", 1, NULL) == 0)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	int status;

	need(waitpid(child, &status, 0) == child);
	ok(WIFSIGNALED(status), "killed while it wrote");
	is(count_entries("."), 0, "nothing is left");
}

/* ---- holes --------------------------------------------------------------------------------- */

static void test_holes(void)
{
	static const bool zero[] = {1, 0, 0, 0, 1, 1, 0, 1, 0, 0, 1, 1};
	const size_t n = sizeof(zero);
	uint8_t *data = calloc(n, BLOCK), *back = calloc(n, BLOCK);
	struct elfw_sink *sink;
	size_t done;
	int64_t calls;
	int fd, r;

	need(data && back);
	/* One byte makes a block, wherever it is. */
	for (size_t i = 0; i < n; i++)
		if (!zero[i])
			data[i * BLOCK + (i * 1365) % BLOCK] = 1;
	data[3 * BLOCK] = 0;
	data[3 * BLOCK + BLOCK - 1] = 1;
	need(elfw_sink_open_file("new", 0, &sink) == 0);
	fd = elfw_sink_fd(sink);
	calls = n_write_calls();
	r = elfw_sink_write(sink, BLOCK, data, n * BLOCK, &done);
	calls = calls < 0 ? -1 : n_write_calls() - calls;
	is(r, 0, "write with zero pages");
	is(done, n * BLOCK, "zero pages count as done");
	if (calls >= 0)
		is(calls, 3, "three runs, three writes");
	else
		tap_skip("no /proc/self/io");
	is(elfw_sink_finish(sink, (n + 1) * BLOCK), 0, "finish");
	is(pread(fd, back, n * BLOCK, BLOCK), n * BLOCK, "read again");
	is_mem(back, data, n * BLOCK, "the same");
	if (is_hole(fd, 0))
		for (size_t i = 0; i < n; i++)
			is(is_hole(fd, (off_t)((i + 1) * BLOCK)), zero[i], "hole where zero");
	else
		tap_skip("a file system without holes");
	is(sink->written, 6 * BLOCK, "holes were not written");
	elfw_sink_close(sink);
	free(data);
	free(back);
}

/* Blocks are the file's: what is in them only in part is written. */
static void test_unaligned(void)
{
	uint8_t *data = calloc(4, BLOCK), *back = calloc(5, BLOCK);
	struct elfw_sink *sink;
	int fd;

	need(data && back);
	data[2 * BLOCK] = 7;
	need(elfw_sink_open_file("new", 0, &sink) == 0);
	fd = elfw_sink_fd(sink);
	need(elfw_sink_write(sink, 0, "\1\2\3", 3, NULL) == 0);
	is(elfw_sink_write(sink, 1, data, 1, NULL), 0, "a zero over what was not zero");
	is(elfw_sink_write(sink, 100, data, 4 * BLOCK, NULL), 0, "unaligned");
	is(elfw_sink_finish(sink, 5 * BLOCK), 0, "finish");
	need(pread(fd, back, 5 * BLOCK, 0) == 5 * BLOCK);
	is_mem(back, "\1\0\3", 3, "the zero was written");
	is_mem(back + 100, data, 4 * BLOCK, "the rest, unaligned");
	elfw_sink_close(sink);
	free(data);
	free(back);
}

/* A core that begins within a block: the holes are the file's blocks, and what is between them is
 * one write. */
static void test_unaligned_base(void)
{
	int fd = open("passed", O_RDWR | O_CREAT | O_TRUNC, 0600);
	uint8_t *data = calloc(4, BLOCK), *back = calloc(4, BLOCK);
	struct elfw_sink *sink;
	int64_t calls;
	int r;

	need(data && back && fd >= 0 && lseek(fd, 100, SEEK_SET) == 100);
	need(elfw_sink_open_fd(fd, &sink) == 0);
	data[4 * BLOCK - 1] = 1;
	calls = n_write_calls();
	r = elfw_sink_write(sink, 0, data, 4 * BLOCK, NULL);
	calls = calls < 0 ? -1 : n_write_calls() - calls;
	is(r, 0, "zeros from the middle of a block on");
	is(sink->written, BLOCK, "three whole blocks were left out, the parts were not");
	need(pread(fd, back, 4 * BLOCK, 100) == 4 * BLOCK);
	is_mem(back, data, 4 * BLOCK, "the same");
	memset(data, 1, 4 * BLOCK);
	if (calls >= 0) {
		is(calls, 2, "two writes");
		calls = n_write_calls();
		r = elfw_sink_write(sink, 4 * BLOCK, data, 4 * BLOCK, NULL);
		is(n_write_calls() - calls, 1, "one write without zeros, parts of blocks included");
		is(r, 0, "no zeros");
	}
	elfw_sink_close(sink);
	close(fd);
	unlink("passed");
	free(data);
	free(back);
}

struct writer {
	pthread_t thread;
	struct elfw_sink *sink;
	unsigned int number;
	int r;
};

#define N_WRITERS 4
#define N_CHUNKS  64

static void *writer_main(void *arg)
{
	struct writer *writer = arg;
	uint8_t data[2 * BLOCK];

	for (unsigned int i = writer->number; i < N_CHUNKS && writer->r == 0; i += N_WRITERS) {
		memset(data, i % 3 ? (int)i : 0, sizeof(data));
		writer->r = elfw_sink_write(writer->sink, (uint64_t)i * sizeof(data), data,
					    sizeof(data), NULL);
	}
	return NULL;
}

/* Into `sink`, whose core begins at `base` of `fd`. */
static void write_threaded(struct elfw_sink *sink, int fd, off_t base)
{
	struct writer writers[N_WRITERS];
	uint8_t data[2 * BLOCK];
	bool same = true;

	for (unsigned int i = 0; i < N_WRITERS; i++) {
		writers[i] = (struct writer){.sink = sink, .number = i};
		need(!pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]));
	}
	for (unsigned int i = 0; i < N_WRITERS; i++) {
		need(!pthread_join(writers[i].thread, NULL));
		is(writers[i].r, 0, "one of several threads");
	}
	need(elfw_sink_finish(sink, N_CHUNKS * sizeof(data)) == 0);
	for (unsigned int i = 0; i < N_CHUNKS; i++) {
		need(pread(fd, data, sizeof(data), base + (off_t)(i * sizeof(data))) ==
		     (ssize_t)sizeof(data));
		for (size_t j = 0; j < sizeof(data); j++)
			same = same && data[j] == (i % 3 ? i : 0);
	}
	ok(same, "everybody's bytes are in their place");
}

static void test_threads(void)
{
	struct elfw_sink *sink;

	need(elfw_sink_open_file("new", 0, &sink) == 0);
	write_threaded(sink, elfw_sink_fd(sink), 0);
	elfw_sink_close(sink);
}

/* ---- limits -------------------------------------------------------------------------------- */

static void test_file_size_limit(void)
{
	struct rlimit old, limit;
	struct elfw_sink *sink;
	uint64_t space = 0;
	uint8_t *data = malloc(MIB);
	size_t done;

	need(data && getrlimit(RLIMIT_FSIZE, &old) == 0);
	memset(data, 1, MIB);
	need(elfw_sink_open_file("new", 0, &sink) == 0);
	is(elfw_sink_space(sink, &space), 0, "space");
	ok(space > 0, "there is some");
	limit = (struct rlimit){10 * BLOCK, old.rlim_max};
	need(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	is(elfw_sink_space(sink, &space), 0, "space with a limit");
	is(space, 10 * BLOCK, "is the limit");
	is(elfw_sink_write(sink, 0, data, MIB, &done), -EFBIG, "over the limit");
	is(done, 10 * BLOCK, "what there was room for");
	is(strcmp(elfw_sink_failed_call(sink), "write"), 0, "the call that failed");
	need(setrlimit(RLIMIT_FSIZE, &old) == 0);
	is(elfw_sink_write(sink, 0, data, 1, &done), -EFBIG, "the error stays");
	is(done, 0, "nothing more is written");
	is(elfw_sink_finish(sink, 1), -EFBIG, "nor finished");
	is(elfw_sink_commit(sink), -EFBIG, "nor committed");
	elfw_sink_close(sink);
	is(count_entries("."), 0, "nothing is left");

	need(elfw_sink_open_file("new", 0, &sink) == 0);
	is(elfw_sink_write(sink, INT64_MAX, data, 1, NULL), -EFBIG, "beyond what a file can be");
	elfw_sink_close(sink);
	free(data);
}

/* ---- a caller's regular file --------------------------------------------------------------- */

static void test_passed_file(void)
{
	uint8_t *data = calloc(3, BLOCK), *back = malloc(8 * BLOCK);
	int fd = open("passed", O_RDWR | O_CREAT | O_TRUNC, 0644);
	struct elfw_sink *sink;
	uint8_t *zeros = calloc(3, BLOCK);

	need(data && back && zeros && fd >= 0);
	memset(back, 0xee, 8 * BLOCK);
	need(write(fd, back, 8 * BLOCK) == 8 * BLOCK);
	need(lseek(fd, BLOCK, SEEK_SET) == BLOCK);
	is(elfw_sink_open_fd(fd, &sink), 0, "a regular file that has contents");
	ok(elfw_sink_can_seek(sink), "can seek");
	is(elfw_sink_fd(sink), fd, "can be read");
	is(file_size("passed"), 8 * BLOCK, "opening takes nothing");
	data[BLOCK] = 1;
	is(elfw_sink_write(sink, BLOCK, data, 3 * BLOCK, NULL), 0, "write");
	is(elfw_sink_finish(sink, 5 * BLOCK), 0, "finish");
	is(elfw_sink_commit(sink), 0, "commit");
	ok(elfw_sink_disk_bytes(sink) > 0 && elfw_sink_disk_bytes(sink) <= 2 * BLOCK,
	   "blocks of the core alone");
	elfw_sink_close(sink);
	is(lseek(fd, 0, SEEK_CUR), 6 * BLOCK, "the position is after the core");
	is(file_size("passed"), 6 * BLOCK, "the size is the core's end");
	need(pread(fd, back, 6 * BLOCK, 0) == 6 * BLOCK);
	is(back[BLOCK - 1], 0xee, "what is before the core stays");
	is_mem(back + BLOCK, zeros, BLOCK, "a gap is zero");
	is_mem(back + 2 * BLOCK, data, 3 * BLOCK, "zero pages are zero");
	is_mem(back + 5 * BLOCK, zeros, BLOCK, "the end is zero");
	is(write(fd, "x", 1), 1, "still the caller's");
	close(fd);
	unlink("passed");
	free(data);
	free(back);
	free(zeros);
}

static void test_passed_file_abandoned(void)
{
	int fd = open("passed", O_RDWR | O_CREAT | O_TRUNC, 0644);
	struct elfw_sink *sink;

	need(fd >= 0 && write(fd, "0123456789", 10) == 10 && lseek(fd, 4, SEEK_SET) == 4);
	need(elfw_sink_open_fd(fd, &sink) == 0);
	elfw_sink_close(sink);
	is(strcmp(get_file("passed"), "0123456789"), 0, "nothing written, nothing lost");

	need(elfw_sink_open_fd(fd, &sink) == 0);
	need(elfw_sink_write(sink, 2, "x", 1, NULL) == 0);
	elfw_sink_close(sink);
	is(strcmp(get_file("passed"), "0123"), 0, "cut back to where the core began");
	is(lseek(fd, 0, SEEK_CUR), 4, "the position too");

	need(lseek(fd, 100, SEEK_SET) == 100);
	need(elfw_sink_open_fd(fd, &sink) == 0);
	need(elfw_sink_write(sink, 2, "x", 1, NULL) == 0);
	elfw_sink_close(sink);
	is(file_size("passed"), 4, "cut back to its size where the core began beyond it");
	close(fd);
	unlink("passed");
}

static void test_passed_file_threads(void)
{
	int fd = open("passed", O_RDWR | O_CREAT | O_TRUNC, 0644);
	struct elfw_sink *sink;
	uint8_t *old = malloc(MIB);

	need(old && fd >= 0);
	memset(old, 0xee, MIB);
	need(write(fd, old, MIB) == MIB && lseek(fd, 1000, SEEK_SET) == 1000);
	need(elfw_sink_open_fd(fd, &sink) == 0);
	write_threaded(sink, fd, 1000);
	elfw_sink_close(sink);
	close(fd);
	unlink("passed");
	free(old);
}

/* Even undoing may fail. */
static void test_passed_file_sealed(void)
{
	int fd = memfd_create("core", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct elfw_sink *sink;

	need(fd >= 0 && elfw_sink_open_fd(fd, &sink) == 0);
	need(elfw_sink_write(sink, 0, "x", 1, NULL) == 0);
	need(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	errno = 123;
	elfw_sink_close(sink);
	is(errno, 123, "close keeps errno when undoing fails");

	need(elfw_sink_open_fd(fd, &sink) == 0);
	is(elfw_sink_write(sink, 0, "y", 1, NULL), -EPERM, "what is there cannot be dropped");
	is(strcmp(elfw_sink_failed_call(sink), "ftruncate"), 0, "the call that failed");
	elfw_sink_close(sink);
	close(fd);
}

static void test_passed_kinds(void)
{
	struct elfw_sink *sink;
	int fd = memfd_create("core", MFD_CLOEXEC);

	is(elfw_sink_open_fd(fd, &sink), 0, "a memfd");
	ok(elfw_sink_can_seek(sink), "can seek");
	elfw_sink_close(sink);
	close(fd);
	is(elfw_sink_open_fd(fd, &sink), -EBADF, "a closed descriptor");
	fd = open(".", O_RDONLY);
	is(elfw_sink_open_fd(fd, &sink), -EBADF, "a directory");
	close(fd);
	fd = open("/dev/null", O_RDONLY);
	is(elfw_sink_open_fd(fd, &sink), -EBADF, "not for writing");
	close(fd);
	fd = open("/dev/null", O_PATH);
	is(elfw_sink_open_fd(fd, &sink), -EBADF, "O_PATH");
	close(fd);
	fd = open("passed", O_WRONLY | O_CREAT, 0600);
	is(elfw_sink_open_fd(fd, &sink), 0, "for writing only");
	is(elfw_sink_fd(sink), -1, "cannot be read");
	elfw_sink_close(sink);
	close(fd);
	unlink("passed");
}

/* ---- streams ------------------------------------------------------------------------------- */

static void test_append(void)
{
	int fd = open("log", O_RDWR | O_CREAT | O_APPEND, 0600);
	struct elfw_sink *sink;
	uint64_t space;

	need(fd >= 0 && write(fd, "log", 3) == 3);
	is(elfw_sink_open_fd(fd, &sink), 0, "O_APPEND");
	ok(!elfw_sink_can_seek(sink), "is a stream");
	is(elfw_sink_space(sink, &space), 0, "space");
	ok(space < UINT64_MAX, "is the file system's");
	is(elfw_sink_write(sink, 2, "core", 4, NULL), 0, "write");
	is(elfw_sink_finish(sink, 8), 0, "finish");
	is(elfw_sink_commit(sink), 0, "commit");
	elfw_sink_close(sink);
	is_mem(get_file("log"), "log\0\0core\0\0", 11, "appended, gaps are zeros");
	is(file_size("log"), 11, "nothing more");

	need(elfw_sink_open_fd(fd, &sink) == 0);
	need(elfw_sink_write(sink, 0, "core", 4, NULL) == 0);
	elfw_sink_close(sink);
	is(file_size("log"), 11, "abandoned: cut back");

	need(elfw_sink_open_fd(fd, &sink) == 0);
	need(elfw_sink_write(sink, 0, "core", 4, NULL) == 0);
	need(write(fd, "theirs", 6) == 6);
	elfw_sink_close(sink);
	is(file_size("log"), 21, "abandoned: what others appended stays");
	close(fd);
	unlink("log");
}

static void test_pipe(const char *what, const int *fds, bool non_blocking)
{
	struct reader reader;
	struct elfw_sink *sink;
	uint8_t *data = malloc(MIB), *zeros = calloc(3, MIB);
	uint64_t space = 0;
	size_t done;

	printf("# %s%s\n", what, non_blocking ? ", not blocking" : "");
	need(data && zeros);
	for (size_t i = 0; i < MIB; i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	if (non_blocking)
		need(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
	reader_start(&reader, fds[0], 8 * MIB);
	is(elfw_sink_open_fd(fds[1], &sink), 0, "open");
	ok(!elfw_sink_can_seek(sink), "cannot seek");
	is(elfw_sink_fd(sink), -1, "cannot be read");
	is(elfw_sink_space(sink, &space), 0, "space");
	ok(space == UINT64_MAX, "has no bound");
	is(elfw_sink_write(sink, 10, data, MIB, &done), 0, "after a small gap");
	is(done, MIB, "all of it");
	is(elfw_sink_write(sink, 4 * MIB, data, 1, &done), 0, "after a gap of megabytes");
	is(elfw_sink_finish(sink, 5 * MIB + 1), 0, "and one at the end");
	is(elfw_sink_commit(sink), 0, "commit");
	is(elfw_sink_disk_bytes(sink), 5 * MIB + 1, "every byte was written");
	elfw_sink_close(sink);
	is(fcntl(fds[1], F_GETFD), 0, "still the caller's");
	close(fds[1]);
	reader_join(&reader);
	is(reader.len, 5 * MIB + 1, "every byte arrived");
	is_mem(reader.data, zeros, 10, "small gap");
	is_mem(reader.data + 10, data, MIB, "data");
	is_mem(reader.data + 10 + MIB, zeros, 3 * MIB - 10, "large gap");
	is(reader.data[4 * MIB], data[0], "one byte");
	is_mem(reader.data + 4 * MIB + 1, zeros, MIB, "end");
	free(reader.data);
	free(data);
	free(zeros);
}

static void test_pipes(void)
{
	int fds[2];

	need(pipe(fds) == 0);
	test_pipe("a pipe", fds, false);
	need(pipe(fds) == 0);
	test_pipe("a pipe", fds, true);
	need(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	test_pipe("a socket", fds, false);
	need(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	test_pipe("a socket", fds, true);
}

static void test_pipe_errors(void)
{
	struct elfw_sink *sink;
	int fds[2];

	need(pipe(fds) == 0 && elfw_sink_open_fd(fds[1], &sink) == 0);
	need(elfw_sink_write(sink, 100, "x", 1, NULL) == 0);
	is(elfw_sink_write(sink, 100, "x", 1, NULL), -ESPIPE, "backwards");
	elfw_sink_close(sink);

	need(elfw_sink_open_fd(fds[1], &sink) == 0);
	close(fds[0]);
	is(elfw_sink_write(sink, 0, "x", 1, NULL), -EPIPE, "nobody reads");
	is(strcmp(elfw_sink_failed_call(sink), "write"), 0, "the call that failed");
	is(elfw_sink_finish(sink, 10), -EPIPE, "the error stays");
	elfw_sink_close(sink);
	close(fds[1]);
}

/* A signal must get through a write that waits for its reader, also when part of it was taken. */
static void test_interrupted(bool non_blocking, uint64_t gap)
{
	const struct sigaction action = {.sa_handler = on_alarm};
	struct reader reader;
	struct elfw_sink *sink;
	uint8_t *data = malloc(MIB);
	size_t done = 0, n;
	int fds[2], r;

	need(data && pipe(fds) == 0 && sigaction(SIGALRM, &action, NULL) == 0);
	memset(data, 5, MIB);
	if (non_blocking)
		need(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
	need(elfw_sink_open_fd(fds[1], &sink) == 0);
	n_alarms = 0;
	alarm_after(50000, 0);
	is(elfw_sink_write(sink, gap, data, MIB, &done), -EINTR, "interrupted, partly taken");
	is(n_alarms, 1, "by the first signal");
	ok(done < MIB && (gap || done > 0), "part of it was taken");
	alarm_after(50000, 0);
	is(elfw_sink_write(sink, gap + done, data + done, MIB - done, &n), -EINTR,
	   "interrupted, nothing taken");
	is(n, 0, "nothing");
	is(n_alarms, 2, "by the second signal");
	reader_start(&reader, fds[0], 4 * MIB);
	do {
		r = elfw_sink_write(sink, gap + done, data + done, MIB - done, &n);
		done += n;
	} while (r == -EINTR);
	is(r, 0, "goes on");
	is(done, MIB, "to the end");
	elfw_sink_close(sink);
	close(fds[1]);
	reader_join(&reader);
	is(reader.len, gap + MIB, "every byte arrived");
	is_mem(reader.data + gap, data, MIB, "once and in order");
	free(reader.data);
	free(data);
}

/* A reader that goes away during a write is no signal. */
static void *reader_leaves(void *arg)
{
	char byte;

	need(read(*(int *)arg, &byte, 1) == 1);
	usleep(50000);
	close(*(int *)arg);
	return NULL;
}

static void test_reader_leaves(void)
{
	struct elfw_sink *sink;
	uint8_t *data = calloc(1, MIB);
	pthread_t thread;
	int fds[2];

	need(data && pipe(fds) == 0 && elfw_sink_open_fd(fds[1], &sink) == 0);
	need(!pthread_create(&thread, NULL, reader_leaves, &fds[0]));
	is(elfw_sink_write(sink, 0, data, MIB, NULL), -EPIPE, "the reader leaves meanwhile");
	need(!pthread_join(thread, NULL));
	elfw_sink_close(sink);
	close(fds[1]);
	free(data);
}

static void *fifo_reader(void *arg)
{
	struct reader *reader = arg;

	reader->fd = open("fifo", O_RDONLY);
	return reader_main(reader);
}

static void test_special(void)
{
	struct reader reader = {.cap = 100, .data = calloc(1, 100)};
	struct elfw_sink *sink;

	is(save("/dev/null", 0, "core"), 0, "/dev/null");
	is(elfw_sink_open_file("/dev/full", ELFW_SINK_FSYNC, &sink), 0, "/dev/full");
	ok(!elfw_sink_can_seek(sink), "is a stream");
	is(elfw_sink_write(sink, 0, "x", 1, NULL), -ENOSPC, "and full");
	elfw_sink_close(sink);
	is(access("/dev/full", F_OK), 0, "and still there");

	need(reader.data && mkfifo("fifo", 0600) == 0);
	need(!pthread_create(&reader.thread, NULL, fifo_reader, &reader));
	is(save("fifo", ELFW_SINK_FSYNC, "core"), 0, "a FIFO");
	reader_join(&reader);
	is_mem(reader.data, "core", 5, "was written to");
	free(reader.data);
	unlink("fifo");
}

int main(void)
{
	char path[] = "/tmp/livecore-test-sink-XXXXXX";

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	need(mkdtemp(path) && chdir(path) == 0);
	for (int i = 0; i < 2; i++) {
		unsigned int mode = i ? ELFW_SINK_NO_TMPFILE : 0;

		test_new_file(mode);
		test_abandoned(mode);
		test_races(mode);
		test_symlink(mode);
	}
	test_refused();
	test_permissions();
	test_killed();
	test_holes();
	test_unaligned();
	test_unaligned_base();
	test_threads();
	test_file_size_limit();
	test_passed_file();
	test_passed_file_abandoned();
	test_passed_file_threads();
	test_passed_file_sealed();
	test_passed_kinds();
	test_append();
	test_pipes();
	test_pipe_errors();
	test_interrupted(false, 0);
	test_interrupted(true, 0);
	test_interrupted(false, MIB);
	test_reader_leaves();
	test_special();
	is(count_entries("."), 0, "nothing is left behind by anything");
	need(chdir("/") == 0);
	rmdir(path);
	return tap_done();
}
