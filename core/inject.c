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
 * The helper's stack is a frame too: it would end by exit_group(2). The thread waits for that inside
 * its clone(2) (CLONE_VFORK), so that neither runs over the other's frame, and reaps it by a frame of
 * its own, into which the kernel has written the helper's PID (CLONE_PARENT_SETTID).
 */
#include "inject.h"

#include <elf.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "caller.h"
#include "err.h"
#include "regset.h"
#include "seccomp.h"

/* Each call takes microseconds; a busy machine may keep the thread waiting. */
#define STEP_NS        UINT64_C(2000000000)

#define SYSCALL_STOP   (SIGTRAP | 0x80)
#define EVENT(name)    ((unsigned int)SIGTRAP | (unsigned int)PTRACE_EVENT_##name << 8)

#define CANDIDATES_MAX 64

/* What the frames may take of a stack beyond themselves: the stack must be larger by so much. */
#define STACK_ROOM     (UINT64_C(16) << 10)

/* Where glibc, musl and bionic put a thread's descriptor: in the uppermost bytes of its stack. */
#define TP_WITHIN      (UINT64_C(64) << 10)

#define ALL_SIGNALS    UINT64_MAX

/* No signal at its end; the thread waits for it; where to write its PID is in the call. */
#define HELPER_FLAGS   (CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PARENT_SETTID)
/* Made by the helper, whose table of descriptors is empty; its stack is in its own copy. */
#define COPY_FLAGS     CLONE_FILES
#define UFFD_FLAGS     (O_CLOEXEC | UFFD_USER_MODE_ONLY)

/* struct ptrace_rseq_configuration, linux/ptrace.h, since Linux 5.13 */
#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif
struct rseq_configuration {
	uint64_t pointer;
	uint32_t size, signature, flags, pad;
};
#define RSEQ_CS_OFFSET 8 /* in struct rseq, linux/rseq.h */

/* ---- memory and registers ----------------------------------------------------------------- */

static int poke_words(pid_t tid, uint64_t addr, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i += sizeof(long)) {
		long word;

		memcpy(&word, data + i, sizeof(word));
		if (ptrace(PTRACE_POKEDATA, tid, (void *)(uintptr_t)(addr + i),
			   (void *)(uintptr_t)word) < 0)
			return -errno;
	}
	return 0;
}

/* `len` is a multiple of a word. Where a filter of ours denies process_vm_writev(), ptrace(2) does. */
static int write_memory(pid_t tid, uint64_t addr, const void *data, size_t len)
{
	struct iovec local = {(void *)(uintptr_t)data, len};
	struct iovec remote = {(void *)(uintptr_t)addr, len};

	if (process_vm_writev(tid, &local, 1, &remote, 1, 0) == (ssize_t)len)
		return 0;
	return poke_words(tid, addr, data, len);
}

static int read_memory(pid_t tid, uint64_t addr, void *data, size_t len)
{
	struct iovec local = {data, len}, remote = {(void *)(uintptr_t)addr, len};

	if (process_vm_readv(tid, &local, 1, &remote, 1, 0) == (ssize_t)len)
		return 0;
	for (size_t i = 0; i < len; i += sizeof(long)) {
		size_t part = len - i < sizeof(long) ? len - i : sizeof(long);
		long word;

		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, tid, (void *)(uintptr_t)(addr + i), NULL);
		if (errno)
			return -errno;
		memcpy((uint8_t *)data + i, &word, part);
	}
	return 0;
}

static int get_regs(pid_t tid, uint8_t *regs, size_t *ret_len)
{
	struct iovec iov = {regs, LC_GENERAL_REGS_MAX};

	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &iov) < 0)
		return -errno;
	if (ret_len)
		*ret_len = iov.iov_len;
	return 0;
}

static int set_regs(pid_t tid, const uint8_t *regs, size_t len)
{
	struct iovec iov = {(void *)(uintptr_t)regs, len};

	return ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &iov) < 0 ? -errno : 0;
}

static uint64_t word_at(const uint8_t *regs, uint32_t off)
{
	uint64_t value;

	memcpy(&value, regs + off, sizeof(value));
	return value;
}

