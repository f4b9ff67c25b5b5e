/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The helper, which has the target's memory and nothing else of it, and the copy that it makes. */
#include <linux/close_range.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "caller.h"
#include "err.h"
#include "inject_impl.h"

/* ---- the helper --------------------------------------------------------------------------- */

/* The new process of an event stop, at its own first stop. Its options make it die with us. */
static int meet_child(const struct lc_inject *inject, pid_t parent, pid_t *ret_child)
{
	unsigned long message = 0;
	unsigned int stop = 0;
	int r;

	if (ptrace(PTRACE_GETEVENTMSG, parent, NULL, &message) < 0)
		return -errno;
	*ret_child = (pid_t)message;
	r = lc_tracee_wait(*ret_child, inject->deadline_ns, &stop);
	if (r < 0)
		return r;
	return lc_tracee_set_options(*ret_child, lc_inject_options(inject) | PTRACE_O_EXITKILL);
}

static int clone_helper(struct lc_inject *inject)
{
	const struct lc_call_abi *abi = inject->in.code->abi;
	struct lc_call call = {.number = abi->numbers.clone};
	pid_t tid = inject->thread->tid;
	unsigned int stop = 0;
	int64_t result = 0;
	int r;

	abi->set_clone(&call, LC_HELPER_FLAGS, inject->exit_frame,
		       inject->wait_frame + abi->frame_arg0_off);
	r = lc_inject_call(inject, tid, inject->regs, inject->wait_frame, &call, &stop);
	if (r < 0)
		return r;
	if (stop == LC_EVENT_STOP_OF(VFORK))
		return meet_child(inject, tid, &inject->helper);
	r = lc_inject_result(inject, tid, &result);
	return r < 0 ? r : result < 0 ? (int)result : -EPROTO;
}

/* Its table of descriptors is the target's: it leaves that without copying or closing any, so that
 * nothing that the target closes meanwhile stays open through it. */
static int leave_files(struct lc_inject *inject)
{
	const struct lc_call call = {
		.number = inject->in.code->abi->numbers.close_range,
		.args = {0, UINT32_MAX, CLOSE_RANGE_UNSHARE},
	};
	int64_t result = 0;
	int r = lc_tracee_get_regs(inject->helper, inject->helper_regs, NULL);

	if (r == 0)
		r = lc_inject_simple_call(inject, inject->helper, inject->helper_regs,
					  inject->exit_frame, &call, &result);
	return r < 0 ? r : (int)result;
}

int lc_inject_start_helper(struct lc_inject *inject, struct lc_err *err)
{
	int r;

	lc_inject_begin_step(inject);
	r = clone_helper(inject);
	if (r == 0)
		r = leave_files(inject);
	return r < 0 ? lc_err_set(err, -r, LC_STAGE_FREEZE,
				  "a system call in the process failed: clone: %s", strerror(-r))
		     : 0;
}

/* PTRACE_MODE_ATTACH is asked for, as for everything else that we do. */
static int take_over(const struct lc_inject *inject, int fd)
{
	int pidfd = (int)syscall(SYS_pidfd_open, inject->helper, 0);
	int taken, code;

	if (pidfd < 0)
		return -errno;
	lc_caller_raise(inject->in.for_caller);
	taken = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	code = errno;
	lc_caller_lower(inject->in.for_caller);
	lc_close(&pidfd);
	return taken < 0 ? -code : taken;
}

int lc_inject_userfaultfd(struct lc_inject *inject, struct lc_err *err)
{
	const struct lc_call call = {
		.number = inject->in.code->abi->numbers.userfaultfd,
		.args = {LC_UFFD_FLAGS},
	};
	int64_t result = 0;
	int r;

	lc_inject_begin_step(inject);
	r = lc_inject_simple_call(inject, inject->helper, inject->helper_regs, inject->exit_frame,
				  &call, &result);
	if (r == 0 && result < 0)
		r = (int)result;
	if (r == 0)
		r = take_over(inject, (int)result);
	return r < 0 ? lc_err_set(err, -r, LC_STAGE_FREEZE, "userfaultfd: %s", strerror(-r)) : r;
}

/* ---- the copy ----------------------------------------------------------------------------- */

/* Where memory runs out, it goes before anybody else does; if that is refused, it is as likely a
 * victim as the target. */
static void offer_to_oom_killer(pid_t pid)
{
	ssize_t written = 0;
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		written = write(fd, "1000", 4);
	(void)written;
	lc_close(&fd);
}

/* Orphans go to a process that has asked for them, prctl(2); one that did would see the copy's end.
 */
