/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What seccomp filters say: as the kernel's own words have it, and as the kernel does it. */
#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../core/seccomp.h"
#include "tap.h"

#define N(array)    (sizeof(array) / sizeof((array)[0]))
#define NR          offsetof(struct seccomp_data, nr)
#define ARCH        offsetof(struct seccomp_data, arch)
#define ARG_LOW(i)  (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (i) + !IS_LITTLE * 4)
#define ARG_HIGH(i) (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (i) + IS_LITTLE * 4)
#define IS_LITTLE   (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

#define LOAD(off)   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (off))
#define RETURN(k)   BPF_STMT(BPF_RET | BPF_K, (k))
#define RETURN_A    BPF_STMT(BPF_RET | BPF_A, 0)
#define SET_A(k)    BPF_STMT(BPF_LD | BPF_IMM, (k))
#define SET_X(k)    BPF_STMT(BPF_LDX | BPF_IMM, (k))
#define TO_X        BPF_STMT(BPF_MISC | BPF_TAX, 0)
#define TO_A        BPF_STMT(BPF_MISC | BPF_TXA, 0)
#define ALLOW       RETURN(SECCOMP_RET_ALLOW)
#define ERRNO(code) RETURN(SECCOMP_RET_ERRNO | (code))
/* Of the next instructions, the first or the second. */
#define IF(op, k)     BPF_JUMP(BPF_JMP | (op) | BPF_K, (k), 0, 1)
#define UNLESS(op, k) BPF_JUMP(BPF_JMP | (op) | BPF_K, (k), 1, 0)

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#elif defined(__i386__)
#define NATIVE AUDIT_ARCH_I386
#elif defined(__riscv)
#define NATIVE AUDIT_ARCH_RISCV64
#elif defined(__s390x__)
#define NATIVE AUDIT_ARCH_S390X
#elif defined(__powerpc64__) && IS_LITTLE
#define NATIVE AUDIT_ARCH_PPC64LE
#else
#define NATIVE 0
#endif

static const struct lc_seccomp_call some_call = {
	.nr = 0x11223344,
	.arch = 0x55667788,
	.ip = UINT64_C(0x0102030405060708),
	.args = {UINT64_C(0xa000000000000001), UINT64_C(0xb100000000000002),
		 UINT64_C(0xc200000000000003), UINT64_C(0xd300000000000004),
		 UINT64_C(0xe400000000000005), UINT64_C(0xf500000000000006)},
};

/* What one filter returns; UINT64_MAX: -EINVAL. */
static uint64_t returns(const struct sock_filter *insns, size_t n,
			const struct lc_seccomp_call *call)
{
	const struct lc_bpf_program program = {(struct sock_filter *)(uintptr_t)insns, n};
	uint32_t action = 0x5a5a5a5a;
	int r = lc_seccomp_verdict(&program, 1, call, &action);

	if (r < 0 && (r != -EINVAL || action != 0x5a5a5a5a))
		ok(false, "a failure that is none: %d, action 0x%x", r, action);
	return r < 0 ? UINT64_MAX : action;
}

#define RETURNS(...)                                                                               \
	returns((const struct sock_filter[]){__VA_ARGS__},                                         \
		sizeof((const struct sock_filter[]){__VA_ARGS__}) / sizeof(struct sock_filter),    \
		&some_call)

/* Actions lower than every other one can be told from what was computed: with the topmost bit, what
 * is returned is never less restrictive than ALLOW. */
#define TOP 0x80000000U

/* ---- the instructions ---------------------------------------------------------------------- */

static void test_loads(void)
{
	const uint32_t *words = (const uint32_t *)&some_call;
	bool good = true;

	/* The lower half alone would be less restrictive than ALLOW where it is above. */
	for (uint32_t off = 0; off < sizeof(struct seccomp_data); off += 4) {
		const struct sock_filter insns[] = {
			LOAD(off), BPF_STMT(BPF_ALU | BPF_OR | BPF_K, TOP), RETURN_A};

		good = good && returns(insns, N(insns), &some_call) == (words[off / 4] | TOP);
	}
	ok(good, "every word of a call");
	is(sizeof(struct seccomp_data), 64, "of which there are 16");
	is(RETURNS(LOAD(64), ALLOW), UINT64_MAX, "not one more");
	is(RETURNS(LOAD(UINT32_MAX - 3), ALLOW), UINT64_MAX, "nor far away");
	is(RETURNS(LOAD(2), ALLOW), UINT64_MAX, "nor between two");
	is(RETURNS(BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 7), RETURN_A), 64, "the length into A");
	is(RETURNS(BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 7), TO_A, RETURN_A), 64,
	   "the length into X");
	is(RETURNS(SET_A(5), RETURN_A), 5, "a number into A");
	is(RETURNS(SET_X(6), TO_A, RETURN_A), 6, "a number into X, and X into A");
	is(RETURNS(SET_A(7), TO_X, SET_A(1), TO_A, RETURN_A), 7, "A into X");
	is(RETURNS(RETURN_A), 0, "A is zero at first");
	is(RETURNS(TO_A, RETURN_A), 0, "X too");
}

