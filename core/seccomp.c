/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Owns seccomp filters: their fetching from a stopped thread, and an interpreter that gives the
 * kernel's answers (kernel/seccomp.c, net/core/filter.c). Runs inside the freeze; the interpreter
 * allocates nothing and calls nobody.
 */
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

#include "err.h"
#include "seccomp.h"

/* Linux 4.4 */
#ifndef PTRACE_SECCOMP_GET_FILTER
#define PTRACE_SECCOMP_GET_FILTER 0x420c
#endif

/* MAX_INSNS_PER_PATH (kernel/seccomp.c) of the shortest filters, each counted with four more. */
#define MAX_FILTERS ((1 << 18) / sizeof(struct sock_filter) / 5)

/* ---- is it a program ----------------------------------------------------------------------- */

/* What must be true of k. */
enum operand {
	ILLEGAL, /* of the opcode itself */
	ANY,
	CALL_WORD,   /* an offset in struct seccomp_data */
	MEMORY_WORD, /* a number of one of the 16 words */
	SHIFT,
	DIVISOR,
	TARGET,   /* of a jump */
	BRANCHES, /* k is any, but jt and jf are targets */
};

#define ALU_BOTH(op, k) [BPF_ALU | (op) | BPF_K] = (k), [BPF_ALU | (op) | BPF_X] = ANY
#define JUMP_BOTH(op)   [BPF_JMP | (op) | BPF_K] = BRANCHES, [BPF_JMP | (op) | BPF_X] = BRANCHES

/* seccomp_check_filter() and bpf_check_classic(). No BPF_MOD: seccomp never had it. */
static const uint8_t operands[256] = {
	[BPF_LD | BPF_W | BPF_ABS] = CALL_WORD,
	[BPF_LD | BPF_W | BPF_LEN] = ANY,
	[BPF_LDX | BPF_W | BPF_LEN] = ANY,
	[BPF_LD | BPF_IMM] = ANY,
	[BPF_LDX | BPF_IMM] = ANY,
	[BPF_LD | BPF_MEM] = MEMORY_WORD,
	[BPF_LDX | BPF_MEM] = MEMORY_WORD,
	[BPF_ST] = MEMORY_WORD,
	[BPF_STX] = MEMORY_WORD,
	ALU_BOTH(BPF_ADD, ANY),
	ALU_BOTH(BPF_SUB, ANY),
	ALU_BOTH(BPF_MUL, ANY),
	ALU_BOTH(BPF_DIV, DIVISOR),
	ALU_BOTH(BPF_AND, ANY),
	ALU_BOTH(BPF_OR, ANY),
	ALU_BOTH(BPF_XOR, ANY),
	ALU_BOTH(BPF_LSH, SHIFT),
	ALU_BOTH(BPF_RSH, SHIFT),
	[BPF_ALU | BPF_NEG] = ANY,
	[BPF_JMP | BPF_JA] = TARGET,
	JUMP_BOTH(BPF_JEQ),
	JUMP_BOTH(BPF_JGT),
	JUMP_BOTH(BPF_JGE),
	JUMP_BOTH(BPF_JSET),
	[BPF_RET | BPF_K] = ANY,
	[BPF_RET | BPF_A] = ANY,
	[BPF_MISC | BPF_TAX] = ANY,
	[BPF_MISC | BPF_TXA] = ANY,
};

/* `left` instructions come after this one. */
static bool is_legal(const struct sock_filter *insn, size_t left)
{
	if (insn->code >= sizeof(operands))
		return false;
	switch (operands[insn->code]) {
	case ANY:
		return true;
	case CALL_WORD:
		return insn->k < sizeof(struct seccomp_data) && insn->k % sizeof(uint32_t) == 0;
	case MEMORY_WORD:
		return insn->k < BPF_MEMWORDS;
	case SHIFT:
		return insn->k < 32;
	case DIVISOR:
		return insn->k != 0;
	case TARGET:
		return insn->k < left;
	case BRANCHES:
		return insn->jt < left && insn->jf < left;
	default:
		return false;
	}
}

