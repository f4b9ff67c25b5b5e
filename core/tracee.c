/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One stopped thread of ours: its memory, its registers, and its next stop. Runs inside the freeze.
 */
#include "tracee.h"

#include <elf.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "err.h"
#include "threads.h"

/* ---- memory and registers ----------------------------------------------------------------- */

static int poke_words(pid_t tid, uint64_t addr, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i += sizeof(long)) {
		long word;

		memcpy(&word, data + i, sizeof(word));
		if (ptrace(PTRACE_POKEDATA, tid, (void *)(uintptr_t)(addr + i),
			   (void *)(uintptr_t)word) < 0)
			return -errno;
	}
	return 0;
}

/* `len` is a multiple of a word. Where a filter of ours denies process_vm_writev(), ptrace(2) does.
 */
int lc_tracee_write(pid_t tid, uint64_t addr, const void *data, size_t len)
{
	struct iovec local = {(void *)(uintptr_t)data, len};
	struct iovec remote = {(void *)(uintptr_t)addr, len};

	if (process_vm_writev(tid, &local, 1, &remote, 1, 0) == (ssize_t)len)
		return 0;
	return poke_words(tid, addr, data, len);
}

int lc_tracee_read(pid_t tid, uint64_t addr, void *data, size_t len)
{
	struct iovec local = {data, len}, remote = {(void *)(uintptr_t)addr, len};

	if (process_vm_readv(tid, &local, 1, &remote, 1, 0) == (ssize_t)len)
		return 0;
	for (size_t i = 0; i < len; i += sizeof(long)) {
		size_t part = len - i < sizeof(long) ? len - i : sizeof(long);
		long word;

		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, tid, (void *)(uintptr_t)(addr + i), NULL);
		if (errno)
			return -errno;
		memcpy((uint8_t *)data + i, &word, part);
	}
	return 0;
}

int lc_tracee_get_regs(pid_t tid, uint8_t *regs, size_t *ret_len)
{
	struct iovec iov = {regs, LC_GENERAL_REGS_MAX};

	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &iov) < 0)
		return -errno;
	if (ret_len)
		*ret_len = iov.iov_len;
	return 0;
}

int lc_tracee_set_regs(pid_t tid, const uint8_t *regs, size_t len)
{
	struct iovec iov = {(void *)(uintptr_t)regs, len};

	return ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &iov) < 0 ? -errno : 0;
}

uint64_t lc_tracee_word(const uint8_t *regs, uint32_t off)
{
	uint64_t value;

	memcpy(&value, regs + off, sizeof(value));
	return value;
}

/* ---- signals and options ------------------------------------------------------------------ */

int lc_tracee_get_sigmask(pid_t tid, uint64_t *ret_mask)
{
	return ptrace(PTRACE_GETSIGMASK, tid, (void *)sizeof(*ret_mask), ret_mask) < 0 ? -errno : 0;
}

int lc_tracee_set_sigmask(pid_t tid, uint64_t mask)
{
	return ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof(mask), &mask) < 0 ? -errno : 0;
}

int lc_tracee_set_options(pid_t tid, long options)
{
	return ptrace(PTRACE_SETOPTIONS, tid, NULL, (void *)(uintptr_t)options) < 0 ? -errno : 0;
}

/* ---- stops -------------------------------------------------------------------------------- */

static bool is_fault(unsigned int stop)
{
	return stop == SIGSEGV || stop == SIGBUS || stop == SIGILL || stop == SIGFPE ||
	       stop == SIGTRAP || stop == SIGSYS;
}

int lc_tracee_wait(pid_t tid, uint64_t deadline_ns, unsigned int *ret_stop)
{
	for (unsigned int round = 0;; round++) {
		switch (lc_thread_look(tid, ret_stop)) {
		case LC_LOOK_STOPPED:
			return 0;
		case LC_LOOK_GONE:
			return -ESRCH;
		case LC_LOOK_NOTHING:
			break;
		}
		if (round >= 50 && lc_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		lc_thread_nap(round);
	}
}

int lc_tracee_resume(pid_t tid, int request, uint64_t deadline_ns, unsigned int *ret_stop)
{
	unsigned int signal = 0;

	for (;;) {
		int r;

		if (ptrace(request, tid, NULL, (void *)(uintptr_t)signal) < 0)
			return -errno;
		r = lc_tracee_wait(tid, deadline_ns, ret_stop);
		if (r < 0)
			return r;
		if (*ret_stop == LC_SYSCALL_STOP || *ret_stop >> 8)
			if ((*ret_stop & 0x7f) == SIGTRAP)
				return 0;
		if (is_fault(*ret_stop))
			return -EFAULT;
		signal = *ret_stop >> 8 ? 0 : *ret_stop;
	}
}
