/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The first thread is gone, the others go on: /proc/PID/maps is empty, /proc/PID/task/TID/maps is
 * not.
 *
 *   worker TID                        the first one left
 */
#include "victim.h"

static pid_t leader_tid;
static pthread_t leader;
static uint64_t words[512];

static void *worker(void *arg)
{
	(void)arg;
	prctl(PR_SET_NAME, "worker");
	pthread_join(leader, NULL);
	emit("leader %d", leader_tid);
	emit("worker %d", victim_tid());
	fill(words, sizeof(words), 0x77);
	emit("fill words %#lx %#zx %#x", (unsigned long)words, sizeof(words), 0x77U);
	victim_serve(NULL);
	return NULL;
}

static void *sleeper(void *arg)
{
	(void)arg;
	prctl(PR_SET_NAME, "sleeper");
	for (;;)
		pause();
	return NULL;
}

int main(void)
{
	victim_begin();
	leader_tid = victim_tid();
	leader = pthread_self();
	victim_thread(worker, NULL);
	victim_thread(sleeper, NULL);
	pthread_exit(NULL);
}
