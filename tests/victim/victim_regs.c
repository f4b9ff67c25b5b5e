/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Threads with known registers: N of them spin in user mode with a pattern in every general, x87
 * and vector register; others sleep, each in a system call of its own, with known arguments.
 *
 *   cpu LEVEL                         sse, avx, avx512
 *   spin TID SEED NAME                registers are words of pattern(SEED), see fill_truth()
 *   sleep TID SEED NAME NR            system call number, callee-saved registers as for spin
 */
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>

#include "victim.h"

#ifdef __x86_64__
#define N_GENERAL 14
#define N_XMM	  16
#else
#define N_GENERAL 6
#define N_XMM	  8
#endif

/* The asm below knows these offsets. */
struct truth {
	uint64_t general[16];	/* 0 */
	uint8_t vector[32][64]; /* 128 */
	uint64_t opmask[8];	/* 2176 */
	uint8_t x87[8][16];	/* 2240 */
	uint16_t fcw, pad;	/* 2368 */
	uint32_t mxcsr;		/* 2372 */
	int ready;		/* 2376 */
	pid_t tid;
	uint64_t seed;
	long level;
} __attribute__((aligned(64)));

enum { LEVEL_SSE, LEVEL_AVX, LEVEL_AVX512 };

static void fill_truth(struct truth *truth, uint64_t seed, long level)
{
	uint64_t mantissa;

	fill(truth->general, sizeof(truth->general), seed);
	fill(truth->vector, sizeof(truth->vector), seed + 1);
	fill(truth->opmask, sizeof(truth->opmask), seed + 2);
	for (size_t i = 0; i < 8; i++) {
		mantissa = pattern(seed + 3, i) | UINT64_C(1) << 63;
		memcpy(truth->x87[i], &mantissa, 8);
		truth->x87[i][8] = 0xff;
		truth->x87[i][9] = 0x3f;
	}
	truth->fcw = 0x027f;
	truth->mxcsr = 0x3f80;
	truth->seed = seed;
	truth->level = level;
}

#define X87_LOAD                                                                                   \
	"fninit\n fldcw 2368(%0)\n ldmxcsr 2372(%0)\n"                                             \
	"fldt 2352(%0)\n fldt 2336(%0)\n fldt 2320(%0)\n fldt 2304(%0)\n"                          \
	"fldt 2288(%0)\n fldt 2272(%0)\n fldt 2256(%0)\n fldt 2240(%0)\n"

#ifdef __x86_64__
#define EACH_16(op)                                                                                \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13)    \
		op(14) op(15)
#define EACH_HIGH_16(op)                                                                           \
	op(16) op(17) op(18) op(19) op(20) op(21) op(22) op(23) op(24) op(25) op(26) op(27) op(28) \
		op(29) op(30) op(31)
#define XMM(n)	  "movdqu 128+64*" #n "(%0), %%xmm" #n "\n"
#define YMM(n)	  "vmovdqu 128+64*" #n "(%0), %%ymm" #n "\n"
#define ZMM(n)	  "vmovdqu64 128+64*" #n "(%0), %%zmm" #n "\n"
#define OPMASK(n) "kmovq 2176+8*" #n "(%0), %%k" #n "\n"

