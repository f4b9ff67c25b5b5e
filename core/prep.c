/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What can be done while the target runs is done here: opening files, looking up threads, smaps,
 * allocation, starting threads.
 */
#include "prep.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "caller.h"
#include "err.h"

struct pick {
	const struct lc_target *target;
	pid_t tid;
};

static int pick_living(void *arg, pid_t tid)
{
	struct pick *pick = arg;
	struct lc_stat st;
	char path[40];

	snprintf(path, sizeof(path), "task/%d/stat", tid);
	if (lc_procfs_stat(pick->target->dirfd, path, &st) < 0 || st.state == 'Z' ||
	    st.state == 'X')
		return 0;
	pick->tid = tid;
	return 1;
}

int lc_prep_open_task(const struct lc_target *target, pid_t tid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "task/%d", tid);
	fd = openat(target->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Memory is reached through a thread that lives: a leader that has exited has none. */
static int open_living_task(struct lc_prep *p, struct lc_err *err)
{
	struct pick pick = {.target = p->target};

	/* again where the thread that was picked exits at once */
	for (int tries = 0; tries < 100; tries++) {
		if (lc_procfs_each_pid(p->target->dirfd, "task", pick_living, &pick) <= 0)
			break;
		p->taskfd = lc_prep_open_task(p->target, pick.tid);
		if (p->taskfd >= 0) {
			p->info.tid = pick.tid;
			return 0;
		}
	}
	p->taskfd = -1;
	if (lc_target_check_alive(p->target, err) < 0)
		return -ESRCH;
	return lc_err_set(err, ESRCH, LC_STAGE_TARGET, "process %d has no living thread",
			  p->target->id.pid);
}

static int open_memory(struct lc_prep *p, struct lc_err *err)
{
	int r = lc_memsrc_open(&p->memsrc, p->info.tid, p->taskfd, p->request->for_caller);

	if (r == -EPERM || r == -EACCES)
		return lc_target_why_denied(p->target, EPERM, 0, 0, err);
	if (r < 0)
		return lc_err_set(err, -r, LC_STAGE_TARGET, "cannot open /proc/%d/mem: %s",
				  p->target->id.pid, strerror(-r));
	r = lc_pagemap_open(&p->pagemap, p->taskfd, p->page_size);
	if (r == -EPERM || r == -EACCES)
		return lc_target_why_denied(p->target, EPERM, 0, 0, err);
	if (r < 0)
		return lc_err_set(err, -r, LC_STAGE_TARGET, "cannot open /proc/%d/pagemap: %s",
				  p->target->id.pid, strerror(-r));
	return 0;
}

void lc_prep_init(struct lc_prep *p, const struct lc_target *target,
		  const struct lc_request *request)
{
	*p = (struct lc_prep){
		.target = target,
		.request = request,
		.taskfd = -1,
		.page_size = (uint64_t)sysconf(_SC_PAGESIZE),
		.pagemap.fd = -1,
		.memsrc.memfd = -1,
		.file = LC_MAPFILE_INIT(target, &p->mounts),
	};
}

void lc_prep_free(struct lc_prep *p)
{
	lc_team_end(p->team);
	for (size_t i = 0; i < LC_NOTES_N_PARTS; i++)
		elfw_notes_free(&p->notes[i]);
	lc_regbuf_free(&p->regbuf);
	lc_mapfile_free(&p->file);
	lc_mounts_free(&p->mounts);
	lc_header_memo_free(&p->headers);
	lc_memsrc_close(&p->memsrc);
	lc_pagemap_close(&p->pagemap);
	lc_vma_hints_free(&p->hints);
	lc_procinfo_free(&p->info);
	lc_close(&p->taskfd);
}

/* Page tables of 1 MiB are those of half a GiB in small pages. */
#define LARGE_KIB 1024

bool lc_prep_is_large(const struct lc_prep *p)
{
	return p->info.status.vm_pte >= LARGE_KIB;
}

static int read_hints(struct lc_prep *p, struct lc_err *err)
{
	int r = lc_vma_hints_read(p->taskfd, lc_prep_is_large(p), 0, &p->hints);

	if (r == -EACCES || r == -EPERM)
		return lc_target_why_denied(p->target, -r, 0, 0, err);
	if (r < 0 && r != -ENOENT)
		return lc_err_set(err, -r, LC_STAGE_TARGET, "cannot read /proc/%d/smaps: %s",
				  p->target->id.pid, strerror(-r));
	if (p->hints.has_aio_ring && lc_mounts_add_aio(&p->mounts) < 0)
		return lc_err_set(err, ENOMEM, LC_STAGE_TARGET, "out of memory");
	return 0;
}

int lc_prep_open(struct lc_prep *p, struct lc_err *err)
{
	int r = lc_caller_check(p->target, p->request->for_caller, err);

	if (r == 0)
		r = open_living_task(p, err);
	if (r == 0 && lc_mounts_read(p->target, &p->mounts) < 0)
		r = lc_err_set(err, ENOMEM, LC_STAGE_TARGET, "out of memory");
	if (r == 0)
		r = lc_procinfo_read(p->target, p->taskfd, &p->mounts, &p->info, err);
	if (r == 0)
		r = open_memory(p, err);
	if (r < 0)
		return r;
	lc_mapfile_open_root(&p->file);
	return read_hints(p, err);
}

int lc_prep_reserve(struct lc_prep *p, const struct lc_arch *arch, size_t note_len,
		    uint64_t data_bytes, const struct elfw_sink *sink, struct lc_err *err)
{
	int r;

	for (size_t i = 0; i < LC_NOTES_N_PARTS; i++)
		p->notes[i] = ELFW_NOTES_INIT(&arch->abi);
	r = elfw_notes_reserve(&p->notes[LC_NOTES_HEAD], 4096 + p->info.auxv.len);
	if (r == 0)
		r = elfw_notes_reserve(&p->notes[LC_NOTES_TAIL], note_len + note_len / 8 + 16384);
	/* CPUID is slow in a virtual machine */
	if (r == 0 && arch->add_extra_notes)
		r = arch->add_extra_notes(&p->notes[LC_NOTES_EXTRA]);
	if (r == 0)
		r = lc_regbuf_reserve(&p->regbuf, 16384);
	if (r == 0)
		r = lc_team_start(sink, data_bytes, &p->team);
	lc_pieces_find_own_vdso(&p->pieces);
	return r < 0 ? lc_err_set(err, -r, LC_STAGE_OUTPUT, "out of memory") : 0;
}
