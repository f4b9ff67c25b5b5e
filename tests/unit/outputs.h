/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the tests of sinks share: looks at files, readers of pipes, a clock that interrupts. */
#ifndef OUTPUTS_H
#define OUTPUTS_H

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "tap.h"

#define BLOCK 4096
#define MIB   (1024 * 1024L)

static inline int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int n = 0;

	need(dir);
	while ((entry = readdir(dir)))
		n += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(dir);
	return n;
}

/* Calls of write() and its like by this process so far; -1: not to be had. */
static inline int64_t n_write_calls(void)
{
	FILE *file = fopen("/proc/self/io", "r");
	char line[100];
	long long n = -1;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "syscw: %lld", &n) == 1)
			break;
	if (file)
		fclose(file);
	return n;
}

/* Is the block of the file a hole? */
static inline bool is_hole(int fd, off_t off)
{
	return lseek(fd, off, SEEK_HOLE) == off;
}

struct reader {
	pthread_t thread;
	int fd;
	uint8_t *data;
	size_t len, cap;
};

static inline void *reader_main(void *arg)
{
	struct reader *reader = arg;
	ssize_t n;

	while (reader->len < reader->cap &&
	       (n = read(reader->fd, reader->data + reader->len, reader->cap - reader->len)) > 0)
		reader->len += (size_t)n;
	return NULL;
}

static inline void reader_start(struct reader *reader, int fd, size_t cap)
{
	*reader = (struct reader){.fd = fd, .cap = cap, .data = malloc(cap)};
	need(reader->data);
	need(!pthread_create(&reader->thread, NULL, reader_main, reader));
}

/* Everything until the other end is closed. */
static inline void reader_join(struct reader *reader)
{
	need(!pthread_join(reader->thread, NULL));
	close(reader->fd);
}

static volatile sig_atomic_t n_alarms;

static inline void on_alarm(int signo)
{
	(void)signo;
	n_alarms++;
}

static inline void alarm_after(long usec, long interval)
{
	struct itimerval timer = {.it_value.tv_usec = usec, .it_interval.tv_usec = interval};

	need(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

#endif
