/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A thread in vfork(), which sleeps in D state and answers nobody until its child is gone: the
 * child leaves when it reads the end of a pipe, on the question "release". Others sleep in
 * nanosleep().
 *
 *   vfork TID
 *   child PID
 *   syscall NUMBER ARG0 ... ARG5 SP PC, of the thread in vfork()
 *   answer: vforked N, how many calls of vfork() came back
 */
#include "victim.h"

static pid_t vfork_tid;
static int release_pipe[2];
static int n_returned;

/* A real vfork(): the compiler may not keep anything across it that the child changes. */
static __attribute__((noinline)) void vfork_and_wait(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		static char byte;
		ssize_t n;

		/* Not inherited: it must not outlive its parent. */
		syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		n = syscall(SYS_read, release_pipe[0], &byte, 1);
		syscall(SYS_exit, n == 1 ? 0 : 1);
	}
}

static void *vforker(void *arg)
{
	(void)arg;
	prctl(PR_SET_NAME, "vforker");
	__atomic_store_n(&vfork_tid, victim_tid(), __ATOMIC_RELEASE);
	vfork_and_wait();
	__atomic_fetch_add(&n_returned, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
	return NULL;
}

static void *sleeper(void *arg)
{
	(void)arg;
	prctl(PR_SET_NAME, "sleeper");
	for (;;)
		msleep(3600000);
	return NULL;
}

static pid_t child_of(pid_t tid)
{
	char path[64];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", tid);
	f = fopen(path, "r");
	if (f) {
		if (fscanf(f, "%d", &pid) != 1)
			pid = 0;
		fclose(f);
	}
	return pid;
}

static void emit_syscall(pid_t tid)
{
	char path[64], text[256] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	f = fopen(path, "r");
	if (!f || !fgets(text, sizeof(text), f))
		die(path);
	fclose(f);
	text[strcspn(text, "\n")] = 0;
	emit("syscall %s", text);
}

static void answer(const char *question)
{
	if (strcmp(question, "release") == 0) {
		if (write(release_pipe[1], "x", 1) != 1)
			die("write");
		for (int i = 0; i < 5000 && !__atomic_load_n(&n_returned, __ATOMIC_ACQUIRE); i++)
			msleep(1);
	}
	emit("vforked %d", __atomic_load_n(&n_returned, __ATOMIC_ACQUIRE));
}

int main(void)
{
	pid_t child = 0;

	victim_begin();
	if (pipe(release_pipe))
		die("pipe");
	victim_thread(sleeper, NULL);
	victim_thread(vforker, NULL);
	for (int i = 0; i < 5000 && !child; i++) {
		msleep(1);
		if (__atomic_load_n(&vfork_tid, __ATOMIC_ACQUIRE))
			child = child_of(vfork_tid);
	}
	emit("vfork %d", vfork_tid);
	emit("child %d", child);
	wait_blocked(vfork_tid, SYS_vfork);
	emit_syscall(vfork_tid);
	victim_thread(sleeper, NULL);
	victim_serve(answer);
}
