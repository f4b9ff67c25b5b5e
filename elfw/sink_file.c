/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Owns outputs that are regular files: a new one that gets its name when it is whole, or a caller's
 * descriptor. Zero pages become holes, also where something was written before. Writing runs inside
 * the freeze, from several threads; opening and committing do not.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "sink_impl.h"

/* What is skipped when it is zero. Smaller than the block of some file systems, which does no harm.
 */
#define BLOCK_SIZE    4096

#define TMP_NAME_SIZE 32

struct file_sink {
	struct elfw_sink sink;
	uint64_t base;        /* in the file: where the core begins */
	_Atomic uint64_t end; /* in the file: nothing was written from here on */
	atomic_bool no_punch; /* the file system does not take blocks back */

	/* A new file. */
	int dir_fd;                   /* O_PATH; -1: a caller's descriptor */
	char *name;                   /* in dir_fd */
	char tmp_name[TMP_NAME_SIZE]; /* in dir_fd; empty: the file has none */
	unsigned int flags;

	/* A caller's descriptor. */
	uint64_t start_size;
	uint64_t start_blocks;
	uint64_t size; /* of the core, once finished */
	pthread_mutex_t lock;
	atomic_bool touched; /* what was behind the base has been dropped */
};

static struct file_sink *to_file(struct elfw_sink *sink)
{
	return (struct file_sink *)sink;
}

static int fail(struct file_sink *file, const char *call)
{
	return errno == EINTR ? -EINTR : elfw_sink_fail(&file->sink, call, errno);
}

/* ---- writing ------------------------------------------------------------------------------- */

/*
 * Most pages show in their first word that they are not zero. The others are compared with
 * themselves, a word further on: memcmp() stops at the first difference and uses what vectors the
 * processor has, three times as fast as a loop that is compiled for all of them.
 */
static bool is_zero_block(const uint8_t *block)
{
	uint64_t word;

	memcpy(&word, block, sizeof(word));
	if (word)
		return false;
	return memcmp(block, block + sizeof(word), BLOCK_SIZE - sizeof(word)) == 0;
}

/* How many bytes from the start are whole blocks of the file, and zero. */
static size_t zero_run(uint64_t pos, const uint8_t *data, size_t len)
{
	size_t n = 0;

	if (pos % BLOCK_SIZE)
		return 0;
	while (len - n >= BLOCK_SIZE && is_zero_block(data + n))
		n += BLOCK_SIZE;
	return n;
}

/* How many bytes from the start are to be written in one go: up to the next block that is zero. The
 * first byte is not in such a block. A block that is here only in part is always written: its rest
 * is somebody else's, and it may replace what was not zero. */
static size_t data_run(uint64_t pos, const uint8_t *data, size_t len)
{
	size_t n = BLOCK_SIZE - pos % BLOCK_SIZE;

	while (n < len && len - n >= BLOCK_SIZE && !is_zero_block(data + n))
		n += BLOCK_SIZE;
	return n < len && len - n >= BLOCK_SIZE ? n : len;
}

/* Before anything is written up to `stop`, so that whoever looks meanwhile sees too much. */
static void raise_end(struct file_sink *file, uint64_t stop)
{
	uint64_t end = atomic_load(&file->end);

	while (end < stop && !atomic_compare_exchange_weak(&file->end, &end, stop))
		;
}

/* `n` is what a write returned; what was written counts. */
static int count_written(struct file_sink *file, ssize_t n)
{
	if (n < 0)
		return fail(file, "write");
	if (n == 0)
		return elfw_sink_fail(&file->sink, "write", EIO);
	atomic_fetch_add_explicit(&file->sink.written, (uint64_t)n, memory_order_relaxed);
	return 0;
}

static int pwrite_all(struct file_sink *file, uint64_t pos, const uint8_t *data, size_t len,
		      size_t *done)
{
	raise_end(file, pos + len);
	while (len) {
		ssize_t n = pwrite(file->sink.fd, data, len, (off_t)pos);
		int r = count_written(file, n);

		if (r < 0)
			return r;
		pos += (size_t)n;
		data += n;
		len -= (size_t)n;
		*done += (size_t)n;
	}
	return 0;
}

