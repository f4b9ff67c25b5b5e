/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes of a target: process_vm_readv(2), then /proc/PID/mem. */
#ifndef LC_MEMSRC_H
#define LC_MEMSRC_H

#include <sys/uio.h>

#include "livecore.h"

/* Remote ranges that one call takes: UIO_MAXIOV */
#define LC_MEMSRC_MAX_RANGES 1024

struct lc_memsrc {
	pid_t tid;  /* any living thread */
	int memfd;  /* /proc/PID/mem */
	bool no_vm; /* process_vm_readv is denied (seccomp) or absent */
};

/* `taskfd` is the directory of that thread; `for_caller` is the request's. Returns 0, or -errno if
 * neither way is open. */
LC_MUST_CHECK int lc_memsrc_open(struct lc_memsrc *src, pid_t tid, int taskfd, bool for_caller);
void lc_memsrc_close(struct lc_memsrc *src);

/*
 * Reads `n` ranges of the target, one after the other, into `buf`. Returns the number of bytes that
 * were read before the first byte that could not be (all, if none), or -ESRCH if the process is
 * gone. Safe to call from several threads.
 */
LC_MUST_CHECK ssize_t lc_memsrc_read(const struct lc_memsrc *src, const struct iovec *ranges,
				     size_t n, void *buf);

/* Reads through /proc/PID/mem, which also reads what the target itself may not: PROT_NONE,
 * write-only and exec-only mappings. Same result. */
LC_MUST_CHECK ssize_t lc_memsrc_read_forced(const struct lc_memsrc *src, uint64_t addr, size_t len,
					    void *buf);

/* True if the memory that was opened is nobody's any more: the process has ended or executed
 * another program, perhaps the same one at the same addresses. */
bool lc_memsrc_is_stale(const struct lc_memsrc *src);

#endif
