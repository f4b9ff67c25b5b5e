/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every thread is interrupted each 200 us by a timer of its own, and knows how often that must have
 * been: a timer's signal that is lost, one that comes twice, a call that returns EINTR without a
 * handler and a sum that comes out wrong are all told. A setitimer() of 200 us interrupts the
 * process besides.
 *
 *   answer to "check": thread NAME HANDLED EXPIRIES MISSING LEAKS WRONG, for each
 *     HANDLED   how often the handler ran
 *     EXPIRIES  the same with the overruns that it was told of
 *     MISSING   how many there should have been besides, at the handler that came to it soonest
 *     LEAKS     calls that were interrupted by no handler
 *     WRONG     sums that came out wrong, sleeps that were too short, handlers not on their stack
 *   answer to anything else: count NAME 0 HANDLED for each
 */
#include <sys/epoll.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#include "victim.h"

#define INTERVAL_NS 200000
#define STACK_SIZE  65536

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct thread {
	const char *name;
	void (*run)(struct thread *);
	bool restarts; /* SA_RESTART */
	uint64_t began_ns;
	counter_t handled, expiries, leaks, wrong;
	int64_t missing;
	bool settling; /* look for the least that is missing */
	char *stack;
};

static __thread struct thread *self;
static counter_t n_alarms;

static int signal_of(const struct thread *t)
{
	return SIGRTMIN + (t->restarts ? 5 : 6);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* By how much they lag behind: who is not on a processor now comes late, but not always. */
static void note_missing(struct thread *t)
{
	int64_t due = (int64_t)((now_ns() - t->began_ns) / INTERVAL_NS);
	int64_t missing = due - (int64_t)t->expiries;

	if (__atomic_load_n(&t->settling, __ATOMIC_ACQUIRE) && missing < t->missing)
		__atomic_store_n(&t->missing, missing, __ATOMIC_RELEASE);
}

static void handler(int sig, siginfo_t *info, void *context)
{
	struct thread *t = self;
	char here;

	(void)context;
	t->expiries += 1 + (uint64_t)info->si_overrun;
	if (&here < t->stack || &here >= t->stack + STACK_SIZE || sig != signal_of(t))
		t->wrong++;
	note_missing(t);
	__atomic_fetch_add(&t->handled, 1, __ATOMIC_RELEASE);
}

static void on_alarm(int sig)
{
	(void)sig;
	__atomic_fetch_add(&n_alarms, 1, __ATOMIC_RELAXED);
}

static uint64_t handled(const struct thread *t)
{
	return __atomic_load_n(&t->handled, __ATOMIC_ACQUIRE);
}

/* Integers, SSE and x87, all of which a handler and a stop must leave alone. */
static uint64_t compute(void)
{
	uint64_t x = 88172645463325252U, bits;
	long double wide = 1;
	double sum = 0;

	for (int i = 0; i < 20000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		sum += (double)(x >> 11) * 0x1p-53;
		wide = wide * 1.0000001L + sum;
	}
	sum += (double)wide;
	memcpy(&bits, &sum, sizeof(bits));
	return x ^ bits;
}

static void run_compute(struct thread *t)
{
	static uint64_t right;

	if (!right)
		right = compute(); /* the first time, without a timer */
	else if (compute() != right)
		t->wrong++;
}

/* A call that returned -1 with EINTR while the handler had run `before` times. */
static void interrupted(struct thread *t, uint64_t before)
{
	if (errno != EINTR)
		t->wrong++;
	else if (handled(t) == before)
		t->leaks++;
}

static void run_pause(struct thread *t)
{
	uint64_t before = handled(t);

	pause();
	interrupted(t, before);
}

static int quiet_pipe(void)
{
	static int fds[2];

	if (!fds[1] && pipe2(fds, O_CLOEXEC))
		die("pipe2");
	return fds[0];
}

/* With SA_RESTART it never returns. */
static void run_read(struct thread *t)
{
	uint64_t before = handled(t);
	char byte;

	if (read(quiet_pipe(), &byte, 1) >= 0)
		t->wrong++;
	else if (t->restarts)
		t->leaks++;
	else
		interrupted(t, before);
}

static void run_epoll(struct thread *t)
{
	static int fd;
	struct epoll_event event;
	uint64_t before;

	if (!fd)
		fd = epoll_create1(EPOLL_CLOEXEC);
	before = handled(t);
	if (epoll_wait(fd, &event, 1, -1) >= 0)
		t->wrong++;
	else
		interrupted(t, before);
}

/* What is left is told rightly: the whole is not shorter than it was to be. */
static void run_nanosleep(struct thread *t)
{
	struct timespec left = {.tv_nsec = 3000000};
	uint64_t began = now_ns(), before = handled(t);

	while (nanosleep(&left, &left)) {
		interrupted(t, before);
		before = handled(t);
	}
	if (now_ns() - began < 3000000)
		t->wrong++;
}

static void run_timerfd(struct thread *t)
{
	const struct itimerspec times = {{0, INTERVAL_NS}, {0, INTERVAL_NS}};
	static int fd;
	uint64_t n;

	if (!fd) {
		fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
		t->began_ns = now_ns();
		timerfd_settime(fd, 0, &times, NULL);
	}
	if (read(fd, &n, sizeof(n)) != sizeof(n)) {
		t->leaks++;
		return;
	}
	t->expiries += n;
	__atomic_fetch_add(&t->handled, 1, __ATOMIC_RELEASE);
	note_missing(t);
}

static struct thread threads[] = {
	{.name = "compute", .run = run_compute, .restarts = true},
	{.name = "pause", .run = run_pause},
	{.name = "pause-restart", .run = run_pause, .restarts = true},
	{.name = "read", .run = run_read},
	{.name = "read-restart", .run = run_read, .restarts = true},
	{.name = "epoll-restart", .run = run_epoll, .restarts = true},
	{.name = "nanosleep", .run = run_nanosleep},
	{.name = "timerfd", .run = run_timerfd},
};

static void start_timer(struct thread *t)
{
	const struct itimerspec times = {{0, INTERVAL_NS}, {0, INTERVAL_NS}};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID};
	timer_t timer;

	event.sigev_signo = signal_of(t);
	event.sigev_notify_thread_id = victim_tid();
	if (timer_create(CLOCK_MONOTONIC, &event, &timer))
		die("timer_create");
	t->began_ns = now_ns();
	if (timer_settime(timer, 0, &times, NULL))
		die("timer_settime");
}

