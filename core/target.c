/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PID to identity. A descriptor of /proc/PID holds the kernel's struct pid: when the process is
 * gone, reading through it fails, also when the number belongs to somebody else by then. So it
 * serves as the pidfd that kernels before 5.3 lack.
 */
#include "target.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "err.h"
#include "mapfile.h"

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h; stat's field 9 */

static int refuse_missing(pid_t pid, int code, struct lc_err *err)
{
	if (code == ENOENT || code == ESRCH) {
		lc_err_set(err, ESRCH, LC_STAGE_TARGET, "there is no process %d", pid);
		lc_err_hint(err, "ps -e lists the processes; one of another PID namespace has "
				 "another number here");
		return -ESRCH;
	}
	lc_err_set(err, code, LC_STAGE_TARGET, "cannot look at process %d in /proc: %s", pid,
		   strerror(code));
	lc_err_hint(err, "is /proc mounted, and without hidepid?");
	return -code;
}

/*
 * The numbers in /proc must be those that ptrace(2) takes: a /proc that was mounted in another PID
 * namespace shows other processes under them. From one above, livecore has two numbers itself; one
 * below does not know it.
 */
static int refuse_foreign_proc(const struct lc_target *t, struct lc_err *err)
{
	struct lc_status own;
	int r = lc_procfs_status(t->procfd, "self/status", &own);

	if (r == 0 && own.n_ns <= 1 && own.pid == getpid())
		return 0;
	if (r < 0 && r != -ENOENT)
		return refuse_missing(t->id.pid, -r, err);
	lc_err_set(err, EINVAL, LC_STAGE_TARGET,
		   "/proc is that of another PID namespace than livecore's: its numbers are other "
		   "processes'");
	lc_err_hint(err, "mount the right one (mount -t proc proc /proc; unshare --mount-proc), or "
			 "run livecore in the namespace that it belongs to");
	return -EINVAL;
}

/* What can never be dumped, whoever asks. */
static int refuse_kind(const struct lc_target *t, pid_t pid, struct lc_err *err)
{
	if (t->status.tgid != pid) {
		lc_err_set(err, EINVAL, LC_STAGE_TARGET, "%d is a thread of process %d", pid,
			   t->status.tgid);
		lc_err_hint(err, "a core is of a whole process: use -p %d", t->status.tgid);
		return -EINVAL;
	}
	if (t->stat.flags & PF_KTHREAD) {
		lc_err_set(err, EPERM, LC_STAGE_TARGET, "%d (%s) is a kernel thread", pid,
			   t->stat.comm);
		lc_err_hint(err,
			    "kernel threads have no memory of their own; /proc/%d/stack "
			    "shows what it does",
			    pid);
		return -EPERM;
	}
	return 0;
}

static int refuse_dead(const struct lc_target *t, struct lc_err *err)
{
	pid_t pid = t->id.pid;

	/* the leader alone is a zombie where it called pthread_exit(): other threads live on */
	if ((t->status.state != 'Z' && t->status.state != 'X') || t->status.n_threads > 1)
		return 0;
	lc_err_set(err, ESRCH, LC_STAGE_TARGET, "process %d (%s) is a zombie: it has ended", pid,
		   t->stat.comm);
	lc_err_hint(err, "its parent, process %d, has not collected it yet", t->status.ppid);
	return -ESRCH;
}

/* A leader that has exited is not told of: it has no memory. */
static int find_core_dumping(void *arg, pid_t tid)
{
	const struct lc_target *t = arg;
	struct lc_status status;
	char path[40];

	snprintf(path, sizeof(path), "task/%d/status", tid);
	if (lc_procfs_status(t->dirfd, path, &status) < 0 || status.state == 'Z' ||
	    status.state == 'X')
		return 0;
	return status.core_dumping ? 1 : 2;
}

int lc_target_check_not_crashing(const struct lc_target *target, struct lc_err *err)
{
	if (lc_procfs_each_pid(target->dirfd, "task", find_core_dumping,
			       (void *)(uintptr_t)target) != 1)
		return 0;
	lc_err_set(err, EBUSY, LC_STAGE_TARGET,
		   "process %d (%s) has crashed, and the kernel is writing its core",
		   target->id.pid, target->id.comm);
	lc_err_hint(err,
		    "where that goes is in /proc/sys/kernel/core_pattern; any other look at the "
		    "process would cut it off");
	return -EBUSY;
}

/* A leader that has exited has no executable any more, the other threads have. NULL if it is not
 * ours to see. */
static int read_exe(void *arg, pid_t tid)
{
	struct lc_target *t = arg;
	char path[40];

	snprintf(path, sizeof(path), "task/%d/exe", tid);
	return lc_procfs_readlink(t->dirfd, path, &t->id.exe) != -ENOENT;
}

static void see_exe_from_root(struct lc_target *t)
{
	char *root = NULL;
	const char *name;

	if (!t->id.exe || lc_procfs_readlink(t->dirfd, "root", &root) < 0)
		return;
	name = strcmp(root, "/") != 0 ? lc_mapfile_below_root(t->id.exe, root) : t->id.exe;
	memmove(t->id.exe, name, strlen(name) + 1);
	free(root);
}

static int read_identity(struct lc_target *t, struct lc_err *err)
{
	pid_t pid = t->id.pid;
	int r;

	r = lc_procfs_status(t->dirfd, "status", &t->status);
	if (r == 0)
		r = lc_procfs_stat(t->dirfd, "stat", &t->stat);
	if (r < 0)
		return refuse_missing(pid, -r, err);
	t->id.ns_pid = t->status.ns_pid ? t->status.ns_pid : pid;
	t->id.uid = t->status.uid[0];
	t->id.gid = t->status.gid[0];
	t->id.n_threads = t->status.n_threads;
	t->id.starttime = t->stat.starttime;
	memcpy(t->id.comm, t->stat.comm, sizeof(t->id.comm));
	r = refuse_kind(t, pid, err);
	if (r == 0)
		r = refuse_dead(t, err);
	if (r == 0)
		r = lc_target_check_not_crashing(t, err);
	if (r == 0 && lc_procfs_each_pid(t->dirfd, "task", read_exe, t) < 0)
		t->id.exe = NULL;
	see_exe_from_root(t);
	return r;
}

