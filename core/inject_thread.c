/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which thread of the target can make calls for us without coming to harm, even if we die. */
#include <elf.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "err.h"
#include "inject_impl.h"
#include "seccomp.h"

#define CANDIDATES_MAX 64

/* What the frames may take of a stack beyond themselves: the stack must be larger by so much. */
#define STACK_ROOM (UINT64_C(16) << 10)

/* Where glibc, musl and bionic put a thread's descriptor: in the uppermost bytes of its stack. */
#define TP_WITHIN (UINT64_C(64) << 10)

/* struct ptrace_rseq_configuration, linux/ptrace.h, since Linux 5.13 */
#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif
struct rseq_configuration {
	uint64_t pointer;
	uint32_t size, signature, flags, pad;
};
#define RSEQ_CS_OFFSET 8 /* in struct rseq, linux/rseq.h */

/* ---- its stack, and what it is in the middle of -------------------------------------------- */

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
	uint64_t sp = lc_tracee_word(regs, arch->sp_off),
		 tp = lc_tracee_word(regs, arch->call->tp_off);
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
 * A thread in a restartable sequence (rseq(2)) must find itself there when it goes on, or be sent
 * to the sequence's abort handler by the kernel; after a call of ours it would do neither. In a
 * system call it is in none.
 */
static bool may_be_in_rseq(pid_t tid, const struct lc_arch *arch, const uint8_t *regs)
{
	struct rseq_configuration conf = {0};
	uint64_t sequence = 0;

	if ((int64_t)lc_tracee_word(regs, arch->number_off) >= 0)
		return false;
	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, (void *)sizeof(conf), &conf) < 0)
		return errno != EIO && errno != EINVAL; /* an old kernel does not tell */
	if (!conf.pointer)
		return false;
	return lc_tracee_read(tid, conf.pointer + RSEQ_CS_OFFSET, &sequence, sizeof(sequence)) <
		       0 ||
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

static enum lc_seccomp_answer ask(const struct lc_bpf_programs *filters, const struct lc_code *code,
				  uint64_t ip, const struct lc_call *call)
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
	abi->set_clone(&calls[n++], LC_HELPER_FLAGS, inject->exit_frame,
		       inject->wait_frame + abi->frame_arg0_off);
	calls[n++] = (struct lc_call){.number = nr->close_range, .args = {1, 0}};
	calls[n++] = (struct lc_call){.number = nr->close_range,
				      .args = {0, UINT32_MAX, CLOSE_RANGE_UNSHARE}};
	calls[n++] = (struct lc_call){.number = nr->wait4, .args = {1, 0, __WALL}};
	if (inject->in.purpose == LC_INJECT_USERFAULTFD) {
		calls[n++] = (struct lc_call){.number = nr->userfaultfd, .args = {LC_UFFD_FLAGS}};
		return n;
	}
	calls[n] = (struct lc_call){.number = nr->clone};
	abi->set_clone(&calls[n++], LC_COPY_FLAGS, 0, 0);
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

bool lc_inject_may_be_killed(struct lc_inject *inject, pid_t tid)
{
	struct lc_bpf_programs filters = {0};
	struct lc_status status;
	char path[40];
	bool agree;

	inject->filtered = inject->suspends = false;
	snprintf(path, sizeof(path), "task/%d/status", tid);
	if (lc_procfs_status(inject->in.target->dirfd, path, &status) < 0)
		return true;
	if (status.seccomp == 0)
		return false;
	inject->filtered = true;
	if (lc_seccomp_fetch(tid, &filters) < 0)
		return true; /* its strict mode as well */
	agree = filters_agree(inject, &filters);
	lc_seccomp_free(&filters);
	return !agree;
}

/* ---- choosing ----------------------------------------------------------------------------- */

int64_t lc_inject_number_before(pid_t tid, const struct lc_arch *arch, const uint8_t *regs)
{
	uint8_t code[LC_CODE_BEFORE] = {0};
	uint64_t at = lc_tracee_word(regs, arch->pc_off) - arch->call->insn_len - sizeof(code);

	return lc_tracee_read(tid, at, code, sizeof(code)) == 0
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
	if (lc_tracee_get_regs(t->tid, inject->regs, &inject->regs_len) < 0 ||
	    inject->regs_len != in->arch->rows[0].size)
		return "it runs code of another architecture";
	if (!has_own_stack(in->vmas, in->arch, inject->regs))
		return "it runs on a stack that may have something else right below";
	if (may_be_in_rseq(t->tid, in->arch, inject->regs))
		return "it may be in a restartable sequence";
	memcpy(anew, inject->regs, inject->regs_len);
	if (!in->arch->call->start_over(anew,
					lc_inject_number_before(t->tid, in->arch, inject->regs)))
		return "it is in a system call that could not be started over";
	if (has_shadow_stack(t->tid, in->arch->call))
		return "it has a shadow stack";
	if (lc_inject_may_be_killed(inject, t->tid))
		return "it is under seccomp, whose filters may do it harm for the system calls";
	return NULL;
}

uint64_t lc_inject_frames_end(const struct lc_inject *inject)
{
	uint64_t sp = lc_tracee_word(inject->regs, inject->in.arch->sp_off);

	return (sp - inject->in.code->abi->red_zone) & ~(uint64_t)(LC_FRAME_ALIGN - 1);
}

/* Whether its frames, of a thread that does not use AMX, would come where the process has no memory
 * yet. */
static bool would_grow(const struct lc_inject *inject)
{
	uint64_t end = lc_inject_frames_end(inject);

	return !lc_pagemap_has(inject->in.pagemap, end - 4096, end);
}

int lc_inject_choose_thread(struct lc_inject *inject, struct lc_err *err)
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
