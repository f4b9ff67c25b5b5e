/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * N threads that sleep; with "churn", another one that starts and ends threads without rest; with
 * "marked", each but the first has words of the pattern whose seed is its TID in r12 to r15 and in
 * xmm8 and xmm9 (x86-64).
 *
 *   threads N                         sleeping ones, the first thread included
 *   answer: started N, threads started by the churn so far; to "marked", marked N, how often one of
 *   the marked ones came to sleep
 */
#include "victim.h"

static unsigned long n_started;
static uint64_t n_marked; /* how often a marked thread has called pause() */

static void *sleeper(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

#ifdef __x86_64__
static void *marked(void *arg)
{
	uint64_t words[8];
	pid_t tid = victim_tid();

	for (size_t i = 0; i < N_ELEMENTS(words); i++)
		words[i] = pattern((uint64_t)tid, i);
	__asm__ volatile("mov 0(%0), %%r12\n\t"
			 "mov 8(%0), %%r13\n\t"
			 "mov 16(%0), %%r14\n\t"
			 "mov 24(%0), %%r15\n\t"
			 "movdqu 32(%0), %%xmm8\n\t"
			 "movdqu 48(%0), %%xmm9\n"
			 "1:\n\t"
			 "lock incq (%1)\n\t"
			 "mov $34, %%eax\n\t" /* pause */
			 "syscall\n\t"
			 "jmp 1b"
			 :
			 : "r"(words), "r"(&n_marked)
			 : "rax", "rcx", "r11", "r12", "r13", "r14", "r15", "xmm8", "xmm9",
			   "memory");
	return arg;
}
#else
static void *marked(void *arg)
{
	return sleeper(arg);
}
#endif

static void *brief(void *arg)
{
	return arg;
}

static void *churn(void *arg)
{
	pthread_t threads[4];

	(void)arg;
	prctl(PR_SET_NAME, "churn");
	for (;;) {
		for (size_t i = 0; i < N_ELEMENTS(threads); i++) {
			errno = pthread_create(&threads[i], NULL, brief, NULL);
			if (errno)
				die("pthread_create");
			__atomic_fetch_add(&n_started, 1, __ATOMIC_RELAXED);
		}
		for (size_t i = 0; i < N_ELEMENTS(threads); i++)
			pthread_join(threads[i], NULL);
	}
	return NULL;
}

static void answer(const char *question)
{
	if (strcmp(question, "marked") == 0)
		emit("marked %" PRIu64, __atomic_load_n(&n_marked, __ATOMIC_RELAXED));
	else
		emit("started %lu", __atomic_load_n(&n_started, __ATOMIC_RELAXED));
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 100;
	void *(*run)(void *) = sleeper;
	pthread_attr_t attr;
	pthread_t thread;

	if (argc > 2 && strcmp(argv[2], "marked") == 0)
		run = marked;
	victim_begin();
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 32 * 1024);
	for (long i = 1; i < n; i++) {
		errno = pthread_create(&thread, &attr, run, NULL);
		if (errno)
			die("pthread_create");
	}
#ifdef __x86_64__
	while (run == marked && __atomic_load_n(&n_marked, __ATOMIC_ACQUIRE) + 1 < (uint64_t)n)
		msleep(1);
#endif
	emit("threads %ld", n);
	if (argc > 2 && strcmp(argv[2], "churn") == 0)
		victim_thread(churn, NULL);
	victim_serve(answer);
}
