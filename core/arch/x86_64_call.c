/* SPDX-License-Identifier: GPL-3.0-or-later */
/* System calls in a stopped x86-64 thread: the signal frame, and the code that every C library has.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "x86.h"

/* struct user_regs_struct, arch/x86/include/asm/user_64.h */
enum {
	R15 = 0,
	R14 = 8,
	R13 = 16,
	R12 = 24,
	RBP = 32,
	RBX = 40,
	R11 = 48,
	R10 = 56,
	R9 = 64,
	R8 = 72,
	RAX = 80,
	RCX = 88,
	RDX = 96,
	RSI = 104,
	RDI = 112,
	ORIG_RAX = 120,
	RIP = 128,
	CS = 136,
	EFLAGS = 144,
	RSP = 152,
	SS = 160,
	FS_BASE = 168,
};

/*
 * struct rt_sigframe, arch/x86/include/asm/sigframe.h, with struct ucontext and struct
 * sigcontext_64 of uapi/asm/; rt_sigreturn() reads nothing of the siginfo that follows:
 *
 *     0 pretcode      8 uc_flags     24 uc_stack (ss_sp, ss_flags, ss_size)
 *    48 r8 ... r15  112 rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags
 *   192 cs, gs, fs, ss (16 bits each)  200 err, trapno, oldmask, cr2
 *   232 fpstate     304 uc_sigmask   312 end
 */
enum {
	FRAME_PRETCODE = 0,
	FRAME_UC_FLAGS = 8,
	FRAME_SS_FLAGS = 32,
	FRAME_RDI = 112,
	FRAME_CS = 192,
	FRAME_SS = 198,
	FRAME_FPSTATE = 232,
	FRAME_SIGMASK = 304,
	FRAME_END = 312,
	FRAME_FP = 320, /* ours: the next multiple of 64, as XRSTOR wants it */
};

#define UC_FP_XSTATE         1
#define UC_SIGCONTEXT_SS     2
#define UC_STRICT_RESTORE_SS 4

/* No stack has these flags: do_sigaltstack() refuses them, which rt_sigreturn() does not mind, and
 * the thread's alternate stack, which nobody can see from outside, stays as it is. */
#define SS_FLAGS_INVALID 0x7fffffff

/* struct _fpx_sw_bytes, uapi/asm/sigcontext.h, in the last bytes of the legacy area */
#define FX_SW_OFFSET           464
#define FP_XSTATE_MAGIC1       0x46505853U
#define FP_XSTATE_MAGIC2       0x46505845U
#define FP_XSTATE_MAGIC2_SIZE  4
#define XSTATE_BV_OFFSET       512
#define XSTATE_MIN             576

#define ERESTARTSYS            512
#define ERESTARTNOINTR         513
#define ERESTARTNOHAND         514
#define ERESTART_RESTARTBLOCK  516
#define X86_64_RESTART_SYSCALL 219

