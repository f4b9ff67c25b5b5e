/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A process that is its user's at one moment and a set-uid program at the next, under one PID:
 *
 *   victim_flip OTHER    executes OTHER, a set-uid copy of itself, after a moment
 *
 * The set-uid copy fills memory with a pattern that the plain one never has, holds it for a moment,
 * becomes the user again and executes the plain one, whose path it finds in the environment.
 */
#include <sys/auxv.h>

#include "victim.h"

#define SECRET_SEED 0x5ec4e7
#define SECRET_LEN  65536

/* Not the same from one time to the next, so that whoever looks meets every moment of it. */
static void hold_on(void)
{
	volatile unsigned int spin = (unsigned int)(getpid() + clock()) % 40000;

	for (; spin; spin--)
		;
	usleep((unsigned int)clock() % 700);
}

static void be_privileged(void)
{
	const char *plain = getenv("VICTIM_FLIP_PLAIN");
	const char *self = getenv("VICTIM_FLIP_SETUID");
	void *secret =
		mmap(NULL, SECRET_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (secret == MAP_FAILED || !plain || !self)
		die("set-uid");
	fill(secret, SECRET_LEN, SECRET_SEED);
	hold_on();
	if (setresuid(getuid(), getuid(), getuid()) < 0)
		die("setresuid");
	execl(plain, plain, self, (char *)NULL);
	die(plain);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 99;
	if (geteuid() != getuid())
		be_privileged();
	if (!getenv("VICTIM_FLIP_PLAIN")) {
		victim_begin();
		setenv("VICTIM_FLIP_PLAIN", argv[0], 1);
		setenv("VICTIM_FLIP_SETUID", argv[1], 1);
		emit("ready");
	}
	hold_on();
	execl(argv[1], argv[1], argv[1], (char *)NULL);
	die(argv[1]);
}
