/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asks the kernel of every process whether it has the target's memory. Runs before the freeze. */
#include "sharers.h"

#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "err.h"

struct search {
	const struct lc_target *target;
	pid_t tid;
	struct lc_sharers *found;
};

static int look_at(void *arg, pid_t pid)
{
	struct search *search = arg;
	struct lc_sharers *found = search->found;
	struct lc_sharer sharer = {.pid = pid};
	struct lc_stat st;
	char path[24];

	if (pid == search->target->id.pid ||
	    syscall(SYS_kcmp, search->tid, pid, KCMP_VM, 0, 0) != 0)
		return 0;
	snprintf(path, sizeof(path), "%d/stat", pid);
	if (lc_procfs_stat(search->target->procfd, path, &st) < 0)
		return 0;
	memcpy(sharer.comm, st.comm, sizeof(sharer.comm));
	if (lc_grow((void **)&found->v, &found->cap, found->n, sizeof(*found->v)) < 0)
		return -ENOMEM;
	found->v[found->n++] = sharer;
	return 0;
}

int lc_sharers_find(const struct lc_target *target, pid_t tid, struct lc_sharers *ret_sharers)
{
	struct search search = {.target = target, .tid = tid, .found = ret_sharers};

	return lc_procfs_each_pid(target->procfd, ".", look_at, &search) == -ENOMEM ? -ENOMEM : 0;
}

void lc_sharers_free(struct lc_sharers *sharers)
{
	free(sharers->v);
	*sharers = (struct lc_sharers){0};
}
