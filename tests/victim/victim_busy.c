/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Threads that never stop working: half of them count in user mode, half of them through system
 * calls. The answer to any question is "count INDEX TID VALUE" for each.
 */
#include "victim.h"

#define MAX_THREADS 256

struct counter {
	unsigned long value;
	pid_t tid;
	bool calls;
};

static struct counter counters[MAX_THREADS];
static size_t n_counters;

static void *count(void *arg)
{
	struct counter *counter = arg;

	__atomic_store_n(&counter->tid, victim_tid(), __ATOMIC_RELEASE);
	for (;;) {
		__atomic_fetch_add(&counter->value, 1, __ATOMIC_RELAXED);
		if (counter->calls)
			msleep(1);
	}
	return NULL;
}

static void answer(const char *question)
{
	(void)question;
	for (size_t i = 0; i < n_counters; i++)
		emit("count %zu %d %lu", i, counters[i].tid,
		     __atomic_load_n(&counters[i].value, __ATOMIC_RELAXED));
}

int main(int argc, char **argv)
{
	n_counters = argc > 1 ? (size_t)atol(argv[1]) : 4;
	if (n_counters > MAX_THREADS)
		n_counters = MAX_THREADS;
	victim_begin();
	for (size_t i = 0; i < n_counters; i++) {
		counters[i].calls = i % 2;
		victim_thread(count, &counters[i]);
		while (!__atomic_load_n(&counters[i].tid, __ATOMIC_ACQUIRE))
			msleep(1);
	}
	victim_serve(answer);
}
