/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The process that the benchmarks dump: makes a state, then measures from inside for how long it
 * was stopped. Nothing is shared with the victims of the tests, so that figures stay comparable
 * while those change.
 *
 *   victim_bench [-m MIB [-z RUN]] [-t THREADS] [-p MAPPINGS]
 *     -m  touched memory, random
 *     -z  half of it zero: runs of RUN pages each, zero or random by the toss of a coin
 *     -t  threads that sleep
 *     -p  mappings of a page each that do not merge
 *
 * Prints "ready"; then answers the lines of its standard input: "reset" with "ok", "gap" with the
 * longest gap in nanoseconds since. Ends with its input.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define PAGE  4096UL
#define WORDS (PAGE / sizeof(uint64_t))

static uint64_t longest_gap;
static uint32_t n_ticks;
static uint32_t n_resets;

static __attribute__((noreturn)) void die(const char *what)
{
	fprintf(stderr, "victim_bench: %s: %s\n", what, strerror(errno));
	exit(99);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/*
 * Looks at the clock every 50 us. It sleeps in between, because a thread that spins would take a
 * processor from the dumper before and after the freeze; where it may, it runs as real time, so
 * that a busy machine does not look like a freeze.
 */
static void *watch(void *arg)
{
	const struct timespec pause = {.tv_nsec = 50000};
	const struct sched_param param = {.sched_priority = 1};
	uint64_t last = now_ns(), now;
	uint32_t seen = 0, resets;

	(void)arg;
	prctl(PR_SET_TIMERSLACK, 1);
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
	for (;;) {
		nanosleep(&pause, NULL);
		resets = __atomic_load_n(&n_resets, __ATOMIC_ACQUIRE);
		now = now_ns();
		if (resets != seen)
			longest_gap = 0;
		else if (now - last > longest_gap)
			longest_gap = now - last;
		seen = resets;
		last = now;
		__atomic_fetch_add(&n_ticks, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* Until the clock was looked at twice: once may have begun before. */
static void wait_ticks(void)
{
	const struct timespec pause = {.tv_nsec = 50000};
	uint32_t start = __atomic_load_n(&n_ticks, __ATOMIC_ACQUIRE);

	while (__atomic_load_n(&n_ticks, __ATOMIC_ACQUIRE) - start < 2)
		nanosleep(&pause, NULL);
}

static void *sleeper(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static void start_thread(void *(*start)(void *))
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	errno = pthread_create(&thread, &attr, start, NULL);
	if (errno)
		die("pthread_create");
	pthread_detach(thread);
}

static char *map(size_t len)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static uint64_t random_word(void)
{
	static uint64_t state = UINT64_C(88172645463325252);

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Zero pages are written too: a page that was never touched is another matter. */
static void make_memory(size_t mib, size_t zero_run)
{
	size_t n_pages = (mib << 20) / PAGE;
	uint64_t *words = (uint64_t *)(void *)map(n_pages * PAGE);
	bool zero = false;

	for (size_t page = 0; page < n_pages; page++) {
		if (zero_run && page % zero_run == 0)
			zero = random_word() >> 63;
		for (size_t i = 0; i < WORDS; i++)
			((volatile uint64_t *)words)[page * WORDS + i] = zero ? 0 : random_word();
	}
}

static void make_mappings(size_t n)
{
	char *p = map(n * PAGE);

	for (size_t i = 0; i < n; i++) {
		memset(p + i * PAGE, 1, PAGE);
		if (i % 2 && mprotect(p + i * PAGE, PAGE, PROT_READ))
			die("mprotect");
	}
}

static void serve(void)
{
	char line[16];

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "reset\n") == 0) {
			__atomic_fetch_add(&n_resets, 1, __ATOMIC_RELEASE);
			wait_ticks();
			puts("ok");
		} else {
			wait_ticks();
			printf("%" PRIu64 "\n", longest_gap);
		}
	}
}

int main(int argc, char **argv)
{
	size_t mib = 0, zero_run = 0, n_threads = 0, n_mappings = 0;
	int opt;

	while ((opt = getopt(argc, argv, "m:z:t:p:")) != -1) {
		size_t value = (size_t)strtoull(optarg ? optarg : "0", NULL, 10);

		switch (opt) {
		case 'm':
			mib = value;
			break;
		case 'z':
			zero_run = value;
			break;
		case 't':
			n_threads = value;
			break;
		case 'p':
			n_mappings = value;
			break;
		default:
			return 64;
		}
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mib)
		make_memory(mib, zero_run);
	if (n_mappings)
		make_mappings(n_mappings);
	for (size_t i = 0; i < n_threads; i++)
		start_thread(sleeper);
	start_thread(watch);
	serve();
	return 0;
}
