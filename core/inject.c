/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Makes system calls in a stopped thread. Runs inside the freeze.
 *
 * The order of every step is such that the thread may be let go after any of them, by our death:
 *   1. the frames are written, below what the thread's stack has in use: nobody looks there
 *   2. the registers are set: from here on it would make the call, return into the frames, and be
 *      where it was
 *   3. signals are blocked, so that no handler comes between; the frames hold its own mask
 *   ...  the calls
 *   4. the mask is put back, 5. the registers, 6. the stack's bytes
 * The helper's stack is a frame too: it would end by exit_group(2). The thread waits for that
 * inside its clone(2) (CLONE_VFORK), so that neither runs over the other's frame, and reaps it by a
 * frame of its own, into which the kernel has written the helper's PID (CLONE_PARENT_SETTID).
 */
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "err.h"
#include "inject_impl.h"
#include "regset.h"

#define ALL_SIGNALS UINT64_MAX

/* ---- frames ------------------------------------------------------------------------------- */

static size_t rounded(size_t size)
{
	return (size + LC_FRAME_ALIGN - 1) & ~(size_t)(LC_FRAME_ALIGN - 1);
}

static uint8_t *frame_at(struct lc_inject *inject, uint64_t addr)
{
	return inject->frames_now + (addr - inject->frames);
}

/* A frame that makes a call and goes on with the stack at `next`. */
static void put_call_frame(struct lc_inject *inject, uint64_t at, const struct lc_call *call,
			   uint64_t next)
{
	const struct lc_code *code = inject->in.code;
	uint8_t regs[LC_GENERAL_REGS_MAX];
	const struct lc_frame_state state = {.regs = regs, .sigmask = ALL_SIGNALS};

	memcpy(regs, inject->regs, inject->regs_len);
	code->abi->set_call(regs, code->call, next, call);
	code->abi->put_frame(frame_at(inject, at), at, code->back, &state);
}

/* Right below the red zone, so that no more of the stack is used than must be. */
static int place_frames(struct lc_inject *inject, const struct lc_frame_state *own)
{
	const struct lc_call_abi *abi = inject->in.code->abi;
	const struct lc_frame_state empty = {.regs = own->regs};
	size_t size = rounded(abi->frame_size(own)), small = rounded(abi->frame_size(&empty));

	if (size == 0 || size + 2 * small + LC_FRAME_ALIGN > LC_FRAMES_MAX)
		return -ENOTSUP;
	inject->frames_len = size + 2 * small + LC_FRAME_ALIGN;
	inject->frames = lc_inject_frames_end(inject) - inject->frames_len;
	inject->scratch = inject->frames;
	inject->exit_frame = inject->frames + LC_FRAME_ALIGN;
	inject->wait_frame = inject->exit_frame + small;
	inject->own_frame = inject->wait_frame + small;
	return 0;
}

/* The three frames: back to what the thread did; waiting for the helper, and then that; the
 * helper's end. */
static int build_frames(struct lc_inject *inject, const struct lc_regbuf *fp)
{
	const struct lc_arch *arch = inject->in.arch;
	uint8_t regs[LC_GENERAL_REGS_MAX];
	const struct lc_frame_state own = {
		.regs = regs, .sigmask = inject->sigmask, .fp = fp->data, .fp_len = fp->len};
	/* the kernel puts the helper's PID in the place of the first argument; wait4(2) refuses
	 * what is there until then */
	const struct lc_call wait = {.number = arch->call->numbers.wait4,
				     .args = {(uint32_t)INT32_MIN, 0, __WALL}};
	const struct lc_call end = {.number = arch->call->numbers.exit_group};
	int r = place_frames(inject, &own);

	memcpy(regs, inject->regs, inject->regs_len);
	if (r == 0 && !arch->call->start_over(regs, lc_inject_number_before(inject->thread->tid,
									    arch, inject->regs)))
		r = -ENOTSUP;
	if (r < 0)
		return r;
	arch->call->put_frame(frame_at(inject, inject->own_frame), inject->own_frame,
			      inject->in.code->back, &own);
	put_call_frame(inject, inject->wait_frame, &wait, inject->own_frame);
	put_call_frame(inject, inject->exit_frame, &end, inject->own_frame);
	return 0;
}

static int verify_code(const struct lc_inject *inject)
{
	const struct lc_code *code = inject->in.code;
	uint8_t call[16] = {0}, back[16] = {0};

	if (lc_tracee_read(inject->thread->tid, code->call, call, code->abi->call_len) < 0 ||
	    lc_tracee_read(inject->thread->tid, code->back, back, code->abi->return_len) < 0)
		return -ENOTSUP;
	return memcmp(call, code->abi->call_code, code->abi->call_len) == 0 &&
			       memcmp(back, code->abi->return_code, code->abi->return_len) == 0
		       ? 0
		       : -ENOTSUP;
}

/* ---- taking a thread, and giving it back -------------------------------------------------- */

#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif

#define SEIZE_OPTIONS PTRACE_O_TRACECLONE /* as threads.c has it */
#define TAKEN_OPTIONS                                                                              \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK)

long lc_inject_options(const struct lc_inject *inject)
{
	return TAKEN_OPTIONS | (inject->suspends ? PTRACE_O_SUSPEND_SECCOMP : 0);
}

/* Where a thread is that is let go after this: at a call that does nothing, and then back. */
static int set_harmless(struct lc_inject *inject)
{
	const struct lc_code *code = inject->in.code;
	/* closes what cannot be open: EINVAL, for first > last */
	const struct lc_call nothing = {.number = code->abi->numbers.close_range, .args = {1, 0}};
	uint8_t set[LC_GENERAL_REGS_MAX];

	memcpy(set, inject->regs, inject->regs_len);
	code->abi->set_call(set, code->call, inject->own_frame, &nothing);
	return lc_tracee_set_regs(inject->thread->tid, set, inject->regs_len);
}

