/* SPDX-License-Identifier: GPL-3.0-or-later */
/* /proc/PID/stat: what is taken from it, printed as the kernel does, is the same again. */
#include <inttypes.h>

#include "../../core/procfs.h"
#include "fuzz.h"

/* The name is what is between the first and the last parenthesis, as far as it fits. */
static void check_name(const char *text, const struct lc_stat *st)
{
	const char *from = strchr(text, '('), *to = strrchr(text, ')');
	size_t len = strnlen(st->comm, sizeof(st->comm));

	must(len < sizeof(st->comm));
	must(from && to && from < to);
	must(len == (size_t)(to - from - 1) ||
	     (len == sizeof(st->comm) - 1 && len < (size_t)(to - from - 1)));
	must(memcmp(st->comm, from + 1, len) == 0);
}

static void check_again(const struct lc_stat *st)
{
	struct lc_stat again;
	char text[512];

	snprintf(text, sizeof(text),
		 "1 (%s) %c %d %d %d 0 -1 %" PRIu64 " 1 2 3 4 %" PRIu64 " %" PRIu64 " %" PRIu64
		 " %" PRIu64 " 20 %d 1 0 %" PRIu64 " 4096",
		 st->comm, st->state, st->ppid, st->pgrp, st->sid, st->flags, st->utime, st->stime,
		 st->cutime, st->cstime, st->nice, st->starttime);
	must(lc_procfs_parse_stat(text, &again) == 0);
	must(strcmp(again.comm, st->comm) == 0 && again.state == st->state);
	must(again.ppid == st->ppid && again.pgrp == st->pgrp && again.sid == st->sid);
	must(again.flags == st->flags && again.nice == st->nice);
	must(again.utime == st->utime && again.stime == st->stime);
	must(again.cutime == st->cutime && again.cstime == st->cstime);
	must(again.starttime == st->starttime);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lc_stat st;
	char *text = fuzz_text(data, size);

	memset(&st, 0xa5, sizeof(st));
	if (lc_procfs_parse_stat(text, &st) == 0) {
		check_name(text, &st);
		check_again(&st);
	}
	free(text);
	return 0;
}
