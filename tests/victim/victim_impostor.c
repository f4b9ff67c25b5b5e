/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Takes the numbers of another process, as soon as they are free: its PID and those of its threads
 * (clone3() with set_tid, which takes CAP_CHECKPOINT_RESTORE). It only sleeps.
 *
 *   victim_impostor PID [TID...]
 *   impostor PID                      when all of it is there
 */
#include <linux/sched.h>
#include <sched.h>

#include "victim.h"

static long clone_as(pid_t tid, uint64_t flags, void *stack, size_t stack_size)
{
	struct clone_args args = {
		.flags = flags,
		.exit_signal = flags & CLONE_THREAD ? 0 : SIGCHLD,
		.stack = (uintptr_t)stack,
		.stack_size = stack_size,
		.set_tid = (uintptr_t)&tid,
		.set_tid_size = 1,
	};

	return syscall(SYS_clone3, &args, sizeof(args));
}

/* Without thread-local storage of its own: system calls only. */
static void start_thread(pid_t tid)
{
#ifdef __x86_64__
	static const struct timespec hour = {.tv_sec = 3600};
	size_t size = 64 * 1024;
	char *stack = malloc(size);
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			 CLONE_SYSVSEM,
		.stack = (uintptr_t)stack,
		.stack_size = size,
		.set_tid = (uintptr_t)&tid,
		.set_tid_size = 1,
	};
	long r = SYS_clone3;

	/* the child has no stack that it could return on */
	do {
		r = SYS_clone3;
		__asm__ volatile("syscall\n\t"
				 "test %%rax, %%rax\n\t"
				 "jnz 2f\n"
				 "1:\n\t"
				 "mov $35, %%eax\n\t" /* nanosleep */
				 "mov %3, %%rdi\n\t"
				 "xor %%esi, %%esi\n\t"
				 "syscall\n\t"
				 "jmp 1b\n"
				 "2:"
				 : "+a"(r)
				 : "D"(&args), "S"(sizeof(args)), "r"(&hour)
				 : "rcx", "r11", "memory");
	} while (r == -EEXIST);
	if (r < 0) {
		errno = (int)-r;
		die("clone3");
	}
#else
	(void)tid;
	exit(64);
#endif
}

int main(int argc, char **argv)
{
	pid_t pid = argc > 1 ? atoi(argv[1]) : 0;
	long r;

	emit("ready");
	do {
		r = clone_as(pid, 0, NULL, 0);
		if (r < 0 && errno == EEXIST)
			msleep(1);
	} while (r < 0 && errno == EEXIST);
	if (r < 0)
		die("clone3");
	if (r == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 2; i < argc; i++)
			start_thread(atoi(argv[i]));
		emit("impostor %d", getpid());
	}
	for (;;)
		pause();
}
