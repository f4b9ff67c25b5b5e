/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A mapping of each kind that the core filter knows, and some that it does not. Files are made in
 * the working directory. With "beyond", also a mapping longer than its file.
 */
#include <sys/ipc.h>
#include <sys/shm.h>

#include "victim_memory.h"

#define N_PAGES 16UL

/* Found by name by the readers. */
struct point {
	int x, y;
};

uint64_t data_words[512] = {1};
uint64_t bss_words[512];
const struct point const_point = {1234, -5678};
struct point data_point = {42, -43};
const char *data_text = "text of the victim";
static __thread uint64_t tls_words[64];
__thread int tls_number = 7;

static void make_anonymous(void)
{
	const int rw = RW, anon = PRIVATE;
	const size_t len = N_PAGES * PAGE;
	char *p;

	fill_and_tell("anon_dirty", map("anon_dirty", len, rw, anon, -1), len, 0x10);

	p = map("anon_read", len, rw, anon, -1);
	read_all(p, len);
	emit_zero("anon_read", p, len);
	emit_zero("anon_untouched", map("anon_untouched", len, rw, anon, -1), len);

	p = map("anon_partial", len, rw, anon, -1);
	fill_and_tell("anon_partial", p + 3 * PAGE, PAGE, 0x11);
	fill_and_tell("anon_partial", p + 7 * PAGE, 2 * PAGE, 0x12);
	emit_zero("anon_partial", p, 3 * PAGE);
	emit_zero("anon_partial", p + 9 * PAGE, len - 9 * PAGE);

	p = map("anon_zeroed", len, rw, anon, -1);
	memset(p, 0, len);
	fill_and_tell("anon_zeroed", p + 5 * PAGE, PAGE, 0x13);
	emit_zero("anon_zeroed", p, 5 * PAGE);
	emit_zero("anon_zeroed", p + 6 * PAGE, len - 6 * PAGE);

	p = map("sparse", 1UL << 30, rw, anon | MAP_NORESERVE, -1);
	fill_and_tell("sparse", p, PAGE, 0x14);
	fill_and_tell("sparse", p + (300UL << 20), PAGE, 0x15);
	fill_and_tell("sparse", p + (1UL << 30) - PAGE, PAGE, 0x16);
	emit_zero("sparse", p + PAGE, 1UL << 20);
	emit_zero("sparse", p + (500UL << 20), 1UL << 20);

	p = map("anon_shared", len, rw, MAP_SHARED | MAP_ANONYMOUS, -1);
	fill_and_tell("anon_shared", p, len - PAGE, 0x17);
	emit_zero("anon_shared", p + len - PAGE, PAGE);

	p = map("dontdump", len, rw, anon, -1);
	fill_and_tell("dontdump", p, len, 0x18);
	if (madvise(p, len, MADV_DONTDUMP))
		die("MADV_DONTDUMP");
}

static void make_protected(void)
{
	const int rw = RW, anon = PRIVATE;
	const size_t len = N_PAGES * PAGE;
	char *p;

	emit_zero("none_untouched", map("none_untouched", len, PROT_NONE, anon, -1), len);

	p = map("none_touched", len, rw, anon, -1);
	fill_and_tell("none_touched", p, len, 0x20);
	mprotect(p, len, PROT_NONE);

	p = map("write_only", len, rw, anon, -1);
	fill_and_tell("write_only", p, len, 0x21);
	mprotect(p, len, PROT_WRITE);

	p = map("read_only", len, rw, anon, -1);
	fill_and_tell("read_only", p, len, 0x22);
	mprotect(p, len, PROT_READ);

	p = map("read_exec", len, rw, anon, -1);
	fill_and_tell("read_exec", p, len, 0x23);
	mprotect(p, len, PROT_READ | PROT_EXEC);
}

