/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Threads that do not stop, as /proc shows them. Runs inside the freeze. */
#include "stuck.h"

#include <stdio.h>
#include <string.h>

#include "err.h"

/* The values of /proc are long's; in a 32-bit task's registers the upper half has no place. */
static void put(const struct lc_arch *arch, uint8_t *regs, uint32_t off, uint64_t value)
{
	uint32_t narrow = (uint32_t)value;

	if (elfw_long_size(&arch->abi) == 8)
		memcpy(regs + off, &value, sizeof(value));
	else
		memcpy(regs + off, &narrow, sizeof(narrow));
}

static bool read_registers(const struct lc_target *target, const struct lc_arch *arch, pid_t tid,
			   uint8_t *regs)
{
	struct lc_syscall sc;
	char path[40];

	memset(regs, 0, arch->rows[0].size);
	snprintf(path, sizeof(path), "task/%d/syscall", tid);
	if (lc_procfs_syscall(target->dirfd, path, &sc) < 0)
		return false;
	put(arch, regs, arch->pc_off, sc.pc);
	put(arch, regs, arch->sp_off, sc.sp);
	put(arch, regs, arch->number_off, (uint64_t)sc.number);
	for (size_t i = 0; i < 6; i++)
		put(arch, regs, arch->arg_off[i], sc.args[i]);
	return true;
}

void lc_stuck_read(const struct lc_target *target, const struct lc_arch *arch,
		   const struct lc_thread *thread, uint8_t *regs, struct lc_losses *losses)
{
	bool some = read_registers(target, arch, thread->tid, regs);
	struct lc_text wchan = {0};
	struct lc_stat now;
	char path[40], failed[48] = "";
	bool known;

	snprintf(path, sizeof(path), "task/%d/stat", thread->tid);
	if (lc_procfs_stat(target->dirfd, path, &now) < 0)
		now = thread->stat;
	/* "0" where the kernel does not say */
	snprintf(path, sizeof(path), "task/%d/wchan", thread->tid);
	known = lc_procfs_read(target->dirfd, path, &wchan) == 0 && wchan.len > 1;
	if (thread->interrupt_code)
		snprintf(failed, sizeof(failed), ", PTRACE_INTERRUPT: %s",
			 strerror(thread->interrupt_code));
	lc_losses_add(losses, LC_LOSS_THREAD, thread->tid, 0, 0, ETIMEDOUT,
		      "%s did not stop in time (state %c%s%.40s%s): %s", now.comm, now.state,
		      known ? ", in " : "", known ? wchan.data : "", failed,
		      some ? "its registers are zero but for PC, SP and the system call's"
			   : "its registers are not known and zero");
	lc_text_free(&wchan);
}
