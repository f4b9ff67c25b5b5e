/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Mappings of what is no memory of files: rings that the kernel shares, a device by another name,
 * and what only looks like a device. See victim_memory.h for the lines.
 *
 *   device NAME START LEN    must not be read
 *   ring NAME START LEN      memory shared with the kernel, which may be
 */
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "victim_memory.h"

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif

static void map_ring(const char *kind, const char *name, int fd, size_t len, off_t off)
{
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, len, RW, MAP_SHARED, fd, off);

	if (p == MAP_FAILED) {
		emit("skip %s %s", name, strerror(errno));
		return;
	}
	read_all(p, len);
	emit("%s %s %#lx %#zx", kind, name, (unsigned long)p, len);
}

/* VM_IO and VM_PFNMAP since Linux 6.14. */
static void make_perf(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.exclude_kernel = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);

	map_ring("device", "perf", fd, 9 * PAGE, 0);
}

static void make_io_uring(void)
{
	struct io_uring_params params = {0};
	int fd = (int)syscall(SYS_io_uring_setup, 8, &params);

	map_ring("ring", "io_uring", fd, PAGE, IORING_OFF_SQ_RING);
	map_ring("ring", "io_uring_sqes", fd, PAGE, (off_t)IORING_OFF_SQES);
}

static void make_packet(void)
{
	struct tpacket_req req = {.tp_block_size = 4 * PAGE,
				  .tp_block_nr = 2,
				  .tp_frame_size = 2048,
				  .tp_frame_nr = 2 * 4 * PAGE / 2048};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd >= 0 && setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) < 0)
		fd = -1;
	map_ring("ring", "packet", fd, 8 * PAGE, 0);
}

/* /dev/zero under another name, as in a chroot: private mappings of it are anonymous memory. */
static void make_zero(void)
{
	const size_t len = 64UL << 20;
	int fd = -1;
	char *p;

	if (mknod("zero", S_IFCHR | 0600, makedev(1, 5)) == 0)
		fd = open("zero", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		emit("skip zero_elsewhere %s", strerror(errno));
		return;
	}
	p = map("zero_elsewhere", len, RW, MAP_PRIVATE, fd);
	fill_and_tell("zero_elsewhere", p + 4 * PAGE, 3 * PAGE, 0x1000);
	emit_zero("zero_elsewhere", p + 7 * PAGE, PAGE);
	close(fd);
}

/* A file below /dev is a file. */
static void make_file_in_dev(void)
{
	char name[64];
	char *p;
	int fd;

	snprintf(name, sizeof(name), "/dev/livecore.victim.%d", getpid());
	fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, 8 * PAGE) < 0) {
		emit("skip file_in_dev %s", strerror(errno));
		return;
	}
	unlink(name);
	p = map("file_in_dev", 8 * PAGE, RW, MAP_SHARED, fd);
	fill_and_tell("file_in_dev", p, 4 * PAGE, 0x2000);
	emit_zero("file_in_dev", p + 4 * PAGE, PAGE);
	close(fd);
}

int main(void)
{
	victim_begin();
	make_perf();
	make_io_uring();
	make_packet();
	make_zero();
	make_file_in_dev();
	victim_serve(NULL);
}
