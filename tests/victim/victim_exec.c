/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Executes itself again and again, after a random time of up to so many milliseconds; each time
 * with the next number as an argument, and with memory that holds this number's pattern.
 *
 *   victim_exec leader|thread MS [NUMBER]     who calls execve(): with other threads there
 *   no answers: its input is for nobody
 */
#include <sys/random.h>

#include "victim.h"

#define N_THREADS 4

/* tests/compare/threadcheck looks for this name. */
uint64_t victim_exec_words[4096];

static char **arguments;

static void again(void)
{
	char number[24], *argv[] = {arguments[0], arguments[1], arguments[2], number, NULL};

	snprintf(number, sizeof(number), "%ld", atol(arguments[3]) + 1);
	execv("/proc/self/exe", argv);
	die("execv");
}

static void sleep_a_while(void)
{
	uint32_t random = 0;
	struct timespec t = {0};

	if (getrandom(&random, sizeof(random), 0) < 0)
		die("getrandom");
	t.tv_nsec = random % (uint32_t)(atol(arguments[2]) * 1000000 + 1);
	nanosleep(&t, NULL);
}

static void *sleeper(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static void *executor(void *arg)
{
	sleep_a_while();
	again();
	return arg;
}

int main(int argc, char **argv)
{
	char zero[] = "0", *first[] = {argv[0], argv[1], argv[2], zero, NULL};
	bool by_thread;

	if (argc < 3)
		return 64;
	arguments = argc > 3 ? argv : first;
	by_thread = strcmp(argv[1], "thread") == 0;
	if (argc == 3) {
		victim_begin();
		emit("ready");
		again();
	}
	fill(victim_exec_words, sizeof(victim_exec_words), (uint64_t)atol(arguments[3]));
	for (int i = 0; i < N_THREADS; i++)
		victim_thread(i == 1 && by_thread ? executor : sleeper, NULL);
	if (by_thread)
		sleeper(NULL);
	sleep_a_while();
	again();
}
