/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A process that would notice if somebody had been at work in it: threads that sleep in system
 * calls, some with a signal mask for that call alone; one that compares its registers and the 128
 * bytes below its stack pointer with what it put there, without end; one that makes system calls
 * and looks at what they keep; one that maps and unmaps; one that writes and reads back.
 *
 *   victim_watchful [MIB]             of memory that is written to (4)
 *   answer to any question:
 *     waiting NAME or returned NAME VALUE ERRNO, of each thread that sleeps
 *     loops NAME N, of each that works
 *     child none, as wait4(2) says; signals N, that came
 *     interrupted N: epoll_pwait(2), which no kernel restarts by itself after a stop
 *   answer to "wake" besides, when they are woken: mask NAME same, or other
 *   broken ...                        and it ends
 */
#include <linux/futex.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>

#include "victim_memory.h"

/* The asm below knows these offsets. */
struct truth {
	uint64_t general[16];   /* 0 */
	uint8_t vector[16][32]; /* 128 */
	uint64_t loops;         /* 640 */
	uint64_t avx;           /* 648 */
	uint8_t x87[2][16];     /* 656: now, and as it should be */
	uint32_t fcw[2];        /* 688 */
	uint32_t mxcsr[2];      /* 696 */
	uint64_t tid;           /* 704 */
	uint64_t fs;            /* 712 */
	uint64_t burst;         /* 720 */
} __attribute__((aligned(64)));

static struct truth registers, calls;
static uint64_t mapped, written;
static int n_signals, n_interrupted;

/* Returns where it was that something differed; 0 after `burst` rounds. */
extern long watch_registers(struct truth *truth);
extern long watch_calls(struct truth *truth);

#define SAVE    "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
#define RESTORE "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\n"
#define EACH_VECTOR(op)                                                                            \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13)    \
		op(14)
#define EACH_REG(op)                                                                               \
	op(rbx, 0) op(rbp, 1) op(rcx, 2) op(rdx, 3) op(rsi, 4) op(r8, 5) op(r9, 6) op(r10, 7)      \
		op(r11, 8) op(r12, 9) op(r13, 10) op(r14, 11) op(r15, 12)

#define LOAD(reg, i)   "mov 8*" #i "(%rdi),%" #reg "\n"
#define EQUAL(reg, i)  "mov $100+" #i ",%eax\ncmp %" #reg ",8*" #i "(%rdi)\njne 9f\n"
#define LOAD_VECTOR(i) "vmovdqu 128+32*" #i "(%rdi),%ymm" #i "\n"
#define EQUAL_VECTOR(i)                                                                            \
	"mov $200+" #i ",%eax\nvpxor 128+32*" #i "(%rdi),%ymm" #i                                  \
	",%ymm15\nvptest %ymm15,%ymm15\njnz 9f\n"
__asm__(".text\n.type watch_registers,@function\nwatch_registers:\n" SAVE EACH_REG(LOAD)
	/* the ABI's red zone: nothing that runs on this stack may write there */
	"mov %r8,-8(%rsp)\nmov %r9,-64(%rsp)\nmov %r10,-128(%rsp)\n"
	"cmpq $0,648(%rdi)\nje 1f\n" EACH_VECTOR(
		LOAD_VECTOR) "1: fninit\nfldpi\nfld %st(0)\nfstpt 672(%rdi)\nfnstcw "
			     "692(%rdi)\nstmxcsr 700(%rdi)\n"
			     "2:\n" EACH_REG(EQUAL) "mov $301,%eax\ncmp %r8,-8(%rsp)\njne 9f\n"
						    "mov $302,%eax\ncmp %r9,-64(%rsp)\njne 9f\n"
						    "mov $303,%eax\ncmp %r10,-128(%rsp)\njne 9f\n"
						    "fld %st(0)\nfstpt 656(%rdi)\nfnstcw "
						    "688(%rdi)\nstmxcsr 696(%rdi)\n"
						    "mov 656(%rdi),%rax\ncmp %rax,672(%rdi)\nmov "
						    "$304,%eax\njne 9f\n"
						    "mov 664(%rdi),%ax\ncmp %ax,680(%rdi)\nmov "
						    "$305,%eax\njne 9f\n"
						    "mov 688(%rdi),%ax\ncmp %ax,692(%rdi)\nmov "
						    "$306,%eax\njne 9f\n"
						    "mov 696(%rdi),%eax\ncmp %eax,700(%rdi)\nmov "
						    "$307,%eax\njne 9f\n"
						    "mov %fs:0,%rax\ncmp %rax,712(%rdi)\nmov "
						    "$308,%eax\njne 9f\n"
						    "cmpq $0,648(%rdi)\nje 3f\n" EACH_VECTOR(
							    EQUAL_VECTOR) "3: incq 640(%rdi)\nmov "
									  "$0,%eax\ndecq "
									  "720(%rdi)\njnz 2b\n"
									  "9: cltq\n" RESTORE
									  "ret\n.size "
									  "watch_registers,.-watch_"
									  "registers\n");