/* ---- steps -------------------------------------------------------------------------------- */

static bool is_fault(unsigned int stop)
{
	return stop == SIGSEGV || stop == SIGBUS || stop == SIGILL || stop == SIGFPE ||
	       stop == SIGTRAP || stop == SIGSYS;
}

/* The next stop of a tracee that runs. Returns 0, -ESRCH if it is gone, or -ETIMEDOUT. */
static int wait_for_stop(const struct lc_inject *inject, pid_t tid, unsigned int *ret_stop)
{
	for (unsigned int round = 0;; round++) {
		switch (lc_thread_look(tid, ret_stop)) {
		case LC_LOOK_STOPPED:
			return 0;
		case LC_LOOK_GONE:
			return -ESRCH;
		case LC_LOOK_NOTHING:
			break;
		}
		if (round >= 50 && lc_now_ns() >= inject->deadline_ns)
			return -ETIMEDOUT;
		lc_thread_nap(round);
	}
}

/*
 * Lets a tracee run until a stop that is ours: of a system call, or an event. All signals are blocked
 * but SIGSTOP, which it takes, and the stop of the whole process that comes of it takes effect when
 * it is let go (__ptrace_unlink(), kernel/ptrace.c).
 */
static int resume(const struct lc_inject *inject, pid_t tid, int request, unsigned int *ret_stop)
{
	unsigned int signal = 0;

	for (;;) {
		int r;

		if (ptrace(request, tid, NULL, (void *)(uintptr_t)signal) < 0)
			return -errno;
		r = wait_for_stop(inject, tid, ret_stop);
		if (r < 0)
			return r;
		if (*ret_stop == SYSCALL_STOP || *ret_stop >> 8)
			if ((*ret_stop & 0x7f) == SIGTRAP)
				return 0;
		if (is_fault(*ret_stop))
			return -EFAULT;
		signal = *ret_stop >> 8 ? 0 : *ret_stop;
	}
}

/* Makes a call in a stopped tracee, `regs` being its registers, and its stack where the call returns
 * to. Leaves it stopped in the call if that is one that gives an event, behind it otherwise. */
static int call_in(const struct lc_inject *inject, pid_t tid, const uint8_t *regs, uint64_t stack,
		   const struct lc_call *call, unsigned int *ret_stop)
{
	const struct lc_call_abi *abi = inject->in.code->abi;
	uint8_t set[LC_GENERAL_REGS_MAX];
	int r;

	memcpy(set, regs, inject->regs_len);
	abi->set_call(set, inject->in.code->call, stack, call);
	r = set_regs(tid, set, inject->regs_len);
	if (r == 0)
		r = resume(inject, tid, PTRACE_SYSCALL, ret_stop); /* at its entry */
	if (r == 0 && *ret_stop != SYSCALL_STOP)
		r = -EPROTO;
	return r == 0 ? resume(inject, tid, PTRACE_SYSCALL, ret_stop) : r;
}

static int result_of(const struct lc_inject *inject, pid_t tid, int64_t *ret_result)
{
	uint8_t regs[LC_GENERAL_REGS_MAX];
	int r = get_regs(tid, regs, NULL);

	if (r == 0)
		*ret_result = inject->in.code->abi->result(regs);
	return r;
}

/* A call without an event. Returns -errno of the steps; the call's own is in the result. */
static int simple_call(const struct lc_inject *inject, pid_t tid, const uint8_t *regs,
		       uint64_t stack, const struct lc_call *call, int64_t *ret_result)
{
	unsigned int stop;
	int r = call_in(inject, tid, regs, stack, call, &stop);

	if (r == 0 && stop != SYSCALL_STOP)
		r = -EPROTO;
	return r == 0 ? result_of(inject, tid, ret_result) : r;
}

/* ---- which thread ------------------------------------------------------------------------- */

