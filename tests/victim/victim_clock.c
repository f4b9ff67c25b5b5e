/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Measures from inside for how long it was stopped: a thread looks at the clock without rest and
 * keeps the longest gap.
 *
 *   victim_clock [-m MIB] [-z PERCENT] [-t THREADS] [-p MAPPINGS] [-r MIB]
 *     -m  touched memory, filled with the pattern
 *     -z  of it, percent of the pages that are zero
 *     -t  threads that sleep
 *     -p  mappings of a page each that do not merge
 *     -r  reserved memory that is never touched
 *   answer to "reset": gap 0; to anything else: gap NANOSECONDS, the longest since the reset
 */
#include "victim.h"

#define PAGE 4096UL

static uint64_t longest_gap;
static uint32_t n_resets;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void *watch(void *arg)
{
	uint32_t seen = 0, resets;
	uint64_t last = now_ns(), now;

	(void)arg;
	prctl(PR_SET_NAME, "watch");
	for (;;) {
		resets = __atomic_load_n(&n_resets, __ATOMIC_ACQUIRE);
		now = now_ns();
		if (resets != seen)
			__atomic_store_n(&longest_gap, 0, __ATOMIC_RELEASE);
		else if (now - last > __atomic_load_n(&longest_gap, __ATOMIC_RELAXED))
			__atomic_store_n(&longest_gap, now - last, __ATOMIC_RELEASE);
		seen = resets;
		last = now;
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

static void answer(const char *question)
{
	if (strcmp(question, "reset") == 0) {
		__atomic_fetch_add(&n_resets, 1, __ATOMIC_RELEASE);
		msleep(10);
		emit("gap 0");
		return;
	}
	emit("gap %" PRIu64, __atomic_load_n(&longest_gap, __ATOMIC_ACQUIRE));
}

static char *map(size_t len, int flags)
{
	char *p =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void make_memory(size_t mib, size_t percent_zero)
{
	size_t len = mib << 20;
	char *p = map(len, 0);

	for (size_t i = 0; i < len; i += PAGE) {
		if (i / PAGE % 100 < percent_zero)
			memset(p + i, 0, PAGE);
		else
			fill(p + i, PAGE, i);
	}
}

static void make_mappings(size_t n)
{
	char *p = map(n * PAGE, 0);

	for (size_t i = 0; i < n; i++) {
		fill(p + i * PAGE, PAGE, i);
		if (i % 2 && mprotect(p + i * PAGE, PAGE, PROT_READ))
			die("mprotect");
	}
}

int main(int argc, char **argv)
{
	size_t mib = 0, percent_zero = 0, n_threads = 0, n_mappings = 0, reserved = 0;
	int opt;

	while ((opt = getopt(argc, argv, "m:z:t:p:r:")) != -1) {
		size_t value = (size_t)strtoull(optarg ? optarg : "0", NULL, 10);

		switch (opt) {
		case 'm':
			mib = value;
			break;
		case 'z':
			percent_zero = value;
			break;
		case 't':
			n_threads = value;
			break;
		case 'p':
			n_mappings = value;
			break;
		case 'r':
			reserved = value;
			break;
		default:
			return 64;
		}
	}
	victim_begin();
	if (mib)
		make_memory(mib, percent_zero);
	if (n_mappings)
		make_mappings(n_mappings);
	if (reserved)
		map(reserved << 20, MAP_NORESERVE);
	for (size_t i = 0; i < n_threads; i++)
		victim_thread(sleeper, NULL);
	victim_thread(watch, NULL);
	victim_serve(answer);
}
