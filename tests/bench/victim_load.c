/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A process under load that the benchmark of snapshots dumps. It measures from inside what a dump
 * costs it: not only for how long it was stopped, but what its page faults, its mmap() and its
 * writes took, and how much work was done meanwhile.
 *
 *   victim_load -m MIB [-t THREADS] [-r MIB_PER_SECOND] [-w WORKERS]
 *     -m  anonymous private memory; every page is touched, differs from every other, and has no
 *         zero word
 *     -t  threads that sleep
 *     -r  pages written to, at random over all of that memory, at that pace
 *     -w  threads that read that memory as fast as they can, and count what they did
 *
 * Prints "ready"; then answers the lines of its standard input:
 *   reset   "ok": every figure starts anew
 *   report  figures since the reset, "NAME=NUMBER ..."; times in nanoseconds
 *     elapsed   since the reset
 *     gap       longest time in which some processor did not run the thread that watches there
 *     all       longest time in which none of these ran
 *     fault     longest page fault, at a fresh page
 *     mmap      longest mmap() + munmap()
 *     write     longest write to a page of the memory
 *     work      pages that the workers read
 *     dirtied   bytes of the pages written to, each time counted
 *   fork    what five fork() took, each of a child that exits at once
 * Ends with its input.
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE        4096UL
#define WORDS       (PAGE / sizeof(uint64_t))
#define N_DIRTIERS  2
#define N_FORKS     5
#define N_FRESH     64 /* pages that faults are timed at */
#define SLOTS_MAX   1024
#define PERIOD_NS   1000000  /* a dirtier writes a batch so often */
#define LAG_NS      10000000 /* what it does not make up for afterwards */
#define INTERVAL_NS 50000    /* between two looks at the clock, or two faults */
#define SECOND_NS   UINT64_C(1000000000)

/*
 * Of real time, and the same for all: a thread that was preempted by one of a higher priority was
 * seen to wait for 10 ms and more, beside an idle processor.
 */
#define PRIORITY 1

enum kind { KIND_WATCH, KIND_FAULT, KIND_MMAP, KIND_DIRTY, KIND_WORK };

/* The figures of one thread, which alone writes to them. */
struct slot {
	enum kind kind;
	int cpu;
	uint64_t random;
	uint64_t longest, longest_all, count;
	uint32_t seen; /* the reset that the figures are since */
	uint32_t ticks;
} __attribute__((aligned(128)));

static struct slot slots[SLOTS_MAX];
static size_t n_slots;
static uint32_t n_resets;
static uint64_t last_look; /* of any watcher */
static uint64_t *memory;
static size_t n_pages;
static uint64_t dirtier_rate; /* bytes per second, of each */

