/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An on-access scanner: whoever opens its file waits for its answer. It has mapped that file, whose
 * name is gone, and touched its first page; most of the rest is a hole.
 *
 *   map NAME START LEN, fill NAME START LEN SEED    as victim_mem
 *   path PATH                                       opens the file
 *   answer: opened N, how many it let pass
 *   skip REASON                                     fanotify(7) is not for us
 */
#include <sys/fanotify.h>

#include "victim.h"

#define PAGE 4096UL
#define LEN  (1UL << 20)

static int fanotify_fd;
static uint64_t n_opened;

static void *guard(void *arg)
{
	struct fanotify_event_metadata event;

	(void)arg;
	while (read(fanotify_fd, &event, sizeof(event)) == sizeof(event)) {
		struct fanotify_response response = {.fd = event.fd, .response = FAN_ALLOW};

		if (write(fanotify_fd, &response, sizeof(response)) != sizeof(response))
			die("fanotify response");
		close(event.fd);
		__atomic_fetch_add(&n_opened, 1, __ATOMIC_RELEASE);
	}
	die("fanotify");
}

static void answer(const char *question)
{
	(void)question;
	emit("opened %" PRIu64, __atomic_load_n(&n_opened, __ATOMIC_ACQUIRE));
}

int main(void)
{
	int fd = open("guarded", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	void *p;

	victim_begin();
	if (fd < 0 || ftruncate(fd, LEN))
		die("guarded");
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		die("mmap");
	if (link("guarded", "other") || unlink("guarded"))
		die("link");
	emit("map guarded %#lx %#lx", (unsigned long)p, LEN);
	fill(p, PAGE, 0x71);
	emit("fill guarded %#lx %#lx 0x71", (unsigned long)p, PAGE);
	emit("path /proc/%d/fd/%d", getpid(), fd);
	fanotify_fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
	if (fanotify_fd < 0 ||
	    fanotify_mark(fanotify_fd, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, "other"))
		emit("skip fanotify: %s", strerror(errno));
	else
		victim_thread(guard, NULL);
	victim_serve(answer);
}
