/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Signals at full speed, each with a number: another process queues them, to the process and to
 * threads of it, and every handler holds the number against the one that it expects. Others count
 * meanwhile, as in victim_busy.
 *
 *   victim_flood [THREADS [MIB]]      that count (2); memory that is filled
 *   sender PID
 *   receiver WHO TID                  "process": the only thread that takes what goes to the
 * process answer to "stop": sent WHO N, got WHO N, disorder WHO N, for each; nothing is sent any
 * more answer to anything else: count INDEX TID VALUE for each that counts, and for each handler
 */
#include <sched.h>

#include "victim.h"

#define MAX_THREADS 64

enum { PROCESS, THREAD_A, THREAD_B, N_RECEIVERS };

static const char *const names[N_RECEIVERS] = {"process", "thread-a", "thread-b"};

/* Between the two processes. */
struct receiver {
	counter_t sent, got, disorder;
	pid_t tid;
};

static struct shared {
	bool stop, stopped;
	struct receiver receivers[N_RECEIVERS];
} * shared;

static __thread struct receiver *self;

static struct counter {
	unsigned long value;
	pid_t tid;
} counters[MAX_THREADS];
static size_t n_counters = 2;

static int signal_of(size_t i)
{
	return SIGRTMIN + 3 + (int)i;
}

static void handler(int sig, siginfo_t *info, void *context)
{
	uint64_t got;

	(void)sig;
	(void)context;
	got = __atomic_load_n(&self->got, __ATOMIC_RELAXED);
	if (info->si_code != SI_QUEUE || (uint32_t)info->si_value.sival_int != (uint32_t)got)
		__atomic_fetch_add(&self->disorder, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&self->got, 1, __ATOMIC_RELEASE);
}

static void *receive(void *arg)
{
	size_t i = (size_t)(uintptr_t)arg;
	volatile unsigned long spin = 0;
	sigset_t set;

	prctl(PR_SET_NAME, names[i]);
	self = &shared->receivers[i];
	sigemptyset(&set);
	sigaddset(&set, signal_of(i));
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	__atomic_store_n(&self->tid, victim_tid(), __ATOMIC_RELEASE);
	for (;;) {
		if (i == THREAD_A)
			spin++;
		else
			pause();
	}
	return NULL;
}

static long queue(pid_t pid, size_t i, const struct receiver *to)
{
	siginfo_t info = {.si_signo = signal_of(i), .si_code = SI_QUEUE};

	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = (int)(uint32_t)to->sent;
	if (i == PROCESS)
		return syscall(SYS_rt_sigqueueinfo, pid, info.si_signo, &info);
	return syscall(SYS_rt_tgsigqueueinfo, pid, to->tid, info.si_signo, &info);
}

/* A full queue is no loss: it is tried again. At most so many wait, so that the kernel does not
 * have to look for them in a long list. */
static void send_one(pid_t pid, size_t i)
{
	struct receiver *to = &shared->receivers[i];

	if (to->sent - __atomic_load_n(&to->got, __ATOMIC_RELAXED) >= 200)
		return;
	if (queue(pid, i, to) == 0)
		__atomic_fetch_add(&to->sent, 1, __ATOMIC_RELEASE);
	else if (errno != EAGAIN)
		_exit(1);
}

static void send_all(pid_t pid)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "sender");
	while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
		for (size_t i = 0; i < N_RECEIVERS; i++)
			send_one(pid, i);
		sched_yield();
	}
	__atomic_store_n(&shared->stopped, true, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

static void *count(void *arg)
{
	struct counter *counter = arg;

	__atomic_store_n(&counter->tid, victim_tid(), __ATOMIC_RELEASE);
	for (;;) {
		__atomic_fetch_add(&counter->value, 1, __ATOMIC_RELAXED);
		if ((counter - counters) % 2)
			msleep(1);
	}
	return NULL;
}

static bool all_received(void)
{
	if (!__atomic_load_n(&shared->stopped, __ATOMIC_ACQUIRE))
		return false;
	for (size_t i = 0; i < N_RECEIVERS; i++)
		if (__atomic_load_n(&shared->receivers[i].got, __ATOMIC_ACQUIRE) <
		    shared->receivers[i].sent)
			return false;
	return true;
}

static void stop(void)
{
	__atomic_store_n(&shared->stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 5000 && !all_received(); i++)
		msleep(1);
	for (size_t i = 0; i < N_RECEIVERS; i++) {
		const struct receiver *r = &shared->receivers[i];

		emit("sent %s %" PRIu64, names[i], r->sent);
		emit("got %s %" PRIu64, names[i], r->got);
		emit("disorder %s %" PRIu64, names[i], r->disorder);
	}
}

static void answer(const char *question)
{
	if (strcmp(question, "stop") == 0) {
		stop();
		return;
	}
	for (size_t i = 0; i < n_counters; i++)
		emit("count %zu %d %lu", i, counters[i].tid,
		     __atomic_load_n(&counters[i].value, __ATOMIC_RELAXED));
	for (size_t i = 0; i < N_RECEIVERS; i++)
		emit("count %s %d %" PRIu64, names[i], shared->receivers[i].tid,
		     __atomic_load_n(&shared->receivers[i].got, __ATOMIC_RELAXED));
}

static void start_receivers(void)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < N_RECEIVERS; i++) {
		sigaddset(&set, signal_of(i));
		sigaction(signal_of(i), &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < N_RECEIVERS; i++) {
		victim_thread(receive, (void *)(uintptr_t)i);
		while (!__atomic_load_n(&shared->receivers[i].tid, __ATOMIC_ACQUIRE))
			msleep(1);
		emit("receiver %s %d", names[i], shared->receivers[i].tid);
	}
}

static void start_sender(void)
{
	pid_t self_pid = getpid(), pid = fork();

	if (pid == 0)
		send_all(self_pid);
	if (pid < 0)
		die("fork");
	emit("sender %d", pid);
}

static void touch_memory(size_t len)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	fill(p, len, 1);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		n_counters = (size_t)atol(argv[1]);
	if (n_counters > MAX_THREADS)
		n_counters = MAX_THREADS;
	victim_begin();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		die("mmap");
	if (argc > 2)
		touch_memory((size_t)atol(argv[2]) << 20);
	start_receivers();
	for (size_t i = 0; i < n_counters; i++) {
		victim_thread(count, &counters[i]);
		while (!__atomic_load_n(&counters[i].tid, __ATOMIC_ACQUIRE))
			msleep(1);
	}
	start_sender();
	victim_serve(answer);
}