static __attribute__((noreturn)) void die(const char *what)
{
	fprintf(stderr, "victim_load: %s: %s\n", what, strerror(errno));
	exit(99);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static uint64_t random_word(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static char *map(size_t len)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void sleep_ns(long ns)
{
	const struct timespec pause = {.tv_nsec = ns};

	nanosleep(&pause, NULL);
}

/* ---- what every measuring thread does ------------------------------------------------------ */

/*
 * Where it may, as real time: a busy machine shall not look like a dump. None of these threads
 * spins, which would take a processor from the dumper.
 */
static void be_urgent(void)
{
	const struct sched_param param = {.sched_priority = PRIORITY};

	prctl(PR_SET_TIMERSLACK, 1);
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
}

/* Starts the figures anew if that was asked for; returns whether it was. */
static bool starts_anew(struct slot *slot)
{
	uint32_t resets = __atomic_load_n(&n_resets, __ATOMIC_ACQUIRE);

	if (resets == slot->seen)
		return false;
	slot->longest = 0;
	slot->longest_all = 0;
	__atomic_store_n(&slot->count, 0, __ATOMIC_RELAXED);
	slot->seen = resets;
	return true;
}

static void tick(struct slot *slot)
{
	__atomic_fetch_add(&slot->ticks, 1, __ATOMIC_RELEASE);
}

static void note(uint64_t *longest, uint64_t ns)
{
	if (ns > *longest)
		*longest = ns;
}

static void add_count(struct slot *slot, uint64_t n)
{
	__atomic_store_n(&slot->count, slot->count + n, __ATOMIC_RELAXED);
}

/* ---- the threads ----------------------------------------------------------------------------- */

static void *watch(void *arg)
{
	struct slot *slot = arg;
	uint64_t last = now_ns(), now, others;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(slot->cpu, &cpus);
	pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	be_urgent();
	for (;;) {
		sleep_ns(INTERVAL_NS);
		now = now_ns();
		others = __atomic_exchange_n(&last_look, now, __ATOMIC_ACQ_REL);
		if (!starts_anew(slot)) {
			note(&slot->longest, now - last);
			if (now > others)
				note(&slot->longest_all, now - others);
		}
		last = now;
		tick(slot);
	}
	return NULL;
}

static void *time_faults(void *arg)
{
	struct slot *slot = arg;
	volatile char *fresh = map(N_FRESH * PAGE);
	uint64_t start;

	be_urgent();
	for (size_t i = 0;; i = (i + 1) % N_FRESH) {
		start = now_ns();
		fresh[i * PAGE] = 1;
		if (!starts_anew(slot))
			note(&slot->longest, now_ns() - start);
		if (madvise((void *)(fresh + i * PAGE), PAGE, MADV_DONTNEED))
			die("madvise");
		tick(slot);
		sleep_ns(INTERVAL_NS);
	}
	return NULL;
}

static void *time_mmap(void *arg)
{
	struct slot *slot = arg;
	uint64_t start;

	be_urgent();
	for (;;) {
		start = now_ns();
		if (munmap(map(PAGE), PAGE))
			die("munmap");
		if (!starts_anew(slot))
			note(&slot->longest, now_ns() - start);
		tick(slot);
		sleep_ns(INTERVAL_NS);
	}
	return NULL;
}

/* One word of a random page; no word of the memory is ever zero. */
static void write_somewhere(struct slot *slot)
{
	uint64_t word = random_word(&slot->random), start;
	volatile uint64_t *page = memory + word % n_pages * WORDS;

	start = now_ns();
	page[(word >> 40) % WORDS] = word;
	note(&slot->longest, now_ns() - start);
	add_count(slot, PAGE);
}

static void *dirty(void *arg)
{
	struct slot *slot = arg;
	uint64_t next = now_ns(), now, owed = 0;
	struct timespec wake;

	prctl(PR_SET_TIMERSLACK, 1);
	for (;;) {
		starts_anew(slot);
		for (owed += dirtier_rate / (SECOND_NS / PERIOD_NS); owed >= PAGE; owed -= PAGE)
			write_somewhere(slot);
		tick(slot);
		now = now_ns();
		next = now > next + LAG_NS ? now : next + PERIOD_NS;
		wake = (struct timespec){.tv_sec = (time_t)(next / SECOND_NS),
					 .tv_nsec = (long)(next % SECOND_NS)};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL);
	}
	return NULL;
}

static void *work(void *arg)
{
	struct slot *slot = arg;

	for (;;) {
		const uint64_t *page = memory + random_word(&slot->random) % n_pages * WORDS;
		uint64_t sum = 0;

		starts_anew(slot);
		for (size_t i = 0; i < WORDS; i++)
			sum = sum * 31 + page[i];
		__asm__ volatile("" : : "r"(sum)); /* so that it is computed */
		add_count(slot, 1);
		tick(slot);
	}
	return NULL;
}

static void *sleeper(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static void start_thread(void *(*start)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	errno = pthread_create(&thread, &attr, start, arg);
	if (errno)
		die("pthread_create");
	pthread_detach(thread);
}

static void start_slot(enum kind kind, int cpu, void *(*start)(void *))
{
	struct slot *slot = &slots[n_slots++];

	if (n_slots > SLOTS_MAX)
		exit(64);
	slot->kind = kind;
	slot->cpu = cpu;
	slot->random = UINT64_C(88172645463325252) * n_slots;
	start_thread(start, slot);
}

static void start_watchers(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		die("sched_getaffinity");
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &cpus))
			start_slot(KIND_WATCH, cpu, watch);
	}
}

