/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Turns a refusal into the check that refused, in the order of __ptrace_may_access()
 * (kernel/ptrace.c) and its security hooks: commoncap's, Yama's, others'.
 */
#include "why_denied.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "err.h"
#include "target.h"

#define CAP_DAC_OVERRIDE_BIT    1
#define CAP_DAC_READ_SEARCH_BIT 2
#define CAP_SYS_PTRACE_BIT      19

/* Real, effective, saved: those that the kernel compares. The fourth is the file system's. */
#define N_COMPARED 3

static bool ids_differ(const struct lc_denial_facts *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (f->target.uid[i] != f->uid || f->target.gid[i] != f->gid)
			return true;
	return false;
}

/* Capabilities of the file, which are raised for the caller's own processes alone (caller.h). */
#define FOR_CALLER_HINT                                                                            \
	"livecore's file capabilities serve the caller's own processes alone: run it as %s"

static void say_traced(const struct lc_denial_facts *f, struct lc_err *err)
{
	lc_err_set(err, f->code, LC_STAGE_FREEZE,
		   "process %d (%s) is already traced, by process %d (%s)", f->pid, f->target_comm,
		   f->target.tracer, f->tracer_comm);
	lc_err_hint(err, "a process has one tracer at a time: detach or end process %d first",
		    f->target.tracer);
}

#define WHO_SIZE 64

static const char *name_whom(const struct lc_denial_facts *f, char who[static WHO_SIZE])
{
	if (f->tid && f->tid != f->pid)
		snprintf(who, WHO_SIZE, "thread %d of process %d", f->tid, f->pid);
	else
		snprintf(who, WHO_SIZE, "process %d", f->pid);
	return who;
}

static void say_ids(const struct lc_denial_facts *f, struct lc_err *err)
{
	char who[WHO_SIZE];

	lc_err_set(err, f->code, LC_STAGE_FREEZE,
		   "%s (%s) runs as uid %u gid %u (effective %u, %u), you as %u, %u",
		   name_whom(f, who), f->target_comm, f->target.uid[0], f->target.gid[0],
		   f->target.uid[1], f->target.gid[1], f->uid, f->gid);
	if (f->for_caller)
		lc_err_hint(err, FOR_CALLER_HINT, "that user, or as root");
	else
		lc_err_hint(err,
			    "run livecore as that user (sudo -u '#%u'), as root, or with "
			    "CAP_SYS_PTRACE "
			    "and CAP_DAC_READ_SEARCH",
			    f->target.uid[0]);
}

/* The files of /proc/PID are for their owner's eyes: ptrace(2) would be allowed, open(2) is not. */
static void say_dac(const struct lc_denial_facts *f, struct lc_err *err)
{
	lc_err_set(err, f->code, LC_STAGE_FREEZE,
		   "the memory of process %d (%s) cannot be opened: you have CAP_SYS_PTRACE, but "
		   "not CAP_DAC_READ_SEARCH",
		   f->pid, f->target_comm);
	lc_err_hint(err, "run livecore as root, or with both capabilities");
}

static void say_dumpable(const struct lc_denial_facts *f, struct lc_err *err)
{
	lc_err_set(err, f->code, LC_STAGE_FREEZE, "process %d (%s) is not dumpable", f->pid,
		   f->target_comm);
	lc_err_hint(err,
		    "it changed its ids, is set-uid, has file capabilities, an unreadable "
		    "executable, or asked for it (PR_SET_DUMPABLE): use root%s",
		    f->for_caller ? "" : ", or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH");
}

static void say_userns(const struct lc_denial_facts *f, struct lc_err *err)
{
	lc_err_set(err, f->code, LC_STAGE_FREEZE, "process %d (%s) is in another user namespace%s",
		   f->pid, f->target_comm,
		   f->for_caller ? "" : ", where you have no CAP_SYS_PTRACE");
	lc_err_hint(err,
		    "run livecore as root on the host, or inside that namespace (nsenter -U -t %d)",
		    f->pid);
}

static void say_capability(const struct lc_denial_facts *f, struct lc_err *err)
{
	char who[WHO_SIZE];

	lc_err_set(err, f->code, LC_STAGE_FREEZE, "%s (%s) has capabilities that you lack (0x%llx)",
		   name_whom(f, who), f->target_comm,
		   (unsigned long long)(f->target.cap_prm & ~f->cap_prm));
	if (f->for_caller)
		lc_err_hint(err, FOR_CALLER_HINT, "root");
	else
		lc_err_hint(err, "run livecore as root or with CAP_SYS_PTRACE (in a container: "
				 "--cap-add=SYS_PTRACE)");
}