/* The kernel keeps all but rax, rcx and r11. */
#define EACH_KEPT(op)                                                                              \
	op(rbx, 0) op(rbp, 1) op(rdx, 3) op(rsi, 4) op(r8, 5) op(r9, 6) op(r10, 7) op(r12, 9)      \
		op(r13, 10) op(r14, 11) op(r15, 12)
__asm__(".text\n.type watch_calls,@function\nwatch_calls:\n" SAVE EACH_KEPT(
	LOAD) "mov %r8,-8(%rsp)\nmov %r9,-64(%rsp)\nmov %r10,-128(%rsp)\n"
	      "2: mov $186,%eax\nsyscall\n" /* gettid */
	      "cmp %rax,704(%rdi)\nmov $401,%ecx\ncmovne %ecx,%eax\njne 9f\n" EACH_KEPT(
		      EQUAL) "mov $301,%eax\ncmp %r8,-8(%rsp)\njne 9f\n"
			     "mov $302,%eax\ncmp %r9,-64(%rsp)\njne 9f\n"
			     "mov $303,%eax\ncmp %r10,-128(%rsp)\njne 9f\n"
			     "mov %fs:0,%rax\ncmp %rax,712(%rdi)\nmov $308,%eax\njne 9f\n"
			     "incq 640(%rdi)\nmov $0,%eax\ndecq 720(%rdi)\njnz 2b\n"
			     "9: cltq\n" RESTORE "ret\n.size watch_calls,.-watch_calls\n");

static void broken(const char *what, long a, long b) __attribute__((noreturn));
static void broken(const char *what, long a, long b)
{
	emit("broken %s %ld %ld", what, a, b);
	_exit(98);
}

static void make_truth(struct truth *t, uint64_t seed)
{
	fill(t->general, sizeof(t->general), seed);
	fill(t->vector, sizeof(t->vector), seed + 1);
	__builtin_cpu_init();
	t->avx = __builtin_cpu_supports("avx") != 0;
	t->tid = (uint64_t)victim_tid();
	__asm__("mov %%fs:0,%0" : "=r"(t->fs));
}

/* Half of the time: others want the processor as well. */
static void watch_on(const char *what, long (*watch)(struct truth *), struct truth *t)
{
	long where;

	for (;;) {
		t->burst = 20000;
		where = watch(t);
		if (where)
			broken(what, where, (long)t->loops);
		usleep(500);
	}
}

static void *work_registers(void *arg)
{
	prctl(PR_SET_NAME, "registers");
	make_truth(&registers, 0x100);
	watch_on("registers", watch_registers, &registers);
	return arg;
}

static void *work_calls(void *arg)
{
	prctl(PR_SET_NAME, "calls");
	make_truth(&calls, 0x200);
	watch_on("calls", watch_calls, &calls);
	return arg;
}

static void *work_mappings(void *arg)
{
	prctl(PR_SET_NAME, "mappings");
	for (uint64_t seed = 1;; seed++) {
		uint64_t *p = mmap(NULL, 4 * PAGE, RW, PRIVATE, -1, 0);

		if (p == MAP_FAILED)
			broken("mmap", errno, (long)mapped);
		fill(p, 4 * PAGE, seed);
		for (uint64_t i = 0; i < 4 * PAGE / 8; i++)
			if (p[i] != pattern(seed, i))
				broken("mapping", (long)i, (long)p[i]);
		if (munmap(p, 4 * PAGE) < 0)
			broken("munmap", errno, (long)mapped);
		__atomic_fetch_add(&mapped, 1, __ATOMIC_RELAXED);
		usleep(200);
	}
	return arg;
}

