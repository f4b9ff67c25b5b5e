/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reads mountinfo, and finds the devices of file systems that are mounted nowhere. */
#include "mounts.h"

#include <ctype.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "err.h"
#include "vma.h"

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

/* File systems of this kernel and its own devices. A name that is not here may be served by anybody
 * ("fuse.sshfs", "nfs4", "9p", "virtiofs", "cifs", ...). */
static const char *const local_types[] = {
	"bcachefs", "btrfs", "erofs",    "exfat", "ext2",  "ext3",  "ext4",   "f2fs",  "hfs",
	"hfsplus",  "hpfs",  "iso9660",  "jfs",   "minix", "msdos", "nilfs2", "ntfs3", "overlay",
	"reiserfs", "romfs", "squashfs", "udf",   "ufs",   "vfat",  "xfs",    "zfs",
};

/* The same, and all that is there is memory. */
static const char *const memory_types[] = {"devtmpfs", "hugetlbfs", "ramfs", "rootfs", "tmpfs"};

enum fs_kind {
	FS_REMOTE,
	FS_LOCAL,
	FS_MEMORY,
};

static int add(struct lc_mounts *mounts, uint32_t dev_major, uint32_t dev_minor, enum fs_kind kind)
{
	if (lc_grow((void **)&mounts->v, &mounts->cap, mounts->n, sizeof(*mounts->v)) < 0)
		return -ENOMEM;
	mounts->v[mounts->n++] =
		(struct lc_fs){dev_major, dev_minor, kind != FS_REMOTE, kind == FS_MEMORY};
	return 0;
}

#define N_ELEMENTS(array) (sizeof(array) / sizeof(*(array)))

static bool is_in(const char *const *list, size_t n, const char *type, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(list[i]) == len && memcmp(list[i], type, len) == 0)
			return true;
	return false;
}

static enum fs_kind kind_of_type(const char *type, size_t len)
{
	if (is_in(memory_types, N_ELEMENTS(memory_types), type, len))
		return FS_MEMORY;
	return is_in(local_types, N_ELEMENTS(local_types), type, len) ? FS_LOCAL : FS_REMOTE;
}

/* The ID, the parent's, and the device. sscanf() would measure all the text that follows. */
static bool parse_device(const char *line, uint32_t *ret_major, uint32_t *ret_minor)
{
	static const char stops[] = "  : ";
	unsigned long numbers[4];

	for (size_t i = 0; i < 4; i++) {
		char *end;

		if (!isdigit((unsigned char)*line))
			return false;
		numbers[i] = strtoul(line, &end, 10);
		if (*end != stops[i])
			return false;
		line = end + 1;
	}
	*ret_major = (uint32_t)numbers[2];
	*ret_minor = (uint32_t)numbers[3];
	return true;
}

/*
 * "36 35 98:0 / /mnt rw,noatime master:1 - ext4 /dev/root rw": proc_pid_mountinfo(5). Blanks in
 * names are escaped, so the first lone dash is the separator.
 */
static int parse_line(const char *line, size_t len, struct lc_mounts *mounts)
{
	uint32_t dev_major, dev_minor;
	const char *type = memmem(line, len, " - ", 3);

	if (!type || !parse_device(line, &dev_major, &dev_minor))
		return 0;
	type += 3;
	return add(mounts, dev_major, dev_minor, kind_of_type(type, strcspn(type, " \n")));
}

int lc_mounts_parse(const char *text, struct lc_mounts *mounts)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		int r = parse_line(text, len, mounts);

		if (r < 0)
			return r;
		text += len + (text[len] == '\n');
	}
	return 0;
}

static int read_list(int dirfd, const char *path, struct lc_mounts *mounts)
{
	struct lc_text text = {0};
	int r = 0;

	if (lc_procfs_read(dirfd, path, &text) == 0)
		r = lc_mounts_parse(text.data, mounts);
	lc_text_free(&text);
	return r;
}

/* ---- what is mounted nowhere -------------------------------------------------------------- */

/* Shared memory of every kind, or with MFD_HUGETLB that of huge pages. */
static int add_memfd(struct lc_mounts *mounts, unsigned int flags)
{
	int fd = memfd_create("livecore", flags | MFD_CLOEXEC);
	struct stat st;
	int r = 0;

	if (fd >= 0 && fstat(fd, &st) == 0)
		r = add(mounts, major(st.st_dev), minor(st.st_dev), FS_MEMORY);
	lc_close(&fd);
	return r;
}

