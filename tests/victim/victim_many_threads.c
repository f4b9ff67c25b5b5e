/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * N threads that sleep; with "churn", another one that starts and ends threads without rest.
 *
 *   threads N                         sleeping ones, the first thread included
 *   answer: started N, threads started by the churn so far
 */
#include "victim.h"

static unsigned long n_started;

static void *sleeper(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

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
	(void)question;
	emit("started %lu", __atomic_load_n(&n_started, __ATOMIC_RELAXED));
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 100;
	pthread_attr_t attr;
	pthread_t thread;

	victim_begin();
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 32 * 1024);
	for (long i = 1; i < n; i++) {
		errno = pthread_create(&thread, &attr, sleeper, NULL);
		if (errno)
			die("pthread_create");
	}
	emit("threads %ld", n);
	if (argc > 2 && strcmp(argv[2], "churn") == 0)
		victim_thread(churn, NULL);
	victim_serve(answer);
}