static void say_yama(const struct lc_denial_facts *f, struct lc_err *err)
{
	static const char *const means[] = {
		"",
		"only a descendant may be traced",
		"only with CAP_SYS_PTRACE",
		"nobody may be traced until the next boot",
	};

	lc_err_set(err, f->code, LC_STAGE_FREEZE,
		   "Yama refuses to trace process %d (%s): kernel.yama.ptrace_scope is %d, %s",
		   f->pid, f->target_comm, f->yama, means[f->yama > 3 ? 3 : f->yama]);
	if (f->yama >= 3)
		lc_err_hint(err, "it cannot be lowered on a running system");
	else
		lc_err_hint(err, "run livecore as root or with CAP_SYS_PTRACE%s",
			    f->yama == 1 ? ", or sysctl kernel.yama.ptrace_scope=0" : "");
}

static void say_unknown(const struct lc_denial_facts *f, struct lc_err *err)
{
	lc_err_set(err, f->code, LC_STAGE_FREEZE, "the kernel refuses to trace process %d (%s): %s",
		   f->pid, f->target_comm, strerror(f->code));
	if (f->own_seccomp)
		lc_err_hint(err,
			    "livecore runs under a seccomp filter, which may forbid ptrace: in a "
			    "container, use a profile that allows it (docker: "
			    "--cap-add=SYS_PTRACE)");
	else
		lc_err_hint(err,
			    "a security module may forbid it (active: %s); the kernel's log "
			    "tells",
			    f->lsm[0] ? f->lsm : "not to be seen");
}

bool lc_denial_explain_not_owned(const struct lc_denial_facts *f, size_t n_ids, struct lc_err *err)
{
	bool differ = ids_differ(f, n_ids);

	if (f->other_userns && !differ)
		say_userns(f, err);
	else if (differ)
		say_ids(f, err);
	else if (f->not_dumpable)
		say_dumpable(f, err);
	else if (f->target.cap_prm & ~f->cap_prm)
		say_capability(f, err);
	else
		return false;
	return true;
}

void lc_denial_explain(const struct lc_denial_facts *f, struct lc_err *err)
{
	bool differ = ids_differ(f, N_COMPARED);

	if (f->target.tracer)
		say_traced(f, err);
	else if (f->yama >= 3)
		say_yama(f, err);
	else if (f->cap_sys_ptrace && f->other_userns)
		say_userns(f, err);
	else if (f->cap_sys_ptrace && !f->cap_dac_read && (differ || f->not_dumpable))
		say_dac(f, err);
	else if (f->cap_sys_ptrace)
		say_unknown(f, err);
	else if (lc_denial_explain_not_owned(f, N_COMPARED, err))
		return;
	else if (f->yama > 0)
		say_yama(f, err);
	else
		say_unknown(f, err);
}

/* Root of a user namespace other than the initial one: its capabilities end there. */
static bool in_child_userns(const struct lc_target *target)
{
	struct lc_text map = {0};
	bool child = false;

	if (lc_procfs_read(target->procfd, "self/uid_map", &map) == 0)
		child = !lc_procfs_maps_all_ids(map.data);
	lc_text_free(&map);
	return child;
}

/* The namespace of a process that we may not trace cannot be read. If we are in a child namespace,
 * and may not although we have the capability, then it is not in ours. */
static bool in_other_userns(const struct lc_target *target)
{
	char *ours = NULL, *theirs = NULL;
	bool other;

	if (lc_procfs_readlink(target->procfd, "self/ns/user", &ours) == 0 &&
	    lc_procfs_readlink(target->dirfd, "ns/user", &theirs) == 0)
		other = strcmp(ours, theirs) != 0;
	else
		other = in_child_userns(target);
	free(ours);
	free(theirs);
	return other;
}

static int read_yama(int procfd)
{
	uint64_t scope;

	return lc_procfs_hex(procfd, "sys/kernel/yama/ptrace_scope", &scope) < 0 ? -1 : (int)scope;
}

