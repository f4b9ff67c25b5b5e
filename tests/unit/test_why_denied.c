/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Each refusal names the very check. The facts are stated, so that Yama and others need not run. */
#include "../../core/why_denied.h"
#include "tap.h"

#include <errno.h>

/* An ordinary process of user 1000, looked at by user 1000 without privilege: nothing refuses. */
static struct lc_denial_facts plain(void)
{
	return (struct lc_denial_facts){
		.pid = 42,
		.code = EPERM,
		.uid = 1000,
		.gid = 1000,
		.yama = -1,
		.target_comm = "svc",
		.target = {.uid = {1000, 1000, 1000, 1000}, .gid = {1000, 1000, 1000, 1000}},
	};
}

static void says(struct lc_denial_facts facts, const char *text, const char *hint, const char *what)
{
	struct lc_err err = {0};

	lc_denial_explain(&facts, &err);
	if (!ok(strstr(err.text, text) && strstr(err.hint, hint) && err.code == facts.code, "%s",
		what))
		printf("# said: %s (%s)\n", err.text, err.hint);
}

int main(void)
{
	struct lc_denial_facts f = plain();

	f.target.tracer = 77;
	strcpy(f.tracer_comm, "gdb");
	says(f, "already traced, by process 77 (gdb)", "process 77", "a tracer");
	f = plain();
	f.target.uid[2] = 0;
	says(f, "runs as uid 1000", "CAP_SYS_PTRACE", "another saved uid");
	f = plain();
	f.target.gid[0] = 5;
	says(f, "gid 5", "root", "another gid");
	f = plain();
	f.uid = 1001;
	says(f, "you as 1001", "sudo -u '#1000'", "another user");
	f = plain();
	f.not_dumpable = true;
	says(f, "is not dumpable", "PR_SET_DUMPABLE", "not dumpable");
	f = plain();
	f.target.cap_prm = 0x80;
	f.cap_prm = 0x01;
	says(f, "capabilities that you lack (0x80)", "--cap-add=SYS_PTRACE", "more capabilities");
	f = plain();
	f.yama = 1;
	says(f, "ptrace_scope is 1", "sysctl kernel.yama.ptrace_scope=0", "Yama 1");
	f.yama = 2;
	says(f, "ptrace_scope is 2", "CAP_SYS_PTRACE", "Yama 2");
	f.yama = 3;
	f.cap_sys_ptrace = true;
	says(f, "ptrace_scope is 3", "cannot be lowered", "Yama 3, also for root");
	f = plain();
	f.yama = 1;
	f.uid = 0;
	says(f, "runs as uid 1000", "", "ids come before Yama");
	f = plain();
	f.uid = 1001;
	f.cap_sys_ptrace = true;
	says(f, "but not CAP_DAC_READ_SEARCH", "both capabilities", "CAP_SYS_PTRACE alone");
	f.cap_dac_read = true;
	says(f, "the kernel refuses", "security module", "both, and refused");
	f = plain();
	f.other_userns = true;
	f.cap_sys_ptrace = true;
	says(f, "another user namespace", "nsenter -U -t 42", "another user namespace");
	f = plain();
	f.own_seccomp = 2;
	says(f, "the kernel refuses", "seccomp", "a seccomp filter on livecore");
	f = plain();
	strcpy(f.lsm, "apparmor,bpf");
	says(f, "the kernel refuses", "apparmor,bpf", "a security module");
	f = plain();
	f.for_caller = true;
	f.uid = 1001;
	says(f, "you as 1001", "the caller's own processes alone",
	     "file capabilities, another user");
	f = plain();
	f.for_caller = true;
	f.target.cap_prm = 1 << 19;
	says(f, "capabilities that you lack (0x80000)", "as root",
	     "file capabilities, the same ones");
	f = plain();
	ok(!lc_denial_explain_not_owned(&f, 4, &(struct lc_err){0}), "the caller's own");
	f.target.uid[3] = 7;
	ok(!lc_denial_explain_not_owned(&f, 3, &(struct lc_err){0}),
	   "the kernel does not ask for the fourth");
	ok(lc_denial_explain_not_owned(&f, 4, &(struct lc_err){0}), "another file-system uid");
	return tap_done();
}
