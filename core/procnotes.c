/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the kernel's fill_note_info() (fs/binfmt_elf.c) takes from a task, taken from outside. What
 * does not change by itself is read before the freeze, the rest inside it with as few system calls
 * per thread as there can be.
 */
#include "procnotes.h"

#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>

#include "err.h"
#include "pending.h"
#include "stuck.h"

#ifndef PTRACE_GETSIGMASK
#define PTRACE_GETSIGMASK 0x420a
#endif

#define DEFAULT_FILTER 0x33 /* MMF_DUMP_FILTER_DEFAULT, include/linux/mm_types.h */

/* ---- before the freeze -------------------------------------------------------------------- */

/* The first 79 bytes of the arguments, NULs as spaces: fill_psinfo(). Returns 0 or -errno. */
static int read_psargs(int taskfd, char psargs[80])
{
	int fd = openat(taskfd, "cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, psargs, 79);
	int r = n < 0 ? -errno : 0;

	lc_close(&fd);
	for (ssize_t i = 0; i < n; i++)
		if (psargs[i] == '\0')
			psargs[i] = ' ';
	return r;
}

static bool is_local(int taskfd, const struct lc_mounts *mounts)
{
	struct statx stx;

	return statx(taskfd, "exe", AT_STATX_DONT_SYNC, STATX_INO, &stx) == 0 &&
	       lc_mounts_is_local(mounts, stx.stx_dev_major, stx.stx_dev_minor);
}

/* e_flags and the architecture are the executable's own; libelf reads its header. Where it is not
 * read, the registers tell the architecture. */
static void read_executable(int taskfd, const struct lc_mounts *mounts, struct lc_procinfo *info)
{
	int fd = -1;
	GElf_Ehdr ehdr;
	Elf *elf;

	if (is_local(taskfd, mounts))
		fd = openat(taskfd, "exe", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (elf && gelf_getehdr(elf, &ehdr)) {
		info->e_flags = ehdr.e_flags;
		info->arch = lc_arch_find(ehdr.e_machine, ehdr.e_ident[EI_CLASS]);
	}
	elf_end(elf);
	close(fd);
}

#define OVERFLOW_ID                                                                                \
	65534 /* of what has no number there: DEFAULT_OVERFLOWUID, include/linux/highuid.h */

/* Lines "inside outside count"; "outside" is as we see it, unless the namespace is our own. */
static uint32_t id_inside(const char *map, uint32_t id)
{
	unsigned long inside, outside, count;
	int len;

	for (; sscanf(map, "%lu %lu %lu%n", &inside, &outside, &count, &len) == 3; map += len)
		if (id >= outside && id - outside < count)
			return (uint32_t)(inside + (id - outside));
	return OVERFLOW_ID;
}

static void see_id_as_target(const struct lc_target *target, const char *map_name, uint32_t *id)
{
	struct lc_text map = {0};

	if (lc_procfs_read(target->dirfd, map_name, &map) == 0)
		*id = id_inside(map.data, *id);
	lc_text_free(&map);
}

/* from_kuid_munged() in fill_psinfo(). */
static void see_ids_as_target(const struct lc_target *target, struct lc_procinfo *info)
{
	char *ours = NULL, *theirs = NULL;

	if (lc_procfs_readlink(target->procfd, "self/ns/user", &ours) == 0 &&
	    lc_procfs_readlink(target->dirfd, "ns/user", &theirs) == 0 &&
	    strcmp(ours, theirs) != 0) {
		see_id_as_target(target, "uid_map", &info->status.uid[0]);
		see_id_as_target(target, "gid_map", &info->status.gid[0]);
	}
	free(ours);
	free(theirs);
}

/*
 * The IDs are those which the process itself sees, as in the kernel's core (task_pid_vnr() in
 * fill_prstatus()): they are what its memory speaks of, owners of mutexes for one. The parent is
 * in the same PID namespace or in one above, where its child cannot see it: 0.
 */
static void see_as_target(const struct lc_target *target, struct lc_procinfo *info)
{
	struct lc_status parent = {0};
	char path[32];

	if (info->status.n_ns <= 1)
		return;
	snprintf(path, sizeof(path), "%d/status", info->stat.ppid);
	if (lc_procfs_status(target->procfd, path, &parent) < 0 || parent.n_ns != info->status.n_ns)
		parent.ns_pid = 0;
	info->stat.ppid = parent.ns_pid;
	info->stat.pgrp = info->status.ns_pgrp;
	info->stat.sid = info->status.ns_sid;
}

int lc_procinfo_read(const struct lc_target *target, int taskfd, const struct lc_mounts *mounts,
		     struct lc_procinfo *info, struct lc_err *err)
{
	uint64_t filter;
	int r;

	r = lc_procfs_stat(target->dirfd, "stat", &info->stat);
	if (r == 0)
		r = lc_procfs_status(target->dirfd, "status", &info->status);
	if (r < 0)
		return lc_target_check_alive(target, err) < 0
			       ? -ESRCH
			       : lc_err_set(err, -r, LC_STAGE_TARGET, "cannot read /proc/%d: %s",
					    target->id.pid, strerror(-r));
	see_as_target(target, info);
	see_ids_as_target(target, info);
	r = lc_procfs_read(taskfd, "auxv", &info->auxv);
	if (r == -EACCES || r == -EPERM)
		return lc_target_why_denied(target, EPERM, 0, 0, err);
	if (r < 0)
		return lc_err_set(err, -r, LC_STAGE_TARGET, "cannot read /proc/%d/auxv: %s",
				  target->id.pid, strerror(-r));
	/* empty where the leader has exited; there the default must do */
	r = lc_procfs_hex(target->dirfd, "coredump_filter", &filter);
	info->filter = r == 0 ? (uint32_t)filter : DEFAULT_FILTER;
	info->psargs_code = -read_psargs(taskfd, info->psargs);
	read_executable(taskfd, mounts, info);
	return 0;
}

void lc_procinfo_free(struct lc_procinfo *info)
{
	lc_text_free(&info->auxv);
}

/* ---- the process -------------------------------------------------------------------------- */

static struct elfw_timeval ticks_to_timeval(uint64_t ticks)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);

	return (struct elfw_timeval){.sec = (int64_t)(ticks / hz),
				     .usec = (int64_t)(ticks % hz * 1000000 / hz)};
}