static __attribute__((noreturn)) void spin(struct truth *truth)
{
	switch (truth->level) {
	case LEVEL_AVX512:
		__asm__ volatile(EACH_16(ZMM) EACH_HIGH_16(ZMM) OPMASK(0) OPMASK(1) OPMASK(2)
					 OPMASK(3) OPMASK(4) OPMASK(5) OPMASK(6)
						 OPMASK(7)::"a"(truth)
				 : "memory");
		break;
	case LEVEL_AVX:
		__asm__ volatile(EACH_16(YMM)::"a"(truth) : "memory");
		break;
	default:
		__asm__ volatile(EACH_16(XMM)::"a"(truth) : "memory");
	}
	__asm__ volatile(X87_LOAD "mov 8(%0), %%rbx\n mov 16(%0), %%rcx\n mov 24(%0), %%rdx\n"
				  "mov 32(%0), %%rsi\n mov 40(%0), %%rdi\n mov 48(%0), %%r8\n"
				  "mov 56(%0), %%r9\n mov 64(%0), %%r10\n mov 72(%0), %%r11\n"
				  "mov 80(%0), %%r12\n mov 88(%0), %%r13\n mov 96(%0), %%r14\n"
				  "mov 104(%0), %%r15\n"
				  "movl $1, 2376(%0)\n"
				  "mov 0(%0), %%rax\n"
				  "1: pause\n jmp 1b\n" ::"a"(truth)
			 : "memory");
	__builtin_unreachable();
}

/* System call with the pattern in the registers that it keeps. */
static long call(const struct truth *truth, long nr, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	register const struct truth *r9 __asm__("r9") = truth;
	long ret;

	__asm__ volatile("mov 8(%%r9), %%rbx\n mov 80(%%r9), %%r12\n mov 88(%%r9), %%r13\n"
			 "mov 96(%%r9), %%r14\n mov 104(%%r9), %%r15\n xor %%r8d, %%r8d\n"
			 "syscall\n"
			 : "=a"(ret), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r9)
			 : "0"(nr)
			 : "rbx", "rcx", "r8", "r11", "r12", "r13", "r14", "r15", "memory");
	return ret;
}
#else
#define XMM(n) "movdqu 128+64*" #n "(%0), %%xmm" #n "\n"

static __attribute__((noreturn)) void spin(struct truth *truth)
{
	__asm__ volatile(XMM(0) XMM(1) XMM(2) XMM(3) XMM(4) XMM(5) XMM(6) XMM(7) X87_LOAD
			 "mov 8(%0), %%ebx\n mov 16(%0), %%ecx\n mov 24(%0), %%edx\n"
			 "mov 32(%0), %%esi\n mov 40(%0), %%edi\n"
			 "movl $1, 2376(%0)\n"
			 "mov 0(%0), %%eax\n"
			 "1: pause\n jmp 1b\n" ::"a"(truth)
			 : "memory");
	__builtin_unreachable();
}

static long call(const struct truth *truth, long nr, long a, long b, long c, long d)
{
	(void)truth;
	return syscall(nr, a, b, c, d, 0);
}
#endif

static const char *const level_names[] = {"sse", "avx", "avx512"};

static long cpu_level(void)
{
#ifdef __x86_64__
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
		return LEVEL_AVX512;
	if (__builtin_cpu_supports("avx"))
		return LEVEL_AVX;
#endif
	return LEVEL_SSE;
}

static void *spin_start(void *arg)
{
	struct truth *truth = arg;
	char name[16];

	snprintf(name, sizeof(name), "spin-%" PRIx64, truth->seed);
	prctl(PR_SET_NAME, name);
	emit("spin %d %#" PRIx64 " %s", victim_tid(), truth->seed, name);
	spin(truth);
}

enum sleep_kind {
	SLEEP_NANOSLEEP,
	SLEEP_POLL,
	SLEEP_FUTEX,
	SLEEP_EPOLL,
	SLEEP_READ,
	SLEEP_SIGTIMEDWAIT,
	SLEEP_SEMOP,
	N_SLEEPS,
};

struct sleeper {
	const char *name;
	long nr;
	long args[4];
	struct truth truth;
};

static struct sleeper sleepers[N_SLEEPS];

static void *sleep_start(void *arg)
{
	struct sleeper *s = arg;
	long ret;

	prctl(PR_SET_NAME, s->name);
	__atomic_store_n(&s->truth.tid, victim_tid(), __ATOMIC_RELEASE);
	ret = call(&s->truth, s->nr, s->args[0], s->args[1], s->args[2], s->args[3]);
	emit("returned %s %ld %d", s->name, ret, errno);
	pause();
	return NULL;
}

