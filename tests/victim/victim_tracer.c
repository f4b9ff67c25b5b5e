/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A tracer that comes and goes at full speed: it seizes all threads of a process, or some, stops
 * them or does not, and detaches from them, exits or is killed.
 *
 *   victim_tracer PID
 *   answer: rounds N, how often it came
 */
#include <dirent.h>
#include <sys/ptrace.h>

#include "victim.h"

#define MAX_THREADS 256

static unsigned long n_rounds;
static pid_t target;

static size_t list_threads(pid_t *tids)
{
	char path[32];
	struct dirent *entry;
	size_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", target);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)) && n < MAX_THREADS)
		if (entry->d_name[0] != '.')
			tids[n++] = atoi(entry->d_name);
	if (dir)
		closedir(dir);
	return n;
}

/* Whoever was refused, because another one traces it, is left out. */
static void stop_and_detach(const pid_t *tids, const bool *seized, size_t n)
{
	int status;

	for (size_t i = 0; i < n; i++)
		if (seized[i])
			ptrace(PTRACE_INTERRUPT, tids[i], NULL, NULL);
	for (size_t i = 0; i < n; i++)
		if (seized[i] && waitpid(tids[i], &status, __WALL) == tids[i])
			ptrace(PTRACE_DETACH, tids[i], NULL, NULL);
}

static void trace(unsigned int how)
{
	bool seized[MAX_THREADS];
	pid_t tids[MAX_THREADS];
	size_t n = list_threads(tids);

	if (how % 3 == 0)
		n = n / 2;
	for (size_t i = 0; i < n; i++)
		seized[i] = ptrace(PTRACE_SEIZE, tids[i], NULL, NULL) == 0;
	switch (how / 3 % 4) {
	case 0:
		stop_and_detach(tids, seized, n);
		break;
	case 1: /* stopped when it dies */
		for (size_t i = 0; i < n; i++)
			if (seized[i])
				ptrace(PTRACE_INTERRUPT, tids[i], NULL, NULL);
		raise(SIGKILL);
		break;
	case 2:
		usleep(300);
		break;
	case 3:
		raise(SIGKILL);
		break;
	}
}

static void *come_and_go(void *arg)
{
	unsigned int random = 1;

	(void)arg;
	for (;;) {
		pid_t pid = fork();

		random = random * 1103515245 + 12345;
		if (pid == 0) {
			prctl(PR_SET_NAME, "tracer");
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			trace(random >> 16);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
		__atomic_fetch_add(&n_rounds, 1, __ATOMIC_RELAXED);
		usleep(random >> 8 & 0xfff);
	}
	return NULL;
}

static void answer(const char *question)
{
	(void)question;
	emit("rounds %lu", __atomic_load_n(&n_rounds, __ATOMIC_RELAXED));
}

int main(int argc, char **argv)
{
	target = argc > 1 ? atoi(argv[1]) : 0;
	victim_begin();
	victim_thread(come_and_go, NULL);
	victim_serve(answer);
}
