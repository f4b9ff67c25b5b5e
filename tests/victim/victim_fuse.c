/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Maps files of a FUSE file system that it serves itself: while it is stopped, nobody answers. The
 * file system is mounted on ./fuse in a mount namespace of its own and goes with the process.
 *
 *   present/NAME     pages that the process has
 *   absent/NAME      pages that only the server could give
 *   connection N     /sys/fs/fuse/connections/N
 *
 * With "hung", the server answers nothing any more once everything is set up; with "detached", the
 * file system is mounted nowhere any more. Questions:
 * "requests", how many there were; "touch", reads and checks a page of every file that was absent.
 */
#include <linux/fuse.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "victim_memory.h"

#define N_PAGES 64UL
#define SIZE    (N_PAGES * PAGE)

enum { HEADER = 4 };

static const char *const names[] = {"private", "shared", "cached", "deleted", "header", "text"};
static char contents[N_ELEMENTS(names)][SIZE];
static char *mappings[N_ELEMENTS(names)];
static int device;
static volatile bool hung;
static volatile unsigned long n_requests;

/* Nodes: 1 is the root, 2 the first file. */
static size_t file_of(uint64_t node)
{
	return (size_t)node - 2;
}

static uint64_t seed_of(size_t file, size_t page)
{
	return 0x1000 * (file + 1) + page;
}

/* ---- the server --------------------------------------------------------------------------- */

static void answer(const struct fuse_in_header *in, int error, const void *data, size_t len)
{
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + len), .error = -error, .unique = in->unique};
	struct iovec parts[2] = {{&out, sizeof(out)}, {(void *)(uintptr_t)data, len}};

	if (writev(device, parts, len ? 2 : 1) < 0 && errno != ENOENT)
		die("answer");
}

static struct fuse_attr attr_of(uint64_t node)
{
	struct fuse_attr attr = {.ino = node, .mode = S_IFDIR | 0755, .nlink = 1, .blksize = PAGE};

	if (node >= 2) {
		attr.mode = S_IFREG | 0755;
		attr.size = SIZE;
		attr.blocks = SIZE / 512;
	}
	return attr;
}

/* No answer is valid for any time: every question comes here. */
static void answer_attr(const struct fuse_in_header *in)
{
	struct fuse_attr_out out = {.attr = attr_of(in->nodeid)};

	answer(in, 0, &out, sizeof(out));
}

static void answer_lookup(const struct fuse_in_header *in, const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		struct fuse_entry_out out = {.nodeid = i + 2, .attr = attr_of(i + 2)};

		if (strcmp(names[i], name) == 0) {
			answer(in, 0, &out, sizeof(out));
			return;
		}
	}
	answer(in, ENOENT, NULL, 0);
}

static void answer_read(const struct fuse_in_header *in, const struct fuse_read_in *read_in)
{
	uint64_t rest = read_in->offset < SIZE ? SIZE - read_in->offset : 0;

	answer(in, 0, contents[file_of(in->nodeid)] + read_in->offset,
	       read_in->size < rest ? read_in->size : rest);
}

static void answer_write(const struct fuse_in_header *in, const struct fuse_write_in *write_in)
{
	struct fuse_write_out out = {.size = write_in->size};

	memcpy(contents[file_of(in->nodeid)] + write_in->offset, write_in + 1, write_in->size);
	answer(in, 0, &out, sizeof(out));
}

static void serve_one(const struct fuse_in_header *in)
{
	const void *arg = in + 1;
	struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION,
				     .minor = FUSE_KERNEL_MINOR_VERSION,
				     .max_write = PAGE};
	struct fuse_open_out open_out = {.open_flags = FOPEN_KEEP_CACHE};
	struct fuse_statfs_out statfs_out = {.st = {.bsize = PAGE, .namelen = 255}};

	switch (in->opcode) {
	case FUSE_INIT:
		/* max_readahead 0: no page comes that was not asked for */
		answer(in, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		answer_lookup(in, arg);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		answer_attr(in);
		break;
	case FUSE_OPEN:
		answer(in, 0, &open_out, sizeof(open_out));
		break;
	case FUSE_READ:
		answer_read(in, arg);
		break;
	case FUSE_WRITE:
		answer_write(in, arg);
		break;
	case FUSE_STATFS:
		answer(in, 0, &statfs_out, sizeof(statfs_out));
		break;
	case FUSE_UNLINK:
	case FUSE_RELEASE:
	case FUSE_FLUSH:
	case FUSE_FSYNC:
		answer(in, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break; /* have no answer */
	default:
		answer(in, ENOSYS, NULL, 0);
	}
}

static void *serve(void *arg)
{
	static char request[FUSE_MIN_READ_BUFFER + PAGE] __attribute__((aligned(8)));

	(void)arg;
	for (;;) {
		ssize_t n = read(device, request, sizeof(request));

		if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (n < 0)
			die("/dev/fuse");
		n_requests++;
		if (!hung)
			serve_one((const struct fuse_in_header *)request);
	}
	return NULL;
}

static void mount_it(void)
{
	char options[128];
	struct stat st;

	/* stat() of it asks the server, which runs by then */
	if (mkdir("fuse", 0755) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0)
		die("mount namespace");
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (device < 0)
		die("/dev/fuse");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
		 device);
	if (mount("victim", "fuse", "fuse", MS_NOSUID | MS_NODEV, options) < 0)
		die("mount");
	victim_thread(serve, NULL);
	if (stat("fuse", &st) < 0)
		die("stat");
	emit("connection %u", minor(st.st_dev));
}