static const struct lc_vma *vma_at(const struct lc_vmas *vmas, uint64_t addr)
{
	size_t low = 0, high = vmas->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (vmas->v[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low < vmas->n && vmas->v[low].start <= addr ? &vmas->v[low] : NULL;
}

/*
 * Whether what is below the stack pointer is nobody's. Stacks that a program carves out of its heap
 * (goroutines, coroutines) may have something else right below, so it must be the process's own
 * stack, or one that a C library made: with a guard below and the thread's descriptor at its top.
 */
static bool has_own_stack(const struct lc_vmas *vmas, const struct lc_arch *arch,
			  const uint8_t *regs)
{
	uint64_t sp = word_at(regs, arch->sp_off), tp = word_at(regs, arch->call->tp_off);
	const struct lc_vma *vma = vma_at(vmas, sp);
	const struct lc_vma *below;

	if (!vma || !(vma->prot & PF_W) || (vma->flags & LC_VMA_SHARED) || lc_vma_has_file(vma))
		return false;
	if (sp - vma->start < STACK_ROOM + LC_FRAMES_MAX)
		return false;
	if (strcmp(vma->name, "[stack]") == 0)
		return true;
	below = vma > vmas->v ? vma - 1 : NULL;
	return below && below->end == vma->start && !(below->prot & (PF_R | PF_W)) && tp > sp &&
	       tp < vma->end && vma->end - tp < TP_WITHIN;
}

/*
 * A thread in a restartable sequence (rseq(2)) must find itself there when it goes on, or be sent to
 * the sequence's abort handler by the kernel; after a call of ours it would do neither. In a system
 * call it is in none.
 */
static bool may_be_in_rseq(pid_t tid, const struct lc_arch *arch, const uint8_t *regs)
{
	struct rseq_configuration conf = {0};
	uint64_t sequence = 0;

	if ((int64_t)word_at(regs, arch->number_off) >= 0)
		return false;
	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, (void *)sizeof(conf), &conf) < 0)
		return errno != EIO && errno != EINVAL; /* an old kernel does not tell */
	if (!conf.pointer)
		return false;
	return read_memory(tid, conf.pointer + RSEQ_CS_OFFSET, &sequence, sizeof(sequence)) < 0 ||
	       sequence != 0;
}

static bool has_shadow_stack(pid_t tid, const struct lc_call_abi *abi)
{
	uint64_t value;
	struct iovec iov = {&value, sizeof(value)};

	return abi->shadow_stack_type &&
	       ptrace(PTRACE_GETREGSET, tid, (void *)(uintptr_t)abi->shadow_stack_type, &iov) == 0;
}

/* ---- seccomp ------------------------------------------------------------------------------ */

static enum lc_seccomp_answer ask(const struct lc_bpf_programs *filters,
				  const struct lc_code *code, uint64_t ip,
				  const struct lc_call *call)
{
	struct lc_seccomp_call asked = {
		.nr = (int32_t)call->number, .arch = code->abi->audit_arch, .ip = ip};

	memcpy(asked.args, call->args, sizeof(asked.args));
	return lc_seccomp_ask(filters, &asked);
}

/* All that may be made, by us or on the way back if we die. */
static size_t list_calls(const struct lc_inject *inject, struct lc_call *calls)
{
	const struct lc_call_abi *abi = inject->in.code->abi;
	const struct lc_call_numbers *nr = &abi->numbers;
	size_t n = 0;

	calls[n] = (struct lc_call){.number = nr->clone};
	abi->set_clone(&calls[n++], HELPER_FLAGS, inject->exit_frame,
		       inject->wait_frame + abi->frame_arg0_off);
	calls[n++] = (struct lc_call){.number = nr->close_range, .args = {1, 0}};
	calls[n++] = (struct lc_call){.number = nr->close_range,
				      .args = {0, UINT32_MAX, CLOSE_RANGE_UNSHARE}};
	calls[n++] = (struct lc_call){.number = nr->wait4, .args = {1, 0, __WALL}};
	if (inject->in.purpose == LC_INJECT_USERFAULTFD) {
		calls[n++] = (struct lc_call){.number = nr->userfaultfd, .args = {UFFD_FLAGS}};
		return n;
	}
	calls[n] = (struct lc_call){.number = nr->clone};
	abi->set_clone(&calls[n++], COPY_FLAGS, 0, 0);
	calls[n++] = (struct lc_call){.number = nr->prctl,
				      .args = {PR_GET_CHILD_SUBREAPER, inject->scratch}};
	return n;
}

