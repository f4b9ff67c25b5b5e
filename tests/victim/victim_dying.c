/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A thread that is caught in its own end: it has exited, and on the way closes a file of a FUSE
 * file system that this process serves and that does not answer. It has no memory and no registers
 * any more, and is no zombie yet. Another thread is in close() of such a file, but lives.
 *
 *   dying TID
 *   closing TID
 *   answer to "release": state TID STATE for both: the file system has answered
 */
#include <linux/fuse.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "victim.h"

static int device;
static bool released;
static uint64_t waiting[2]; /* FUSE_FLUSH that have no answer yet */
static size_t n_waiting;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t dying_tid, closing_tid;

/* ---- the server --------------------------------------------------------------------------- */

static void answer_request(uint64_t unique, int error, const void *data, size_t len)
{
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + len), .error = -error, .unique = unique};
	struct iovec parts[2] = {{&out, sizeof(out)}, {(void *)(uintptr_t)data, len}};

	if (writev(device, parts, len ? 2 : 1) < 0 && errno != ENOENT)
		die("answer");
}

static void keep_waiting(uint64_t unique)
{
	pthread_mutex_lock(&lock);
	if (released || n_waiting == N_ELEMENTS(waiting))
		answer_request(unique, 0, NULL, 0);
	else
		waiting[n_waiting++] = unique;
	pthread_mutex_unlock(&lock);
}

/* The root directory, and in it any name is a file. */
static struct fuse_attr attr_of(uint64_t node)
{
	return (struct fuse_attr){
		.ino = node, .mode = node == 1 ? S_IFDIR | 0755 : S_IFREG | 0644, .nlink = 1};
}

static void serve_one(const struct fuse_in_header *in)
{
	struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION,
				     .minor = FUSE_KERNEL_MINOR_VERSION};
	struct fuse_entry_out entry = {.nodeid = 2, .attr = attr_of(2)};
	struct fuse_attr_out attr = {.attr = attr_of(in->nodeid)};
	struct fuse_open_out open_out = {0};

	switch (in->opcode) {
	case FUSE_INIT:
		answer_request(in->unique, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		answer_request(in->unique, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
		answer_request(in->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		answer_request(in->unique, 0, &open_out, sizeof(open_out));
		break;
	case FUSE_FLUSH:
		keep_waiting(in->unique);
		break;
	case FUSE_RELEASE:
		answer_request(in->unique, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break; /* have no answer */
	default:
		answer_request(in->unique, ENOSYS, NULL, 0);
	}
}

static void *serve(void *arg)
{
	static char request[FUSE_MIN_READ_BUFFER + 4096] __attribute__((aligned(8)));

	(void)arg;
	for (;;) {
		ssize_t n = read(device, request, sizeof(request));

		if (n < 0 && errno != EINTR && errno != ENOENT && errno != EAGAIN)
			die("/dev/fuse");
		if (n > 0)
			serve_one((const struct fuse_in_header *)request);
	}
	return NULL;
}

/* In a mount namespace of its own: it goes with the process. */
static void mount_it(void)
{
	char options[64];

	if (mkdir("fuse", 0755) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0)
		die("mount namespace");
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
	if (device < 0 || mount("victim", "fuse", "fuse", MS_NOSUID | MS_NODEV, options) < 0)
		die("mount");
	victim_thread(serve, NULL);
}

/* A child that breaks the connection when we are killed: those who wait for its answers could not
 * even die then, and would keep it open themselves. */
static void start_guard(void)
{
	char path[64];
	struct stat st;
	sigset_t set;
	int fd, sig;

	if (stat("fuse", &st) || mkdir("control", 0755) ||
	    mount("victim", "control", "fusectl", 0, NULL))
		die("fusectl");
	snprintf(path, sizeof(path), "control/%u/abort", minor(st.st_dev));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (fork() == 0) {
		sigprocmask(SIG_BLOCK, &set, NULL);
		close(device);
		prctl(PR_SET_NAME, "guard");
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		sigwait(&set, &sig);
		if (write(fd, "1", 1) != 1)
			_exit(1);
		_exit(0);
	}
	close(fd);
}

/* ---- those who wait ----------------------------------------------------------------------- */

static int open_file(void)
{
	int fd = open("fuse/file", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("fuse/file");
	return fd;
}

/* Its table of descriptors is its own, and goes when it exits. */
static void *dying(void *arg)
{
	prctl(PR_SET_NAME, "dying");
	if (unshare(CLONE_FILES))
		die("unshare");
	open_file();
	__atomic_store_n(&dying_tid, victim_tid(), __ATOMIC_RELEASE);
	return arg;
}

static void *closing(void *arg)
{
	int fd = open_file();

	(void)arg;
	prctl(PR_SET_NAME, "closing");
	__atomic_store_n(&closing_tid, victim_tid(), __ATOMIC_RELEASE);
	close(fd);
	for (;;)
		pause();
	return NULL;
}

static char state_of(pid_t tid)
{
	char path[64], text[256] = "", *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	if (!f)
		return '-';
	if (!fgets(text, sizeof(text), f))
		text[0] = 0;
	fclose(f);
	end = strrchr(text, ')');
	return end ? end[2] : '?';
}

static void answer(const char *question)
{
	if (strcmp(question, "release") == 0) {
		pthread_mutex_lock(&lock);
		released = true;
		while (n_waiting)
			answer_request(waiting[--n_waiting], 0, NULL, 0);
		pthread_mutex_unlock(&lock);
		for (int i = 0; i < 5000 && state_of(dying_tid) != '-'; i++)
			msleep(1);
	}
	emit("state %d %c", dying_tid, state_of(dying_tid));
	emit("state %d %c", closing_tid, state_of(closing_tid));
}

static void wait_until(size_t n)
{
	for (int i = 0; i < 5000; i++) {
		pthread_mutex_lock(&lock);
		if (n_waiting == n)
			i = 5000;
		pthread_mutex_unlock(&lock);
		msleep(1);
	}
	if (n_waiting != n)
		die("FUSE_FLUSH");
}

int main(void)
{
	victim_begin();
	mount_it();
	start_guard();
	victim_thread(dying, NULL);
	wait_until(1);
	emit("dying %d", dying_tid);
	victim_thread(closing, NULL);
	wait_until(2);
	emit("closing %d", closing_tid);
	victim_serve(answer);
}