static void *start(void *arg)
{
	struct thread *t = arg;
	stack_t stack = {.ss_size = STACK_SIZE};
	sigset_t set;

	self = t;
	t->stack = stack.ss_sp = malloc(STACK_SIZE);
	sigaltstack(&stack, NULL);
	prctl(PR_SET_NAME, t->name);
	prctl(PR_SET_TIMERSLACK, 1);
	if (t->run == run_compute)
		t->run(t);
	if (t->run != run_timerfd) {
		start_timer(t);
		sigemptyset(&set);
		sigaddset(&set, signal_of(t));
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	}
	for (;;)
		t->run(t);
	return NULL;
}

static void check(void)
{
	uint64_t began = now_ns();
	bool again;

	for (size_t i = 0; i < N_ELEMENTS(threads); i++) {
		threads[i].missing = INT64_MAX;
		__atomic_store_n(&threads[i].settling, true, __ATOMIC_RELEASE);
	}
	/* a thousand of them; more where the machine is busy */
	do {
		msleep(50); /* which an alarm ends */
		again = false;
		for (size_t i = 0; i < N_ELEMENTS(threads); i++)
			again |= __atomic_load_n(&threads[i].missing, __ATOMIC_ACQUIRE) > 0;
	} while (now_ns() - began < 200000000U ||
		 (again && now_ns() - began < 10 * UINT64_C(1000000000)));
	for (size_t i = 0; i < N_ELEMENTS(threads); i++) {
		struct thread *t = &threads[i];

		__atomic_store_n(&t->settling, false, __ATOMIC_RELEASE);
		emit("thread %s %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRIu64 " %" PRIu64, t->name,
		     handled(t), t->expiries, t->missing, t->leaks, t->wrong);
	}
}

static void answer(const char *question)
{
	if (strcmp(question, "check") == 0) {
		check();
		return;
	}
	for (size_t i = 0; i < N_ELEMENTS(threads); i++)
		emit("count %s 0 %" PRIu64, threads[i].name, handled(&threads[i]));
	emit("count alarm 0 %" PRIu64, __atomic_load_n(&n_alarms, __ATOMIC_RELAXED));
}

int main(void)
{
	const struct itimerval every = {{0, INTERVAL_NS / 1000}, {0, INTERVAL_NS / 1000}};
	struct sigaction action = {.sa_sigaction = handler,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
	struct sigaction alarm_action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	sigset_t set;

	victim_begin();
	sigaction(SIGRTMIN + 5, &action, NULL);
	action.sa_flags &= ~SA_RESTART;
	sigaction(SIGRTMIN + 6, &action, NULL);
	sigaction(SIGALRM, &alarm_action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 5);
	sigaddset(&set, SIGRTMIN + 6);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < N_ELEMENTS(threads); i++)
		victim_thread(start, &threads[i]);
	/* the first thread, which reads questions, takes the alarms */
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	victim_serve(answer);
}