#define CALLS_MAX 8

/*
 * The filters are suspended while a call is made that they refuse, PTRACE_O_SUSPEND_SECCOMP; if we
 * die, they are in force, so that none may do more than refuse it, and the way back must be free.
 */
static bool filters_agree(struct lc_inject *inject, const struct lc_bpf_programs *filters)
{
	const struct lc_code *code = inject->in.code;
	const struct lc_call back = {.number = code->abi->numbers.rt_sigreturn};
	const struct lc_call end = {.number = code->abi->numbers.exit_group};
	uint64_t ip = code->call + code->abi->insn_len;
	struct lc_call calls[CALLS_MAX];
	size_t n = list_calls(inject, calls);

	if (ask(filters, code, code->back + code->abi->return_len, &back) != LC_SECCOMP_PASSES ||
	    ask(filters, code, ip, &end) != LC_SECCOMP_PASSES)
		return false;
	for (size_t i = 0; i < n; i++) {
		enum lc_seccomp_answer answer = ask(filters, code, ip, &calls[i]);

		if (answer == LC_SECCOMP_HARMS)
			return false;
		if (answer == LC_SECCOMP_REFUSES)
			inject->suspends = true;
	}
	return true;
}

static bool may_be_killed(struct lc_inject *inject, pid_t tid)
{
	struct lc_bpf_programs filters = {0};
	struct lc_status status;
	char path[40];
	bool agree;

	inject->suspends = false;
	snprintf(path, sizeof(path), "task/%d/status", tid);
	if (lc_procfs_status(inject->in.target->dirfd, path, &status) < 0)
		return true;
	if (status.seccomp == 0)
		return false;
	if (lc_seccomp_fetch(tid, &filters) < 0)
		return true; /* its strict mode as well */
	agree = filters_agree(inject, &filters);
	lc_seccomp_free(&filters);
	return !agree;
}

/* ---- which thread, again ------------------------------------------------------------------ */

static int64_t number_before(pid_t tid, const struct lc_arch *arch, const uint8_t *regs)
{
	uint8_t code[LC_CODE_BEFORE];
	uint64_t at = word_at(regs, arch->pc_off) - arch->call->insn_len - sizeof(code);

	return read_memory(tid, at, code, sizeof(code)) == 0
		       ? arch->call->number_before(code, sizeof(code))
		       : -1;
}

/* Why a thread cannot make calls for us; NULL: it can, and `inject` has its registers. */
static const char *why_not(struct lc_inject *inject, const struct lc_thread *t)
{
	const struct lc_inject_inputs *in = &inject->in;
	uint8_t anew[LC_GENERAL_REGS_MAX];

	if (t->state != LC_THREAD_STOPPED || !t->trapped)
		return "it was about to take a signal, or is stopped by one";
	if (get_regs(t->tid, inject->regs, &inject->regs_len) < 0 ||
	    inject->regs_len != in->arch->rows[0].size)
		return "it runs code of another architecture";
	if (!has_own_stack(in->vmas, in->arch, inject->regs))
		return "it runs on a stack that may have something else right below";
	if (may_be_in_rseq(t->tid, in->arch, inject->regs))
		return "it may be in a restartable sequence";
	memcpy(anew, inject->regs, inject->regs_len);
	if (!in->arch->call->start_over(anew,
					number_before(t->tid, in->arch, inject->regs)))
		return "it is in a system call that could not be started over";
	if (has_shadow_stack(t->tid, in->arch->call))
		return "it has a shadow stack";
	if (may_be_killed(inject, t->tid))
		return "it is under seccomp, whose filters may do it harm for the system calls";
	return NULL;
}

static uint64_t frames_end(const struct lc_inject *inject)
{
	uint64_t sp = word_at(inject->regs, inject->in.arch->sp_off);

	return (sp - inject->in.code->abi->red_zone) & ~(uint64_t)(LC_FRAME_ALIGN - 1);
}

/* Whether its frames, of a thread that does not use AMX, would come where the process has no memory
 * yet. */
