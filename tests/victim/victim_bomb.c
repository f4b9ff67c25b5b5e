/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Threads are born and die without pause: bombers create some and join them, and in each chain
 * every thread creates the next one and exits.
 *
 *   victim_bomb [BOMBERS [CHAINS]]
 *   tid-offset N                      from a thread's fs_base: where its memory has its own TID
 *                                     (x86-64; 0: not to be found)
 *   threads N                         that are there at any time, at least
 *   answer: count I TID N for each bomber and chain: threads started so far
 */
#include "victim.h"

#define MAX_KINDS 16

static struct line {
	unsigned long n_started;
} lines[MAX_KINDS];
static size_t n_lines;

static void *brief(void *arg)
{
	/* its own name, which costs a system call while others look */
	prctl(PR_SET_NAME, "brief");
	return arg;
}

static void start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	/* one that has exited may hold its number for a moment yet */
	do
		errno = pthread_create(thread, &attr, run, arg);
	while (errno == EAGAIN);
	if (errno)
		die("pthread_create");
	pthread_attr_destroy(&attr);
}

static void *bomb(void *arg)
{
	struct line *line = arg;
	pthread_t threads[4];

	for (;;) {
		for (size_t i = 0; i < N_ELEMENTS(threads); i++) {
			start(&threads[i], brief, NULL);
			__atomic_fetch_add(&line->n_started, 1, __ATOMIC_RELAXED);
		}
		for (size_t i = 0; i < N_ELEMENTS(threads); i++)
			pthread_join(threads[i], NULL);
	}
	return NULL;
}

static void *link_of_chain(void *arg)
{
	struct line *line = arg;
	pthread_t next;

	pthread_detach(pthread_self());
	__atomic_fetch_add(&line->n_started, 1, __ATOMIC_RELAXED);
	start(&next, link_of_chain, line);
	return NULL;
}

/* Where the C library keeps it is its own affair: look. Two threads must agree. */
static void *find_tid(void *arg)
{
	const char *base = (const char *)(uintptr_t)pthread_self();
	uint64_t *bits = arg;
	pid_t tid = victim_tid(), value;

	for (size_t i = 0; i < 256; i++) {
		memcpy(&value, base + 4 * i, sizeof(value));
		if (value != tid)
			bits[i / 64] &= ~(UINT64_C(1) << i % 64);
	}
	return NULL;
}

static unsigned int tid_offset(void)
{
	uint64_t bits[4];
	pthread_t thread;

	memset(bits, 0xff, sizeof(bits));
	for (int i = 0; i < 3; i++) {
		start(&thread, find_tid, bits);
		pthread_join(thread, NULL);
	}
	for (unsigned int i = 0; i < 256; i++)
		if (bits[i / 64] >> i % 64 & 1)
			return 4 * i;
	return 0;
}

static void answer(const char *question)
{
	(void)question;
	for (size_t i = 0; i < n_lines; i++)
		emit("count %zu 0 %lu", i, __atomic_load_n(&lines[i].n_started, __ATOMIC_RELAXED));
}

int main(int argc, char **argv)
{
	size_t n_bombers = argc > 1 ? (size_t)atol(argv[1]) : 3;
	size_t n_chains = argc > 2 ? (size_t)atol(argv[2]) : 2;
	pthread_t thread;

	if (n_bombers + n_chains > MAX_KINDS)
		return 64;
	victim_begin();
	emit("tid-offset %u", tid_offset());
	emit("threads %zu", 1 + n_bombers + n_chains);
	for (; n_lines < n_bombers + n_chains; n_lines++)
		start(&thread, n_lines < n_bombers ? bomb : link_of_chain, &lines[n_lines]);
	victim_serve(answer);
}
