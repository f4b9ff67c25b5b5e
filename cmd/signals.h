/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Signals: the abort flag, and dying of the signal that set it. */
#ifndef CMD_SIGNALS_H
#define CMD_SIGNALS_H

#include <signal.h>

/*
 * Catches SIGINT, SIGTERM and SIGHUP (where they are not ignored, as nohup does), and ignores
 * SIGPIPE and SIGXFSZ, so that these come back as errors of write(2).
 */
void signals_catch(void);

/* 0, or the number of the signal that asked to stop. */
const volatile sig_atomic_t *signals_abort_flag(void);

/*
 * Between these, Ctrl-Z and the terminal's signals for background jobs do not stop livecore: the
 * process that it holds would stay stopped with it. They take effect afterwards.
 */
void signals_hold_stops(sigset_t *ret_old);
void signals_let_stops(const sigset_t *old);

/* If a signal asked to stop: dies of it, so that whoever waits for livecore sees that. */
void signals_reraise(void);

#endif