static bool would_grow(const struct lc_inject *inject)
{
	uint64_t end = frames_end(inject);

	return !lc_pagemap_has(inject->in.pagemap, end - 4096, end);
}

static int choose_thread(struct lc_inject *inject, struct lc_err *err)
{
	const struct lc_threads *threads = inject->in.threads;
	const struct lc_thread *second_best = NULL;
	const char *why = NULL;

	for (size_t i = 0; i < threads->n && i < CANDIDATES_MAX; i++) {
		const struct lc_thread *t = &threads->v[i];
		const char *no = why_not(inject, t);

		if (!no && !would_grow(inject)) {
			inject->thread = t;
			return 0;
		}
		if (!no && !second_best)
			second_best = t;
		/* the leader's reason stands for all */
		if (!why)
			why = no;
	}
	inject->thread = second_best;
	if (second_best && !why_not(inject, second_best))
		return 0;
	inject->thread = NULL;
	return lc_err_set(err, ENOTSUP, LC_STAGE_FREEZE,
			  "no thread can safely make a system call; of the first one: %s",
			  why ? why : "it is gone");
}

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
	inject->frames = frames_end(inject) - inject->frames_len;
	inject->scratch = inject->frames;
	inject->exit_frame = inject->frames + LC_FRAME_ALIGN;
	inject->wait_frame = inject->exit_frame + small;
	inject->own_frame = inject->wait_frame + small;
	return 0;
}

/* The three frames: back to what the thread did; waiting for the helper, and then that; the helper's
 * end. */
static int build_frames(struct lc_inject *inject, const struct lc_regbuf *fp)
{
	const struct lc_arch *arch = inject->in.arch;
	uint8_t regs[LC_GENERAL_REGS_MAX];
	const struct lc_frame_state own = {
		.regs = regs, .sigmask = inject->sigmask, .fp = fp->data, .fp_len = fp->len};
	/* the kernel puts the helper's PID in the place of the first argument; wait4(2) refuses what
	 * is there until then */
	const struct lc_call wait = {.number = arch->call->numbers.wait4,
				     .args = {(uint32_t)INT32_MIN, 0, __WALL}};
	const struct lc_call end = {.number = arch->call->numbers.exit_group};
	int r = place_frames(inject, &own);

	memcpy(regs, inject->regs, inject->regs_len);
	if (r == 0 &&
	    !arch->call->start_over(regs, number_before(inject->thread->tid, arch, inject->regs)))
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
	uint8_t call[16], back[16];

	if (read_memory(inject->thread->tid, code->call, call, code->abi->call_len) < 0 ||
	    read_memory(inject->thread->tid, code->back, back, code->abi->return_len) < 0)
		return -ENOTSUP;
	return memcmp(call, code->abi->call_code, code->abi->call_len) == 0 &&
			       memcmp(back, code->abi->return_code, code->abi->return_len) == 0
		       ? 0
		       : -ENOTSUP;
}

/* ---- taking a thread, and giving it back -------------------------------------------------- */

static int get_sigmask(pid_t tid, uint64_t *ret_mask)
{
	return ptrace(PTRACE_GETSIGMASK, tid, (void *)sizeof(*ret_mask), ret_mask) < 0 ? -errno : 0;
}

static int set_sigmask(pid_t tid, uint64_t mask)
{
	return ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof(mask), &mask) < 0 ? -errno : 0;
}

static int set_options(pid_t tid, long options)
{
	return ptrace(PTRACE_SETOPTIONS, tid, NULL, (void *)(uintptr_t)options) < 0 ? -errno : 0;
}

#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif

#define SEIZE_OPTIONS PTRACE_O_TRACECLONE /* as threads.c has it */
#define TAKEN_OPTIONS                                                                              \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK)

static long taken_options(const struct lc_inject *inject)
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
	return set_regs(inject->thread->tid, set, inject->regs_len);
}

/* The order is that of the comment on top. */
static int take_thread(struct lc_inject *inject)
{
	pid_t tid = inject->thread->tid;
	int r = write_memory(tid, inject->frames, inject->frames_now, inject->frames_len);

	if (r == 0)
		r = set_options(tid, taken_options(inject));
	if (r == 0)
		r = set_harmless(inject);
	if (r < 0)
		return r;
	inject->calling = true;
	return set_sigmask(tid, ALL_SIGNALS);
}