static void sleepers_prepare(void)
{
	static struct timespec hour = {.tv_sec = 3600};
	static sigset_t set;
	static uint32_t word;
	static struct sembuf down = {.sem_op = -1};
	static int fds[2];
	static struct epoll_event event;
	static char byte;
	int epoll = epoll_create1(0);
	int sem = semget(IPC_PRIVATE, 1, 0600);

	if (pipe(fds) || epoll < 0 || sem < 0)
		die("pipe, epoll_create1, semget");
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	emit("sem %d", sem);
	sleepers[SLEEP_NANOSLEEP] =
		(struct sleeper){"in-nanosleep", SYS_nanosleep, {(long)&hour, 0, 0, 0}};
	sleepers[SLEEP_POLL] = (struct sleeper){"in-poll", SYS_poll, {0, 0, 3600000, 0}};
	sleepers[SLEEP_FUTEX] = (struct sleeper){"in-futex", SYS_futex, {(long)&word, 0, 0, 0}};
	sleepers[SLEEP_EPOLL] =
		(struct sleeper){"in-epoll", SYS_epoll_wait, {epoll, (long)&event, 1, -1}};
	sleepers[SLEEP_READ] = (struct sleeper){"in-read", SYS_read, {fds[0], (long)&byte, 1, 0}};
	sleepers[SLEEP_SIGTIMEDWAIT] = (struct sleeper){
		"in-sigtimedwait", SYS_rt_sigtimedwait, {(long)&set, 0, (long)&hour, 8}};
	/* 32-bit programs go through ipc(), whose fifth argument call() does not pass. */
#ifdef SYS_semop
	sleepers[SLEEP_SEMOP] = (struct sleeper){"in-semop", SYS_semop, {sem, (long)&down, 1, 0}};
#else
	(void)down;
#endif
}

static void sleepers_start(void)
{
	uint64_t seed = 0xa00;

	sleepers_prepare();
	for (size_t i = 0; i < N_SLEEPS; i++, seed += 16) {
		struct sleeper *s = &sleepers[i];

		if (!s->name)
			continue;
		fill_truth(&s->truth, seed, LEVEL_SSE);
		victim_thread(sleep_start, s);
		while (!__atomic_load_n(&s->truth.tid, __ATOMIC_ACQUIRE))
			msleep(1);
		wait_blocked(s->truth.tid, s->nr);
		emit("sleep %d %#" PRIx64 " %s %ld", s->truth.tid, seed, s->name, s->nr);
	}
}

static void answer(const char *question)
{
	int sem = -1;

	if (sscanf(question, "remove %d", &sem) == 1)
		semctl(sem, 0, IPC_RMID);
}

int main(int argc, char **argv)
{
	long n_spinning = argc > 1 ? atol(argv[1]) : 4;
	long level = cpu_level();
	struct truth *truths;

	_Static_assert(offsetof(struct truth, opmask) == 2176, "known to the asm");
	_Static_assert(offsetof(struct truth, fcw) == 2368, "known to the asm");
	_Static_assert(offsetof(struct truth, ready) == 2376, "known to the asm");
	victim_begin();
	emit("cpu %s", level_names[level]);
	emit("main %d", victim_tid());
	sleepers_start();
	truths = aligned_alloc(64, sizeof(*truths) * (size_t)(n_spinning + 1));
	if (!truths)
		die("aligned_alloc");
	for (long i = 0; i < n_spinning; i++) {
		fill_truth(&truths[i], 0x100 + 0x10 * (uint64_t)i, level);
		truths[i].ready = 0;
		victim_thread(spin_start, &truths[i]);
	}
	for (long i = 0; i < n_spinning; i++)
		while (!*(volatile int *)&truths[i].ready)
			sched_yield();
	victim_serve(answer);
}