static int write_zeros(struct file_sink *file, uint64_t pos, uint64_t len, uint64_t *done)
{
	while (*done < len) {
		struct iovec iov[ELFW_SINK_ZERO_N_IOV];
		ssize_t n;
		int n_iov, r;

		elfw_sink_zeros(len - *done, iov, &n_iov);
		n = pwritev(file->sink.fd, iov, n_iov, (off_t)(pos + *done));
		r = count_written(file, n);
		if (r < 0)
			return r;
		*done += (uint64_t)n;
	}
	return 0;
}

/*
 * Gives the blocks back and makes zero what is in them only in part. Returns 0, -EINTR, or another
 * error, which is not one of the output's: the blocks are there, so zeros can be written, and if
 * they cannot, that says why. Splitting an extent, for one, may want a block that a full file
 * system has not got.
 */
static int punch(struct file_sink *file, uint64_t pos, uint64_t len)
{
	if (atomic_load(&file->no_punch))
		return -EOPNOTSUPP;
	if (fallocate(file->sink.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)pos,
		      (off_t)len) == 0)
		return 0;
	if (errno == EOPNOTSUPP || errno == ENOSYS)
		atomic_store(&file->no_punch, true);
	return -errno;
}

/* Of the range, only what is before the end can be anything but zero. The block that the end is in
 * goes as a whole. */