static void test_memory(void)
{
	bool good = true;

	for (uint32_t k = 0; k < BPF_MEMWORDS; k++) {
		const struct sock_filter insns[] = {
			SET_A(100 + k),
			SET_X(200 + k),
			BPF_STMT(BPF_ST, k),
			BPF_STMT(BPF_STX, (k + 1) % BPF_MEMWORDS),
			SET_A(0),
			BPF_STMT(BPF_LDX | BPF_MEM, k),
			BPF_STMT(BPF_LD | BPF_MEM, (k + 1) % BPF_MEMWORDS),
			BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 1000),
			BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
			RETURN_A,
		};

		good = good && returns(insns, N(insns), &some_call) == (200 + k) * 1000 + 100 + k;
	}
	ok(good, "each word of the memory");
	is(RETURNS(BPF_STMT(BPF_ST, 16), ALLOW), UINT64_MAX, "there is no seventeenth: ST");
	is(RETURNS(BPF_STMT(BPF_STX, 16), ALLOW), UINT64_MAX, "STX");
	is(RETURNS(BPF_STMT(BPF_ST, 15), BPF_STMT(BPF_LD | BPF_MEM, 16), ALLOW), UINT64_MAX, "LD");
	is(RETURNS(BPF_STMT(BPF_ST, 15), BPF_STMT(BPF_LDX | BPF_MEM, 16), ALLOW), UINT64_MAX,
	   "LDX");
	is(RETURNS(BPF_STMT(BPF_LD | BPF_MEM, 3), ALLOW), UINT64_MAX, "a word never stored: LD");
	is(RETURNS(BPF_STMT(BPF_ST, 2), BPF_STMT(BPF_LDX | BPF_MEM, 3), ALLOW), UINT64_MAX,
	   "a word never stored: LDX");
}

struct sum {
	uint16_t op;
	uint32_t a, b, want;
};

/* By X, and where the number may be one of the program, by K. */
static const struct sum sums[] = {
	{BPF_ADD, 3, 4, 7},
	{BPF_ADD, UINT32_MAX, 2, 1},
	{BPF_SUB, 3, 4, UINT32_MAX},
	{BPF_MUL, 0x10001, 0x10001, 0x20001},
	{BPF_DIV, 100, 7, 14},
	{BPF_DIV, 0xfffffffe, 3, 0x55555554},
	{BPF_AND, 0xff0f, 0xf0ff, 0xf00f},
	{BPF_OR, 0xff0f, 0xf0ff, 0xffff},
	{BPF_XOR, 0xff0f, 0xf0ff, 0x0ff0},
	{BPF_LSH, 1, 31, 0x80000000},
	{BPF_LSH, 0x80000001, 1, 2},
	{BPF_LSH, 5, 0, 5},
	{BPF_RSH, 0x80000000, 31, 1},
	{BPF_RSH, 0xffffffff, 4, 0x0fffffff},
	{BPF_RSH, 5, 0, 5},
};

static void test_sums(void)
{
	for (size_t i = 0; i < N(sums); i++) {
		const struct sum *s = &sums[i];

		ok(RETURNS(SET_A(s->a), SET_X(s->b), BPF_STMT(BPF_ALU | s->op | BPF_X, 99),
			   RETURN_A) == s->want,
		   "0x%x op 0x%x X=0x%x is 0x%x", s->a, s->op, s->b, s->want);
		ok(RETURNS(SET_A(s->a), SET_X(99), BPF_STMT(BPF_ALU | s->op | BPF_K, s->b),
			   RETURN_A) == s->want,
		   "0x%x op 0x%x K=0x%x is 0x%x", s->a, s->op, s->b, s->want);
	}
	is(RETURNS(SET_A(5), BPF_STMT(BPF_ALU | BPF_NEG, 0), RETURN_A), (uint32_t)-5, "negated");
	is(RETURNS(SET_A(3), SET_X(33), BPF_STMT(BPF_ALU | BPF_LSH | BPF_X, 0), RETURN_A), 6,
	   "a shift by X takes five bits: left");
	is(RETURNS(SET_A(8), SET_X(33), BPF_STMT(BPF_ALU | BPF_RSH | BPF_X, 0), RETURN_A), 4,
	   "right");
	is(RETURNS(SET_A(8), BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RETURN_A), UINT64_MAX,
	   "a shift by K has to have no more: left");
	is(RETURNS(SET_A(8), BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 32), RETURN_A), UINT64_MAX,
	   "right");
	is(RETURNS(SET_A(8), BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), ALLOW), UINT64_MAX,
	   "a division by K = 0 is no program");
	is(RETURNS(SET_A(8), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), ALLOW),
	   SECCOMP_RET_KILL_THREAD, "a division by X = 0 kills");
}

struct condition {
	uint16_t op;
	uint32_t a, b;
	bool want;
};

static const struct condition conditions[] = {
	{BPF_JEQ, 5, 5, true},   {BPF_JEQ, 5, 6, false},         {BPF_JGT, 6, 5, true},
	{BPF_JGT, 5, 5, false},  {BPF_JGT, 0x80000000, 1, true}, {BPF_JGE, 5, 5, true},
	{BPF_JGE, 4, 5, false},  {BPF_JGE, UINT32_MAX, 0, true}, {BPF_JSET, 6, 4, true},
	{BPF_JSET, 6, 9, false}, {BPF_JSET, TOP, TOP, true},     {BPF_JSET, 0, UINT32_MAX, false},
};

