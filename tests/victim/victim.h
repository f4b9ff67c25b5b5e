/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What every victim shares. A victim makes a state of a process that is worth dumping, prints the
 * truth about it as lines "key value..." on standard output, then "ready", and waits. Lines on its
 * standard input are questions, each answered and closed with a line "answered". It dies with the
 * process that started it.
 */
#ifndef VICTIM_H
#define VICTIM_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* For atomic access in 32-bit programs, too. */
typedef uint64_t counter_t __attribute__((aligned(8)));

static inline __attribute__((noreturn)) void die(const char *what)
{
	fprintf(stderr, "victim: %s: %s\n", what, strerror(errno));
	exit(99);
}

/* One line, at once: whoever reads may be waiting for it. */
static inline __attribute__((format(printf, 1, 2))) void emit(const char *format, ...)
{
	char line[512];
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(line, sizeof(line) - 1, format, ap);
	va_end(ap);
	if (len < 0 || len >= (int)sizeof(line) - 1)
		exit(99);
	line[len++] = '\n';
	if (write(STDOUT_FILENO, line, (size_t)len) != len)
		exit(99);
}

/* Word `i` of the pattern `seed`: every word differs, so that a page in the wrong place shows. The
 * checker (tests/compare/corecheck) has the same formula. */
static inline uint64_t pattern(uint64_t seed, uint64_t i)
{
	return seed * UINT64_C(0x9e3779b97f4a7c15) + i * UINT64_C(0xd1342543de82ef95) + 1;
}

static inline void fill(void *start, size_t len, uint64_t seed)
{
	uint64_t *words = start;

	for (size_t i = 0; i < len / sizeof(*words); i++)
		words[i] = pattern(seed, i);
}

static inline pid_t victim_tid(void)
{
	return (pid_t)syscall(SYS_gettid);
}

static inline void victim_begin(void)
{
	pid_t parent = getppid();

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		exit(99);
	emit("pid %d", getpid());
}

static inline void victim_thread(void *(*start)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 * 1024);
	errno = pthread_create(&thread, &attr, start, arg);
	if (errno)
		die("pthread_create");
	pthread_detach(thread);
}

static inline void msleep(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* Waits until thread `tid` sleeps in system call `nr` (-1: in any). */
static inline void wait_blocked(pid_t tid, long nr)
{
	char path[64], text[256] = "", *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, nr < 0 ? "stat" : "syscall");
	for (int i = 0; i < 10000; i++) {
		f = fopen(path, "r");
		if (!f || !fgets(text, sizeof(text), f))
			text[0] = 0;
		if (f)
			fclose(f);
		end = strrchr(text, ')');
		if (nr < 0 && end && end[2] == 'S')
			return;
		/* "running" while it runs; "NR ARGS..." when it sleeps. */
		if (nr >= 0 && text[0] >= '0' && text[0] <= '9' && strtol(text, NULL, 10) == nr)
			return;
		msleep(1);
	}
	errno = ETIMEDOUT;
	die(path);
}

/* Says "ready" and answers questions until the end of the input, then sleeps for ever. */
static inline __attribute__((noreturn)) void victim_serve(void (*answer)(const char *question))
{
	char line[256];
	size_t len = 0;
	ssize_t n;

	emit("ready");
	for (;;) {
		n = read(STDIN_FILENO, line + len, 1);
		if (n <= 0)
			break;
		if (line[len] != '\n') {
			len += len < sizeof(line) - 2;
			continue;
		}
		line[len] = 0;
		len = 0;
		if (answer)
			answer(line);
		emit("answered");
	}
	if (n < 0)
		emit("read failed %d", errno);
	for (;;)
		pause();
}

#endif