static int read_thread(struct lc_inject *inject, struct lc_regbuf *fp)
{
	pid_t tid = inject->thread->tid;
	int r = get_sigmask(tid, &inject->sigmask);

	if (r == 0)
		r = lc_regbuf_reserve(fp, LC_FRAMES_MAX);
	if (r == 0)
		r = lc_regset_read(tid, inject->in.code->abi->fp_type, fp);
	if (r == 0)
		r = build_frames(inject, fp);
	if (r == 0)
		r = verify_code(inject);
	/* again, now that the addresses are known */
	if (r == 0 && may_be_killed(inject, tid))
		r = -EPERM;
	return r == 0 ? read_memory(tid, inject->frames, inject->frames_before, inject->frames_len)
		      : r;
}

int lc_inject_open(struct lc_inject *inject, const struct lc_inject_inputs *in, struct lc_err *err)
{
	struct lc_regbuf fp = {0};
	int r;

	*inject = (struct lc_inject){.in = *in, .deadline_ns = lc_now_ns() + STEP_NS};
	r = choose_thread(inject, err);
	if (r < 0)
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
	unsigned int stop;
	int r;

	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0)
		return -errno;
	do
		r = resume(inject, tid, PTRACE_CONT, &stop);
	while (r == 0 && stop != EVENT(STOP));
	return r;
}

static int give_back(struct lc_inject *inject)
{
	pid_t tid = inject->thread->tid;
	int r = return_to_trap(inject);

	/* 4, 5, 6 of the comment on top; each is tried, whatever became of the one before */
	if (set_sigmask(tid, inject->sigmask) < 0 && r == 0)
		r = -errno;
	if (set_regs(tid, inject->regs, inject->regs_len) < 0 && r == 0)
		r = -errno;
	if (set_options(tid, SEIZE_OPTIONS) < 0 && r == 0)
		r = -errno;
	if (write_memory(tid, inject->frames, inject->frames_before, inject->frames_len) < 0 &&
	    r == 0)
		r = -errno;
	inject->calling = false;
	return r;
}

/* ---- the helper --------------------------------------------------------------------------- */

static void begin_step(struct lc_inject *inject)
{
	inject->deadline_ns = lc_now_ns() + STEP_NS;
}

/* The new process of an event stop, at its own first stop. Its options make it die with us. */
static int meet_child(const struct lc_inject *inject, pid_t parent, pid_t *ret_child)
{
	unsigned long message = 0;
	unsigned int stop;
	int r;

	if (ptrace(PTRACE_GETEVENTMSG, parent, NULL, &message) < 0)
		return -errno;
	*ret_child = (pid_t)message;
	r = wait_for_stop(inject, *ret_child, &stop);
	if (r < 0)
		return r;
	return set_options(*ret_child, taken_options(inject) | PTRACE_O_EXITKILL);
}

static int clone_helper(struct lc_inject *inject)
{
	const struct lc_call_abi *abi = inject->in.code->abi;
	struct lc_call call = {.number = abi->numbers.clone};
	pid_t tid = inject->thread->tid;
	unsigned int stop;
	int64_t result = 0;
	int r;

	abi->set_clone(&call, HELPER_FLAGS, inject->exit_frame, inject->wait_frame + abi->frame_arg0_off);
	r = call_in(inject, tid, inject->regs, inject->wait_frame, &call, &stop);
	if (r < 0)
		return r;
	if (stop == EVENT(VFORK))
		return meet_child(inject, tid, &inject->helper);
	r = result_of(inject, tid, &result);
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
	int r = get_regs(inject->helper, inject->helper_regs, NULL);

	if (r == 0)
		r = simple_call(inject, inject->helper, inject->helper_regs, inject->exit_frame,
				&call, &result);
	return r < 0 ? r : (int)result;
}

