/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What --json prints: one object on one line for each process, in plain ASCII. */
#ifndef CMD_JSON_H
#define CMD_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include "../core/livecore.h"

struct outcome;

/* False where livecore was built without json-c: the others then print nothing. */
bool json_is_available(void);

void json_put_outcome(FILE *out, const struct outcome *outcome);
void json_put_preview(FILE *out, const struct outcome *outcome, const struct lc_preview *preview);

#endif