static int make_zero(struct file_sink *file, uint64_t pos, uint64_t len, uint64_t *ret_done)
{
	uint64_t end = atomic_load(&file->end);
	uint64_t zeroed = 0, whole;
	int r = 0;

	if (pos < end) {
		whole = (end + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE - pos;
		r = punch(file, pos, len < whole ? len : whole);
		if (r < 0 && r != -EINTR)
			r = write_zeros(file, pos, len < end - pos ? len : end - pos, &zeroed);
	}
	*ret_done = r < 0 ? zeroed : len;
	return r;
}

/*
 * Drops what a caller's file held from the base on, before the first write and not when the sink is
 * opened: a target that is refused must not cost the caller's data. After it a hole is a hole, and
 * a zero page can be skipped as in a new file.
 */
static int drop_rest(struct file_sink *file)
{
	struct stat st;

	if (file->start_size <= file->base)
		return 0;
	if (ftruncate(file->sink.fd, (off_t)file->base) < 0)
		return fail(file, "ftruncate");
	if (fstat(file->sink.fd, &st) == 0)
		file->start_blocks = (uint64_t)st.st_blocks;
	return 0;
}

/* Called by every write: the first one, whichever thread's it is, makes the others wait. */
static int touch(struct file_sink *file)
{
	int r = 0;

	if (file->dir_fd >= 0 || atomic_load(&file->touched))
		return 0;
	pthread_mutex_lock(&file->lock);
	if (!atomic_load(&file->touched)) {
		r = drop_rest(file);
		if (r == 0)
			atomic_store(&file->touched, true);
	}
	pthread_mutex_unlock(&file->lock);
	return r;
}

/* Is base + off + len a position that a file can have? */
static bool fits(const struct file_sink *file, uint64_t off, uint64_t len)
{
	uint64_t room = (uint64_t)INT64_MAX - file->base;

	return off <= room && len <= room - off;
}

/* `again`: there may be something else already. */
static int file_put(struct elfw_sink *sink, uint64_t off, const uint8_t *data, size_t len,
		    bool again, size_t *ret_done)
{
	struct file_sink *file = to_file(sink);
	int r;

	if (!fits(file, off, len))
		return elfw_sink_fail(sink, "write", EFBIG);
	r = touch(file);
	while (r == 0 && *ret_done < len) {
		uint64_t pos = file->base + off + *ret_done;
		size_t left = len - *ret_done;
		size_t n = zero_run(pos, data + *ret_done, left);
		uint64_t zeroed = n;

		if (!n)
			r = pwrite_all(file, pos, data + *ret_done,
				       data_run(pos, data + *ret_done, left), ret_done);
		else if (again)
			r = make_zero(file, pos, n, &zeroed);
		*ret_done += (size_t)zeroed;
	}
	return r;
}

static int file_write(struct elfw_sink *sink, uint64_t off, const uint8_t *data, size_t len,
		      size_t *ret_done)
{
	return file_put(sink, off, data, len, false, ret_done);
}

static int file_rewrite(struct elfw_sink *sink, uint64_t off, const uint8_t *data, size_t len,
			size_t *ret_done)
{
	return file_put(sink, off, data, len, true, ret_done);
}

/* Before the first write there is nothing to be cleared, and what a caller's file holds is not
 * touched. */
static int file_clear(struct elfw_sink *sink, uint64_t off, uint64_t len, uint64_t *ret_done)
{
	struct file_sink *file = to_file(sink);

	*ret_done = len;
	if (!len || off >= atomic_load(&file->end) - file->base)
		return 0;
	return make_zero(file, file->base + off, len, ret_done);
}

static int file_finish(struct elfw_sink *sink, uint64_t size)
{
	struct file_sink *file = to_file(sink);
	int r;

	if (!fits(file, size, 0))
		return elfw_sink_fail(sink, "ftruncate", EFBIG);
	r = touch(file);
	if (r < 0)
		return r;
	if (ftruncate(sink->fd, (off_t)(file->base + size)) < 0)
		return fail(file, "ftruncate");
	file->size = size;
	return 0;
}

static int file_space(const struct elfw_sink *sink, uint64_t *ret_bytes)
{
	return elfw_sink_file_space(sink->fd, ((const struct file_sink *)sink)->base, ret_bytes);
}

static uint64_t file_disk_bytes(const struct elfw_sink *sink)
{
	const struct file_sink *file = (const struct file_sink *)sink;
	struct stat st;

	if (fstat(sink->fd, &st) < 0 || (uint64_t)st.st_blocks < file->start_blocks)
		return 0;
	return ((uint64_t)st.st_blocks - file->start_blocks) * 512;
}

static void file_free(struct file_sink *file)
{
	pthread_mutex_destroy(&file->lock);
	free(file->name);
	free(file);
}

static struct file_sink *file_alloc(const struct elfw_sink_ops *ops)
{
	struct file_sink *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->sink.ops = ops;
	file->sink.fd = -1;
	file->dir_fd = -1;
	pthread_mutex_init(&file->lock, NULL);
	return file;
}

/* ---- a new file ---------------------------------------------------------------------------- */

/* NFS and quotas may report at close() what a write could not store, and the descriptor is needed
 * for the name and for reading again: so a duplicate is closed. */
static int flush(struct file_sink *file)
{
	int fd = fcntl(file->sink.fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return fail(file, "dup");
	if (close(fd) < 0)
		return fail(file, "close");
	return 0;
}

static int random_name(char *ret_name)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return -EIO;
	snprintf(ret_name, TMP_NAME_SIZE, ".livecore-%016llx", (unsigned long long)number);
	return 0;
}

/* Gives the unnamed file a name that is free. AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH before Linux
 * 6.10, /proc does not. */
static int link_unnamed(struct file_sink *file, const char *name)
{
	char path[48];

	if (linkat(file->sink.fd, "", file->dir_fd, name, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno == EEXIST)
		return -EEXIST;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->sink.fd);
	if (linkat(AT_FDCWD, path, file->dir_fd, name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	return -errno;
}

/* Renames the file from its temporary name over what is at its own. What may have appeared there
 * since the sink was opened and is no file is left alone. */
static int rename_over(struct file_sink *file)
{
	struct stat st;

	if (fstatat(file->dir_fd, file->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return elfw_sink_fail(&file->sink, "rename", EEXIST);
	if (renameat(file->dir_fd, file->tmp_name, file->dir_fd, file->name) < 0)
		return fail(file, "rename");
	file->tmp_name[0] = '\0';
	return 0;
}

static int commit_unnamed(struct file_sink *file)
{
	char tmp_name[TMP_NAME_SIZE];
	int r = link_unnamed(file, file->name);

	if (r == -EEXIST && (file->flags & ELFW_SINK_REPLACE)) {
		/* link() replaces nothing, so for one moment the file has another name. */
		r = random_name(tmp_name);
		if (r == 0)
			r = link_unnamed(file, tmp_name);
		if (r == 0) {
			memcpy(file->tmp_name, tmp_name, sizeof(tmp_name));
			return rename_over(file);
		}
	}
	return r < 0 ? elfw_sink_fail(&file->sink, "link", -r) : 0;
}

static int commit_named(struct file_sink *file)
{
	if (file->flags & ELFW_SINK_REPLACE)
		return rename_over(file);
	if (renameat2(file->dir_fd, file->tmp_name, file->dir_fd, file->name, RENAME_NOREPLACE) ==
	    0) {
		file->tmp_name[0] = '\0';
		return 0;
	}
	/* NFS, among others, does not know the flag; a link refuses to replace anywhere. */
	if (errno != EINVAL && errno != ENOSYS)
		return fail(file, "rename");
	if (linkat(file->dir_fd, file->tmp_name, file->dir_fd, file->name, 0) < 0)
		return fail(file, "link");
	unlinkat(file->dir_fd, file->tmp_name, 0);
	file->tmp_name[0] = '\0';
	return 0;
}

/* The name itself. A directory that cannot be read cannot be opened for fsync(), but its file
 * system can be synchronised. */
static int sync_name(struct file_sink *file)
{
	int fd = openat(file->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	r = fd >= 0 ? fsync(fd) : syncfs(file->sink.fd);
	if (r < 0 && errno != EINVAL)
		r = elfw_sink_fail(&file->sink, "fsync", errno);
	else
		r = 0;
	if (fd >= 0)
		close(fd);
	return r;
}

static int new_commit(struct elfw_sink *sink)
{
	struct file_sink *file = to_file(sink);
	int r;

	if ((file->flags & ELFW_SINK_FSYNC) && fsync(sink->fd) < 0)
		return fail(file, "fsync");
	r = flush(file);
	if (r < 0)
		return r;
	r = file->tmp_name[0] ? commit_named(file) : commit_unnamed(file);
	if (r < 0 || !(file->flags & ELFW_SINK_FSYNC))
		return r;
	return sync_name(file) < 0 ? 1 : 0;
}

static void new_close(struct elfw_sink *sink)
{
	struct file_sink *file = to_file(sink);

	if (file->tmp_name[0])
		unlinkat(file->dir_fd, file->tmp_name, 0);
	if (sink->fd >= 0)
		close(sink->fd);
	if (file->dir_fd >= 0)
		close(file->dir_fd);
	file_free(file);
}

static const struct elfw_sink_ops new_ops = {
	.can_seek = true,
	.write = file_write,
	.rewrite = file_rewrite,
	.clear = file_clear,
	.finish = file_finish,
	.commit = new_commit,
	.space = file_space,
	.disk_bytes = file_disk_bytes,
	.close = new_close,
};

static int open_named(struct file_sink *file)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	char tmp_name[TMP_NAME_SIZE];
	int r = random_name(tmp_name);

	if (r < 0)
		return r;
	file->sink.fd = openat(file->dir_fd, tmp_name, flags, 0600);
	if (file->sink.fd < 0)
		return -errno;
	memcpy(file->tmp_name, tmp_name, sizeof(tmp_name));
	return 0;
}

/* Without a name where the file system can: then SIGKILL leaves nothing behind. */
static int open_tmp(struct file_sink *file)
{
	int r = -EOPNOTSUPP;

	if (!(file->flags & ELFW_SINK_NO_TMPFILE)) {
		file->sink.fd = openat(file->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		r = file->sink.fd < 0 ? -errno : 0;
	}
	/* EISDIR and EINVAL: what kernels and file systems say that do not know the flag. */
	if (r == -EOPNOTSUPP || r == -EISDIR || r == -EINVAL)
		r = open_named(file);
	/* The umask may have taken from the mode, and so may a default ACL of the directory. */
	if (r == 0 && fchmod(file->sink.fd, 0600) < 0)
		r = -errno;
	return r;
}

/* The last component of `path` and the directory that it is in. */
static int split_path(const char *path, char **ret_dir, char **ret_name)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	if (!*path)
		return -ENOENT;
	if (!*name)
		return -EISDIR;
	if (!slash)
		*ret_dir = strdup(".");
	else
		*ret_dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	*ret_name = strdup(name);
	if (*ret_dir && *ret_name)
		return 0;
	free(*ret_dir);
	free(*ret_name);
	return -ENOMEM;
}

/* May what is there be replaced? In a directory with the sticky bit rename() asks whose it is;
 * better to know before the target is touched. */
static int check_replace(int dir_fd, const struct stat *st, unsigned int flags)
{
	uid_t uid = geteuid();
	struct stat dir;

	if (!(flags & ELFW_SINK_REPLACE))
		return S_ISLNK(st->st_mode) ? -ELOOP : -EEXIST;
	if (fstat(dir_fd, &dir) < 0)
		return -errno;
	if ((dir.st_mode & S_ISVTX) && uid != 0 && st->st_uid != uid && dir.st_uid != uid)
		return -EPERM;
	return 0;
}

/* What is at the name now: *ret_is_stream if it is to be written as it is. */
static int look_at_name(int dir_fd, const char *name, unsigned int flags, bool *ret_is_stream)
{
	struct stat st;

	*ret_is_stream = false;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		return -EISDIR;
	case S_IFCHR:
	case S_IFIFO:
		*ret_is_stream = true;
		return 0;
	case S_IFREG:
	case S_IFLNK:
		return check_replace(dir_fd, &st, flags);
	default:
		return -ENOTSUP;
	}
}

/* A FIFO waits here for its reader, before anything is frozen. */
static int open_stream(int dir_fd, const char *name, unsigned int flags,
		       struct elfw_sink **ret_sink)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	/* Something else may be there by now. */
	if (fstat(fd, &st) < 0 || !(S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))) {
		close(fd);
		return -EEXIST;
	}
	return elfw_sink_stream_new(fd, true, flags, ret_sink);
}

/* Takes over `dir_fd` and `name`, also on failure. Without a name it cannot be committed. */
static int open_new(int dir_fd, char *name, unsigned int flags, struct elfw_sink **ret_sink)
{
	struct file_sink *file = file_alloc(&new_ops);
	int r;

	if (!file) {
		close(dir_fd);
		free(name);
		return -ENOMEM;
	}
	file->dir_fd = dir_fd;
	file->name = name;
	file->flags = flags;
	file->sink.can_read = true;
	r = open_tmp(file);
	if (r < 0) {
		new_close(&file->sink);
		return r;
	}
	*ret_sink = &file->sink;
	return 0;
}

int elfw_sink_nameless_new(const char *dir, unsigned int flags, struct elfw_sink **ret_sink)
{
	int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct elfw_sink *sink;
	struct file_sink *file;
	int r;

	if (dir_fd < 0)
		return -errno;
	r = open_new(dir_fd, NULL, flags, &sink);
	if (r < 0)
		return r;
	file = to_file(sink);
	if (file->tmp_name[0] && unlinkat(file->dir_fd, file->tmp_name, 0) < 0) {
		r = -errno;
		new_close(sink);
		return r;
	}
	file->tmp_name[0] = '\0';
	*ret_sink = sink;
	return 0;
}

int elfw_sink_open_file(const char *path, unsigned int flags, struct elfw_sink **ret_sink)
{
	char *dir = NULL, *name = NULL;
	bool is_stream;
	int dir_fd;
	int r = split_path(path, &dir, &name);

	if (r < 0)
		return r;
	/* Held by a descriptor, so that the core appears in it even if it is renamed meanwhile. */
	dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = dir_fd < 0 ? -errno : 0;
	free(dir);
	if (r == 0)
		r = look_at_name(dir_fd, name, flags, &is_stream);
	if (r == 0 && !is_stream)
		return open_new(dir_fd, name, flags, ret_sink);
	if (r == 0)
		r = open_stream(dir_fd, name, flags, ret_sink);
	if (dir_fd >= 0)
		close(dir_fd);
	free(name);
	return r;
}

/* ---- a caller's file ----------------------------------------------------------------------- */

static int regular_commit(struct elfw_sink *sink)
{
	struct file_sink *file = to_file(sink);

	if (lseek(sink->fd, (off_t)(file->base + file->size), SEEK_SET) < 0)
		return fail(file, "lseek");
	return 0;
}

static void regular_close(struct elfw_sink *sink)
{
	struct file_sink *file = to_file(sink);
	uint64_t size = file->start_size < file->base ? file->start_size : file->base;

	if (file->touched && !sink->committed)
		while (ftruncate(sink->fd, (off_t)size) < 0 && errno == EINTR)
			;
	file_free(file);
}

static const struct elfw_sink_ops regular_ops = {
	.can_seek = true,
	.write = file_write,
	.rewrite = file_rewrite,
	.clear = file_clear,
	.finish = file_finish,
	.commit = regular_commit,
	.space = file_space,
	.disk_bytes = file_disk_bytes,
	.close = regular_close,
};

int elfw_sink_regular_new(int fd, const struct stat *st, bool can_read, struct elfw_sink **ret_sink)
{
	off_t pos = lseek(fd, 0, SEEK_CUR);
	struct file_sink *file;

	if (pos < 0)
		return -errno;
	file = file_alloc(&regular_ops);
	if (!file)
		return -ENOMEM;
	file->sink.fd = fd;
	file->sink.can_read = can_read;
	file->base = (uint64_t)pos;
	file->end = file->base;
	file->start_size = (uint64_t)st->st_size;
	file->start_blocks = (uint64_t)st->st_blocks;
	*ret_sink = &file->sink;
	return 0;
}