static int add_unmounted(struct lc_mounts *mounts)
{
	int r = add_memfd(mounts, 0);

	/* 4 KiB to 1 TiB; a size that the processor does not have is refused */
	for (unsigned int shift = 12; r == 0 && shift <= 40; shift++)
		r = add_memfd(mounts, MFD_HUGETLB | shift << MFD_HUGE_SHIFT);
	return r;
}

/* ---- who answers -------------------------------------------------------------------------- */

struct look {
	const struct lc_target *target;
	bool found;
};

static int is_fanotify(void *arg, pid_t fd)
{
	struct look *look = arg;
	char path[24], *link;

	snprintf(path, sizeof(path), "fd/%d", fd);
	if (lc_procfs_readlink(look->target->dirfd, path, &link) < 0)
		return 0;
	look->found = strcmp(link, "anon_inode:[fanotify]") == 0;
	free(link);
	return look->found;
}

/* An on-access scanner: while it is frozen, an open(2) of ours may wait for its word for ever. */
static bool answers_opens(const struct lc_target *target)
{
	struct look look = {.target = target};

	/* the walk is made for PIDs, which start at 1 */
	return is_fanotify(&look, 0) ||
	       (lc_procfs_each_pid(target->dirfd, "fd", is_fanotify, &look) > 0 && look.found);
}

/* ---- all of it ---------------------------------------------------------------------------- */

static int by_device(const void *a, const void *b)
{
	const struct lc_fs *x = a, *y = b;

	if (x->dev_major != y->dev_major)
		return x->dev_major < y->dev_major ? -1 : 1;
	return x->dev_minor < y->dev_minor ? -1 : x->dev_minor > y->dev_minor;
}

static void sort(struct lc_mounts *mounts)
{
	if (mounts->n)
		qsort(mounts->v, mounts->n, sizeof(*mounts->v), by_device);
}

int lc_mounts_read(const struct lc_target *target, struct lc_mounts *ret_mounts)
{
	int r = add_unmounted(ret_mounts);

	ret_mounts->answers_opens = answers_opens(target);
	if (r == 0 && !ret_mounts->answers_opens)
		r = read_list(target->dirfd, "mountinfo", ret_mounts);
	if (r == 0 && !ret_mounts->answers_opens)
		r = read_list(target->procfd, "self/mountinfo", ret_mounts);
	sort(ret_mounts);
	return r;
}

int lc_mounts_add_aio(struct lc_mounts *mounts)
{
	struct lc_text text = {0};
	struct lc_vmas own = {0};
	aio_context_t ring = 0;
	int r = 0;

	if (syscall(SYS_io_setup, 1, &ring) < 0)
		return 0;
	if (lc_procfs_read(AT_FDCWD, "/proc/self/maps", &text) < 0)
		lc_text_free(&text);
	else if (lc_vmas_parse(text.data, text.len, &own) < 0)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < own.n; i++)
		if (own.v[i].start == ring)
			r = add(mounts, own.v[i].dev_major, own.v[i].dev_minor, FS_MEMORY);
	syscall(SYS_io_destroy, ring);
	lc_vmas_free(&own);
	sort(mounts);
	return r;
}

static const struct lc_fs *find(const struct lc_mounts *mounts, uint32_t dev_major,
				uint32_t dev_minor)
{
	const struct lc_fs key = {.dev_major = dev_major, .dev_minor = dev_minor};

	return mounts->n ? bsearch(&key, mounts->v, mounts->n, sizeof(key), by_device) : NULL;
}

bool lc_mounts_is_local(const struct lc_mounts *mounts, uint32_t dev_major, uint32_t dev_minor)
{
	const struct lc_fs *fs = find(mounts, dev_major, dev_minor);

	return fs ? fs->is_local : dev_major != 0 && !mounts->answers_opens;
}

bool lc_mounts_is_memory(const struct lc_mounts *mounts, uint32_t dev_major, uint32_t dev_minor)
{
	const struct lc_fs *fs = find(mounts, dev_major, dev_minor);

	return fs && fs->is_memory;
}

void lc_mounts_free(struct lc_mounts *mounts)
{
	free(mounts->v);
	*mounts = (struct lc_mounts){0};
}
