/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What livecore was given beyond its caller, by a set-uid bit or by file capabilities. */
#ifndef CMD_PRIVILEGE_H
#define CMD_PRIVILEGE_H

#include <stdbool.h>

/*
 * Gives it up, for good; to be called before anything else. Afterwards the ids are the caller's,
 * and nothing but CAP_SYS_PTRACE of file capabilities is left: permitted, so that the engine can
 * raise it, and not in effect. *ret_for_caller is true if it is left. What the caller has itself
 * (root, ambient capabilities) stays. Returns 0 or -errno, upon which livecore must not go on.
 */
__attribute__((warn_unused_result)) int privilege_drop(bool *ret_for_caller);

#endif