static void test_jumps(void)
{
	for (size_t i = 0; i < N(conditions); i++) {
		const struct condition *c = &conditions[i];

		ok(RETURNS(SET_A(c->a), SET_X(99), BPF_JUMP(BPF_JMP | c->op | BPF_K, c->b, 2, 1),
			   RETURN(3), RETURN(2), RETURN(1)) == (c->want ? 1 : 2),
		   "jump 0x%x: 0x%x, K=0x%x", c->op, c->a, c->b);
		ok(RETURNS(SET_A(c->a), SET_X(c->b), BPF_JUMP(BPF_JMP | c->op | BPF_X, 99, 2, 1),
			   RETURN(3), RETURN(2), RETURN(1)) == (c->want ? 1 : 2),
		   "jump 0x%x: 0x%x, X=0x%x", c->op, c->a, c->b);
	}
	is(RETURNS(BPF_STMT(BPF_JMP | BPF_JA, 1), RETURN(1), RETURN(2)), 2, "a jump in any case");
	is(RETURNS(BPF_STMT(BPF_JMP | BPF_JA, 0), RETURN(1), RETURN(2)), 1, "to the next");
	is(RETURNS(BPF_STMT(BPF_JMP | BPF_JA, 2), RETURN(1), RETURN(2)), UINT64_MAX,
	   "beyond the end");
	is(RETURNS(BPF_STMT(BPF_JMP | BPF_JA, UINT32_MAX), RETURN(1), RETURN(2)), UINT64_MAX,
	   "back");
	is(RETURNS(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), RETURN(1), RETURN(2)), 2,
	   "the last one");
	is(RETURNS(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0), RETURN(1), RETURN(2)), UINT64_MAX,
	   "beyond the end if true");
	is(RETURNS(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2), RETURN(1), RETURN(2)), UINT64_MAX,
	   "beyond the end if false, which it is not");
}

/* Everything that there is in 16 bits; what is no opcode is none anywhere in a program. */
static void test_opcodes(void)
{
	unsigned int n_legal = 0;

	for (uint32_t code = 0; code <= UINT16_MAX; code++) {
		const struct sock_filter insns[] = {
			ALLOW, {(uint16_t)code, 0, 0, 4}, ALLOW, ALLOW, ALLOW, ALLOW, ALLOW};

		n_legal += returns(insns, N(insns), &some_call) == SECCOMP_RET_ALLOW;
	}
	is(n_legal, 41, "as many opcodes as seccomp_check_filter() lists");
	is(RETURNS(ALLOW, BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 4), ALLOW), UINT64_MAX, "not MOD");
	is(RETURNS(ALLOW, BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 4), ALLOW), UINT64_MAX, "no bytes");
	is(RETURNS(ALLOW, BPF_STMT(BPF_LD | BPF_W | BPF_IND, 4), ALLOW), UINT64_MAX, "no index");
	is(RETURNS(ALLOW, BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 4), ALLOW), UINT64_MAX,
	   "no IP header");
	is(RETURNS(ALLOW, BPF_STMT(BPF_RET | BPF_X, 4), ALLOW), UINT64_MAX, "no return of X");
}

static void test_length(void)
{
	struct sock_filter *insns = calloc(BPF_MAXINSNS + 1, sizeof(*insns));
	const struct lc_bpf_program empty = {NULL, 0};
	uint32_t action = 7;

	need(insns);
	for (size_t i = 0; i <= BPF_MAXINSNS; i++)
		insns[i] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1);
	insns[BPF_MAXINSNS - 1] = (struct sock_filter)RETURN_A;
	is(returns(insns, BPF_MAXINSNS, &some_call), BPF_MAXINSNS - 1, "the longest one");
	insns[BPF_MAXINSNS - 1] = insns[0];
	insns[BPF_MAXINSNS] = (struct sock_filter)RETURN_A;
	is(returns(insns, BPF_MAXINSNS + 1, &some_call), UINT64_MAX, "one more");
	is(lc_seccomp_verdict(&empty, 1, &some_call, &action), -EINVAL, "none at all");
	is(action, 7, "says nothing");
	is(RETURNS(ALLOW, SET_A(1)), UINT64_MAX, "no return at the end");
	is(RETURNS(ALLOW, IF(BPF_JEQ, 0)), UINT64_MAX, "a jump at the end");
	free(insns);
}

/* ---- several filters ----------------------------------------------------------------------- */

/* From the most restrictive on; what the kernel does not know comes where its number puts it. */
static const uint32_t order[] = {
	SECCOMP_RET_KILL_PROCESS, 0x80010000U,       SECCOMP_RET_KILL_THREAD, 0x00010000,
	SECCOMP_RET_TRAP,         SECCOMP_RET_ERRNO, SECCOMP_RET_USER_NOTIF,  SECCOMP_RET_TRACE,
	SECCOMP_RET_LOG,          SECCOMP_RET_ALLOW,
};

/* Two filters, the older one first. */
static uint32_t of_two(uint32_t older, uint32_t newer)
{
	struct sock_filter insns[] = {RETURN(older), RETURN(newer)};
	const struct lc_bpf_program programs[] = {{&insns[0], 1}, {&insns[1], 1}};
	uint32_t action = 0;

	need(lc_seccomp_verdict(programs, 2, &some_call, &action) == 0);
	return action;
}

