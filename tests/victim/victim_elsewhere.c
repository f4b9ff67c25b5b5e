/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * For other namespaces and roots: files that are there alone, and IDs as they are there.
 *
 *   victim_elsewhere DIRECTORY SEED    makes DIRECTORY/file and DIRECTORY/gone, maps both, removes
 *                                      the second
 *
 * Of each shared mapping it reads the first page only; of the private one it writes the second.
 */
#include "victim.h"

#define PAGE    4096UL
#define LEN     (64 * PAGE) /* more than one fault maps */
#define THREADS 3

static void make(const char *path, uint64_t seed)
{
	static uint64_t words[LEN / sizeof(uint64_t)];
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);

	fill(words, sizeof(words), seed);
	if (fd < 0 || write(fd, words, sizeof(words)) != (ssize_t)sizeof(words) || close(fd) < 0)
		die(path);
}

static void map(const char *name, const char *path, int flags, uint64_t seed)
{
	int fd = open(path, O_RDWR);
	char *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (fd < 0 || p == MAP_FAILED || *(volatile uint64_t *)(void *)p != pattern(seed, 0))
		die(path);
	close(fd);
	emit("map %s %#lx %#lx %s", name, (unsigned long)p, LEN, path);
	if (flags == MAP_SHARED) {
		emit("fill %s %#lx %#lx %#" PRIx64, name, (unsigned long)p, LEN, seed);
		return;
	}
	fill(p + PAGE, PAGE, seed + 1);
	emit("fill %s %#lx %#lx %#" PRIx64, name, (unsigned long)p + PAGE, PAGE, seed + 1);
}

static void *sleeper(void *arg)
{
	(void)arg;
	emit("thread %d", victim_tid());
	for (;;)
		pause();
	return NULL;
}

int main(int argc, char **argv)
{
	char path[4096];
	uint64_t seed;

	if (argc != 3)
		return 99;
	seed = strtoull(argv[2], NULL, 0);
	victim_begin();
	emit("ids pid %d ppid %d pgrp %d sid %d", getpid(), getppid(), getpgrp(), getsid(0));
	snprintf(path, sizeof(path), "%s/file", argv[1]);
	make(path, seed);
	map("shared", path, MAP_SHARED, seed);
	map("private", path, MAP_PRIVATE, seed);
	snprintf(path, sizeof(path), "%s/gone", argv[1]);
	make(path, seed + 2);
	map("gone", path, MAP_SHARED, seed + 2);
	unlink(path);
	emit("thread %d", victim_tid());
	for (int i = 1; i < THREADS; i++)
		victim_thread(sleeper, NULL);
	msleep(50);
	victim_serve(NULL);
}