static int check_no_subreaper(struct lc_inject *inject)
{
	const struct lc_call call = {.number = inject->in.code->abi->numbers.prctl,
				     .args = {PR_GET_CHILD_SUBREAPER, inject->scratch}};
	pid_t tid = inject->thread->tid;
	uint64_t answer = 0;
	int64_t result = 0;
	int r = lc_tracee_write(tid, inject->scratch, &answer, sizeof(answer));

	if (r == 0)
		r = lc_inject_simple_call(inject, tid, inject->regs, inject->own_frame, &call,
					  &result);
	if (r == 0)
		r = lc_tracee_read(tid, inject->scratch, &answer, sizeof(answer));
	return r < 0 ? r : result < 0 ? (int)result : answer ? -ECHILD : 0;
}

int lc_inject_check_orphans(struct lc_inject *inject, struct lc_err *err)
{
	int r;

	lc_inject_begin_step(inject);
	r = inject->in.target->id.ns_pid == 1 ? -ECHILD : check_no_subreaper(inject);
	if (r == -ECHILD)
		return lc_err_set(
			err, ENOTSUP, LC_STAGE_FREEZE,
			"the process inherits orphans (it is process 1 of its PID "
			"namespace, or a child subreaper), and would see the end of a copy "
			"of it");
	return r < 0 ? lc_err_set(err, -r, LC_STAGE_FREEZE, "prctl in the process: %s",
				  strerror(-r))
		     : 0;
}

static int clone_copy(struct lc_inject *inject, pid_t *ret_copy)
{
	const struct lc_call_abi *abi = inject->in.code->abi;
	struct lc_call call = {.number = abi->numbers.clone};
	unsigned int stop = 0;
	int64_t result = 0;
	int r;

	abi->set_clone(&call, LC_COPY_FLAGS, 0, 0);
	r = lc_inject_call(inject, inject->helper, inject->helper_regs, inject->exit_frame, &call,
			   &stop);
	if (r < 0)
		return r;
	if (stop == LC_EVENT_STOP_OF(CLONE))
		return meet_child(inject, inject->helper, ret_copy);
	r = lc_inject_result(inject, inject->helper, &result);
	return r < 0 ? r : result < 0 ? (int)result : -EPROTO;
}

pid_t lc_inject_copy(struct lc_inject *inject, struct lc_err *err)
{
	pid_t copy = 0;
	int r;

	/* the page tables are copied: a third of a second for 16 GiB */
	inject->deadline_ns = lc_now_ns() + 30 * LC_STEP_NS;
	r = clone_copy(inject, &copy);
	if (r == 0)
		r = lc_tracee_write(copy, inject->frames, inject->frames_before,
				    inject->frames_len);
	if (r < 0) {
		lc_inject_end_copy(copy);
		return lc_err_set(err, -r, LC_STAGE_FREEZE, "clone: %s", strerror(-r));
	}
	offer_to_oom_killer(copy);
	return copy;
}

/* SIGKILL, and collected as a tracer. */
static int kill_and_collect(pid_t pid, uint64_t deadline_ns)
{
	unsigned int stop = 0;

	if (kill(pid, SIGKILL) < 0)
		return -errno;
	for (unsigned int round = 0; lc_thread_look(pid, &stop) != LC_LOOK_GONE; round++) {
		if (round >= 50 && lc_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		lc_thread_nap(round);
	}
	return 0;
}

void lc_inject_end_copy(pid_t pid)
{
	if (pid > 0 && kill_and_collect(pid, lc_now_ns() + 30 * LC_STEP_NS) < 0)
		return; /* it dies with the thread that traces it */
}

/* ---- the end ------------------------------------------------------------------------------ */

/* The helper goes, the thread comes out of its clone(), and reaps it as its parent. */
static int end_helper(struct lc_inject *inject)
{
	const struct lc_call_abi *abi = inject->in.code->abi;
	struct lc_call wait = {.number = abi->numbers.wait4, .args = {0, 0, __WALL}};
	pid_t tid = inject->thread->tid;
	int64_t pid = 0, reaped = 0;
	unsigned int stop = 0;
	int r = kill_and_collect(inject->helper, inject->deadline_ns);

	if (r == 0)
		r = lc_tracee_resume(tid, PTRACE_SYSCALL, inject->deadline_ns, &stop);
	if (r == 0)
		r = lc_inject_result(inject, tid, &pid);
	if (r < 0)
		return r;
	inject->helper = 0;
	wait.args[0] = (uint64_t)pid;
	r = lc_inject_simple_call(inject, tid, inject->regs, inject->own_frame, &wait, &reaped);
	return r < 0 ? r : reaped == pid ? 0 : -ECHILD;
}

int lc_inject_close(struct lc_inject *inject, struct lc_err *err)
{
	int r = 0, r2;

	lc_inject_begin_step(inject);
	if (!inject->calling)
		return 0;
	if (inject->helper)
		r = end_helper(inject);
	r2 = lc_inject_give_back(inject);
	if (r == 0)
		r = r2;
	return r < 0 ? lc_err_set(err, -r, LC_STAGE_FREEZE,
				  "thread %d was let go after a system call that went wrong: %s",
				  inject->thread->tid, strerror(-r))
		     : 0;
}