static void test_order(void)
{
	struct sock_filter bad = SET_A(1), good = ALLOW;
	const struct lc_bpf_program mixed[] = {{&bad, 1}, {&good, 1}, {&bad, 1}};
	unsigned int n_wrong = 0;
	uint32_t action = 7;

	for (size_t i = 0; i < N(order); i++)
		for (size_t j = 0; j < N(order); j++) {
			uint32_t want = i < j ? order[i] | 1 : order[j] | 2;

			/* What is ALLOW at first stays as it is, without the filter's data. */
			if (i == N(order) - 1 && j == i)
				want = SECCOMP_RET_ALLOW;
			n_wrong += of_two(order[i] | 1, order[j] | 2) != want;
		}
	is(n_wrong, 0, "the most restrictive one; of two the newer one's data");
	is(lc_seccomp_verdict(NULL, 0, &some_call, &action), 0, "no filter at all");
	is(action, SECCOMP_RET_ALLOW, "allows");
	is(lc_seccomp_verdict(mixed, 2, &some_call, &action), -EINVAL, "the oldest is malformed");
	is(lc_seccomp_verdict(mixed + 1, 2, &some_call, &action), -EINVAL, "the newest is");
	is(lc_seccomp_verdict(mixed + 1, 1, &some_call, &action), 0, "neither");
}

static void test_answers(void)
{
	static const enum lc_seccomp_answer answers[] = {
		LC_SECCOMP_HARMS,  LC_SECCOMP_HARMS,   LC_SECCOMP_HARMS, LC_SECCOMP_HARMS,
		LC_SECCOMP_HARMS,  LC_SECCOMP_REFUSES, LC_SECCOMP_HARMS, LC_SECCOMP_HARMS,
		LC_SECCOMP_PASSES, LC_SECCOMP_PASSES,
	};
	struct sock_filter bad = SET_A(1);
	struct lc_bpf_program program = {&bad, 1};
	struct lc_bpf_programs programs = {&program, 1}, none = {NULL, 0};

	for (size_t i = 0; i < N(order); i++) {
		struct sock_filter insn = RETURN(order[i] | 5);

		program.insns = &insn;
		ok(lc_seccomp_ask(&programs, &some_call) == answers[i], "answer for 0x%x",
		   order[i]);
		is(lc_seccomp_lets_pass(&programs, &some_call), answers[i] == LC_SECCOMP_PASSES,
		   "does it let pass");
		is(lc_seccomp_refuses(&programs, &some_call), answers[i] == LC_SECCOMP_REFUSES,
		   "does it refuse");
	}
	program.insns = &bad;
	is(lc_seccomp_ask(&programs, &some_call), LC_SECCOMP_HARMS, "malformed: not known");
	is(lc_seccomp_ask(&none, &some_call), LC_SECCOMP_PASSES, "no filter: it passes");
	lc_seccomp_free(&none);
	ok(!none.v && !none.n, "freeing nothing");
}

/* ---- filters as they are found ------------------------------------------------------------- */

#define MASK(k)          BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (k))
#define CLONE_NAMESPACES 0x7e020000U

/* As container engines have it: what is not listed fails; some calls depend on their arguments. */
static struct sock_filter container[] = {
	LOAD(ARCH),
	UNLESS(BPF_JEQ, NATIVE),
	RETURN(SECCOMP_RET_KILL_PROCESS),
	LOAD(NR),
	/* the numbers of x32 */
	IF(BPF_JGE, 0x40000000),
	ERRNO(ENOSYS),
	IF(BPF_JEQ, SYS_read),
	ALLOW,
	IF(BPF_JEQ, SYS_exit_group),
	ALLOW,
	IF(BPF_JEQ, SYS_getpid),
	ALLOW,
	IF(BPF_JEQ, SYS_getuid),
	ALLOW,
	IF(BPF_JEQ, SYS_gettid),
	ALLOW,
	IF(BPF_JEQ, SYS_uname),
	ALLOW,
	IF(BPF_JEQ, SYS_clock_gettime),
	ALLOW,
	IF(BPF_JEQ, SYS_sched_yield),
	ALLOW,
	IF(BPF_JEQ, SYS_umask),
	ALLOW,
	IF(BPF_JEQ, SYS_socket),
	ALLOW,
	IF(BPF_JEQ, SYS_close),
	ALLOW,
	IF(BPF_JEQ, SYS_mmap),
	ALLOW,
	IF(BPF_JEQ, SYS_getcwd),
	ALLOW,
	IF(BPF_JEQ, SYS_getsid),
	ALLOW,
	IF(BPF_JEQ, SYS_kill),
	ALLOW,
	IF(BPF_JEQ, SYS_prctl),
	ALLOW,
	IF(BPF_JEQ, SYS_getpgid),
	ALLOW,
	IF(BPF_JEQ, SYS_times),
	ALLOW,
	IF(BPF_JEQ, SYS_getgid),
	ALLOW,
	IF(BPF_JEQ, SYS_sched_getscheduler),
	ALLOW,
	IF(BPF_JEQ, SYS_getrusage),
	ALLOW,
	/* personality: four values of its argument */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_personality, 0, 7),
	LOAD(ARG_LOW(0)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 8, 2, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x20000, 1, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xffffffff, 0, 1),
	ALLOW,
	ERRNO(201),
	/* clone: no new namespaces */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
	LOAD(ARG_LOW(0)),
	MASK(CLONE_NAMESPACES),
	IF(BPF_JEQ, 0),
	ALLOW,
	ERRNO(EPERM),
};

