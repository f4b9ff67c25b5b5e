/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A buffer that io_uring pins, and that the kernel writes to without a page fault; a thread keeps
 * other memory changing.
 *
 *   victim_pinned [MIB]               of memory that changes (64)
 *   question "pin": registers the buffer; "read": reads a file into it
 *   fill pinned ADDRESS LEN SEED      what is there since
 *   read ADDRESS                      of a word that is 1 since then
 *   skip REASON
 */
#include <linux/io_uring.h>
#include <sys/uio.h>

#include "victim_memory.h"

#define N_PAGES 16UL

static uint64_t mib = 64;
static char *buffer;
static uint64_t is_read;
static int ring = -1;
static struct io_uring_params params;

static void *change(void *arg)
{
	char *p = mmap(NULL, mib << 20, RW, PRIVATE, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	for (uint64_t seed = 1;; seed++)
		for (uint64_t i = 0; i < mib << 20; i += PAGE) {
			*(volatile uint64_t *)(void *)(p + i) = seed;
			if (i % (1 << 20) == 0)
				usleep(100);
		}
	return arg;
}

static void *map_ring(size_t len, off_t off)
{
	void *p = mmap(NULL, len, RW, MAP_SHARED | MAP_POPULATE, ring, off);

	if (p == MAP_FAILED)
		die("mmap of a ring");
	return p;
}

/* By IORING_OP_READ_FIXED, and waits for it. */
static void read_fixed(int fd)
{
	char *sq = map_ring(params.sq_off.array + params.sq_entries * sizeof(uint32_t),
			    IORING_OFF_SQ_RING);
	struct io_uring_sqe *sqe = map_ring(params.sq_entries * sizeof(*sqe), IORING_OFF_SQES);

	*sqe = (struct io_uring_sqe){.opcode = IORING_OP_READ_FIXED,
				     .fd = fd,
				     .addr = (uintptr_t)buffer,
				     .len = N_PAGES * PAGE};
	__atomic_store_n((uint32_t *)(void *)(sq + params.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		die("io_uring_enter");
}

static void pin(void)
{
	struct iovec iov = {buffer, N_PAGES * PAGE};

	ring = (int)syscall(SYS_io_uring_setup, 4, &params);
	if (ring < 0) {
		emit("skip no io_uring_setup()");
		return;
	}
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov, 1) < 0)
		die("IORING_REGISTER_BUFFERS");
}

static void read_file(void)
{
	if (ring < 0)
		return;
	read_fixed(file_make("pinned.file", N_PAGES * PAGE, 2));
	for (uint64_t i = 0; i < N_PAGES * PAGE / 8; i++)
		if (((volatile uint64_t *)(void *)buffer)[i] != pattern(2, i))
			die("read into the buffer");
	__atomic_store_n(&is_read, 1, __ATOMIC_SEQ_CST);
	emit_fill("pinned", buffer, N_PAGES * PAGE, 2);
}

static void answer(const char *question)
{
	if (strcmp(question, "pin") == 0)
		pin();
	if (strcmp(question, "read") == 0)
		read_file();
}

int main(int argc, char **argv)
{
	if (argc > 1)
		mib = strtoull(argv[1], NULL, 0);
	victim_begin();
	buffer = map("pinned", N_PAGES * PAGE, RW, PRIVATE, -1);
	fill(buffer, N_PAGES * PAGE, 1);
	emit("read %#lx", (unsigned long)&is_read);
	victim_thread(change, NULL);
	victim_serve(answer);
}