static void make_files(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	const size_t len = N_PAGES * PAGE;
	int fd;
	char *p;

	fd = file_make("file_private_clean", len, 0x30);
	p = map("file_private_clean", len, rw, MAP_PRIVATE, fd);
	emit_fill("file_private_clean", p, len, 0x30);
	close(fd);

	fd = file_make("file_private_modified", 2 * PAGE, 0x31);
	p = map("file_private_modified", 2 * PAGE, rw, MAP_PRIVATE, fd);
	emit_fill("file_private_modified", p, PAGE, 0x31);
	fill_and_tell("file_private_modified", p + PAGE, PAGE, 0x32);
	close(fd);

	fd = file_make("file_shared", len, 0x33);
	p = map("file_shared", len, rw, MAP_SHARED, fd);
	emit_fill("file_shared", p, len, 0x33);
	close(fd);

	fd = file_make("deleted_private", len, 0x34);
	p = map("deleted_private", len, rw, MAP_PRIVATE, fd);
	read_all(p, len);
	emit_fill("deleted_private", p, len, 0x34);
	close(fd);
	unlink("deleted_private");

	fd = file_make("deleted_shared", len, 0x35);
	p = map("deleted_shared", len, rw, MAP_SHARED, fd);
	emit_fill("deleted_shared", p, len, 0x35);
	close(fd);
	unlink("deleted_shared");

	fd = memfd_create("victim", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)len))
		die("memfd_create");
	p = map("memfd_shared", len, rw, MAP_SHARED, fd);
	fill_and_tell("memfd_shared", p, len, 0x36);
	p = map("memfd_private", len, rw, MAP_PRIVATE, fd);
	emit_fill("memfd_private", p, len, 0x36);
	close(fd);
}

static void make_shm(void)
{
	int id = shmget(IPC_PRIVATE, PAGE, 0600);
	void *p;

	if (id < 0)
		die("shmget");
	p = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	if (p == (void *)-1)
		die("shmat");
	emit("map sysv_shm %#lx %#lx", (unsigned long)p, PAGE);
	fill_and_tell("sysv_shm", p, PAGE, 0x40);
}

static void make_huge(const char *name, int flags, uint64_t seed)
{
	void *p = mmap(NULL, HUGE, PROT_READ | PROT_WRITE,
		       flags | MAP_ANONYMOUS | MAP_HUGETLB | (21 << MAP_HUGE_SHIFT), -1, 0);

	if (p == MAP_FAILED) {
		emit("skip %s no huge page: %s", name, strerror(errno));
		return;
	}
	emit("map %s %#lx %#lx", name, (unsigned long)p, HUGE);
	fill_and_tell(name, p, HUGE, seed);
}

static void make_variables(void)
{
	size_t len = 96 * 1024;
	void *heap = malloc(len);

	if (!heap)
		die("malloc");
	fill_and_tell("heap", heap, len, 0x50);
	fill_and_tell("data", data_words, sizeof(data_words), 0x51);
	fill_and_tell("bss", bss_words, sizeof(bss_words), 0x52);
	fill_and_tell("tls", tls_words, sizeof(tls_words), 0x53);
	emit("tls_number %d", tls_number);
}

/* Of a mapping longer than its file only the part in the file can be read. */
static void make_beyond(void)
{
	int fd = file_make("file_beyond", PAGE, 0x60);
	void *p = map("file_beyond", 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);

	fill_and_tell("file_beyond", p, PAGE, 0x61);
	close(fd);
}

int main(int argc, char **argv)
{
	uint64_t stack_words[64];

	victim_begin();
	make_anonymous();
	make_protected();
	make_files();
	make_shm();
	make_huge("huge_private", MAP_PRIVATE, 0x41);
	make_huge("huge_shared", MAP_SHARED, 0x42);
	make_variables();
	if (argc > 1 && strcmp(argv[1], "beyond") == 0)
		make_beyond();
	fill_and_tell("stack", stack_words, sizeof(stack_words), 0x54);
	emit("data_point %d %d %s", data_point.x, data_point.y, data_text);
	emit("const_point %#lx %d %d", (unsigned long)&const_point, const_point.x, const_point.y);
	victim_serve(NULL);
}