/* As service managers have it: one filter for each setting, what is not named passes. */
static struct sock_filter service_calls[] = {
	LOAD(ARCH),
	UNLESS(BPF_JEQ, NATIVE),
	ALLOW,
	LOAD(NR),
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 100, 3, 0),
	IF(BPF_JEQ, SYS_close),
	ALLOW,
	ALLOW,
	IF(BPF_JEQ, SYS_getsid),
	ERRNO(202),
	IF(BPF_JEQ, SYS_getpgid),
	ERRNO(203),
	ALLOW,
};

static struct sock_filter service_families[] = {
	LOAD(NR),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0),
	ALLOW,
	LOAD(ARG_LOW(0)),
	IF(BPF_JGT, AF_NETLINK),
	RETURN(SECCOMP_RET_ERRNO | 0xffff),
	IF(BPF_JEQ, AF_INET),
	ERRNO(204),
	ALLOW,
};

static struct sock_filter service_wx[] = {
	LOAD(NR),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
	ALLOW,
	LOAD(ARG_LOW(2)),
	MASK(PROT_WRITE | PROT_EXEC),
	IF(BPF_JEQ, PROT_WRITE | PROT_EXEC),
	ERRNO(205),
	ALLOW,
};

/* What does more than to let pass and to refuse. */
static struct sock_filter actions[] = {
	LOAD(NR),
	IF(BPF_JEQ, SYS_gettid),
	RETURN(SECCOMP_RET_LOG),
	IF(BPF_JEQ, SYS_kill),
	RETURN(SECCOMP_RET_KILL_THREAD),
	IF(BPF_JEQ, SYS_prctl),
	RETURN(SECCOMP_RET_KILL_PROCESS),
	IF(BPF_JEQ, SYS_getgid),
	RETURN(SECCOMP_RET_TRAP),
	IF(BPF_JEQ, SYS_sched_getscheduler),
	RETURN(SECCOMP_RET_TRACE),
	IF(BPF_JEQ, SYS_getrusage),
	RETURN(SECCOMP_RET_USER_NOTIF),
	IF(BPF_JEQ, SYS_umask),
	ERRNO(0),
	IF(BPF_JEQ, SYS_sched_yield),
	RETURN(0x00020000),
	/* a division by the high half of an argument of getcwd() */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getcwd, 1, 0),
	ALLOW,
	LOAD(ARG_HIGH(4)),
	TO_X,
	SET_A(1),
	BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
	ALLOW,
};

static const struct lc_bpf_program installed[] = {
	{service_calls, N(service_calls)},
	{service_families, N(service_families)},
	{service_wx, N(service_wx)},
	{actions, N(actions)},
	/* the last one: seccomp() is not on its list */
	{container, N(container)},
};

struct probe {
	const char *name;
	long nr;
	long args[6];
	uint32_t want; /* action */
	int natural;   /* of the call when it is made: an error, or 0 */
};

static char text[400];

#define SET(high) (long)(UINT64_C(high) << 32)

static const struct probe probes[] = {
	{"getpid", SYS_getpid, {0}, SECCOMP_RET_ALLOW, 0},
	{"getuid", SYS_getuid, {0}, SECCOMP_RET_ALLOW, 0},
	{"gettid", SYS_gettid, {0}, SECCOMP_RET_LOG, 0},
	{"getppid, not listed", SYS_getppid, {0}, SECCOMP_RET_ERRNO | EPERM, 0},
	{"a number that there is not", 100000, {0}, SECCOMP_RET_ERRNO | EPERM, 0},
	{"a number of x32's", 0x40000000 | SYS_getpid, {0}, SECCOMP_RET_ERRNO | ENOSYS, 0},
	{"uname", SYS_uname, {(long)text}, SECCOMP_RET_ALLOW, 0},
	{"clock_gettime", SYS_clock_gettime, {CLOCK_REALTIME, (long)text}, SECCOMP_RET_ALLOW, 0},
	{"close", SYS_close, {-1}, SECCOMP_RET_ALLOW, EBADF},
	{"getsid", SYS_getsid, {0}, SECCOMP_RET_ERRNO | 202, 0},
	{"getpgid", SYS_getpgid, {0}, SECCOMP_RET_ERRNO | 203, 0},
	{"times", SYS_times, {(long)text}, SECCOMP_RET_ALLOW, 0},
	{"personality, query", SYS_personality, {0xffffffff}, SECCOMP_RET_ALLOW, 0},
	{"personality, other", SYS_personality, {ADDR_NO_RANDOMIZE}, SECCOMP_RET_ERRNO | 201, 0},
	{"clone, a namespace", SYS_clone, {CLONE_NEWNS | SIGCHLD}, SECCOMP_RET_ERRNO | EPERM, 0},
	{"socket, local", SYS_socket, {AF_UNIX, SOCK_STREAM}, SECCOMP_RET_ALLOW, 0},
	{"socket, network", SYS_socket, {AF_INET, SOCK_STREAM}, SECCOMP_RET_ERRNO | 204, 0},
	{"socket, an errno that is too high",
	 SYS_socket,
	 {AF_NETLINK + 1, SOCK_STREAM},
	 SECCOMP_RET_ERRNO | 0xffff,
	 0},
	{"mmap, data",
	 SYS_mmap,
	 {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1},
	 SECCOMP_RET_ALLOW,
	 0},
	{"mmap, data that can be executed",
	 SYS_mmap,
	 {0, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1},
	 SECCOMP_RET_ERRNO | 205,
	 0},
	{"kill", SYS_kill, {0, 0}, SECCOMP_RET_KILL_THREAD, 0},
	{"prctl", SYS_prctl, {PR_GET_DUMPABLE}, SECCOMP_RET_KILL_PROCESS, 0},
	{"getgid", SYS_getgid, {0}, SECCOMP_RET_TRAP, 0},
	{"sched_getscheduler", SYS_sched_getscheduler, {0}, SECCOMP_RET_TRACE, 0},
	{"getrusage", SYS_getrusage, {0, (long)text}, SECCOMP_RET_USER_NOTIF, 0},
	{"umask, which seems to succeed", SYS_umask, {0777}, SECCOMP_RET_ERRNO, 0},
	{"an action that there is not", SYS_sched_yield, {0}, 0x00020000, 0},
#if __SIZEOF_LONG__ == 8
	{"getcwd, divided", SYS_getcwd, {(long)text, 400, 0, 0, SET(1)}, SECCOMP_RET_ALLOW, 0},
#endif
	{"getcwd, divided by zero", SYS_getcwd, {(long)text, 400}, SECCOMP_RET_KILL_THREAD, 0},
};