/* The index of pr_state goes by the bit of task->__state: R none, S 1, D 2, T 4. */
static uint8_t state_index(char state)
{
	const char *const order = "RSDTZ";
	const char *at = strchr(order, state == 't' ? 'T' : state);

	return at && *at ? (uint8_t)(at - order) : 0;
}

static int add_psinfo(const struct lc_note_inputs *in, struct elfw_notes *notes,
		      struct lc_losses *losses)
{
	const struct lc_stat *st = &in->info->stat;
	uint8_t state = state_index(st->state);
	struct elfw_prpsinfo ps = {
		.state = state,
		.sname = "RSDTZ"[state],
		.zomb = st->state == 'Z',
		.nice = (int8_t)st->nice,
		.flag = st->flags,
		.uid = in->info->status.uid[0],
		.gid = in->info->status.gid[0],
		.pid = in->target->id.ns_pid,
		.ppid = st->ppid,
		.pgrp = st->pgrp,
		.sid = st->sid,
	};

	memcpy(ps.fname, st->comm, sizeof(ps.fname)); /* zero beyond its end */
	memcpy(ps.psargs, in->info->psargs, sizeof(ps.psargs));
	if (in->info->psargs_code)
		lc_losses_add(losses, LC_LOSS_INFO, 0, 0, 0, in->info->psargs_code,
			      "the arguments: cmdline: %s", strerror(in->info->psargs_code));
	return elfw_notes_add_prpsinfo(notes, &ps);
}

static int add_siginfo(const struct lc_thread *t, bool always, struct elfw_notes *notes,
		       struct lc_losses *losses)
{
	_Alignas(siginfo_t) uint8_t info[sizeof(siginfo_t)] = {0};

	/* Only a thread that is about to take a signal has one; the trap of our own is no truth
	 * about the process, and it was not killed: signal 0. */
	if (t->signal && ptrace(PTRACE_GETSIGINFO, t->tid, NULL, info) < 0)
		lc_losses_add(losses, LC_LOSS_INFO, t->tid, 0, 0, errno, "siginfo of signal %d: %s",
			      t->signal, strerror(errno));
	if (t->signal || always)
		return elfw_notes_add_siginfo(notes, info);
	return 0;
}

/* A growing list of what NT_FILE names. */
struct file_list {
	struct elfw_file_mapping *v;
	size_t n, cap;
};