static uint64_t get(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void put(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void copy16(uint8_t *to, const uint8_t *from)
{
	memcpy(to, from, 2);
}

static void set_call(uint8_t *regs, uint64_t pc, uint64_t sp, const struct lc_call *call)
{
	static const uint32_t arg_off[LC_CALL_ARGS] = {RDI, RSI, RDX, R10, R8, R9};

	put(regs + RIP, pc);
	put(regs + RSP, sp);
	put(regs + RAX, (uint64_t)call->number);
	/* not in a call: the kernel must not restart what it did before */
	put(regs + ORIG_RAX, UINT64_MAX);
	for (size_t i = 0; i < LC_CALL_ARGS; i++)
		put(regs + arg_off[i], call->args[i]);
}

static int64_t result(const uint8_t *regs)
{
	return (int64_t)get(regs + RAX);
}

/* As do_signal() does it, arch/x86/kernel/signal.c; but rt_sigreturn() forgets the restart block,
 * so a sleep that has one starts anew. */
static bool start_over(uint8_t *regs, int64_t number_before)
{
	int64_t number = (int64_t)get(regs + ORIG_RAX), value = result(regs);

	if (number < 0 || (value != -ERESTARTSYS && value != -ERESTARTNOINTR &&
			   value != -ERESTARTNOHAND && value != -ERESTART_RESTARTBLOCK))
		return true;
	if (number == X86_64_RESTART_SYSCALL)
		number = number_before;
	if (number < 0)
		return false;
	put(regs + RAX, (uint64_t)number);
	put(regs + RIP, get(regs + RIP) - 2);
	return true;
}

/* "mov $number,%eax", opcode b8, right before: what C libraries and compilers write. */
static int64_t number_before(const uint8_t *code, size_t len)
{
	uint32_t number;

	if (len < 5 || code[len - 5] != 0xb8)
		return -1;
	memcpy(&number, code + len - 4, sizeof(number));
	return number < 1024 ? (int64_t)number : -1;
}

static size_t frame_size(const struct lc_frame_state *state)
{
	uint64_t features;

	if (!state->fp)
		return FRAME_END;
	if (state->fp_len < XSTATE_MIN)
		return 0;
	return FRAME_FP +
	       lc_x86_signal_xstate(get(state->fp + XSTATE_BV_OFFSET), state->fp_len, &features) +
	       FP_XSTATE_MAGIC2_SIZE;
}

/*
 * The XSAVE area as save_xstate_epilog() (arch/x86/kernel/fpu/signal.c) leaves it. Its size must
 * not exceed what the thread's own area has, or the kernel restores the legacy part alone.
 */
static void put_fp(uint8_t *area, const struct lc_frame_state *state)
{
	uint64_t features;
	uint32_t size = (uint32_t)lc_x86_signal_xstate(get(state->fp + XSTATE_BV_OFFSET),
						       state->fp_len, &features);

	memcpy(area, state->fp, size);
	put32(area + FX_SW_OFFSET, FP_XSTATE_MAGIC1);
	put32(area + FX_SW_OFFSET + 4, size + FP_XSTATE_MAGIC2_SIZE);
	put(area + FX_SW_OFFSET + 8, features);
	put32(area + FX_SW_OFFSET + 16, size);
	put32(area + size, FP_XSTATE_MAGIC2);
}

static void put_frame(uint8_t *frame, uint64_t addr, uint64_t return_code,
		      const struct lc_frame_state *state)
{
	static const uint32_t from[] = {R8,  R9,  R10, R11, R12, R13, R14, R15, RDI,
					RSI, RBP, RBX, RDX, RAX, RCX, RSP, RIP, EFLAGS};
	uint64_t flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (state->fp ? UC_FP_XSTATE : 0);

	memset(frame, 0, FRAME_END);
	put(frame + FRAME_PRETCODE, return_code);
	put(frame + FRAME_UC_FLAGS, flags);
	put32(frame + FRAME_SS_FLAGS, SS_FLAGS_INVALID);
	for (size_t i = 0; i < sizeof(from) / sizeof(*from); i++)
		put(frame + 48 + 8 * i, get(state->regs + from[i]));
	copy16(frame + FRAME_CS, state->regs + CS);
	copy16(frame + FRAME_SS, state->regs + SS);
	put(frame + FRAME_SIGMASK, state->sigmask);
	if (!state->fp)
		return;
	put(frame + FRAME_FPSTATE, addr + FRAME_FP);
	put_fp(frame + FRAME_FP, state);
}

static void set_clone(struct lc_call *call, uint64_t flags, uint64_t stack, uint64_t parent_tid)
{
	call->args[0] = flags;
	call->args[1] = stack;
	call->args[2] = parent_tid;
}

/* Debian's libc has the first 14 times, musl and Go have it too; the second is what SA_RESTORER
 * points to, in ld.so as well. */
static const uint8_t call_code[] = {0x0f, 0x05, 0xc3};                 /* syscall; ret */
static const uint8_t return_code[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, /* mov $15,%rax */
				      0x0f, 0x05};                     /* syscall */

const struct lc_call_abi lc_call_abi_x86_64 = {
	.call_code = call_code,
	.call_len = sizeof(call_code),
	.return_code = return_code,
	.return_len = sizeof(return_code),
	.insn_len = 2,
	.numbers =
		{
			.clone = 56,
			.wait4 = 61,
			.prctl = 157,
			.exit_group = 231,
			.rt_sigreturn = 15,
			.userfaultfd = 323,
			.close_range = 436,
		},
	.audit_arch = 0xc000003e, /* AUDIT_ARCH_X86_64 */
	.fp_type = X86_NT_XSTATE,
	.shadow_stack_type = X86_NT_SHSTK,
	.red_zone = 128,
	.tp_off = FS_BASE,
	.set_call = set_call,
	.result = result,
	.start_over = start_over,
	.number_before = number_before,
	.frame_size = frame_size,
	.put_frame = put_frame,
	.frame_arg0_off = FRAME_RDI,
	.set_clone = set_clone,
};
