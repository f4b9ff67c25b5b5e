/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tables of all architectures, on every host. */
#include "../../core/arch/arch.h"
#include "../../core/arch/x86.h"
#include "../../core/threads.h"
#include "tap.h"

#include <elf.h>
#include <errno.h>

static void test_every_table(void)
{
	for (size_t i = 0; lc_arch_list[i]; i++) {
		const struct lc_arch *a = lc_arch_list[i];

		ok(a->n_rows > 1 && a->rows[0].type == NT_PRSTATUS &&
			   a->rows[0].need == LC_REGSET_REQUIRED,
		   "%s: row 0 is PRSTATUS's", a->name);
		ok(a->rows[0].size <= LC_GENERAL_REGS_MAX, "%s: fits", a->name);
		ok(a->pc_off < a->rows[0].size && a->sp_off < a->rows[0].size &&
			   a->pc_off != a->sp_off,
		   "%s: PC and SP are in it", a->name);
		for (size_t arg = 0; arg < 6; arg++)
			ok(a->arg_off[arg] < a->rows[0].size && a->arg_off[arg] != a->pc_off &&
				   a->arg_off[arg] != a->sp_off && a->arg_off[arg] != a->number_off,
			   "%s: argument %zu has a place of its own", a->name, arg);
		ok(a->number_off < a->rows[0].size && a->number_off != a->pc_off,
		   "%s: so has the system call's number", a->name);
		ok(lc_arch_find(a->abi.e_machine, a->abi.elf_class) == a, "%s: is found", a->name);
		for (size_t r = 0; r < a->n_rows; r++)
			ok(a->rows[r].what && a->rows[r].size &&
				   (!strcmp(a->rows[r].owner, "CORE") ||
				    !strcmp(a->rows[r].owner, "LINUX")),
			   "%s: row %zu, %s", a->name, r, a->rows[r].what);
	}
	ok(!lc_arch_find(EM_NONE, ELFCLASS64), "an unknown machine");
}

static void test_x86_64(void)
{
	static const struct {
		uint32_t type, size;
	} want[] = {{1, 216}, {2, 512}, {0x201, 8192}, {0x202, 4096}, {0x204, 8}};

	is(lc_arch_x86_64.n_rows, 5, "x86_64: rows");
	for (size_t i = 0; i < 5; i++) {
		is(lc_arch_x86_64.rows[i].type, want[i].type, "x86_64: type");
		is(lc_arch_x86_64.rows[i].size, want[i].size, "x86_64: size");
	}
	is(lc_arch_x86_64.abi.e_machine, EM_X86_64, "x86_64: machine");
	ok(!lc_arch_x86_64.abi.uid16, "x86_64: 32-bit ids");
}

static void test_i386(void)
{
	static const uint32_t types[] = {1, 2, 0x46e62b7f, 0x202, 0x200, 0x201};
	uint8_t tls[48] = {0};

	is(lc_arch_i386.n_rows, 6, "i386: rows");
	for (size_t i = 0; i < 6; i++)
		is(lc_arch_i386.rows[i].type, types[i], "i386: type");
	is(lc_arch_i386.rows[0].size, 68, "i386: general registers");
	ok(lc_arch_i386.abi.uid16, "i386: 16-bit ids");
	for (size_t i = 0; i < 3; i++) {
		tls[16 * i] = (uint8_t)(12 + i);
		tls[16 * i + 12] = 1 << 3 | 1 << 5;
	}
	ok(lc_arch_i386.rows[4].is_unused(tls, sizeof(tls)), "i386: three empty TLS descriptors");
	tls[5] = 0x10;
	ok(!lc_arch_i386.rows[4].is_unused(tls, sizeof(tls)), "i386: one with a base");
}

/* rax at 80, orig_rax at 120 */
static void put64(uint8_t *regs, size_t off, int64_t value)
{
	memcpy(regs + off, &value, sizeof(value));
}

static int64_t get64(const uint8_t *regs, size_t off)
{
	int64_t value;

	memcpy(&value, regs + off, sizeof(value));
	return value;
}

static void test_fix_eintr_64(void)
{
	uint8_t regs[216] = {0};

	put64(regs, 80, -EINTR);
	put64(regs, 120, 232);
	ok(lc_arch_x86_64.fix_eintr(regs, sizeof(regs)), "epoll_wait that was interrupted");
	is(get64(regs, 80), -514, "restarts unless a handler runs");
	is(get64(regs, 120), 232, "is still epoll_wait");
	ok(!lc_arch_x86_64.fix_eintr(regs, sizeof(regs)), "once is enough");
	put64(regs, 80, -EINTR);
	put64(regs, 120, 42);
	ok(lc_arch_x86_64.fix_eintr(regs, sizeof(regs)), "connect goes on waiting");
	put64(regs, 80, -EINTR);
	put64(regs, 120, 3);
	ok(!lc_arch_x86_64.fix_eintr(regs, sizeof(regs)), "close must not be done again");
	put64(regs, 120, -1);
	ok(!lc_arch_x86_64.fix_eintr(regs, sizeof(regs)), "not in a system call");
	put64(regs, 120, 232);
	put64(regs, 80, 1);
	ok(!lc_arch_x86_64.fix_eintr(regs, sizeof(regs)), "a call that succeeded");
	put64(regs, 80, -EINTR);
	ok(!lc_arch_x86_64.fix_eintr(regs, 68), "registers of another size");
}

static void test_fix_eintr_32(void)
{
	uint8_t regs[68] = {0};
	int32_t eax = -EINTR, call = 256;

	memcpy(regs + 24, &eax, 4);
	memcpy(regs + 44, &call, 4);
	ok(lc_arch_i386.fix_eintr(regs, sizeof(regs)), "i386: epoll_wait that was interrupted");
	memcpy(&eax, regs + 24, 4);
	is(eax, -514, "i386: restarts");
	eax = -EINTR;
	call = 102;
	memcpy(regs + 24, &eax, 4);
	memcpy(regs + 44, &call, 4);
	ok(lc_arch_i386.fix_eintr(regs, sizeof(regs)), "i386: socketcall");
	eax = -EINTR;
	call = 6;
	memcpy(regs + 24, &eax, 4);
	memcpy(regs + 44, &call, 4);
	ok(!lc_arch_i386.fix_eintr(regs, sizeof(regs)), "i386: not close");
}

int main(void)
{
	test_every_table();
	test_x86_64();
	test_i386();
	test_fix_eintr_64();
	test_fix_eintr_32();
	return tap_done();
}