/* ---- questions ----------------------------------------------------------------------------- */

/* Until every thread has been through its loop twice: once may have begun before. */
static void wait_ticks(void)
{
	uint32_t start[SLOTS_MAX];

	for (size_t i = 0; i < n_slots; i++)
		start[i] = __atomic_load_n(&slots[i].ticks, __ATOMIC_ACQUIRE);
	for (size_t i = 0; i < n_slots; i++) {
		while (__atomic_load_n(&slots[i].ticks, __ATOMIC_ACQUIRE) - start[i] < 2)
			sleep_ns(INTERVAL_NS);
	}
}

static uint64_t reset(void)
{
	__atomic_fetch_add(&n_resets, 1, __ATOMIC_RELEASE);
	wait_ticks();
	puts("ok");
	return now_ns();
}

static void report(uint64_t since)
{
	uint64_t longest[KIND_WORK + 1] = {0}, count[KIND_WORK + 1] = {0}, all = 0;
	uint64_t elapsed = now_ns() - since;

	for (size_t i = 0; i < n_slots; i++)
		count[slots[i].kind] += __atomic_load_n(&slots[i].count, __ATOMIC_RELAXED);
	wait_ticks();
	for (size_t i = 0; i < n_slots; i++) {
		note(&longest[slots[i].kind], slots[i].longest);
		note(&all, slots[i].longest_all);
	}
	printf("elapsed=%" PRIu64 " gap=%" PRIu64 " all=%" PRIu64 " fault=%" PRIu64 " mmap=%" PRIu64
	       " write=%" PRIu64 " work=%" PRIu64 " dirtied=%" PRIu64 "\n",
	       elapsed, longest[KIND_WATCH], all, longest[KIND_FAULT], longest[KIND_MMAP],
	       longest[KIND_DIRTY], count[KIND_WORK], count[KIND_DIRTY]);
}

static void time_forks(void)
{
	uint64_t start, ns;
	pid_t pid;

	for (int i = 0; i < N_FORKS; i++) {
		start = now_ns();
		pid = fork();
		if (pid == 0)
			_exit(0);
		ns = now_ns() - start;
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork");
		printf("%" PRIu64 "%c", ns, i + 1 < N_FORKS ? ' ' : '\n');
	}
}

static void serve(void)
{
	uint64_t since = now_ns();
	char line[16];

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "reset\n") == 0)
			since = reset();
		else if (strcmp(line, "fork\n") == 0)
			time_forks();
		else
			report(since);
	}
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void make_memory(size_t mib)
{
	uint64_t state = UINT64_C(88172645463325252);

	n_pages = (mib << 20) / PAGE;
	memory = (uint64_t *)(void *)map(n_pages * PAGE);
	for (size_t i = 0; i < n_pages * WORDS; i++)
		memory[i] = random_word(&state);
}

int main(int argc, char **argv)
{
	size_t mib = 0, n_sleepers = 0, rate = 0, n_workers = 0;
	int opt;

	while ((opt = getopt(argc, argv, "m:t:r:w:")) != -1) {
		size_t value = (size_t)strtoull(optarg ? optarg : "0", NULL, 10);

		switch (opt) {
		case 'm':
			mib = value;
			break;
		case 't':
			n_sleepers = value;
			break;
		case 'r':
			rate = value;
			break;
		case 'w':
			n_workers = value;
			break;
		default:
			return 64;
		}
	}
	if (!mib || optind != argc)
		return 64;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	make_memory(mib);
	dirtier_rate = ((uint64_t)rate << 20) / N_DIRTIERS;
	for (size_t i = 0; i < n_sleepers; i++)
		start_thread(sleeper, NULL);
	start_watchers();
	start_slot(KIND_FAULT, 0, time_faults);
	start_slot(KIND_MMAP, 0, time_mmap);
	for (size_t i = 0; i < (rate ? N_DIRTIERS : 0); i++)
		start_slot(KIND_DIRTY, 0, dirty);
	for (size_t i = 0; i < n_workers; i++)
		start_slot(KIND_WORK, 0, work);
	serve();
	return 0;
}
