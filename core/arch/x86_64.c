/* SPDX-License-Identifier: GPL-3.0-or-later */
/* x86-64, 64-bit tasks. Rows: x86_64_regsets[], arch/x86/kernel/ptrace.c, Linux 6.18. */
#include "x86.h"

#include <elf.h>

static const struct lc_regset_row rows[] = {
	{"CORE", NT_PRSTATUS, 216, LC_REGSET_REQUIRED, "general registers", NULL, NULL},
	{"CORE", NT_FPREGSET, 512, LC_REGSET_REQUIRED, "x87 and SSE registers", NULL, NULL},
	{"LINUX", X86_NT_386_IOPERM, 8192, LC_REGSET_RARE, "I/O permission bitmap", NULL, NULL},
	{"LINUX", X86_NT_XSTATE, X86_XSTATE_SIZE, LC_REGSET_USUAL, "extended processor state", NULL,
	 lc_x86_xstate_size},
	{"LINUX", X86_NT_SHSTK, 8, LC_REGSET_RARE, "shadow stack pointer", NULL, NULL},
};

/* struct user_regs_struct, arch/x86/include/asm/user_64.h */
enum {
	R10 = 56,
	R9 = 64,
	R8 = 72,
	RAX = 80,
	RDX = 96,
	RSI = 104,
	RDI = 112,
	ORIG_RAX = 120,
	RIP = 128,
	RSP = 152,
};

/* arch/x86/entry/syscalls/syscall_64.tbl. A socket call returns EINTR where SO_RCVTIMEO or
 * SO_SNDTIMEO is set, before a byte was moved: doing it again is what the caller wanted. Not
 * connect(): again, it says EALREADY. */
static const int eintr_calls[] = {
	0,   /* read, of a socket */
	1,   /* write */
	19,  /* readv */
	20,  /* writev */
	40,  /* sendfile, to a socket */
	42,  /* connect: a second one waits for the first one's connection */
	43,  /* accept */
	44,  /* sendto */
	45,  /* recvfrom */
	46,  /* sendmsg */
	47,  /* recvmsg */
	65,  /* semop */
	128, /* rt_sigtimedwait */
	208, /* io_getevents */
	220, /* semtimedop */
	232, /* epoll_wait */
	275, /* splice, with a socket */
	281, /* epoll_pwait */
	288, /* accept4 */
	299, /* recvmmsg */
	307, /* sendmmsg */
	327, /* preadv2, of a socket with offset -1 */
	328, /* pwritev2 */
	333, /* io_pgetevents */
	426, /* io_uring_enter: EINTR only if nothing was submitted */
	441, /* epoll_pwait2 */
	-1,
};

static bool fix_eintr(uint8_t *regs, size_t len)
{
	return len == rows[0].size && lc_x86_fix_eintr(regs, 8, RAX, ORIG_RAX, eintr_calls);
}

const struct lc_arch lc_arch_x86_64 = {
	.name = "x86_64",
	.abi = {.elf_class = ELFCLASS64, .elf_data = ELFDATA2LSB, .e_machine = EM_X86_64},
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(*rows),
	.pc_off = RIP,
	.sp_off = RSP,
	.number_off = ORIG_RAX,
	.arg_off = {RDI, RSI, RDX, R10, R8, R9},
	.fix_eintr = fix_eintr,
	.call = &lc_call_abi_x86_64,
	.add_extra_notes = lc_x86_add_xsave_layout,
};
