/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The file behind a mapping. What a process has mapped and never touched is read from the file: a
 * read through the process would make it part of the process, and allocate the holes of shared
 * memory.
 */
#ifndef LC_MAPFILE_H
#define LC_MAPFILE_H

#include <sys/stat.h>

#include "livecore.h"
#include "mounts.h"
#include "target.h"
#include "vma.h"

/* The file that was opened last; consecutive mappings are often of one file. */
struct lc_mapfile {
	const struct lc_target *target; /* borrowed, as is the next */
	const struct lc_mounts *mounts; /* NULL: every file system is trusted to answer */
	int rootfd;                     /* the target's root directory; -1: not to be had */
	char *rootname;                 /* its path; NULL: "/", or not to be had */
	int fd;                         /* -1: cannot be had */
	int code;                       /* why not: an errno value */
	struct stat st;
	uint64_t inode; /* of the mapping that it was opened for */
	uint32_t dev_major, dev_minor;
};

#define LC_MAPFILE_INIT(target_, mounts_)                                                          \
	((struct lc_mapfile){.target = (target_), .mounts = (mounts_), .rootfd = -1, .fd = -1})

/* Opens the target's root directory, before the freeze. Without it files are not found by names. */
void lc_mapfile_open_root(struct lc_mapfile *file);

/*
 * Opens the file of `vma` for reading: through /proc/PID/map_files where we may (CAP_SYS_ADMIN or
 * CAP_CHECKPOINT_RESTORE), which is right for deleted files, memfds and other mount namespaces;
 * else through the name below /proc/PID/root, if device and inode are the mapping's. Only regular
 * files are ever opened: opening a device does things. Returns 0 with `file->fd` and `file->st`, or
 * -errno; -EREMOTE for files that somebody else serves (LC_VMA_REMOTE).
 */
LC_MUST_CHECK int lc_mapfile_get(struct lc_mapfile *file, const struct lc_vma *vma);

/* Whether what was looked for last is /dev/zero, under whatever name: private mappings of it are
 * anonymous memory. */
bool lc_mapfile_is_zero(const struct lc_mapfile *file);

/* The length of the regular file of `vma`, without opening it. Returns 0 or -errno. */
LC_MUST_CHECK int lc_mapfile_size(const struct lc_mapfile *file, const struct lc_vma *vma,
				  uint64_t *ret_size);
void lc_mapfile_close(struct lc_mapfile *file); /* the file, not the root */
void lc_mapfile_free(struct lc_mapfile *file);

/* A name of /proc as a process sees it whose root directory is `root`, of /proc too: both speak of
 * the root of who reads them. What is not below it keeps its name. */
const char *lc_mapfile_below_root(const char *name, const char *root);

/* Looks at the files of mappings whose name and flags leave a question: who serves it, is
 * " (deleted)" the end of a name, is it a DAX mapping, was "\012" a newline. Corrects flags and
 * names; they are then as the target sees them. */
void lc_mapfile_settle(struct lc_mapfile *file, struct lc_vmas *vmas);

/* The first range of data of the file in [start, end), file offsets; what is between is a hole.
 * Returns 1, 0 if there is none up to `end` or the end of the file, or -errno. */
LC_MUST_CHECK int lc_mapfile_next_data(const struct lc_mapfile *file, uint64_t start, uint64_t end,
				       uint64_t *ret_start, uint64_t *ret_end);

#endif
