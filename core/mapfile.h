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
#include "target.h"
#include "vma.h"

/* The file that was opened last; consecutive mappings are often of one file. */
struct lc_mapfile {
	const struct lc_target *target; /* borrowed */
	int fd;                         /* -1: cannot be had */
	int code;                       /* why not: an errno value */
	struct stat st;
	uint64_t inode; /* of the mapping that it was opened for */
	uint32_t dev_major, dev_minor;
};

#define LC_MAPFILE_INIT(target_) ((struct lc_mapfile){.target = (target_), .fd = -1})

/*
 * Opens the file of `vma` for reading: through /proc/PID/map_files where we may (CAP_SYS_ADMIN or
 * CAP_CHECKPOINT_RESTORE), which is right for deleted files, memfds and other mount namespaces;
 * else through the name below /proc/PID/root, if device and inode are the mapping's. Only regular
 * files are ever opened: opening a device does things. Returns 0 with `file->fd` and `file->st`, or
 * -errno.
 */
LC_MUST_CHECK int lc_mapfile_get(struct lc_mapfile *file, const struct lc_vma *vma);
void lc_mapfile_close(struct lc_mapfile *file);

/* Looks at the files of mappings whose name and flags leave a question: is " (deleted)" the end of
 * a name, is it a DAX mapping, was "\012" a newline. Corrects flags and names. */
void lc_mapfile_settle(struct lc_mapfile *file, struct lc_vmas *vmas);

/* The first range of data of the file in [start, end), file offsets; what is between is a hole.
 * Returns 1, 0 if there is none up to `end` or the end of the file, or -errno. */
LC_MUST_CHECK int lc_mapfile_next_data(const struct lc_mapfile *file, uint64_t start, uint64_t end,
				       uint64_t *ret_start, uint64_t *ret_end);

#endif
