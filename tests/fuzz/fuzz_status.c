/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * /proc/PID/status: what is taken from it, printed as the kernel does, is the same again; lines
 * that are of no interest change nothing; no line's value comes from another line.
 */
#include <inttypes.h>

#include "../../core/procfs.h"
#include "fuzz.h"

static bool is_same(const struct lc_status *a, const struct lc_status *b)
{
	return a->tgid == b->tgid && a->pid == b->pid && a->ppid == b->ppid &&
	       a->tracer == b->tracer && a->ns_pid == b->ns_pid && a->n_ns == b->n_ns &&
	       a->ns_pgrp == b->ns_pgrp && a->ns_sid == b->ns_sid &&
	       memcmp(a->uid, b->uid, sizeof(a->uid)) == 0 &&
	       memcmp(a->gid, b->gid, sizeof(a->gid)) == 0 && a->n_threads == b->n_threads &&
	       a->sig_queued == b->sig_queued && a->sig_limit == b->sig_limit &&
	       a->sigpnd == b->sigpnd && a->shdpnd == b->shdpnd && a->sigblk == b->sigblk &&
	       a->sigign == b->sigign && a->sigcgt == b->sigcgt && a->cap_prm == b->cap_prm &&
	       a->cap_eff == b->cap_eff && a->seccomp == b->seccomp && a->state == b->state;
}

/* A state that is white space or a line's end is nobody's. */
static void check_again(const struct lc_status *st)
{
	struct lc_status again;
	char text[4096], ns_pids[512] = "";

	if (st->n_ns > 33) /* no line of the kernel's is as long */
		return;
	for (unsigned int i = 0; i < st->n_ns; i++)
		sprintf(ns_pids + strlen(ns_pids), "\t%d", i + 1 < st->n_ns ? 1 : st->ns_pid);
	snprintf(text, sizeof(text),
		 "Name:\tx\nUmask:\t0022\nState:\t%c (x)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\n"
		 "PPid:\t%d\nTracerPid:\t%d\nUid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n"
		 "NSpid:%s\nNSpgid:\t1\t%d\nNSsid:\t2\t%d\nThreads:\t%u\nSigQ:\t%" PRIu64
		 "/%" PRIu64 "\n"
		 "SigPnd:\t%016" PRIx64 "\nShdPnd:\t%016" PRIx64 "\nSigBlk:\t%016" PRIx64 "\n"
		 "SigIgn:\t%016" PRIx64 "\nSigCgt:\t%016" PRIx64 "\nCapPrm:\t%016" PRIx64 "\n"
		 "CapEff:\t%016" PRIx64 "\nSeccomp:\t%d\n",
		 st->state ? st->state : '\n', st->tgid, st->pid, st->ppid, st->tracer, st->uid[0],
		 st->uid[1], st->uid[2], st->uid[3], st->gid[0], st->gid[1], st->gid[2], st->gid[3],
		 ns_pids, st->ns_pgrp, st->ns_sid, st->n_threads, st->sig_queued, st->sig_limit,
		 st->sigpnd, st->shdpnd, st->sigblk, st->sigign, st->sigcgt, st->cap_prm,
		 st->cap_eff, st->seccomp);
	lc_procfs_parse_status(text, &again);
	must(is_same(st, &again));
}

/* What each key may set. */
static const struct {
	const char *key;
	size_t at, size;
} fields[] = {
#define FIELD(key_, first_, last_)                                                                 \
	{                                                                                          \
		key_, offsetof(struct lc_status, first_),                                          \
			offsetof(struct lc_status, last_) +                                        \
				sizeof(((struct lc_status *)NULL)->last_) -                        \
				offsetof(struct lc_status, first_)                                 \
	}
	FIELD("State:", state, state),
	FIELD("Tgid:", tgid, tgid),
	FIELD("Pid:", pid, pid),
	FIELD("PPid:", ppid, ppid),
	FIELD("TracerPid:", tracer, tracer),
	FIELD("Uid:", uid, uid),
	FIELD("Gid:", gid, gid),
	FIELD("NSpid:", ns_pid, ns_pid),
	FIELD("NSpid:", n_ns, n_ns),
	FIELD("NSpgid:", ns_pgrp, ns_pgrp),
	FIELD("NSsid:", ns_sid, ns_sid),
	FIELD("Threads:", n_threads, n_threads),
	FIELD("SigQ:", sig_queued, sig_limit),
	FIELD("SigPnd:", sigpnd, sigpnd),
	FIELD("ShdPnd:", shdpnd, shdpnd),
	FIELD("SigBlk:", sigblk, sigblk),
	FIELD("SigIgn:", sigign, sigign),
	FIELD("SigCgt:", sigcgt, sigcgt),
	FIELD("CapPrm:", cap_prm, cap_prm),
	FIELD("CapEff:", cap_eff, cap_eff),
	FIELD("Seccomp:", seccomp, seccomp),
};

/* A line by itself sets nothing but its own. */
static void check_line(const char *line, size_t len)
{
	const struct lc_status none = {0};
	struct lc_status st;
	char *text = fuzz_text(line, len);

	lc_procfs_parse_status(text, &st);
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (strncmp(text, fields[i].key, strlen(fields[i].key)) == 0)
			memset((char *)&st + fields[i].at, 0, fields[i].size);
	must(is_same(&st, &none));
	free(text);
}

/* Every line by itself, in order, is what all of them are: the last one of a key counts. */
static void check_lines(const char *text, const struct lc_status *st)
{
	struct lc_status other;
	size_t len = strlen(text);
	char *longer = malloc(2 * len + 64);
	char *to = longer;

	must(longer);
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");

		check_line(line, n);
		memcpy(to, line, n);
		to += n;
		line += n + (line[n] == '\n');
		/* an empty line after each */
		to += sprintf(to, "\n%s", *line ? "\n" : "");
	}
	sprintf(to, "Groups:\t1 2 3\nTgi:\t1\nTgidx:\t2\n");
	lc_procfs_parse_status(longer, &other);
	must(is_same(st, &other));
	free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lc_status st;
	char *text = fuzz_text(data, size);

	memset(&st, 0xa5, sizeof(st));
	lc_procfs_parse_status(text, &st);
	check_again(&st);
	check_lines(text, &st);
	free(text);
	return 0;
}