static struct lc_seccomp_call call_of(const struct probe *probe)
{
	struct lc_seccomp_call call = {.nr = (int32_t)probe->nr, .arch = NATIVE};

	for (size_t i = 0; i < 6; i++)
		call.args[i] = (unsigned long)probe->args[i];
	return call;
}

static void test_found(void)
{
	struct lc_seccomp_call call;
	uint32_t action = 0;

	for (size_t i = 0; i < N(probes); i++) {
		call = call_of(&probes[i]);
		need(lc_seccomp_verdict(installed, N(installed), &call, &action) == 0);
		is(action, probes[i].want, probes[i].name);
	}
	call.arch = AUDIT_ARCH_ALPHA;
	need(lc_seccomp_verdict(installed, N(installed), &call, &action) == 0);
	is(action, SECCOMP_RET_KILL_PROCESS, "another architecture");
}

/* ---- as the kernel does it ----------------------------------------------------------------- */

/* Between a test and its children. */
struct shared {
	volatile bool done;
	long result;
	int error;
	unsigned int n, n_wrong, n_bad; /* programs; of which misjudged; not taken */
};

static struct shared *shared;

static int install(const struct sock_filter *insns, size_t n)
{
	const struct sock_fprog program = {(unsigned short)n,
					   (struct sock_filter *)(uintptr_t)insns};

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : -errno;
}

/* No privilege is needed then. */
static void prepare(void)
{
	const struct rlimit none = {0, 0};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
		_exit(2);
}

/* The child: installs the filters, waits to be told, makes the call. */
static void make_call(const struct probe *probe, int fd)
{
	const long *a = probe->args;
	char byte;

	prepare();
	for (size_t i = 0; i < N(installed); i++)
		if (install(installed[i].insns, installed[i].n) < 0)
			_exit(3);
	shared->done = false;
	shared->n = 1; /* ready */
	if (read(fd, &byte, 1) != 1)
		_exit(4);
	errno = 0;
	shared->result = syscall(probe->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	shared->error = errno;
	shared->done = true;
	_exit(0);
}

/* Does it do what the action says? */
static void did_as(const struct probe *probe, int status)
{
	uint32_t data = probe->want & SECCOMP_RET_DATA;
	bool died = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS && !shared->done;
	bool failed = shared->done && shared->result == -1;

	switch (probe->want & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
		ok(shared->done && shared->error == probe->natural, "%s: was made", probe->name);
		break;
	case SECCOMP_RET_ERRNO:
		data = data > 4095 ? 4095 : data;
		ok(shared->done && shared->error == (int)data && shared->result == (data ? -1 : 0),
		   "%s: was refused", probe->name);
		break;
	case SECCOMP_RET_TRACE:
	case SECCOMP_RET_USER_NOTIF:
		ok(failed && shared->error == ENOSYS, "%s: nobody was there", probe->name);
		break;
	default:
		ok(died, "%s: killed", probe->name);
	}
}

static bool is_installed(const struct lc_bpf_programs *programs)
{
	bool same = programs->n == N(installed);

	for (size_t i = 0; same && i < programs->n; i++)
		same = programs->v[i].n == installed[i].n &&
		       memcmp(programs->v[i].insns, installed[i].insns,
			      installed[i].n * sizeof(struct sock_filter)) == 0;
	return same;
}

/* Of the child, in a stop. Returns false where the machine does not let us. */
static bool ask_of(pid_t pid, const struct probe *probe)
{
	struct lc_bpf_programs programs = {NULL, 0};
	struct lc_seccomp_call call = call_of(probe);
	uint32_t action = 0;
	int r = lc_seccomp_fetch(pid, &programs);

	if (r == -EACCES || r == -EINVAL) {
		tap_skip("filters of another process: %s", strerror(-r));
		return false;
	}
	is(r, 0, "fetch");
	ok(is_installed(&programs), "what was installed, the oldest first");
	is(lc_seccomp_verdict(programs.v, programs.n, &call, &action), 0, "verdict");
	is(action, probe->want, probe->name);
	lc_seccomp_free(&programs);
	return true;
}

static void seize(pid_t pid)
{
	int status;

	need(ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0);
	need(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0);
	need(waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status));
}

