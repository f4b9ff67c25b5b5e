/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stop-and-copy: the target stands still until the last byte was read, and most of it written. */
#include "capture.h"

const struct lc_strategy lc_strategy_off = {.snapshot = LC_SNAPSHOT_OFF};
