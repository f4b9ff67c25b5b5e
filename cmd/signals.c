/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Signals. The abort flag is the only state of livecore outside main(). */
#include <errno.h>
#include <stddef.h>
#include <sys/time.h>

#include "signals.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

#define KICK_US           50000

static volatile sig_atomic_t abort_signal;

static const int caught[] = {SIGINT, SIGTERM, SIGHUP};

/*
 * A signal that arrives after the flag was looked at, and before the system call that follows was
 * entered, interrupts nothing: a write to a pipe that nobody reads would sleep for ever with the
 * process stopped. So the first signal starts a timer that goes on interrupting. setitimer(2) is
 * not on POSIX's list for handlers; on Linux it is a system call and nothing else.
 */
static void on_abort(int signo)
{
	const struct itimerval kick = {
		.it_interval.tv_usec = KICK_US,
		.it_value.tv_usec = KICK_US,
	};

	int saved = errno;

	/* it may run in two threads at once */
	if (!__atomic_load_n(&abort_signal, __ATOMIC_RELAXED))
		__atomic_store_n(&abort_signal, signo, __ATOMIC_RELAXED);
	setitimer(ITIMER_REAL, &kick, NULL);
	errno = saved;
}

/* Being called is all it is for: without SA_RESTART, the system call returns EINTR. */
static void on_kick(int signo)
{
	(void)signo;
}

static void set_handler(int signo, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler};

	sigemptyset(&action.sa_mask);
	sigaction(signo, &action, NULL);
}

static void catch_unless_ignored(int signo)
{
	struct sigaction old;

	if (sigaction(signo, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
		return;
	set_handler(signo, on_abort);
}

void signals_catch(void)
{
	sigset_t kick;

	for (size_t i = 0; i < N_ELEMENTS(caught); i++)
		catch_unless_ignored(caught[i]);
	set_handler(SIGALRM, on_kick);
	/* The caller may have left it blocked, and then it would kick nobody. */
	sigemptyset(&kick);
	sigaddset(&kick, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &kick, NULL);
	set_handler(SIGPIPE, SIG_IGN);
	set_handler(SIGXFSZ, SIG_IGN);
}

const volatile sig_atomic_t *signals_abort_flag(void)
{
	return &abort_signal;
}

void signals_hold_stops(sigset_t *ret_old)
{
	sigset_t stops;

	sigemptyset(&stops);
	sigaddset(&stops, SIGTSTP);
	sigaddset(&stops, SIGTTIN);
	sigaddset(&stops, SIGTTOU);
	sigprocmask(SIG_BLOCK, &stops, ret_old);
}

void signals_let_stops(const sigset_t *old)
{
	sigprocmask(SIG_SETMASK, old, NULL);
}

static void stop_kicking(void)
{
	const struct itimerval never = {0};

	setitimer(ITIMER_REAL, &never, NULL);
}

void signals_reraise(void)
{
	if (!abort_signal)
		return;
	stop_kicking();
	set_handler(abort_signal, SIG_DFL);
	raise(abort_signal);
}