static void test_probe(const struct probe *probe)
{
	int fds[2], status;
	pid_t pid;

	shared->n = 0;
	need(pipe(fds) == 0);
	pid = fork();
	need(pid >= 0);
	if (pid == 0)
		make_call(probe, fds[0]);
	while (!*(volatile unsigned int *)&shared->n && waitpid(pid, &status, WNOHANG) == 0)
		usleep(100);
	need(shared->n == 1);
	seize(pid);
	ask_of(pid, probe);
	need(ptrace(PTRACE_DETACH, pid, NULL, NULL) == 0);
	need(write(fds[1], "x", 1) == 1);
	need(waitpid(pid, &status, 0) == pid);
	did_as(probe, status);
	close(fds[0]);
	close(fds[1]);
}

static void test_probes(void)
{
	for (size_t i = 0; i < N(probes); i++)
		test_probe(&probes[i]);
}

/* Why not. */
static void test_fetch_refused(void)
{
	struct lc_bpf_programs programs = {NULL, 0};
	pid_t pid = fork();
	int status;

	need(pid >= 0);
	if (pid == 0)
		for (;;)
			pause();
	is(lc_seccomp_fetch(pid, &programs), -ESRCH, "a process that is not stopped by us");
	seize(pid);
	status = lc_seccomp_fetch(pid, &programs);
	ok(status == -EINVAL || status == -EACCES, "a process without filters");
	ok(!programs.v && !programs.n, "leaves nothing to be freed");
	if (geteuid() == 0) {
		need(seteuid(65534) == 0);
		is(lc_seccomp_fetch(pid, &programs), -EACCES, "without the privilege");
		need(seteuid(0) == 0);
	} else {
		tap_skip("losing a privilege: not root");
	}
	need(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
}

/* ---- any program --------------------------------------------------------------------------- */

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 20) % n;
}

/* Often small or at an edge. */
static uint32_t random_word(void)
{
	static const uint32_t edges[] = {0, 1, 2, 31, 32, 33, 0x7fffffff, TOP, UINT32_MAX};

	switch (random_below(3)) {
	case 0:
		return edges[random_below(N(edges))];
	case 1:
		return random_below(100);
	default:
		return random_below(UINT32_MAX);
	}
}

#define BODY 60

/* An instruction of the body, with `left` of them behind it. */
static struct sock_filter random_insn(uint32_t left)
{
	static const uint16_t ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_AND,
				       BPF_OR,  BPF_XOR, BPF_LSH, BPF_RSH, BPF_NEG};
	static const uint16_t jumps[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET};
	uint16_t op = ops[random_below(N(ops))];
	uint16_t src = random_below(2) ? BPF_X : BPF_K;
	uint32_t k = random_word();

	switch (random_below(8)) {
	case 0: /* not the instruction pointer, which is not known here */
		return (struct sock_filter)LOAD(random_below(2) ? 4 * random_below(2)
								: 16 + 4 * random_below(12));
	case 1:
		return (struct sock_filter)BPF_STMT((random_below(2) ? BPF_LD : BPF_LDX) |
							    (random_below(2) ? BPF_MEM : BPF_IMM),
						    random_below(16));
	case 2:
		return (struct sock_filter)BPF_STMT(random_below(2) ? BPF_ST : BPF_STX,
						    random_below(16));
	case 3:
		return (struct sock_filter)BPF_STMT(
			BPF_MISC | (random_below(2) ? BPF_TAX : BPF_TXA), k);
	case 4:
		return (struct sock_filter)BPF_JUMP(BPF_JMP | jumps[random_below(N(jumps))] | src,
						    k,
						    (uint8_t)random_below(left < 8 ? left + 1 : 8),
						    (uint8_t)random_below(left < 8 ? left + 1 : 8));
	case 5:
		return (struct sock_filter)BPF_STMT(
			(random_below(2) ? BPF_LD : BPF_LDX) | BPF_W | BPF_LEN, k);
	default:
		if (op == BPF_NEG)
			return (struct sock_filter)BPF_STMT(BPF_ALU | BPF_NEG, k);
		if (op == BPF_LSH || op == BPF_RSH)
			k &= 31;
		return (struct sock_filter)BPF_STMT(BPF_ALU | op | src, op == BPF_DIV ? k | 1 : k);
	}
}

#define MAX_RANDOM (3 + 2 * 16 + BODY + 3)

/* A filter that computes the error of getppid() in some way. Every word of the memory has a value
 * at first, as the kernel wants to be sure of. Returns its length. */
static size_t random_program(struct sock_filter *insns)
{
	size_t n = 0;

	insns[n++] = (struct sock_filter)LOAD(NR);
	insns[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 1, 0);
	insns[n++] = (struct sock_filter)ALLOW;
	for (uint32_t i = 0; i < 16; i++) {
		insns[n++] = (struct sock_filter)SET_A(random_word());
		insns[n++] = (struct sock_filter)BPF_STMT(BPF_ST, i);
	}
	for (uint32_t i = 0; i < BODY; i++)
		insns[n++] = random_insn(BODY - 1 - i);
	insns[n++] = (struct sock_filter)MASK(0xfff);
	insns[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO);
	insns[n++] = (struct sock_filter)RETURN_A;
	return n;
}