static int list_file(struct file_list *list, const struct lc_vma *vma, uint64_t start, uint64_t end)
{
	int r;

	if (start >= end)
		return 0;
	r = lc_grow((void **)&list->v, &list->cap, list->n, sizeof(*list->v));
	if (r < 0)
		return r;
	list->v[list->n++] =
		(struct elfw_file_mapping){.start = start,
					   .end = end,
					   .offset = vma->offset + (start - vma->start),
					   .name = vma->name};
	return 0;
}

/* The parts of a mapping that are not in `unread`, of which those before *at are behind it. */
static int list_readable(struct file_list *list, const struct lc_vma *vma,
			 const struct lc_range *unread, size_t n_unread, size_t *at)
{
	uint64_t from = vma->start;

	while (*at < n_unread && unread[*at].end <= vma->start)
		++*at;
	for (size_t i = *at; i < n_unread && unread[i].start < vma->end; i++) {
		int r = list_file(list, vma, from, unread[i].start);

		if (r < 0)
			return r;
		from = unread[i].end;
	}
	return list_file(list, vma, from, vma->end);
}

int lc_notes_set_files(const struct lc_note_inputs *in, const struct lc_range *unread,
		       size_t n_unread, struct elfw_notes *parts)
{
	struct elfw_notes *notes = &parts[LC_NOTES_FILE];
	struct file_list list = {0};
	size_t at = 0;
	int r = 0;

	notes->len = 0;
	for (size_t i = 0; r == 0 && i < in->vmas->n; i++)
		if (lc_vma_has_file(&in->vmas->v[i]) && !in->verdicts[i].misleading)
			r = list_readable(&list, &in->vmas->v[i], unread, n_unread, &at);
	if (r == 0)
		r = elfw_notes_add_files(notes, list.v, list.n, in->page_size);
	free(list.v);
	return r;
}

static int add_process_notes(const struct lc_note_inputs *in, const struct lc_thread *first,
			     struct elfw_notes *notes, struct lc_losses *losses)
{
	int r = add_psinfo(in, notes, losses);

	if (r == 0)
		r = add_siginfo(first, true, notes, losses);
	if (r == 0)
		r = elfw_notes_add(notes, "CORE", NT_AUXV, in->info->auxv.data, in->info->auxv.len);
	return r;
}

/* ---- threads ------------------------------------------------------------------------------ */

/*
 * The thread's own pending signals. Reading its status costs ten times as much as asking for its
 * queue, which tells nearly always that there is none; only where the user's limit of queued
 * signals is reached can a signal pend without an entry.
 */
static void read_pending(const struct lc_note_inputs *in, const struct lc_thread *t,
			 struct elfw_prstatus *p)
{
	struct lc_status status;
	char path[40];

	if (t->signal > 0 && t->signal <= 64)
		p->sigpend |= UINT64_C(1) << (t->signal - 1);
	if (in->info->status.sig_queued < in->info->status.sig_limit &&
	    lc_pending_queued(t->tid) == 0)
		return;
	snprintf(path, sizeof(path), "task/%d/status", t->tid);
	if (lc_procfs_status(in->target->dirfd, path, &status) == 0)
		p->sigpend |= status.sigpnd;
}

static void read_masks(const struct lc_note_inputs *in, const struct lc_thread *t,
		       struct elfw_prstatus *p)
{
	struct lc_status status;
	char path[40];

	if (t->state == LC_THREAD_STOPPED) {
		ptrace(PTRACE_GETSIGMASK, t->tid, (void *)sizeof(p->sighold), &p->sighold);
		read_pending(in, t, p);
		return;
	}
	snprintf(path, sizeof(path), "task/%d/status", t->tid);
	if (lc_procfs_status(in->target->dirfd, path, &status) == 0) {
		p->sigpend = status.sigpnd;
		p->sighold = status.sigblk;
	}
}

/* Into `regs`, which has the size of row 0: as the kernel had them when the thread stopped, or what
 * is known. */