/* ---- the mappings ------------------------------------------------------------------------- */

static void tell_page(const char *state, size_t file, size_t page, uint64_t seed)
{
	char name[64];

	snprintf(name, sizeof(name), "%s/%s", state, names[file]);
	emit_fill(name, mappings[file] + page * PAGE, PAGE, seed);
}

static void make_contents(void)
{
	for (size_t file = 0; file < N_ELEMENTS(names); file++)
		for (size_t page = 0; page < N_PAGES; page++)
			fill(contents[file] + page * PAGE, PAGE, seed_of(file, page));
	memcpy(contents[HEADER], "\177ELF", 4);
}

/* Pages 0 to 3 are read (but not those of HEADER: the first page of an ELF file is asked for), 5 is
 * read and written, where that may be; 8, 9 and 20 are read. */
static void touch(size_t file, bool write)
{
	static const unsigned char touched[] = {0, 1, 2, 3, 5, 8, 9, 20};
	size_t next = 0;

	for (size_t page = 0; page < N_PAGES; page++) {
		bool present = next < N_ELEMENTS(touched) && page == touched[next];

		next += present;
		if (present && file != HEADER) {
			(void)*(volatile char *)(mappings[file] + page * PAGE);
			if (write && page == 5)
				fill(mappings[file] + page * PAGE, PAGE, seed_of(file, 0x555));
			tell_page("present", file, page,
				  seed_of(file, write && page == 5 ? 0x555 : page));
		} else if (page > 0 || file != HEADER) {
			tell_page("absent", file, page, seed_of(file, page));
		}
	}
}

static void map_file(size_t file, int prot, int flags)
{
	char path[64], name[64];
	int fd;

	snprintf(path, sizeof(path), "fuse/%s", names[file]);
	snprintf(name, sizeof(name), "fuse_%s", names[file]);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(path);
	mappings[file] = map(name, SIZE, prot, flags, fd);
	/* in the page cache, and not in the process */
	if (strcmp(names[file], "cached") == 0 &&
	    pread(fd, contents[file] + 50 * PAGE, PAGE, 50 * PAGE) < 0)
		die("pread");
	close(fd);
	touch(file, prot & PROT_WRITE);
	/* what is dirty would be written back at the process's end, when nobody serves any more */
	if (msync(mappings[file], SIZE, MS_SYNC) < 0)
		die("msync");
}

static void reply(const char *question)
{
	if (strcmp(question, "requests") == 0)
		emit("requests %lu", n_requests);
	if (strcmp(question, "touch") != 0)
		return;
	for (size_t file = 0; file < N_ELEMENTS(names); file++) {
		const volatile uint64_t *word = (void *)(mappings[file] + 40 * PAGE);

		if (*word == pattern(seed_of(file, 40), 0))
			emit("right %s", names[file]);
	}
}

int main(int argc, char **argv)
{
	victim_begin();
	make_contents();
	mount_it();
	map_file(0, RW, MAP_PRIVATE);
	map_file(1, RW, MAP_SHARED);
	map_file(2, RW, MAP_SHARED);
	map_file(3, RW, MAP_PRIVATE);
	map_file(HEADER, PROT_READ, MAP_PRIVATE);
	map_file(5, PROT_READ | PROT_EXEC, MAP_PRIVATE);
	if (unlink("fuse/deleted") < 0)
		die("unlink");
	if (argc > 1 && strcmp(argv[1], "detached") == 0 && umount2("fuse", MNT_DETACH) < 0)
		die("umount2");
	hung = argc > 1 && strcmp(argv[1], "hung") == 0;
	victim_serve(reply);
}