static void random_call(struct lc_seccomp_call *call)
{
	*call = (struct lc_seccomp_call){.nr = SYS_getppid, .arch = NATIVE};
	for (size_t i = 0; i < 6; i++)
		call->args[i] = (unsigned long)((uint64_t)random_word() << 32 | random_word());
}

/* A filter more, and a call: is the error what we say? */
static void compare_one(struct lc_bpf_programs *programs)
{
	struct sock_filter *insns = calloc(MAX_RANDOM, sizeof(*insns));
	const uint64_t *a;
	struct lc_seccomp_call call;
	uint32_t action = 0;
	long result;

	need(insns);
	programs->v[programs->n++] = (struct lc_bpf_program){insns, random_program(insns)};
	random_call(&call);
	a = call.args;
	if (lc_seccomp_verdict(programs->v, programs->n, &call, &action) < 0) {
		shared->n_bad++;
		programs->n--;
		return;
	}
	/* Another division by zero: the call kills, which test_probes() looks at. */
	if ((action & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ERRNO) {
		programs->n--;
		return;
	}
	if (install(insns, programs->v[programs->n - 1].n) < 0)
		shared->n_bad++;
	errno = 0;
	result = syscall(SYS_getppid, a[0], a[1], a[2], a[3], a[4], a[5]);
	shared->n++;
	shared->n_wrong += (uint32_t)errno != (action & SECCOMP_RET_DATA) || result > 0;
}

/* In a child: so many random programs, each of them the newest for a moment. The memory that they
 * take goes with the child. */
static void test_random_programs(void)
{
	pid_t pid;
	int status;

	*shared = (struct shared){.done = false};
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		struct lc_bpf_programs programs = {calloc(300, sizeof(programs.v[0])), 0};

		prepare();
		need(programs.v);
		for (int i = 0; i < 300; i++)
			compare_one(&programs);
		_exit(0);
	}
	need(waitpid(pid, &status, 0) == pid);
	is(status, 0, "random programs");
	printf("# %u programs\n", shared->n);
	ok(shared->n > 100, "many of them return");
	is(shared->n_bad, 0, "all of them are programs");
	is(shared->n_wrong, 0, "each gives the error that the kernel gives");
}

/* Something about it is another. */
static size_t spoil(struct sock_filter *insns, size_t n)
{
	struct sock_filter *insn = &insns[random_below((uint32_t)n)];

	switch (random_below(5)) {
	case 0:
		insn->code = (uint16_t)random_below(256);
		break;
	case 1:
		insn->code ^= (uint16_t)(1U << random_below(16));
		break;
	case 2:
		insn->k = random_word();
		break;
	case 3:
		insn->jt = (uint8_t)random_below(256);
		insn->jf = (uint8_t)random_below(256);
		break;
	default:
		n = 1 + random_below((uint32_t)n);
	}
	return n;
}

/* Does the kernel take it? A child, which makes no call after it. */
static bool is_taken(const struct sock_filter *insns, size_t n)
{
	pid_t pid = fork();
	int status;

	need(pid >= 0);
	if (pid == 0) {
		prepare();
		shared->result = install(insns, n);
		__builtin_trap();
	}
	need(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	need(shared->result == 0 || shared->result == -EINVAL);
	return shared->result == 0;
}

static bool uses_memory(const struct sock_filter *insns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (insns[i].code == (BPF_LD | BPF_MEM) || insns[i].code == (BPF_LDX | BPF_MEM))
			return true;
	return false;
}

/* The kernel refuses as well what may use a word that was not stored and did not do so here. */
static void test_spoilt_programs(void)
{
	unsigned int n_taken = 0, n_refused = 0, n_wrong = 0;

	for (int i = 0; i < 400; i++) {
		struct sock_filter insns[MAX_RANDOM];
		size_t n = spoil(insns, random_program(insns));
		struct lc_seccomp_call call;
		bool taken = is_taken(insns, n), ours;

		random_call(&call);
		ours = returns(insns, n, &call) != UINT64_MAX;
		n_taken += taken;
		n_refused += !taken;
		n_wrong += ours != taken && !(ours && uses_memory(insns, n));
		if (ours != taken && !(ours && uses_memory(insns, n)))
			printf("# program %d of %zu: %s\n", i, n, taken ? "taken" : "refused");
	}
	printf("# %u programs taken, %u refused\n", n_taken, n_refused);
	ok(n_taken > 50 && n_refused > 50, "programs of both kinds");
	is(n_wrong, 0, "we take what the kernel takes");
}

/* Is seccomp() there, for this architecture? */
static bool can_install(void)
{
	struct sock_filter insn = ALLOW;

	return NATIVE != 0 && is_taken(&insn, 1);
}

static bool can_trace(void)
{
	pid_t pid = fork();
	bool can;

	need(pid >= 0);
	if (pid == 0)
		for (;;)
			pause();
	can = ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0;
	need(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	return can;
}

static void test_kernel(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	need(shared != MAP_FAILED);
	if (!can_install()) {
		tap_skip("the kernel's answers: filters cannot be installed here");
		return;
	}
	if (can_trace()) {
		test_fetch_refused();
		test_probes();
	} else {
		tap_skip("filters of another process: ptrace is not allowed");
	}
	test_random_programs();
	test_spoilt_programs();
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	test_loads();
	test_memory();
	test_sums();
	test_jumps();
	test_opcodes();
	test_length();
	test_order();
	test_answers();
	test_found();
	test_kernel();
	return tap_done();
}