/* Every way through such a program goes forward and ends in a return. */
static bool is_program(const struct lc_bpf_program *program)
{
	const size_t n = program->n;

	if (n == 0 || n > BPF_MAXINSNS || BPF_CLASS(program->insns[n - 1].code) != BPF_RET)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_legal(&program->insns[i], n - 1 - i))
			return false;
	return true;
}

/* ---- what it says -------------------------------------------------------------------------- */

struct machine {
	const struct seccomp_data *data;
	uint32_t a, x;
	uint32_t mem[BPF_MEMWORDS];
	uint32_t stored; /* which of them: one bit for each */
};

/* -EINVAL: a word that was not stored. The kernel finds out when the filter is installed
 * (check_load_and_stores()), here it is enough that no such word is used. */
static int load(const struct machine *m, const struct sock_filter *insn, uint32_t *ret_word)
{
	switch (BPF_MODE(insn->code)) {
	case BPF_ABS:
		memcpy(ret_word, (const uint8_t *)m->data + insn->k, sizeof(*ret_word));
		return 0;
	case BPF_LEN:
		*ret_word = sizeof(*m->data);
		return 0;
	case BPF_MEM:
		*ret_word = m->mem[insn->k];
		return m->stored & (1U << insn->k) ? 0 : -EINVAL;
	default:
		*ret_word = insn->k;
		return 0;
	}
}

static void store(struct machine *m, uint32_t k, uint32_t word)
{
	m->mem[k] = word;
	m->stored |= 1U << k;
}

static uint32_t source(const struct machine *m, const struct sock_filter *insn)
{
	return BPF_SRC(insn->code) == BPF_X ? m->x : insn->k;
}

/* A shift by X takes its lower five bits, as eBPF's does, which it is made into. */
static uint32_t alu(uint16_t op, uint32_t a, uint32_t b)
{
	switch (op) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_DIV:
		return a / b;
	case BPF_AND:
		return a & b;
	case BPF_OR:
		return a | b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return a << (b & 31);
	case BPF_RSH:
		return a >> (b & 31);
	default:
		return -a;
	}
}

static bool holds(uint16_t op, uint32_t a, uint32_t b)
{
	switch (op) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	default:
		return a & b;
	}
}

/* How many of the next instructions are left out. */
static size_t jump(const struct machine *m, const struct sock_filter *insn)
{
	if (BPF_OP(insn->code) == BPF_JA)
		return insn->k;
	return holds(BPF_OP(insn->code), m->a, source(m, insn)) ? insn->jt : insn->jf;
}

/* One that neither jumps nor returns. */
static int step(struct machine *m, const struct sock_filter *insn)
{
	switch (BPF_CLASS(insn->code)) {
	case BPF_LD:
		return load(m, insn, &m->a);
	case BPF_LDX:
		return load(m, insn, &m->x);
	case BPF_ST:
		store(m, insn->k, m->a);
		return 0;
	case BPF_STX:
		store(m, insn->k, m->x);
		return 0;
	case BPF_ALU:
		m->a = alu(BPF_OP(insn->code), m->a, source(m, insn));
		return 0;
	default:
		if (BPF_MISCOP(insn->code) == BPF_TAX)
			m->x = m->a;
		else
			m->a = m->x;
		return 0;
	}
}

/* Division by zero ends the program, which then returns 0 (bpf_convert_filter()): it kills. */
static bool divides_by_zero(const struct machine *m, const struct sock_filter *insn)
{
	return BPF_CLASS(insn->code) == BPF_ALU && BPF_OP(insn->code) == BPF_DIV &&
	       source(m, insn) == 0;
}