static void take_general_registers(const struct lc_note_inputs *in, const struct lc_thread *t,
				   uint8_t *regs, struct lc_losses *losses)
{
	size_t size = in->arch->rows[0].size;

	if (t->state == LC_THREAD_STUCK) {
		lc_stuck_read(in->target, in->arch, t, regs, losses);
	} else if (t->state == LC_THREAD_WORKER) {
		memset(regs, 0, size);
	} else if (t->regs_len == size) {
		memcpy(regs, t->regs, size);
	} else {
		memset(regs, 0, size);
		lc_losses_add(losses, LC_LOSS_REGISTERS, t->tid, 0, 0, 0,
			      "general registers: %zu bytes where %s has %zu", t->regs_len,
			      in->arch->name, size);
	}
}

static int add_prstatus(const struct lc_note_inputs *in, const struct lc_thread *t,
			struct elfw_notes *notes, struct lc_losses *losses)
{
	const struct lc_stat *process = &in->info->stat;
	bool leader = t->tid == in->target->id.pid;
	uint8_t regs[LC_GENERAL_REGS_MAX];
	struct elfw_prstatus p = {
		.pid = t->ns_tid,
		.ppid = process->ppid,
		.pgrp = process->pgrp,
		.sid = process->sid,
		/* the leader's are those of the whole process, as the kernel has it */
		.utime = ticks_to_timeval(leader ? process->utime : t->stat.utime),
		.stime = ticks_to_timeval(leader ? process->stime : t->stat.stime),
		.cutime = ticks_to_timeval(process->cutime),
		.cstime = ticks_to_timeval(process->cstime),
		.fpvalid = t->state == LC_THREAD_STOPPED,
	};

	read_masks(in, t, &p);
	take_general_registers(in, t, regs, losses);
	return elfw_notes_add_prstatus(notes, &p, regs, in->arch->rows[0].size);
}

static int add_registers(const struct lc_note_inputs *in, const struct lc_thread *t,
			 struct lc_regbuf *buf, struct elfw_notes *notes, struct lc_losses *losses)
{
	if (t->state == LC_THREAD_STUCK || t->state == LC_THREAD_WORKER)
		return 0;
	if (!lc_is_past(in->deadline_ns))
		return lc_regset_add_notes(t->tid, in->arch, buf, notes, losses);
	lc_losses_add(losses, LC_LOSS_REGISTERS, t->tid, 0, 0, ETIMEDOUT,
		      "all but the general registers: not read in time");
	return 0;
}

int lc_notes_add_threads(const struct lc_note_inputs *in, struct lc_regbuf *buf,
			 struct elfw_notes *parts, struct lc_losses *losses)
{
	struct elfw_notes *tail = &parts[LC_NOTES_TAIL];
	bool first = true;

	for (size_t i = 0; i < in->threads->n; i++) {
		const struct lc_thread *t = &in->threads->v[i];
		struct elfw_notes *notes = first ? &parts[LC_NOTES_HEAD] : tail;
		int r;

		if (!lc_thread_is_dumped(t))
			continue;
		r = add_prstatus(in, t, notes, losses);
		if (r == 0 && first)
			r = add_process_notes(in, t, notes, losses);
		if (r == 0)
			r = add_registers(in, t, buf, tail, losses);
		if (r == 0 && !first)
			r = add_siginfo(t, false, tail, losses);
		if (r < 0)
			return r;
		first = false;
	}
	return 0;
}

static size_t row_size(const struct lc_regset_row *row)
{
	uint32_t measured = row->measure ? row->measure() : 0;

	if (row->need == LC_REGSET_RARE)
		return 0;
	/* Nhdr and a name of up to 8 bytes before it */
	return 20 + (measured ? measured : row->size);
}

size_t lc_notes_estimate(const struct lc_arch *arch, size_t n_threads, const struct lc_vmas *vmas,
			 size_t auxv_len)
{
	/* pr_reg's own note has the rest of struct elf_prstatus around it */
	size_t long_size = elfw_long_size(&arch->abi);
	size_t per_thread = long_size == 8 ? 120 : 76;
	size_t files = 2 * long_size + 20, names = 0;

	for (size_t i = 0; i < arch->n_rows; i++)
		per_thread += row_size(&arch->rows[i]);
	for (size_t i = 0; i < vmas->n; i++) {
		if (!lc_vma_has_file(&vmas->v[i]))
			continue;
		files += 3 * long_size;
		names += strlen(vmas->v[i].name) + 1;
	}
	/* PRPSINFO, SIGINFO and what the architecture adds */
	return n_threads * per_thread + files + (names + 3) / 4 * 4 + 20 + auxv_len + 400 +
	       (arch->add_extra_notes ? 256 : 0);
}