static uint64_t mib = 4;

static void *work_data(void *arg)
{
	uint64_t n = (mib << 20) / PAGE, seed = 1;
	char *p = mmap(NULL, n * PAGE, RW, PRIVATE, -1, 0);
	char *shared = mmap(NULL, n * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	prctl(PR_SET_NAME, "data");
	if (p == MAP_FAILED || shared == MAP_FAILED)
		die("mmap");
	for (;; seed++) {
		for (uint64_t i = 0; i < n; i++) {
			fill(p + i * PAGE, PAGE, seed + i);
			if (i % 8 == 0)
				fill(shared + i * PAGE, PAGE, seed + i);
			if (i % 64 == 0)
				usleep(200);
		}
		for (uint64_t i = 0; i < n; i++)
			for (uint64_t k = 0; k < PAGE / 8; k++) {
				uint64_t want = pattern(seed + i, k);

				if (((uint64_t *)(void *)(p + i * PAGE))[k] != want)
					broken("data", (long)i, (long)k);
				if (i % 8 == 0 &&
				    ((uint64_t *)(void *)(shared + i * PAGE))[k] != want)
					broken("shared", (long)i, (long)k);
			}
		__atomic_fetch_add(&written, 1, __ATOMIC_RELAXED);
	}
	return arg;
}

/* ---- threads that sleep ------------------------------------------------------------------- */

static struct timespec hour = {.tv_sec = 3600};
static uint32_t word, timed_word;
static int pipes[4][2];
static sigset_t brief_mask; /* for one call */

static long sleep_nanosleep(void)
{
	struct timespec t = hour;

	return nanosleep(&t, NULL);
}

static long sleep_futex(void)
{
	return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static long sleep_futex_timeout(void)
{
	return syscall(SYS_futex, &timed_word, FUTEX_WAIT_PRIVATE, 0, &hour, NULL, 0);
}

static long sleep_poll(void)
{
	struct pollfd fd = {.fd = pipes[0][0], .events = POLLIN};

	return poll(&fd, 1, 3600000);
}

static long sleep_ppoll(void)
{
	struct pollfd fd = {.fd = pipes[1][0], .events = POLLIN};
	struct timespec t = hour;

	return ppoll(&fd, 1, &t, &brief_mask);
}

static long sleep_epoll_pwait(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd = epoll_create1(EPOLL_CLOEXEC), r;

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, pipes[2][0], &event))
		die("epoll");
	/* The kernel ends it after any stop; what stops it may see to it that it goes on. */
	while ((r = epoll_pwait(fd, &event, 1, -1, &brief_mask)) < 0 && errno == EINTR)
		__atomic_fetch_add(&n_interrupted, 1, __ATOMIC_RELAXED);
	return r;
}

static long sleep_read(void)
{
	char byte;

	return read(pipes[3][0], &byte, 1);
}

static long sleep_sigsuspend(void)
{
	return sigsuspend(&brief_mask);
}

static struct sleeper {
	const char *name;
	long (*run)(void);
	long wants; /* what it returns when it is woken; sigsuspend: -1 */
	pthread_t thread;
	pid_t tid;
	int returned, same_mask;
	long value;
	int error;
} sleepers[] = {
	{"nanosleep", sleep_nanosleep, -1},
	{"futex", sleep_futex, 0},
	{"futex_timeout", sleep_futex_timeout, 0},
	{"poll", sleep_poll, 1},
	{"ppoll", sleep_ppoll, 1},
	{"epoll_pwait", sleep_epoll_pwait, 1},
	{"read", sleep_read, 1},
	{"sigsuspend", sleep_sigsuspend, -1},
};

