/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The interpreter of seccomp filters over any programs: it ends, reads nothing but them, and what
 * several say together is what the most restrictive one says alone.
 *
 *   0   1  the number of programs, up to 4
 *   1  64  the call: number, architecture, instruction pointer, six arguments
 *          of each program: 2 bytes the number of its instructions; of each instruction: 2 the
 *          opcode, 1 where to if true, 1 if false, 4 the operand
 */
#include <errno.h>
#include <linux/seccomp.h>

#include "../../core/seccomp.h"
#include "fuzz.h"

#define MAX_PROGRAMS 4
#define INSN_SIZE    8

static void take_call(struct lc_seccomp_call *call, struct fuzz_input *in)
{
	call->nr = (int32_t)fuzz_take(in, 4);
	call->arch = (uint32_t)fuzz_take(in, 4);
	call->ip = fuzz_take(in, 8);
	for (size_t i = 0; i < 6; i++)
		call->args[i] = fuzz_take(in, 8);
}

/* In memory of exactly its size, so that a read beyond its end is seen. */
static void take_program(struct lc_bpf_program *program, struct fuzz_input *in)
{
	size_t n = (size_t)fuzz_take(in, 2) % (BPF_MAXINSNS + 2);

	if (n > in->size / INSN_SIZE + 1)
		n = in->size / INSN_SIZE + 1;
	program->insns = malloc(n ? n * sizeof(struct sock_filter) : 1);
	must(program->insns);
	program->n = n;
	for (size_t i = 0; i < n; i++) {
		program->insns[i].code = (uint16_t)fuzz_take(in, 2);
		program->insns[i].jt = (uint8_t)fuzz_take(in, 1);
		program->insns[i].jf = (uint8_t)fuzz_take(in, 1);
		program->insns[i].k = (uint32_t)fuzz_take(in, 4);
	}
}

/* The lower, the more restrictive. */
static int32_t rank(uint32_t action)
{
	return (int32_t)(action & SECCOMP_RET_ACTION_FULL);
}

/* What they say one by one, put together. */
static int one_by_one(const struct lc_bpf_programs *programs, const struct lc_seccomp_call *call,
		      uint32_t *ret_action)
{
	bool good = true;

	*ret_action = SECCOMP_RET_ALLOW;
	for (size_t i = programs->n; i-- > 0;) {
		const uint32_t untouched = 0x12345678;
		uint32_t action = untouched;
		int r = lc_seccomp_verdict(&programs->v[i], 1, call, &action);

		must(r == 0 || (r == -EINVAL && action == untouched));
		good = good && r == 0;
		if (r < 0)
			continue;
		must(action == SECCOMP_RET_ALLOW || rank(action) < rank(SECCOMP_RET_ALLOW));
		if (rank(action) < rank(*ret_action))
			*ret_action = action;
	}
	return good ? 0 : -EINVAL;
}

static void check_answer(const struct lc_bpf_programs *programs, const struct lc_seccomp_call *call,
			 int r, uint32_t action)
{
	bool passes = lc_seccomp_lets_pass(programs, call);
	bool refuses = lc_seccomp_refuses(programs, call);

	action &= SECCOMP_RET_ACTION_FULL;
	must(passes == (r == 0 && (action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG)));
	must(refuses == (r == 0 && action == SECCOMP_RET_ERRNO));
}

static void test(const struct lc_bpf_programs *programs, const struct lc_seccomp_call *call)
{
	uint32_t action = 0, want;
	int r = lc_seccomp_verdict(programs->v, programs->n, call, &action);

	must(r == one_by_one(programs, call, &want));
	must(r < 0 || action == want);
	check_answer(programs, call, r, action);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct lc_bpf_programs programs = {calloc(MAX_PROGRAMS, sizeof(programs.v[0])), 0};
	struct lc_seccomp_call call;

	must(programs.v);
	programs.n = (size_t)fuzz_take(&in, 1) % (MAX_PROGRAMS + 1);
	take_call(&call, &in);
	for (size_t i = 0; i < programs.n; i++)
		take_program(&programs.v[i], &in);
	test(&programs, &call);
	lc_seccomp_free(&programs);
	return 0;
}
