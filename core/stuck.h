/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What can be had of a thread that does not stop: it sleeps in D state, in vfork(2) for example. */
#ifndef LC_STUCK_H
#define LC_STUCK_H

#include "arch/arch.h"
#include "target.h"
#include "threads.h"

/*
 * The general registers as far as /proc tells them: program counter, stack pointer, number and
 * arguments of the system call; the others are zero. `regs` has the size of the table's row 0. What
 * is missing, and the thread's state, name and wait channel, are a loss in every case.
 */
void lc_stuck_read(const struct lc_target *target, const struct lc_arch *arch,
		   const struct lc_thread *thread, uint8_t *regs, struct lc_losses *losses);

#endif