/* The order is that of the comment on top. */
static int take_thread(struct lc_inject *inject)
{
	pid_t tid = inject->thread->tid;
	int r = lc_tracee_write(tid, inject->frames, inject->frames_now, inject->frames_len);

	if (r == 0)
		r = lc_tracee_set_options(tid, lc_inject_options(inject));
	if (r == 0)
		r = set_harmless(inject);
	if (r < 0)
		return r;
	inject->calling = true;
	return lc_tracee_set_sigmask(tid, ALL_SIGNALS);
}

static int read_thread(struct lc_inject *inject, struct lc_regbuf *fp)
{
	pid_t tid = inject->thread->tid;
	int r = lc_tracee_get_sigmask(tid, &inject->sigmask);

	if (r == 0)
		r = lc_regbuf_reserve(fp, LC_FRAMES_MAX);
	if (r == 0)
		r = lc_regset_read(tid, inject->in.code->abi->fp_type, fp);
	if (r == 0)
		r = build_frames(inject, fp);
	if (r == 0)
		r = verify_code(inject);
	/* again, now that the addresses are known */
	if (r == 0 && inject->filtered && lc_inject_may_be_killed(inject, tid))
		r = -EPERM;
	return r == 0 ? lc_tracee_read(tid, inject->frames, inject->frames_before,
				       inject->frames_len)
		      : r;
}

int lc_inject_open(struct lc_inject *inject, const struct lc_inject_inputs *in, struct lc_err *err)
{
	struct lc_regbuf fp = {0};
	int r;

	*inject = (struct lc_inject){.in = *in, .deadline_ns = lc_now_ns() + LC_STEP_NS};
	r = lc_inject_choose_thread(inject, err);
	if (r < 0 || !inject->thread)
		return r;
	r = read_thread(inject, &fp);
	lc_regbuf_free(&fp);
	if (r == 0)
		r = take_thread(inject);
	if (r == 0)
		return 0;
	lc_inject_close(inject, NULL);
	return lc_err_set(err, r == -ESRCH ? ESRCH : ENOTSUP, LC_STAGE_FREEZE,
			  "thread %d cannot be made to make a system call: %s", inject->thread->tid,
			  strerror(-r));
}

/* To the stop it was in before: one of ptrace's own, in which the kernel looks at what was
 * interrupted. */
static int return_to_trap(struct lc_inject *inject)
{
	pid_t tid = inject->thread->tid;
	unsigned int stop = 0;
	int r;

	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0)
		return -errno;
	do
		r = lc_tracee_resume(tid, PTRACE_CONT, inject->deadline_ns, &stop);
	while (r == 0 && stop != LC_EVENT_STOP_OF(STOP));
	return r;
}

int lc_inject_give_back(struct lc_inject *inject)
{
	pid_t tid = inject->thread->tid;
	int r = return_to_trap(inject);

	/* 4, 5, 6 of the comment on top; each is tried, whatever became of the one before */
	if (lc_tracee_set_sigmask(tid, inject->sigmask) < 0 && r == 0)
		r = -errno;
	if (lc_tracee_set_regs(tid, inject->regs, inject->regs_len) < 0 && r == 0)
		r = -errno;
	if (lc_tracee_set_options(tid, SEIZE_OPTIONS) < 0 && r == 0)
		r = -errno;
	if (lc_tracee_write(tid, inject->frames, inject->frames_before, inject->frames_len) < 0 &&
	    r == 0)
		r = -errno;
	inject->calling = false;
	return r;
}

/* ---- calls -------------------------------------------------------------------------------- */

void lc_inject_begin_step(struct lc_inject *inject)
{
	inject->deadline_ns = lc_now_ns() + LC_STEP_NS;
}

int lc_inject_call(const struct lc_inject *inject, pid_t tid, const uint8_t *regs, uint64_t stack,
		   const struct lc_call *call, unsigned int *ret_stop)
{
	const struct lc_call_abi *abi = inject->in.code->abi;
	uint8_t set[LC_GENERAL_REGS_MAX];
	int r;

	memcpy(set, regs, inject->regs_len);
	abi->set_call(set, inject->in.code->call, stack, call);
	r = lc_tracee_set_regs(tid, set, inject->regs_len);
	if (r == 0)
		r = lc_tracee_resume(tid, PTRACE_SYSCALL, inject->deadline_ns,
				     ret_stop); /* at its entry */
	if (r == 0 && *ret_stop != LC_SYSCALL_STOP)
		r = -EPROTO;
	return r == 0 ? lc_tracee_resume(tid, PTRACE_SYSCALL, inject->deadline_ns, ret_stop) : r;
}

int lc_inject_result(const struct lc_inject *inject, pid_t tid, int64_t *ret_result)
{
	uint8_t regs[LC_GENERAL_REGS_MAX];
	int r = lc_tracee_get_regs(tid, regs, NULL);

	if (r == 0)
		*ret_result = inject->in.code->abi->result(regs);
	return r;
}

int lc_inject_simple_call(const struct lc_inject *inject, pid_t tid, const uint8_t *regs,
			  uint64_t stack, const struct lc_call *call, int64_t *ret_result)
{
	unsigned int stop = 0;
	int r = lc_inject_call(inject, tid, regs, stack, call, &stop);

	if (r == 0 && stop != LC_SYSCALL_STOP)
		r = -EPROTO;
	return r == 0 ? lc_inject_result(inject, tid, ret_result) : r;
}