/* TracerPid is a thread; people know processes. */
static void read_tracer(const struct lc_target *target, struct lc_denial_facts *facts)
{
	struct lc_status status;
	struct lc_stat st;
	char path[32];

	if (!facts->target.tracer)
		return;
	snprintf(path, sizeof(path), "%d/status", facts->target.tracer);
	if (lc_procfs_status(target->procfd, path, &status) == 0 && status.tgid)
		facts->target.tracer = status.tgid;
	/* we ourselves: it was refused afterwards */
	if (facts->target.tracer == getpid())
		facts->target.tracer = 0;
	snprintf(path, sizeof(path), "%d/stat", facts->target.tracer);
	if (lc_procfs_stat(target->procfd, path, &st) == 0)
		memcpy(facts->tracer_comm, st.comm, sizeof(facts->tracer_comm));
}

static void read_lsm(struct lc_denial_facts *facts)
{
	struct lc_text text = {0};

	if (lc_procfs_read(AT_FDCWD, "/sys/kernel/security/lsm", &text) == 0)
		snprintf(facts->lsm, sizeof(facts->lsm), "%.*s", (int)strcspn(text.data, "\n"),
			 text.data);
	lc_text_free(&text);
}

/* A capability that is permitted and not in effect is there for the caller's own processes: what is
 * in effect is the caller's. The main thread's status is read, which never raises it. */
static void read_own(const struct lc_target *target, struct lc_denial_facts *facts)
{
	struct lc_status own = {0};

	if (lc_procfs_status(target->procfd, "self/status", &own) < 0)
		return;
	facts->cap_sys_ptrace = own.cap_eff >> CAP_SYS_PTRACE_BIT & 1;
	facts->cap_dac_read = own.cap_eff >> CAP_DAC_OVERRIDE_BIT & 1 ||
			      own.cap_eff >> CAP_DAC_READ_SEARCH_BIT & 1;
	facts->for_caller = !facts->cap_sys_ptrace && own.cap_prm >> CAP_SYS_PTRACE_BIT & 1;
	facts->cap_prm = facts->for_caller ? own.cap_eff : own.cap_prm;
	facts->own_seccomp = own.seccomp;
}

static void read_process(const struct lc_target *target, struct lc_denial_facts *facts)
{
	struct stat st;

	*facts = (struct lc_denial_facts){.pid = target->id.pid, .uid = getuid(), .gid = getgid()};
	read_own(target, facts);
	memcpy(facts->target_comm, target->id.comm, sizeof(facts->target_comm));
	facts->other_userns = in_other_userns(target);
	/* the files in /proc/PID, though not the directory itself, are root's then */
	facts->not_dumpable = lc_procfs_status(target->dirfd, "status", &facts->target) == 0 &&
			      fstatat(target->dirfd, "status", &st, 0) == 0 &&
			      st.st_uid != facts->target.uid[1];
}

/* Threads may have ids and capabilities of their own. Returns 0 or -errno. */
static int read_thread(const struct lc_target *target, pid_t tid, struct lc_denial_facts *facts)
{
	char path[40];

	snprintf(path, sizeof(path), "task/%d/status", tid);
	facts->tid = tid;
	return lc_procfs_status(target->dirfd, path, &facts->target);
}

int lc_target_why_denied(const struct lc_target *target, int code, pid_t tid, pid_t tracer,
			 struct lc_err *err)
{
	struct lc_denial_facts facts;

	read_process(target, &facts);
	if (read_thread(target, tid ? tid : facts.pid, &facts) < 0 && facts.target.tgid == 0)
		return lc_target_has_ended(target, err);
	facts.code = code;
	facts.yama = read_yama(target->procfd);
	/* threads may have different ones */
	if (tracer)
		facts.target.tracer = tracer;
	read_tracer(target, &facts);
	read_lsm(&facts);
	lc_denial_explain(&facts, err);
	return -code;
}

struct owned {
	const struct lc_target *target;
	struct lc_denial_facts facts;
	struct lc_err *err;
	bool seen;
};

static int is_not_owned(void *arg, pid_t tid)
{
	struct owned *owned = arg;

	if (read_thread(owned->target, tid, &owned->facts) < 0)
		return 0; /* it has exited */
	owned->seen = true;
	return lc_denial_explain_not_owned(&owned->facts, 4, owned->err);
}

int lc_target_check_owned(const struct lc_target *target, struct lc_err *err)
{
	struct owned owned = {.target = target, .err = err};
	int r;

	read_process(target, &owned.facts);
	owned.facts.code = EPERM;
	r = lc_procfs_each_pid(target->dirfd, "task", is_not_owned, &owned);
	if (r > 0)
		return -EPERM;
	return r < 0 || !owned.seen ? lc_target_has_ended(target, err) : 0;
}
