/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Processes that share the memory and are no threads of it: clone() with CLONE_VM and without
 * CLONE_THREAD. Each counts in the memory that they share.
 *
 *   sharer NAME PID         plain; files (it shares descriptors and handlers, too); grandchild
 *                           (the child of "plain"); with "vfork" as argument, vfork
 *   words ADDRESS           uint64_t in the order of the names: the counters
 *   vforker TID             the thread that waits for "vfork", by CLONE_VFORK
 *
 * On "release" the child of vfork() leaves: "released N", N is 1 if its parent goes on. On anything
 * else: "count NAME PID VALUE" of each.
 */
#include <sched.h>

#include "victim.h"

#define STACK_SIZE (64 * 1024)

enum { PLAIN, FILES, GRANDCHILD, VFORK, N_SHARERS };

static const char *const names[N_SHARERS] = {"plain", "files", "grandchild", "vfork"};

struct sharer {
	pid_t pid; /* as it sees itself */
	bool leave;
	char stack[STACK_SIZE] __attribute__((aligned(64)));
};

static struct sharer sharers[N_SHARERS];
static uint64_t counters[N_SHARERS];
static bool has_returned;

/*
 * It has its creator's thread-local storage: only system calls that succeed, or that nobody asks
 * for their error.
 */
static int count(void *arg)
{
	size_t i = (size_t)((struct sharer *)arg - sharers);
	struct sharer *sharer = arg;

	/* not inherited: it must not outlive the victim */
	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (i == PLAIN)
		clone(count, sharers[GRANDCHILD].stack + STACK_SIZE, CLONE_VM | SIGCHLD,
		      &sharers[GRANDCHILD]);
	__atomic_store_n(&sharer->pid, (pid_t)syscall(SYS_getpid), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&sharer->leave, __ATOMIC_ACQUIRE)) {
		__atomic_fetch_add(&counters[i], 1, __ATOMIC_RELAXED);
		syscall(SYS_poll, NULL, 0, 1);
	}
	syscall(SYS_exit, 0);
	return 0;
}

static void share(size_t i, int flags)
{
	if (clone(count, sharers[i].stack + STACK_SIZE, flags | CLONE_VM | SIGCHLD, &sharers[i]) <
	    0)
		die("clone");
}

static void wait_for_sharer(size_t i)
{
	while (!__atomic_load_n(&sharers[i].pid, __ATOMIC_ACQUIRE))
		msleep(1);
	emit("sharer %s %d", names[i], sharers[i].pid);
}

static void *vforker(void *arg)
{
	(void)arg;
	prctl(PR_SET_NAME, "vforker");
	emit("vforker %d", victim_tid());
	share(VFORK, CLONE_VFORK);
	__atomic_store_n(&has_returned, true, __ATOMIC_RELEASE);
	for (;;)
		pause();
	return NULL;
}

static void answer(const char *question)
{
	if (strcmp(question, "release") == 0) {
		__atomic_store_n(&sharers[VFORK].leave, true, __ATOMIC_RELEASE);
		for (int i = 0; i < 5000 && !__atomic_load_n(&has_returned, __ATOMIC_ACQUIRE); i++)
			msleep(1);
		emit("released %d", __atomic_load_n(&has_returned, __ATOMIC_ACQUIRE));
		return;
	}
	for (size_t i = 0; i < N_SHARERS; i++)
		if (sharers[i].pid)
			emit("count %s %d %" PRIu64, names[i], sharers[i].pid,
			     __atomic_load_n(&counters[i], __ATOMIC_RELAXED));
}

int main(int argc, char **argv)
{
	victim_begin();
	emit("words %#lx", (unsigned long)counters);
	share(PLAIN, 0);
	share(FILES, CLONE_FILES | CLONE_SIGHAND | CLONE_FS);
	wait_for_sharer(PLAIN);
	wait_for_sharer(FILES);
	wait_for_sharer(GRANDCHILD);
	if (argc > 1 && strcmp(argv[1], "vfork") == 0) {
		victim_thread(vforker, NULL);
		wait_for_sharer(VFORK);
	}
	victim_serve(answer);
}