int lc_target_open(pid_t pid, struct lc_target **ret_target, struct lc_err *err)
{
	struct lc_target *t = calloc(1, sizeof(*t));
	char name[16];
	int r;

	if (!t)
		return lc_err_set(err, ENOMEM, LC_STAGE_TARGET, "out of memory");
	t->id.pid = pid;
	t->dirfd = -1;
	t->procfd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->procfd < 0) {
		r = refuse_missing(pid, errno == ENOENT ? EIO : errno, err);
		goto fail;
	}
	r = refuse_foreign_proc(t, err);
	if (r < 0)
		goto fail;
	snprintf(name, sizeof(name), "%d", pid);
	t->dirfd = openat(t->procfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->dirfd < 0) {
		r = refuse_missing(pid, errno, err);
		goto fail;
	}
	r = read_identity(t, err);
	if (r < 0)
		goto fail;
	*ret_target = t;
	return 0;
fail:
	lc_target_close(t);
	return r;
}

const struct lc_identity *lc_target_identity(const struct lc_target *target)
{
	return &target->id;
}

void lc_target_close(struct lc_target *target)
{
	int saved = errno;

	if (!target)
		return;
	lc_close(&target->dirfd);
	lc_close(&target->procfd);
	free(target->id.exe);
	free(target);
	errno = saved;
}

int lc_target_has_ended(const struct lc_target *target, struct lc_err *err)
{
	lc_err_set(err, ESRCH, LC_STAGE_FREEZE, "process %d (%s) ended during the dump",
		   target->id.pid, target->id.comm);
	lc_err_hint(err, "nothing was written");
	return -ESRCH;
}

/* Zombies count as threads until they are collected, which may be our own duty. */
static int find_living(void *arg, pid_t tid)
{
	const struct lc_target *target = arg;
	struct lc_stat st;
	char path[40];

	snprintf(path, sizeof(path), "task/%d/stat", tid);
	return lc_procfs_stat(target->dirfd, path, &st) == 0 && st.state != 'Z' && st.state != 'X';
}

static bool has_living_thread(const struct lc_target *target)
{
	return lc_procfs_each_pid(target->dirfd, "task", find_living, (void *)(uintptr_t)target) >
	       0;
}

int lc_target_check_alive(const struct lc_target *target, struct lc_err *err)
{
	struct lc_status now;
	int r = lc_procfs_status(target->dirfd, "status", &now);

	if (r == 0 && now.state != 'Z' && now.state != 'X')
		return 0;
	/* a leader may have exited before the others */
	if (r == 0 && now.n_threads > 1 && has_living_thread(target))
		return 0;
	return lc_target_has_ended(target, err);
}

/* ---- one at a time ------------------------------------------------------------------------ */

#define LOCK_POLL_NS 50000000

/* 0: not to be found, or somebody whose lock is not for us to heed. */
static pid_t find_holder(const struct lc_target *t)
{
	struct lc_text locks = {0};
	struct lc_status holder;
	char path[32];
	struct stat st;
	pid_t pid = 0;

	if (fstat(t->dirfd, &st) == 0 && lc_procfs_read(t->procfd, "locks", &locks) == 0)
		pid = lc_procfs_find_flock(locks.data, st.st_dev, st.st_ino);
	lc_text_free(&locks);
	if (pid == t->id.pid) /* the target itself, which dumps nobody */
		pid = 0;
	snprintf(path, sizeof(path), "%d/status", pid);
	if (pid && lc_procfs_status(t->procfd, path, &holder) == 0 && holder.uid[1] != 0 &&
	    holder.uid[1] != geteuid() && holder.uid[1] != t->id.uid)
		pid = 0; /* anybody can open /proc/PID: a stranger's lock must not keep us away */
	return pid;
}

static int refuse_locked(const struct lc_target *t, pid_t holder, struct lc_err *err)
{
	struct lc_stat st = {0};
	char path[32];

	snprintf(path, sizeof(path), "%d/stat", holder);
	if (lc_procfs_stat(t->procfd, path, &st) < 0)
		snprintf(st.comm, sizeof(st.comm), "?");
	lc_err_set(err, EBUSY, LC_STAGE_TARGET,
		   "process %d (%s) is being dumped already, by process %d (%s)", t->id.pid,
		   t->id.comm, holder, st.comm);
	lc_err_hint(err, "--wait waits until that one has finished");
	return -EBUSY;
}

int lc_target_lock(const struct lc_target *target, uint64_t wait_ns,
		   const volatile sig_atomic_t *abort_flag, struct lc_err *err)
{
	const struct timespec poll = {.tv_nsec = LOCK_POLL_NS};
	uint64_t start = lc_now_ns();

	while (flock(target->dirfd, LOCK_EX | LOCK_NB) < 0) {
		pid_t holder = errno == EWOULDBLOCK ? find_holder(target) : 0;

		if (lc_aborted(abort_flag))
			return lc_err_set(err, EINTR, LC_STAGE_TARGET, "interrupted");
		if (errno != EINTR && !holder)
			return 0; /* where there are no such locks, ptrace(2) has the last word */
		if (lc_now_ns() - start >= wait_ns)
			return refuse_locked(target, holder, err);
		nanosleep(&poll, NULL);
	}
	return 0;
}