int lc_inject_start_helper(struct lc_inject *inject, struct lc_err *err)
{
	int r;

	begin_step(inject);
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
		.args = {UFFD_FLAGS},
	};
	int64_t result = 0;
	int r;

	begin_step(inject);
	r = simple_call(inject, inject->helper, inject->helper_regs, inject->exit_frame, &call,
			&result);
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

/* Orphans go to a process that has asked for them, prctl(2); one that did would see the copy's end. */
static int check_no_subreaper(struct lc_inject *inject)
{
	const struct lc_call call = {.number = inject->in.code->abi->numbers.prctl,
				     .args = {PR_GET_CHILD_SUBREAPER, inject->scratch}};
	pid_t tid = inject->thread->tid;
	uint64_t answer = 0;
	int64_t result = 0;
	int r = write_memory(tid, inject->scratch, &answer, sizeof(answer));

	if (r == 0)
		r = simple_call(inject, tid, inject->regs, inject->own_frame, &call, &result);
	if (r == 0)
		r = read_memory(tid, inject->scratch, &answer, sizeof(answer));
	return r < 0 ? r : result < 0 ? (int)result : answer ? -ECHILD : 0;
}

int lc_inject_check_orphans(struct lc_inject *inject, struct lc_err *err)
{
	int r;

	begin_step(inject);
	r = inject->in.target->id.ns_pid == 1 ? -ECHILD : check_no_subreaper(inject);
	if (r == -ECHILD)
		return lc_err_set(err, ENOTSUP, LC_STAGE_FREEZE,
				  "the process inherits orphans (it is process 1 of its PID "
				  "namespace, or a child subreaper), and would see the end of a copy "
				  "of it");
	return r < 0 ? lc_err_set(err, -r, LC_STAGE_FREEZE, "prctl in the process: %s", strerror(-r))
		     : 0;
}

static int clone_copy(struct lc_inject *inject, pid_t *ret_copy)
{
	const struct lc_call_abi *abi = inject->in.code->abi;
	struct lc_call call = {.number = abi->numbers.clone};
	unsigned int stop;
	int64_t result = 0;
	int r;

	abi->set_clone(&call, COPY_FLAGS, 0, 0);
	r = call_in(inject, inject->helper, inject->helper_regs, inject->exit_frame, &call, &stop);
	if (r < 0)
		return r;
	if (stop == EVENT(CLONE))
		return meet_child(inject, inject->helper, ret_copy);
	r = result_of(inject, inject->helper, &result);
	return r < 0 ? r : result < 0 ? (int)result : -EPROTO;
}

pid_t lc_inject_copy(struct lc_inject *inject, struct lc_err *err)
{
	pid_t copy = 0;
	int r;

	/* the page tables are copied: a third of a second for 16 GiB */
	inject->deadline_ns = lc_now_ns() + 30 * STEP_NS;
	r = clone_copy(inject, &copy);
	if (r == 0)
		r = write_memory(copy, inject->frames, inject->frames_before, inject->frames_len);
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
	unsigned int stop;

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
	if (pid > 0 && kill_and_collect(pid, lc_now_ns() + 30 * STEP_NS) < 0)
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
	unsigned int stop;
	int r = kill_and_collect(inject->helper, inject->deadline_ns);

	if (r == 0)
		r = resume(inject, tid, PTRACE_SYSCALL, &stop);
	if (r == 0)
		r = result_of(inject, tid, &pid);
	if (r < 0)
		return r;
	inject->helper = 0;
	wait.args[0] = (uint64_t)pid;
	r = simple_call(inject, tid, inject->regs, inject->own_frame, &wait, &reaped);
	return r < 0 ? r : reaped == pid ? 0 : -ECHILD;
}

int lc_inject_close(struct lc_inject *inject, struct lc_err *err)
{
	int r = 0, r2;

	begin_step(inject);
	if (!inject->calling)
		return 0;
	if (inject->helper)
		r = end_helper(inject);
	r2 = give_back(inject);
	if (r == 0)
		r = r2;
	return r < 0 ? lc_err_set(err, -r, LC_STAGE_FREEZE,
				  "thread %d was let go after a system call that went wrong: %s",
				  inject->thread->tid, strerror(-r))
		     : 0;
}
