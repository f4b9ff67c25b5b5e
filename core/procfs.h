/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The text of /proc, proc(5). Every function takes a directory descriptor, /proc or a directory in
 * it, so that tests use fixture trees. What the text says is the target's word: names may hold
 * anything.
 */
#ifndef LC_PROCFS_H
#define LC_PROCFS_H

#include "livecore.h"

/* Text of a file, terminated. Starts zeroed, grows, is used again by the next read. */
struct lc_text {
	char *data;
	size_t len, cap;
};

void lc_text_free(struct lc_text *text);

/* Reads all of `path` below `dirfd`. Returns 0 or -errno. */
LC_MUST_CHECK int lc_procfs_read(int dirfd, const char *path, struct lc_text *text);

/* The same, or -ETIME if it takes longer than until `deadline_ns` (CLOCK_MONOTONIC; 0: never). */
LC_MUST_CHECK int lc_procfs_read_until(int dirfd, const char *path, uint64_t deadline_ns,
				       struct lc_text *text);

/* A symbolic link's target, allocated. Returns 0 or -errno. */
LC_MUST_CHECK int lc_procfs_readlink(int dirfd, const char *path, char **ret_target);

/* The fields of /proc/PID/stat or /proc/PID/task/TID/stat that livecore uses. */
struct lc_stat {
	char comm[64];
	char state;
	pid_t ppid, pgrp, sid;
	uint64_t flags;                        /* PF_* */
	uint64_t utime, stime, cutime, cstime; /* clock ticks */
	int nice;
	uint64_t starttime; /* clock ticks after boot */
};

LC_MUST_CHECK int lc_procfs_parse_stat(const char *text, struct lc_stat *ret_stat);
LC_MUST_CHECK int lc_procfs_stat(int dirfd, const char *path, struct lc_stat *ret_stat);

/* The fields of /proc/PID/status that livecore uses; what is missing is zero. */
struct lc_status {
	pid_t tgid, pid, ppid, tracer;
	/* The last of NSpid, NSpgid and NSsid: as the process sees itself; 0: outside of its PID
	 * namespace. */
	pid_t ns_pid, ns_pgrp, ns_sid;
	unsigned int n_ns; /* PID namespaces from that of /proc down to its own; 0: not told */
	uid_t uid[4];      /* real, effective, saved, file system */
	gid_t gid[4];
	unsigned int n_threads;
	uint64_t sig_queued, sig_limit; /* SigQ */
	uint64_t sigpnd, shdpnd, sigblk, sigign, sigcgt;
	uint64_t cap_prm, cap_eff;
	uint64_t vm_pte; /* KiB of page tables */
	uint64_t vm_pin; /* KiB that are pinned for devices */
	int seccomp;
	int core_dumping; /* the kernel writes its core; of a thread that has memory */
	char state;
};

void lc_procfs_parse_status(const char *text, struct lc_status *ret_status);
LC_MUST_CHECK int lc_procfs_status(int dirfd, const char *path, struct lc_status *ret_status);

/* /proc/PID/task/TID/syscall of a thread that sleeps. */
struct lc_syscall {
	int64_t number; /* -1: it sleeps outside of system calls; then there are no arguments */
	uint64_t args[6];
	uint64_t sp, pc;
};

/* Returns 0, or -EINVAL for a thread that runs, and for other texts. */
LC_MUST_CHECK int lc_procfs_parse_syscall(const char *text, struct lc_syscall *ret_syscall);
LC_MUST_CHECK int lc_procfs_syscall(int dirfd, const char *path, struct lc_syscall *ret_syscall);

/* One line of maps, or the first line of an entry of smaps. */
struct lc_map_line {
	uint64_t start, end, offset, inode;
	uint32_t dev_major, dev_minor;
	char perms[5];
	char *name;          /* within the line, unescaped in place */
	bool ambiguous_name; /* held "\012": a newline, or those four characters */
};

/* Parses `line` (terminated, without its newline) in place. Returns 0 or -EINVAL. */
LC_MUST_CHECK int lc_procfs_parse_map_line(char *line, struct lc_map_line *ret_map);

/* The value of VmFlags of smaps, "rd wr mr mw me ac", to LC_VMA_* of vma.h. */
uint32_t lc_procfs_parse_vm_flags(const char *text);

/* "/proc/PID/coredump_filter" and the like: one number in hexadecimal. */
LC_MUST_CHECK int lc_procfs_hex(int dirfd, const char *path, uint64_t *ret_value);

/*
 * The process that holds a flock(2) lock for writing on the file, from the text of /proc/locks:
 * "1: FLOCK  ADVISORY  WRITE 4711 00:15:378998 0 EOF". Those that wait for it ("1: -> FLOCK ...")
 * and locks of other kinds are none. Returns 0 if there is none.
 */
pid_t lc_procfs_find_flock(const char *text, dev_t dev, uint64_t inode);

/* True if uid_map or gid_map, user_namespaces(7), is that of the initial namespace. */
bool lc_procfs_maps_all_ids(const char *text);

/* Calls `visit` for each numeric name in a directory such as /proc/PID/task, in the order of the
 * kernel (the leader first), until it returns non-zero. Returns that, 0 or -errno. */
LC_MUST_CHECK int lc_procfs_each_pid(int dirfd, const char *path,
				     int (*visit)(void *arg, pid_t pid), void *arg);

#endif
