/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Signals that wait: queued real-time signals with payloads, standard ones for the process and for
 * one thread, all blocked.
 *
 *   victim_signals [N]                so many of each queued kind (3)
 *   worker TID                        the thread that has some of its own
 *   answer to "take"                  got WHO SIGNAL PAYLOAD, in the order of delivery
 *   answer to "handled"               handled N: how often the handler of SIGUSR1 ran
 */
#include "victim.h"

static pid_t worker_tid;
static int take_pipe[2], done_pipe[2];
static volatile sig_atomic_t n_handled;

static void handler(int sig)
{
	(void)sig;
	n_handled++;
}

static sigset_t blocked(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
		sigaddset(&set, sig);
	return set;
}

static void take(const char *who)
{
	sigset_t set = blocked();
	const struct timespec now = {0};
	siginfo_t info;

	while (sigtimedwait(&set, &info, &now) > 0)
		emit("got %s %d %d", who, info.si_signo,
		     info.si_code == SI_QUEUE ? info.si_value.sival_int : 0);
}

static void *worker(void *arg)
{
	char byte;

	(void)arg;
	prctl(PR_SET_NAME, "worker");
	__atomic_store_n(&worker_tid, victim_tid(), __ATOMIC_RELEASE);
	while (read(take_pipe[0], &byte, 1) == 1) {
		take("worker");
		if (write(done_pipe[1], &byte, 1) != 1)
			break;
	}
	emit("read failed %d", errno);
	return NULL;
}

static void queue_thread(pid_t tid, int sig, int payload)
{
	siginfo_t info = {.si_signo = sig, .si_code = SI_QUEUE};

	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = payload;
	if (syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, sig, &info))
		die("rt_tgsigqueueinfo");
}

static void answer(const char *question)
{
	char byte = 'x';

	if (strcmp(question, "handled") == 0) {
		emit("handled %d", (int)n_handled);
		return;
	}
	if (write(take_pipe[1], &byte, 1) != 1 || read(done_pipe[0], &byte, 1) != 1)
		die("worker");
	take("main");
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 3;
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
	sigset_t set = blocked();

	victim_begin();
	sigaction(SIGUSR1, &action, NULL);
	signal(SIGCHLD, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (pipe2(take_pipe, O_CLOEXEC) || pipe2(done_pipe, O_CLOEXEC))
		die("pipe2");
	victim_thread(worker, NULL);
	while (!__atomic_load_n(&worker_tid, __ATOMIC_ACQUIRE))
		msleep(1);
	emit("worker %d", worker_tid);
	for (int i = 1; i <= n; i++) {
		if (sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 100 + i}))
			die("sigqueue");
		queue_thread(worker_tid, SIGRTMIN + 2, 200 + i);
	}
	sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 300});
	kill(getpid(), SIGTERM);
	syscall(SYS_tgkill, getpid(), worker_tid, SIGUSR2);
	victim_serve(answer);
}
