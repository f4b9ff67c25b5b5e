/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs a command and measures it from outside:
 *
 *   measure [-w DIR:MIB] COMMAND [ARGUMENT...]
 *
 * Prints "WALL_NS MAX_RSS_KIB STATUS" on descriptor 3; the rest of its output is the command's.
 *
 * -w first writes MIB of random data to an unnamed file in DIR and throws it away. A hypervisor
 * may take back what a guest has free for a second or two, and then a file's first pages cost a
 * fault in the host each: a gigabyte takes 0.3 s or 2.3 s, whoever writes it. So every measured run
 * finds the memory of a file just deleted, and not only the first of a series.
 *
 * It is a program of its own, because a process begins with the largest resident size that its
 * parent had at exec(): under an interpreter, a small command would seem to be as large as that.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK     (1 << 20)
#define REPORT_FD 3

static __attribute__((noreturn)) void die(const char *what)
{
	fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
	exit(99);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* In a child, so that its buffer does not count as resident memory of the command. */
static void warm(const char *dir, unsigned long mib)
{
	uint64_t word = UINT64_C(88172645463325252);
	uint64_t *chunk = malloc(CHUNK);
	int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	if (!chunk || fd < 0)
		die(dir);
	for (size_t i = 0; i < CHUNK / sizeof(word); i++)
		chunk[i] = word = word * UINT64_C(6364136223846793005) + 1;
	for (unsigned long i = 0; i < mib; i++) {
		if (pwrite(fd, chunk, CHUNK, (off_t)i * CHUNK) != CHUNK)
			die(dir);
	}
	_exit(0);
}

static pid_t start_child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void warm_in_child(char *text)
{
	char *colon = strrchr(text, ':');
	pid_t pid;
	int status;

	if (!colon)
		exit(64);
	*colon = 0;
	pid = start_child();
	if (pid == 0)
		warm(text, strtoul(colon + 1, NULL, 10));
	if (waitpid(pid, &status, 0) != pid || status)
		exit(99);
}

int main(int argc, char **argv)
{
	struct rusage usage;
	uint64_t start, end;
	int status, opt;
	pid_t pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while ((opt = getopt(argc, argv, "+w:")) != -1) {
		if (opt != 'w')
			return 64;
		warm_in_child(optarg);
	}
	if (optind == argc)
		return 64;
	start = now_ns();
	pid = start_child();
	if (pid == 0) {
		close(REPORT_FD);
		execvp(argv[optind], argv + optind);
		die(argv[optind]);
	}
	if (wait4(pid, &status, 0, &usage) != pid)
		die("wait4");
	end = now_ns();
	status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	dprintf(REPORT_FD, "%" PRIu64 " %ld %d\n", end - start, usage.ru_maxrss, status);
	return 0;
}
