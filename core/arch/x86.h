/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What x86-64 and i386 have in common. */
#ifndef LC_ARCH_X86_H
#define LC_ARCH_X86_H

#include "arch.h"

/* Note types that older <elf.h> lacks; linux/include/uapi/linux/elf.h, Linux 6.18. */
#define X86_NT_XSTATE       0x202
#define X86_NT_386_TLS      0x200
#define X86_NT_386_IOPERM   0x201
#define X86_NT_SHSTK        0x204
#define X86_NT_XSAVE_LAYOUT 0x205
#define X86_NT_PRXFPREG     0x46e62b7f

/* arch/x86/kernel/ptrace.c, regset_xregset: the legacy area, the XSAVE header and what the
 * processor adds; with AVX-512 2.7 KiB, with AMX 11 KiB. Buffers grow to what the kernel has. */
#define X86_XSTATE_SIZE 4096

extern const struct lc_arch lc_arch_x86_64;
extern const struct lc_arch lc_arch_i386;
extern const struct lc_call_abi lc_call_abi_x86_64;

/* The length of NT_X86_XSTATE on this processor, from CPUID; 0: not known. */
uint32_t lc_x86_xstate_size(void);

/*
 * The size of the XSAVE area that a signal frame of a thread has whose NT_X86_XSTATE has `len`
 * bytes and this XSTATE_BV, and the features that it holds. The kernel gives AMX's tiles room only
 * in threads that use them (fpu_user_cfg.default_size, arch/x86/kernel/fpu/xstate.c), while the
 * register set always has room for all.
 */
size_t lc_x86_signal_xstate(uint64_t xstate_bv, size_t len, uint64_t *ret_features);

/* NT_X86_XSAVE_LAYOUT from CPUID; adds nothing on a processor without XSAVE or on another host. */
int lc_x86_add_xsave_layout(struct elfw_notes *notes);

/*
 * The kernel's -ERESTARTNOHAND in the place of -EINTR: do_signal() (arch/x86/kernel/signal.c) then
 * re-executes the call if no handler runs, and makes it EINTR if one does, as if nobody had looked.
 * `calls` ends with -1. Returns true if the result was changed.
 */
bool lc_x86_fix_eintr(uint8_t *regs, size_t word, size_t result_off, size_t number_off,
		      const int *calls);

#endif
