/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A request of io_uring that a worker thread of the kernel waits in, in the name of this process: a
 * splice() out of an empty pipe.
 *
 *   skip REASON
 *   worker TID                        for each
 *   answer to "write": the pipe gets a byte first
 *   answer: completed N RESULT: of N completions, the last one's
 */
#include <dirent.h>
#include <linux/io_uring.h>

#include "victim.h"

static int ring, empty_pipe[2], other_pipe[2];
static uint32_t *completion_tail;
static struct io_uring_cqe *completions;

static void *map_ring(size_t len, off_t off)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, off);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void submit_splice(void)
{
	struct io_uring_params params = {0};
	struct io_uring_sqe *sqe;
	char *sq, *cq;

	ring = (int)syscall(SYS_io_uring_setup, 4, &params);
	if (ring < 0) {
		emit("skip no io_uring_setup()");
		victim_serve(NULL);
	}
	sq = map_ring(params.sq_off.array + params.sq_entries * sizeof(uint32_t),
		      IORING_OFF_SQ_RING);
	cq = map_ring(params.cq_off.cqes + params.cq_entries * sizeof(*completions),
		      IORING_OFF_CQ_RING);
	sqe = map_ring(params.sq_entries * sizeof(*sqe), IORING_OFF_SQES);
	completion_tail = (uint32_t *)(void *)(cq + params.cq_off.tail);
	completions = (struct io_uring_cqe *)(void *)(cq + params.cq_off.cqes);
	*sqe = (struct io_uring_sqe){.opcode = IORING_OP_SPLICE,
				     .splice_fd_in = empty_pipe[0],
				     .splice_off_in = UINT64_MAX,
				     .fd = other_pipe[1],
				     .off = UINT64_MAX,
				     .len = 1};
	__atomic_store_n((uint32_t *)(void *)(sq + params.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0) != 1)
		die("io_uring_enter");
}

static void name_workers(void)
{
	struct dirent *entry;
	DIR *dir = opendir("/proc/self/task");

	if (!dir)
		die("/proc/self/task");
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != getpid())
			emit("worker %s", entry->d_name);
	closedir(dir);
}

static void answer(const char *question)
{
	uint32_t n;

	if (strcmp(question, "write") == 0 && write(empty_pipe[1], "x", 1) != 1)
		die("write");
	msleep(200);
	n = __atomic_load_n(completion_tail, __ATOMIC_ACQUIRE);
	emit("completed %u %d", n, n ? completions[n - 1].res : 0);
}

int main(void)
{
	victim_begin();
	if (pipe2(empty_pipe, O_CLOEXEC) || pipe2(other_pipe, O_CLOEXEC))
		die("pipe2");
	submit_splice();
	msleep(200);
	name_workers();
	victim_serve(answer);
}
