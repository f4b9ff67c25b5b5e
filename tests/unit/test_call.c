/* SPDX-License-Identifier: GPL-3.0-or-later */
/* System calls in another thread as bytes: registers, and the frame that leads back. */
#include <errno.h>
#include <string.h>

#include "../../core/arch/x86.h"
#include "tap.h"

#define ABI (&lc_call_abi_x86_64)

/* struct user_regs_struct */
enum {
	R10 = 56,
	R9 = 64,
	R8 = 72,
	RAX = 80,
	RDX = 96,
	RSI = 104,
	RDI = 112,
	ORIG_RAX = 120,
	RIP = 128
};
enum { CS = 136, EFLAGS = 144, RSP = 152, SS = 160 };

static void put(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

static uint64_t get(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void fill(uint8_t *regs)
{
	for (size_t i = 0; i < 216; i += 8)
		put(regs + i, 0x1100000000000000 + i);
}

static void test_set_call(void)
{
	const struct lc_call call = {.number = 323, .args = {1, 2, 3, 4, 5, 6}};
	uint8_t regs[216];

	fill(regs);
	ABI->set_call(regs, 0x7000, 0x8000, &call);
	is(get(regs + RIP), 0x7000, "where the call instruction is");
	is(get(regs + RSP), 0x8000, "and the stack");
	is(get(regs + RAX), 323, "the number");
	is(get(regs + ORIG_RAX), -1, "nothing is to be restarted");
	ok(get(regs + RDI) == 1 && get(regs + RSI) == 2 && get(regs + RDX) == 3 &&
		   get(regs + R10) == 4 && get(regs + R8) == 5 && get(regs + R9) == 6,
	   "the arguments");
	is(get(regs + SS), 0x1100000000000000 + SS, "the rest is as it was");
	put(regs + RAX, (uint64_t)-EAGAIN);
	is(ABI->result(regs), -EAGAIN, "the result");
}

static bool start_over(int64_t number, int64_t result, int64_t before, uint8_t *regs)
{
	fill(regs);
	put(regs + ORIG_RAX, (uint64_t)number);
	put(regs + RAX, (uint64_t)result);
	put(regs + RIP, 0x5002);
	return ABI->start_over(regs, before);
}

static void test_start_over(void)
{
	static const int64_t restarted[] = {-512, -513, -514, -516};
	uint8_t regs[216];

	ok(start_over(-1, -512, -1, regs), "not in a call");
	is(get(regs + RIP), 0x5002, "nothing to start over");
	ok(start_over(7, 3, -1, regs), "a call that is through");
	is(get(regs + RAX), 3, "keeps its result");
	ok(start_over(7, -EINTR, -1, regs), "a call that failed");
	is(get(regs + RIP), 0x5002, "is not made again");
	for (size_t i = 0; i < 4; i++) {
		ok(start_over(35, restarted[i], -1, regs), "a call to be restarted");
		is(get(regs + RIP), 0x5000, "the call instruction again");
		is(get(regs + RAX), 35, "with its number");
	}
	ok(start_over(219, -516, 230, regs), "restart_syscall, with the number in the code");
	is(get(regs + RAX), 230, "is the call that it stands for");
	ok(!start_over(219, -516, -1, regs), "without, it cannot be started over");
}

static void test_number_before(void)
{
	static const uint8_t sleep_code[] = {0x90, 0x90, 0x90, 0xb8, 0xe6, 0, 0, 0};
	static const uint8_t other[] = {0x90, 0x90, 0x90, 0x89, 0xe6, 0, 0, 0};
	static const uint8_t wild[] = {0x90, 0x90, 0x90, 0xb8, 0xe6, 0, 0, 0x80};

	is(ABI->number_before(sleep_code, 8), 230, "mov $230,%%eax");
	is(ABI->number_before(other, 8), -1, "another instruction");
	is(ABI->number_before(wild, 8), -1, "no number of a call");
	is(ABI->number_before(sleep_code + 4, 4), -1, "too few bytes");
}

static void test_frame(void)
{
	uint8_t regs[216], fp[4096] = {0}, frame[8192];
	struct lc_frame_state state = {.regs = regs, .sigmask = 0x123456789abcdef0};
	uint64_t features;
	uint32_t size, word;

	fill(regs);
	is(ABI->frame_size(&state), 312, "a frame without floating point");
	memset(frame, 0xee, sizeof(frame));
	ABI->put_frame(frame, 0x10000, 0x4000, &state);
	is(get(frame), 0x4000, "returns to rt_sigreturn");
	is(get(frame + 8), 6, "uc_flags: SS is to be restored");
	memcpy(&word, frame + 32, 4);
	is(word, 0x7fffffff, "no alternate stack that the kernel would take");
	is(get(frame + 48), 0x1100000000000000 + R8, "r8");
	is(get(frame + 112), 0x1100000000000000 + RDI, "rdi");
	is(get(frame + 152), 0x1100000000000000 + RAX, "rax");
	is(get(frame + 168), 0x1100000000000000 + RSP, "rsp");
	is(get(frame + 176), 0x1100000000000000 + RIP, "rip");
	is(get(frame + 184), 0x1100000000000000 + EFLAGS, "eflags");
	is(frame[192], CS, "cs");
	is(frame[198], SS, "ss");
	is(get(frame + 232), 0, "no floating point");
	is(get(frame + 304), 0x123456789abcdef0, "the signal mask");
	is(frame[312], 0xee, "and nothing behind");
	is(get(frame + ABI->frame_arg0_off), 0x1100000000000000 + RDI,
	   "the first argument's place");

	state.fp = fp;
	state.fp_len = 100;
	is(ABI->frame_size(&state), 0, "an area without a header is refused");
	state.fp_len = sizeof(fp);
	memset(fp, 0x77, 464);
	size = (uint32_t)lc_x86_signal_xstate(0, sizeof(fp), &features);
	ok(size >= 576, "at least x87, SSE and the header");
	is(ABI->frame_size(&state), 320 + size + 4, "with an XSAVE area");
	ABI->put_frame(frame, 0x10000, 0x4000, &state);
	is(get(frame + 8), 7, "uc_flags: an XSAVE area");
	is(get(frame + 232), 0x10000 + 320, "where it is: a multiple of 64");
	is_mem(frame + 320, fp, 464, "its contents");
	memcpy(&word, frame + 320 + 464, 4);
	is(word, 0x46505853, "the first mark");
	memcpy(&word, frame + 320 + 468, 4);
	is(word, size + 4, "its size with the second mark");
	is(get(frame + 320 + 472), features, "its features");
	memcpy(&word, frame + 320 + 480, 4);
	is(word, size, "its size");
	memcpy(&word, frame + 320 + size, 4);
	is(word, 0x46505845, "the second mark");
}

static void test_code(void)
{
	is(ABI->call_len, 3, "syscall; ret");
	is(ABI->call_code[2], 0xc3, "returns");
	is(ABI->insn_len, 2, "the instruction itself");
	is(ABI->return_code[3], 15, "rt_sigreturn");
}

int main(void)
{
	test_set_call();
	test_start_over();
	test_number_before();
	test_frame();
	test_code();
	return tap_done();
}
