/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Errors, losses and the helpers that every stage uses. Nothing here does input or output. */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int lc_err_set(struct lc_err *err, int code, enum lc_stage stage, const char *text, ...)
{
	va_list ap;

	if (!err)
		return -code;
	*err = (struct lc_err){.code = code, .stage = stage};
	va_start(ap, text);
	vsnprintf(err->text, sizeof(err->text), text, ap);
	va_end(ap);
	return -code;
}

void lc_err_hint(struct lc_err *err, const char *hint, ...)
{
	va_list ap;

	if (!err)
		return;
	va_start(ap, hint);
	vsnprintf(err->hint, sizeof(err->hint), hint, ap);
	va_end(ap);
}

uint64_t lc_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

void lc_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int lc_grow(void **array, size_t *cap, size_t n, size_t element_size)
{
	size_t want;
	void *grown;

	if (n < *cap)
		return 0;
	want = *cap ? *cap * 2 : 16;
	grown = reallocarray(*array, want, element_size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*cap = want;
	return 0;
}

const char *lc_loss_kind_name(enum lc_loss_kind kind)
{
	static const char *const names[] = {
		[LC_LOSS_THREAD] = "thread", [LC_LOSS_REGISTERS] = "registers",
		[LC_LOSS_MEMORY] = "memory", [LC_LOSS_INFO] = "info",
		[LC_LOSS_VERIFY] = "verify",
	};

	return names[kind];
}

/* Two memory losses that touch and have one cause are one. */
static bool extends_last(const struct lc_losses *losses, enum lc_loss_kind kind, uint64_t start,
			 int code, const char *reason)
{
	const struct lc_loss *last;

	if (losses->n == 0 || kind != LC_LOSS_MEMORY)
		return false;
	last = &losses->v[losses->n - 1];
	return last->kind == kind && last->end == start && last->code == code &&
	       strcmp(last->reason, reason) == 0;
}

void lc_losses_add(struct lc_losses *losses, enum lc_loss_kind kind, pid_t tid, uint64_t start,
		   uint64_t end, int code, const char *reason, ...)
{
	struct lc_loss loss = {.kind = kind, .tid = tid, .start = start, .end = end, .code = code};
	va_list ap;

	va_start(ap, reason);
	vsnprintf(loss.reason, sizeof(loss.reason), reason, ap);
	va_end(ap);
	if (extends_last(losses, kind, start, code, loss.reason)) {
		losses->v[losses->n - 1].end = end;
		return;
	}
	if (lc_grow((void **)&losses->v, &losses->cap, losses->n, sizeof(*losses->v)) < 0) {
		losses->overflow = true;
		return;
	}
	losses->v[losses->n++] = loss;
}

void lc_losses_free(struct lc_losses *losses)
{
	free(losses->v);
	*losses = (struct lc_losses){0};
}

const char *lc_version(void)
{
	return LC_VERSION;
}
