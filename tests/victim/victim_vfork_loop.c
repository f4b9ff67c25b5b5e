/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Threads that are in vfork() nearly always: when a child has left, by exit or by execve(), its
 * parent calls vfork() again.
 *
 *   victim_vfork_loop [THREADS [leader]]      so many (1); the first thread is one of them
 *   vfork TID                         for each
 *   FIFO ./go: for each byte that somebody writes, one child leaves: by execve() if it is 'e'
 *   answer: vforked N, how often vfork() came back
 */
#include <sys/stat.h>

#include "victim.h"

#define MAX_VFORKERS 16

static pid_t tids[MAX_VFORKERS];
static int go;
static unsigned long n_returned;
static char self_path[] = "/proc/self/exe", brief_arg[] = "brief";

/* In the child: nothing but system calls, in its parent's memory. */
static void wait_and_leave(void)
{
	char *argv[] = {self_path, brief_arg, NULL}, *envp[] = {NULL};
	volatile char what = 0;

	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	syscall(SYS_read, go, &what, 1);
	if (what == 'e')
		syscall(SYS_execve, self_path, argv, envp);
	syscall(SYS_exit, 0);
}

static __attribute__((noinline)) void vfork_once(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		wait_and_leave();
	__atomic_fetch_add(&n_returned, 1, __ATOMIC_RELEASE);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		__atomic_fetch_add(&n_returned, 1000000, __ATOMIC_RELEASE); /* it shows */
}

static void *vforker(void *arg)
{
	pid_t *tid = arg;

	prctl(PR_SET_NAME, "vforker");
	__atomic_store_n(tid, victim_tid(), __ATOMIC_RELEASE);
	for (;;)
		vfork_once();
	return NULL;
}

static size_t n_vforkers = 1;

static void answer(const char *question)
{
	(void)question;
	emit("vforked %lu", __atomic_load_n(&n_returned, __ATOMIC_ACQUIRE));
}

static void *serve(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < n_vforkers; i++) {
		while (!__atomic_load_n(&tids[i], __ATOMIC_ACQUIRE))
			msleep(1);
		emit("vfork %d", tids[i]);
	}
	victim_serve(answer);
}

int main(int argc, char **argv)
{
	bool leader = argc > 2;

	if (argc > 1 && strcmp(argv[1], brief_arg) == 0)
		return 0;
	if (argc > 1)
		n_vforkers = (size_t)atol(argv[1]);
	if (n_vforkers > MAX_VFORKERS)
		return 64;
	victim_begin();
	if (mkfifo("go", 0600))
		die("mkfifo");
	go = open("go", O_RDWR | O_CLOEXEC);
	if (go < 0)
		die("go");
	for (size_t i = leader; i < n_vforkers; i++)
		victim_thread(vforker, &tids[i]);
	if (!leader)
		serve(NULL);
	victim_thread(serve, NULL);
	vforker(&tids[0]);
}