/* Precondition: is_program(). The last instruction is a return. */
static int run(const struct lc_bpf_program *program, const struct seccomp_data *data,
	       uint32_t *ret_action)
{
	struct machine m = {.data = data};

	for (const struct sock_filter *insn = program->insns;; insn++) {
		int r;

		if (BPF_CLASS(insn->code) == BPF_RET) {
			*ret_action = BPF_RVAL(insn->code) == BPF_A ? m.a : insn->k;
			return 0;
		}
		if (divides_by_zero(&m, insn)) {
			*ret_action = SECCOMP_RET_KILL_THREAD;
			return 0;
		}
		if (BPF_CLASS(insn->code) == BPF_JMP) {
			insn += jump(&m, insn);
			continue;
		}
		r = step(&m, insn);
		if (r < 0)
			return r;
	}
}

/* The lower, the more restrictive, the topmost bit being a sign (seccomp_run_filters()). */
static int32_t rank(uint32_t action)
{
	return (int32_t)(action & SECCOMP_RET_ACTION_FULL);
}

int lc_seccomp_verdict(const struct lc_bpf_program *programs, size_t n,
		       const struct lc_seccomp_call *call, uint32_t *ret_action)
{
	struct seccomp_data data = {
		.nr = call->nr,
		.arch = call->arch,
		.instruction_pointer = call->ip,
	};
	uint32_t least = SECCOMP_RET_ALLOW;

	memcpy(data.args, call->args, sizeof(data.args));
	for (size_t i = n; i-- > 0;) {
		uint32_t action;
		int r = is_program(&programs[i]) ? run(&programs[i], &data, &action) : -EINVAL;

		if (r < 0)
			return r;
		if (rank(action) < rank(least))
			least = action;
	}
	*ret_action = least;
	return 0;
}

enum lc_seccomp_answer lc_seccomp_ask(const struct lc_bpf_programs *programs,
				      const struct lc_seccomp_call *call)
{
	uint32_t action;

	if (lc_seccomp_verdict(programs->v, programs->n, call, &action) < 0)
		return LC_SECCOMP_HARMS;
	switch (action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
		return LC_SECCOMP_PASSES;
	case SECCOMP_RET_ERRNO:
		return LC_SECCOMP_REFUSES;
	default:
		return LC_SECCOMP_HARMS;
	}
}

/* ---- fetching ------------------------------------------------------------------------------ */

/* Filter number `index`, or with NULL only its length. */
static long get_filter(pid_t tid, size_t index, struct sock_filter *insns)
{
	long n = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, (void *)(uintptr_t)index, insns);

	return n < 0 ? -errno : n;
}

static int fetch_one(pid_t tid, size_t index, struct lc_bpf_program *ret_program)
{
	struct sock_filter *insns;
	long n = get_filter(tid, index, NULL), again;

	if (n < 0)
		return (int)n;
	if (n == 0 || n > BPF_MAXINSNS)
		return -EINVAL;
	insns = calloc((size_t)n, sizeof(*insns));
	if (!insns)
		return -ENOMEM;
	again = get_filter(tid, index, insns);
	if (again != n) {
		free(insns);
		return again < 0 ? (int)again : -EINVAL;
	}
	*ret_program = (struct lc_bpf_program){insns, (size_t)n};
	return 0;
}

/* From the first that was installed to the last (get_nth_filter(), against what ptrace(2) says). */
int lc_seccomp_fetch(pid_t tid, struct lc_bpf_programs *ret_programs)
{
	struct lc_bpf_programs programs = {NULL, 0};
	size_t cap = 0;
	int r = 0;

	while (r == 0 && programs.n < MAX_FILTERS) {
		r = lc_grow((void **)&programs.v, &cap, programs.n, sizeof(programs.v[0]));
		if (r == 0)
			r = fetch_one(tid, programs.n, &programs.v[programs.n]);
		if (r == 0)
			programs.n++;
	}
	if (r == -ENOENT && programs.n) {
		*ret_programs = programs;
		return 0;
	}
	lc_seccomp_free(&programs);
	return r < 0 ? r : -E2BIG;
}

void lc_seccomp_free(struct lc_bpf_programs *programs)
{
	int saved = errno;

	for (size_t i = 0; i < programs->n; i++)
		free(programs->v[i].insns);
	free(programs->v);
	*programs = (struct lc_bpf_programs){NULL, 0};
	errno = saved;
}
