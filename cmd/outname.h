/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The name of the output: templates as in core(5), and names that stand for a descriptor. */
#ifndef CMD_OUTNAME_H
#define CMD_OUTNAME_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

/* What the specifiers stand for. Strings are borrowed. */
struct outname_facts {
	pid_t pid;            /* %P, %I: as livecore sees it */
	pid_t ns_pid;         /* %p, %i: as the process sees itself */
	uid_t uid;            /* %u, real */
	gid_t gid;            /* %g, real */
	time_t time;          /* %t */
	const char *comm;     /* %e */
	const char *exe;      /* %E; NULL: not known */
	const char *hostname; /* %h */
};

/*
 * Looks a template over. Returns 0, or -EINVAL with the specifier that is not known in `ret_bad`,
 * terminated: "%x", or "%" for a percent sign at the end.
 */
int outname_check(const char *template, char ret_bad[static 3]);

/* True if names made from the template differ from process to process (%p or %P). */
bool outname_has_pid(const char *template);

/*
 * Expands the template, and appends ".PID" if `append_pid`. What the process chose (%e, %E) and the
 * host name stay within one component of the path and never make it "." or "..". Returns 0,
 * -ENAMETOOLONG if `size` is too small, or -EINVAL as outname_check() does.
 */
int outname_expand(const char *template, bool append_pid, const struct outname_facts *facts,
		   char *buf, size_t size);

/*
 * The descriptor that a name stands for: "-", /dev/stdin, /dev/stdout, /dev/stderr, /dev/fd/N,
 * /proc/self/fd/N. Returns false if it is the name of a file.
 */
bool outname_is_descriptor(const char *name, int *ret_fd);

#endif