static void *start_sleep(void *arg)
{
	struct sleeper *s = arg;
	sigset_t before, after;

	prctl(PR_SET_NAME, s->name);
	s->thread = pthread_self();
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	__atomic_store_n(&s->tid, victim_tid(), __ATOMIC_RELEASE);
	errno = 0;
	s->value = s->run();
	s->error = errno;
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	s->same_mask = memcmp(&before, &after, 8) == 0;
	__atomic_store_n(&s->returned, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
	return NULL;
}

static void on_signal(int signo)
{
	(void)signo;
	__atomic_fetch_add(&n_signals, 1, __ATOMIC_RELAXED);
}

static void wake(void)
{
	for (size_t i = 0; i < N_ELEMENTS(pipes); i++)
		if (write(pipes[i][1], "x", 1) != 1)
			die("write");
	syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	syscall(SYS_futex, &timed_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	pthread_kill(sleepers[N_ELEMENTS(sleepers) - 1].thread, SIGUSR2);
	/* the first sleeps on */
	for (size_t i = 1; i < N_ELEMENTS(sleepers); i++) {
		struct sleeper *s = &sleepers[i];

		for (int k = 0; k < 5000 && !__atomic_load_n(&s->returned, __ATOMIC_ACQUIRE); k++)
			msleep(1);
		if (s->value != s->wants)
			broken(s->name, s->value, s->error);
		emit("mask %s %s", s->name, s->same_mask ? "same" : "other");
	}
}

static void answer(const char *question)
{
	pid_t child = waitpid(-1, NULL, WNOHANG | __WALL);

	if (child < 0 && errno == ECHILD)
		emit("child none");
	else
		emit("child %d %s", child, child < 0 ? strerror(errno) : "there");
	emit("signals %d", __atomic_load_n(&n_signals, __ATOMIC_RELAXED));
	emit("interrupted %d", __atomic_load_n(&n_interrupted, __ATOMIC_RELAXED));
	for (size_t i = 0; i < N_ELEMENTS(sleepers); i++) {
		struct sleeper *s = &sleepers[i];

		if (__atomic_load_n(&s->returned, __ATOMIC_ACQUIRE))
			emit("returned %s %ld %d", s->name, s->value, s->error);
		else
			emit("waiting %s", s->name);
	}
	emit("loops registers %" PRIu64, *(volatile uint64_t *)&registers.loops);
	emit("loops calls %" PRIu64, *(volatile uint64_t *)&calls.loops);
	emit("loops mappings %" PRIu64, __atomic_load_n(&mapped, __ATOMIC_RELAXED));
	emit("loops data %" PRIu64, __atomic_load_n(&written, __ATOMIC_RELAXED));
	if (strcmp(question, "wake") == 0)
		wake();
}

int main(int argc, char **argv)
{
	static const int signals[] = {SIGCHLD, SIGUSR2, SIGTRAP, SIGSYS, SIGCONT, SIGURG};
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t blocked;

	_Static_assert(offsetof(struct truth, loops) == 640, "known to the asm");
	_Static_assert(offsetof(struct truth, x87) == 656, "known to the asm");
	_Static_assert(offsetof(struct truth, mxcsr) == 696, "known to the asm");
	_Static_assert(offsetof(struct truth, fs) == 712, "known to the asm");
	if (argc > 1)
		mib = strtoull(argv[1], NULL, 0);
	victim_begin();
	for (size_t i = 0; i < N_ELEMENTS(signals); i++)
		sigaction(signals[i], &action, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigaddset(&blocked, SIGWINCH);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	sigemptyset(&brief_mask);
	sigaddset(&brief_mask, SIGHUP);
	sigaddset(&brief_mask, SIGRTMIN + 3);
	for (size_t i = 0; i < N_ELEMENTS(pipes); i++)
		if (pipe2(pipes[i], O_CLOEXEC))
			die("pipe2");
	for (size_t i = 0; i < N_ELEMENTS(sleepers); i++) {
		victim_thread(start_sleep, &sleepers[i]);
		while (!__atomic_load_n(&sleepers[i].tid, __ATOMIC_ACQUIRE))
			msleep(1);
		msleep(2);
		wait_blocked(sleepers[i].tid, -1);
	}
	victim_thread(work_registers, NULL);
	victim_thread(work_calls, NULL);
	victim_thread(work_mappings, NULL);
	victim_thread(work_data, NULL);
	while (!*(volatile uint64_t *)&registers.loops || !*(volatile uint64_t *)&calls.loops)
		msleep(1);
	victim_serve(answer);
}
