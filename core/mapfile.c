/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opens and questions the files behind mappings. Runs before and inside the freeze. */
#include "mapfile.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "err.h"

#ifndef STATX_ATTR_DAX
#define STATX_ATTR_DAX 0x00200000
#endif

/* O_PATH follows the link and opens nothing yet. */
static int find_by_address(const struct lc_mapfile *file, const struct lc_vma *vma)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, vma->start, vma->end);
	fd = openat(file->target->dirfd, path, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* What is known of a file without asking whoever serves it. */
static int look_at(int path_fd, struct statx *stx)
{
	return statx(path_fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, stx) < 0
		       ? -errno
		       : 0;
}

static bool is_the_mapping_s(const struct statx *stx, const struct lc_vma *vma)
{
	return stx->stx_ino == vma->inode && stx->stx_dev_major == vma->dev_major &&
	       stx->stx_dev_minor == vma->dev_minor;
}

/*
 * The names on the way to a mapped file are in the kernel's memory. A walk that asks a file system
 * is on the way to another file, perhaps through a mount that the target itself serves: it fails
 * with EAGAIN (Linux 5.12), as does, now and then, one that a rename elsewhere disturbs.
 */
static int walk_cached(int rootfd, const char *name)
{
	const struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_CACHED,
	};
	int fd = -1;

	for (int tries = 0; fd < 0 && tries < 3; tries++) {
		fd = (int)syscall(SYS_openat2, rootfd, name, &how, sizeof(how));
		if (fd < 0 && errno != EAGAIN)
			break;
	}
	/* an older kernel, or a filter that does not know the call */
	if (fd < 0 && (errno == ENOSYS || errno == EINVAL || errno == EPERM))
		fd = openat(rootfd, name + 1, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == EAGAIN ? -ENOENT : -errno;
	return fd;
}

/* A name is the target's word, in its mount namespace; device and inode are the kernel's. */
static int find_by_name(const struct lc_mapfile *file, const struct lc_vma *vma)
{
	struct statx stx;
	int fd;

	if (vma->name[0] != '/' || !vma->name[1] || file->rootfd < 0 ||
	    (vma->flags & LC_VMA_REMOTE))
		return -ENOENT;
	fd = walk_cached(file->rootfd, vma->name);
	if (fd < 0)
		return fd;
	if (look_at(fd, &stx) < 0 || !is_the_mapping_s(&stx, vma)) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

/* Opens for reading what an O_PATH descriptor stands for. */
static int reopen(struct lc_mapfile *file, int path_fd)
{
	char path[32];
	int fd;

	if (fstat(path_fd, &file->st) < 0)
		return -errno;
	if (!S_ISREG(file->st.st_mode))
		return -ENODEV;
	snprintf(path, sizeof(path), "self/fd/%d", path_fd);
	fd = openat(file->target->procfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOATIME);
	if (fd < 0 && errno == EPERM) /* O_NOATIME is for the owner alone */
		fd = openat(file->target->procfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int open_file(struct lc_mapfile *file, const struct lc_vma *vma)
{
	int path_fd = find_by_address(file, vma);
	int fd;

	if (path_fd == -EPERM || path_fd == -EACCES || path_fd == -ENOENT)
		path_fd = find_by_name(file, vma);
	if (path_fd < 0)
		return path_fd;
	fd = reopen(file, path_fd);
	close(path_fd);
	return fd;
}

static bool is_cached(const struct lc_mapfile *file, const struct lc_vma *vma)
{
	return (file->fd >= 0 || file->code) && file->inode == vma->inode &&
	       file->dev_major == vma->dev_major && file->dev_minor == vma->dev_minor;
}

int lc_mapfile_size(const struct lc_mapfile *file, const struct lc_vma *vma, uint64_t *ret_size)
{
	struct statx stx;
	char path[64];
	int fd;

	if (vma->flags & LC_VMA_REMOTE)
		return -EREMOTE;
	if (is_cached(file, vma)) {
		*ret_size = (uint64_t)file->st.st_size;
		return -file->code;
	}
	snprintf(path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, vma->start, vma->end);
	if (statx(file->target->dirfd, path, AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &stx) < 0) {
		fd = find_by_name(file, vma);
		if (fd < 0 || look_at(fd, &stx) < 0) {
			lc_close(&fd);
			return -ENOENT;
		}
		close(fd);
	}
	*ret_size = stx.stx_size;
	return S_ISREG(stx.stx_mode) ? 0 : -ENODEV;
}

int lc_mapfile_get(struct lc_mapfile *file, const struct lc_vma *vma)
{
	if (!is_cached(file, vma)) {
		int fd = -ENODEV;

		lc_mapfile_close(file);
		file->inode = vma->inode;
		file->dev_major = vma->dev_major;
		file->dev_minor = vma->dev_minor;
		if (vma->flags & LC_VMA_REMOTE)
			fd = -EREMOTE;
		else if (!(vma->flags & LC_VMA_DEVICE))
			fd = open_file(file, vma);
		file->fd = fd < 0 ? -1 : fd;
		file->code = fd < 0 ? -fd : 0;
	}
	return -file->code;
}

bool lc_mapfile_is_zero(const struct lc_mapfile *file)
{
	return file->code == ENODEV && S_ISCHR(file->st.st_mode) &&
	       file->st.st_rdev == makedev(1, 5);
}

void lc_mapfile_close(struct lc_mapfile *file)
{
	lc_close(&file->fd);
	file->code = 0;
	file->st = (struct stat){0};
}

void lc_mapfile_open_root(struct lc_mapfile *file)
{
	char *name = NULL;

	file->rootfd = openat(file->target->dirfd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (lc_procfs_readlink(file->target->dirfd, "root", &name) < 0)
		return;
	if (strcmp(name, "/") != 0)
		file->rootname = name;
	else
		free(name);
}

void lc_mapfile_free(struct lc_mapfile *file)
{
	lc_mapfile_close(file);
	lc_close(&file->rootfd);
	free(file->rootname);
	file->rootname = NULL;
}

static bool has_links(int path_fd)
{
	struct statx stx;

	return look_at(path_fd, &stx) == 0 && stx.stx_nlink > 0;
}

/* A file can be called "x (deleted)": then one of that name, with that inode, is there. The
 * kernel's rules go by the link count, which the ring of io_setup(2) has, and a name of a file that
 * has others. */
static void settle_deleted(const struct lc_mapfile *file, struct lc_vma *vma)
{
	int fd = find_by_name(file, vma);

	/* without the privilege to ask for it */
	if (strcmp(vma->name, "/[aio] (deleted)") == 0)
		vma->flags &= ~(uint32_t)LC_VMA_DELETED;
	if (fd >= 0)
		vma->flags &= ~(uint32_t)(LC_VMA_DELETED | LC_VMA_NAMELESS);
	else
		fd = find_by_address(file, vma);
	if (fd >= 0 && has_links(fd))
		vma->flags &= ~(uint32_t)LC_VMA_DELETED;
	lc_close(&fd);
}

/* Containers keep files in /dev, which is memory there. */
static bool is_regular(const struct lc_mapfile *file, const struct lc_vma *vma)
{
	struct statx stx;
	int fd = find_by_address(file, vma);
	bool regular;

	if (fd < 0)
		fd = find_by_name(file, vma);
	regular = fd >= 0 && look_at(fd, &stx) == 0 && S_ISREG(stx.stx_mode);
	lc_close(&fd);
	return regular;
}

static bool is_dax(const struct lc_mapfile *file, const struct lc_vma *vma)
{
	struct statx stx;
	int fd = find_by_address(file, vma);
	bool dax;

	if (fd < 0)
		fd = find_by_name(file, vma);
	if (fd < 0)
		return false;
	dax = look_at(fd, &stx) == 0 && (stx.stx_attributes & STATX_ATTR_DAX);
	close(fd);
	return dax;
}

static bool name_is_surely_deleted(const char *name)
{
	return strcmp(name, "/dev/zero (deleted)") == 0 || strncmp(name, "/memfd:", 7) == 0 ||
	       strncmp(name, "/SYSV", 5) == 0 || strncmp(name, "[anon_shmem:", 12) == 0;
}

/* maps does not escape the backslash: the link of the mapping tells what the name really is. It is
 * never longer than the text that the name was cut from. */
static void settle_name(const struct lc_mapfile *file, struct lc_vma *vma)
{
	char path[64], *name;
	size_t room = strlen(vma->name);

	for (const char *p = vma->name; *p; p++)
		room += *p == '\n' ? 3 : 0;
	snprintf(path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, vma->start, vma->end);
	if (lc_procfs_readlink(file->target->dirfd, path, &name) < 0)
		return;
	if (strlen(name) <= room)
		memcpy(vma->name, name, strlen(name) + 1);
	free(name);
}

const char *lc_mapfile_below_root(const char *name, const char *root)
{
	size_t len = strlen(root);

	return strncmp(name, root, len) == 0 && name[len] == '/' ? name + len : name;
}

void lc_mapfile_settle(struct lc_mapfile *file, struct lc_vmas *vmas)
{
	for (size_t i = 0; i < vmas->n; i++) {
		struct lc_vma *vma = &vmas->v[i];

		if (!lc_vma_has_file(vma) || (vma->flags & (LC_VMA_IO | LC_VMA_PFNMAP)))
			continue;
		if (file->mounts &&
		    !lc_mounts_is_local(file->mounts, vma->dev_major, vma->dev_minor))
			vma->flags |= LC_VMA_REMOTE;
		if (file->mounts &&
		    lc_mounts_is_memory(file->mounts, vma->dev_major, vma->dev_minor))
			vma->flags |= LC_VMA_MEMORY;
		if ((vma->flags & LC_VMA_DEVICE) && is_regular(file, vma))
			vma->flags &= ~(uint32_t)LC_VMA_DEVICE;
		if (vma->flags & LC_VMA_ESCAPED)
			settle_name(file, vma);
		if (file->rootname)
			vma->name += lc_mapfile_below_root(vma->name, file->rootname) - vma->name;
		if ((vma->flags & LC_VMA_DELETED) && !name_is_surely_deleted(vma->name))
			settle_deleted(file, vma);
		if ((vma->flags & LC_VMA_MAYBE_DAX) && is_dax(file, vma))
			vma->flags |= LC_VMA_DAX;
	}
}

int lc_mapfile_next_data(const struct lc_mapfile *file, uint64_t start, uint64_t end,
			 uint64_t *ret_start, uint64_t *ret_end)
{
	uint64_t size = (uint64_t)file->st.st_size;
	off_t data, hole;

	if (end > size)
		end = size;
	if (start >= end)
		return 0;
	data = lseek(file->fd, (off_t)start, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		return 0;
	/* a file system without holes says EINVAL: then all of it is data */
	hole = data < 0 ? (off_t)end : lseek(file->fd, data, SEEK_HOLE);
	if (data < 0)
		data = (off_t)start;
	if (hole < 0)
		hole = (off_t)end;
	if ((uint64_t)data >= end)
		return 0;
	*ret_start = (uint64_t)data;
	*ret_end = (uint64_t)hole < end ? (uint64_t)hole : end;
	return 1;
}
