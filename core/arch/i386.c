/* SPDX-License-Identifier: GPL-3.0-or-later */
/* i386, native and as compat tasks. Rows: x86_32_regsets[], arch/x86/kernel/ptrace.c, Linux 6.18.
 */
#include "x86.h"

#include <elf.h>
#include <string.h>

/* Three struct user_desc; fill_user_desc() (arch/x86/kernel/tls.c) makes of an empty descriptor one
 * that is not present and read-only, with the rest zero. */
static bool tls_is_unused(const uint8_t *regs, size_t len)
{
	enum { ENTRY = 16, EMPTY = 1 << 3 | 1 << 5 }; /* read_exec_only, seg_not_present */

	for (size_t off = 0; off + ENTRY <= len; off += ENTRY) {
		uint32_t base, limit, bits;

		memcpy(&base, regs + off + 4, 4);
		memcpy(&limit, regs + off + 8, 4);
		memcpy(&bits, regs + off + 12, 4);
		if (base || limit || (bits & 0x7f) != EMPTY)
			return false;
	}
	return true;
}

static const struct lc_regset_row rows[] = {
	{"CORE", NT_PRSTATUS, 68, LC_REGSET_REQUIRED, "general registers", NULL, NULL},
	{"CORE", NT_FPREGSET, 108, LC_REGSET_REQUIRED, "x87 registers", NULL, NULL},
	{"LINUX", X86_NT_PRXFPREG, 512, LC_REGSET_USUAL, "x87 and SSE registers", NULL, NULL},
	{"LINUX", X86_NT_XSTATE, X86_XSTATE_SIZE, LC_REGSET_USUAL, "extended processor state", NULL,
	 lc_x86_xstate_size},
	{"LINUX", X86_NT_386_TLS, 48, LC_REGSET_USUAL, "thread-local storage descriptors",
	 tls_is_unused, NULL},
	{"LINUX", X86_NT_386_IOPERM, 8192, LC_REGSET_RARE, "I/O permission bitmap", NULL, NULL},
};

/* struct user_regs_struct, arch/x86/include/asm/user_32.h */
enum {
	EBX = 0,
	ECX = 4,
	EDX = 8,
	ESI = 12,
	EDI = 16,
	EBP = 20,
	EAX = 24,
	ORIG_EAX = 44,
	EIP = 48,
	ESP = 60,
};

/* arch/x86/entry/syscalls/syscall_32.tbl; see x86_64.c. socketcall() is left out because connect()
 * is one of its many. */
static const int eintr_calls[] = {
	3,   /* read, of a socket */
	4,   /* write */
	102, /* socketcall */
	117, /* ipc: of its calls, only semop and semtimedop return EINTR so */
	145, /* readv */
	146, /* writev */
	177, /* rt_sigtimedwait */
	187, /* sendfile, to a socket */
	239, /* sendfile64 */
	247, /* io_getevents */
	256, /* epoll_wait */
	313, /* splice, with a socket */
	319, /* epoll_pwait */
	337, /* recvmmsg */
	345, /* sendmmsg */
	362, /* connect */
	364, /* accept4 */
	369, /* sendto */
	370, /* sendmsg */
	371, /* recvfrom */
	372, /* recvmsg */
	378, /* preadv2, of a socket with offset -1 */
	379, /* pwritev2 */
	385, /* io_pgetevents */
	416, /* io_pgetevents_time64 */
	417, /* recvmmsg_time64 */
	420, /* semtimedop_time64 */
	421, /* rt_sigtimedwait_time64 */
	426, /* io_uring_enter */
	441, /* epoll_pwait2 */
	-1,
};

static bool fix_eintr(uint8_t *regs, size_t len)
{
	return len == rows[0].size && lc_x86_fix_eintr(regs, 4, EAX, ORIG_EAX, eintr_calls);
}

const struct lc_arch lc_arch_i386 = {
	.name = "i386",
	.abi = {.elf_class = ELFCLASS32,
		.elf_data = ELFDATA2LSB,
		.e_machine = EM_386,
		.uid16 = true},
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(*rows),
	.pc_off = EIP,
	.sp_off = ESP,
	.number_off = ORIG_EAX,
	.arg_off = {EBX, ECX, EDX, ESI, EDI, EBP},
	.fix_eintr = fix_eintr,
	.add_extra_notes = lc_x86_add_xsave_layout,
};
