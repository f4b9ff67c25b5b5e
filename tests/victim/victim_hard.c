/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * victim_hard CASE: memory that is hard to save, one case for each process; see victim_memory.h for
 * the lines that it prints. Names tell what a core must hold:
 *
 *   present/NAME     pages that the process has
 *   behind/NAME      pages that the file has and this process never touched
 *   hole/NAME        pages that nobody has and that read as zero
 *   never/NAME       pages that raise SIGSEGV or SIGBUS: in no core
 *   shadowed/NAME    the same, where a reader may find a file that has something there
 *
 * Files are made in the working directory.
 */
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "victim_memory.h"

#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static uint64_t next_seed = 0x1000;

static void tell(const char *state, const char *name, void *start, size_t len)
{
	char text[64];

	snprintf(text, sizeof(text), "%s/%s", state, name);
	if (strcmp(state, "hole") == 0)
		emit_zero(text, start, len);
	else if (strcmp(state, "never") == 0 || strcmp(state, "shadowed") == 0)
		emit_fill(text, start, len, 0);
	else
		fill_and_tell(text, start, len, next_seed++);
}

/* Writes what the process does not map or touch. */
static void tell_behind(const char *name, int fd, void *start, uint64_t off, size_t len)
{
	char text[64];
	void *bytes = malloc(len);

	snprintf(text, sizeof(text), "behind/%s", name);
	fill(bytes, len, next_seed);
	if (!bytes || pwrite(fd, bytes, len, (off_t)off) != (ssize_t)len)
		die(text);
	free(bytes);
	emit_fill(text, start, len, next_seed++);
}

/* ---- guard pages -------------------------------------------------------------------------- */

static bool guard(const char *name, char *start, size_t pages)
{
	if (madvise(start, pages * PAGE, MADV_GUARD_INSTALL) < 0) {
		emit("skip %s MADV_GUARD_INSTALL: %s", name, strerror(errno));
		return false;
	}
	tell(strcmp(name, "guard_file") ? "never" : "shadowed", name, start, pages * PAGE);
	return true;
}

/* At both edges, single, in a run, two runs that touch; then the same where nothing was touched. */
static void guard_in(const char *name, char *p, bool touched)
{
	static const unsigned char guards[][2] = {{0, 1},  {5, 1},  {7, 1}, {10, 4},
						  {16, 2}, {18, 3}, {63, 1}};
	size_t page = 0;

	for (size_t i = 0; i < N_ELEMENTS(guards); i++) {
		for (; page < guards[i][0]; page++)
			tell(touched ? "present" : "hole", name, p + page * PAGE, PAGE);
		if (!guard(name, p + page * PAGE, guards[i][1]))
			return;
		page += guards[i][1];
	}
}

static void *run_on_stack(void *arg)
{
	tell("present", "guard_stack", arg, 8 * PAGE);
	emit("stacked");
	pause();
	return NULL;
}

/* As glibc 2.42 makes stacks: one mapping, its lowest page a guard. */
static void make_guarded_stack(void)
{
	const size_t len = 64 * PAGE;
	char *p = map("guard_stack", len, RW, PRIVATE | MAP_NORESERVE | MAP_STACK, -1);
	pthread_attr_t attr;
	pthread_t thread;

	if (!guard("guard_stack", p, 1))
		return;
	tell("hole", "guard_stack", p + PAGE, PAGE);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, p, len);
	if (pthread_create(&thread, &attr, run_on_stack, p + 16 * PAGE) != 0)
		die("pthread_create");
}

static void make_guard(void)
{
	const size_t len = 64 * PAGE;
	char *p;
	int fd;

	guard_in("guard_touched", map("guard_touched", len, RW, PRIVATE, -1), true);
	guard_in("guard_untouched", map("guard_untouched", len, RW, PRIVATE, -1), false);

	/* what is untouched ends a segment where it is large */
	p = map("guard_sparse", 64UL << 20, RW, PRIVATE, -1);
	for (size_t mib = 0; mib < 64; mib += 4) {
		tell("hole", "guard_sparse", p + (mib << 20), PAGE);
		if (!guard("guard_sparse", p + (mib << 20) + PAGE, 2))
			break;
		tell("present", "guard_sparse", p + (mib << 20) + 3 * PAGE, PAGE);
		tell("hole", "guard_sparse", p + (mib << 20) + 4 * PAGE, 3UL << 20);
	}

	p = map("guard_none", len, RW, PRIVATE, -1);
	guard_in("guard_none", p, true);
	mprotect(p, len, PROT_NONE);

	/* mappings of files: since Linux 6.15 */
	fd = file_make("guard_file", len, 1);
	guard_in("guard_file", map("guard_file", len, RW, MAP_PRIVATE, fd), true);
	close(fd);
	fd = memfd_create("guard", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)len) < 0)
		die("memfd_create");
	guard_in("guard_shared", map("guard_shared", len, RW, MAP_SHARED, fd), true);
	close(fd);
	make_guarded_stack();
}

/* ---- files that end before their mapping -------------------------------------------------- */

/* The file ends in the middle of page 3. */
static void make_cut(const char *name, int flags, bool cut_later)
{
	const size_t len = 32 * PAGE, end = 3 * PAGE + PAGE / 2;
	int fd = file_make(name, cut_later ? len : end, 1);
	char *p = map(name, len, RW, flags, fd);

	if (cut_later) {
		fill(p + 10 * PAGE, 4 * PAGE, 2);
		read_all(p, len);
		if (ftruncate(fd, (off_t)end) < 0)
			die("ftruncate");
	}
	close(fd);
	tell("present", name, p + PAGE, end - PAGE);
	tell("hole", name, p + end, PAGE / 2);
	tell("never", name, p + 4 * PAGE, len - 4 * PAGE);
}

static void make_truncated(void)
{
	int fd;

	make_cut("short_private", MAP_PRIVATE, false);
	make_cut("short_shared", MAP_SHARED, false);
	make_cut("cut_private", MAP_PRIVATE, true);
	make_cut("cut_shared", MAP_SHARED, true);
	make_cut("deleted_private", MAP_PRIVATE, true);
	unlink("deleted_private");
	make_cut("deleted_shared", MAP_SHARED, true);
	unlink("deleted_shared");

	fd = file_make("empty", 0, 1);
	tell("never", "empty", map("empty", 4 * PAGE, RW, MAP_PRIVATE, fd), 4 * PAGE);
	close(fd);
}

/* ---- protections -------------------------------------------------------------------------- */

static void make_protected(void)
{
	const size_t len = 64 * GIB;
	int fd = memfd_create("none", MFD_CLOEXEC);
	char *p;

	p = map("none", len, PROT_NONE, PRIVATE | MAP_NORESERVE, -1);
	tell("hole", "none", p + 5 * GIB, 16 * PAGE);

	p = map("none_touched", len, RW, PRIVATE | MAP_NORESERVE, -1);
	tell("present", "none_touched", p, PAGE);
	tell("hole", "none_touched", p + PAGE, PAGE);
	for (uint64_t at = GIB; at < len; at += 7 * GIB)
		tell("present", "none_touched", p + at, 3 * PAGE);
	tell("present", "none_touched", p + len - PAGE, PAGE);
	mprotect(p, len, PROT_NONE);

	if (fd < 0 || ftruncate(fd, (off_t)len) < 0)
		die("memfd_create");
	p = map("none_shared", len, RW, MAP_SHARED, fd);
	tell("present", "none_shared", p + 3 * GIB, 3 * PAGE);
	tell_behind("none_shared", fd, p + 9 * GIB, 9 * GIB, PAGE);
	tell("hole", "none_shared", p + 3 * GIB + 3 * PAGE, PAGE);
	mprotect(p, len, PROT_NONE);

	p = map("write_only", 8 * PAGE, RW, PRIVATE, -1);
	tell("present", "write_only", p, 6 * PAGE);
	tell("hole", "write_only", p + 6 * PAGE, 2 * PAGE);
	mprotect(p, 8 * PAGE, PROT_WRITE);

	/* where the processor has protection keys the kernel takes one for this */
	p = map("exec_only", 8 * PAGE, RW, PRIVATE, -1);
	tell("present", "exec_only", p, 6 * PAGE);
	mprotect(p, 8 * PAGE, PROT_EXEC);
}

/* A protection key that the process has shut: Linux lets no thread of it look, debuggers may. */
static void make_pkey(void)
{
	long key = syscall(SYS_pkey_alloc, 0, 1 /* PKEY_DISABLE_ACCESS */);
	char *p;

	if (key < 0) {
		emit("skip pkey no protection keys here: %s", strerror(errno));
		return;
	}
	p = map("pkey", 8 * PAGE, RW, PRIVATE, -1);
	tell("present", "pkey", p, 8 * PAGE);
	if (syscall(SYS_pkey_mprotect, p, 8 * PAGE, RW, key) < 0)
		die("pkey_mprotect");
}

/* ---- a sanitizer's shadow ----------------------------------------------------------------- */

static void make_reserve(void)
{
	const size_t len = 16 * TIB;
	char *p = map("reserve", len, RW, PRIVATE | MAP_NORESERVE, -1);

	tell("present", "reserve", p, PAGE);
	tell("hole", "reserve", p + PAGE, 1UL << 20);
	for (uint64_t at = TIB; at < len; at += TIB) {
		tell("hole", "reserve", p + at - (1UL << 20), 1UL << 20);
		tell("present", "reserve", p + at, 2 * PAGE);
		tell("hole", "reserve", p + at + 2 * PAGE, 1UL << 20);
	}
	tell("hole", "reserve", p + len - PAGE - (1UL << 20), 1UL << 20);
	tell("present", "reserve", p + len - PAGE, PAGE);
}

/* ---- holes -------------------------------------------------------------------------------- */

#define N_TOUCHED 16

/* 16 pages touched; as many that only the file has, where there is a file to write to. */
static void touch_some(const char *name, char *p, int fd, uint64_t len)
{
	uint64_t step = len / N_TOUCHED;

	for (uint64_t at = 0; at < len; at += step) {
		tell("present", name, p + at + step - PAGE, PAGE);
		tell("hole", name, p + at + 3 * PAGE, 64 * PAGE);
		if (fd >= 0)
			tell_behind(name, fd, p + at + PAGE, at + PAGE, PAGE);
	}
}

static void make_sparse(const char *name, int fd, uint64_t len, int flags)
{
	char *p;

	if (fd < 0 || ftruncate(fd, (off_t)len) < 0)
		die(name);
	p = map(name, len, RW, flags, fd);
	/* a fault must not bring its neighbours along */
	madvise(p, len, MADV_RANDOM);
	touch_some(name, p, fd, len);
	close(fd);
}

static void make_holes(void)
{
	const uint64_t len = 8 * GIB;
	const int create = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
	char shm[64];
	int id = shmget(IPC_PRIVATE, len, 0600 | SHM_NORESERVE);
	void *p = id < 0 ? (void *)-1 : shmat(id, NULL, 0);

	make_sparse("memfd", memfd_create("holes", MFD_CLOEXEC), len, MAP_SHARED);
	make_sparse("memfd_private", memfd_create("holes", MFD_CLOEXEC), len,
		    MAP_PRIVATE | MAP_NORESERVE);
	make_sparse("memfd_20t", memfd_create("holes", MFD_CLOEXEC), 20 * TIB,
		    MAP_PRIVATE | MAP_NORESERVE);
	make_sparse("file", open("file", create, 0600), len, MAP_SHARED);
	make_sparse("file_private", open("file_private", create, 0600), len,
		    MAP_PRIVATE | MAP_NORESERVE);
	snprintf(shm, sizeof(shm), "/dev/shm/livecore.victim.%d", getpid());
	make_sparse("tmpfs", open(shm, create, 0600), len, MAP_SHARED);
	unlink(shm);
	touch_some("anon", map("anon", len, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1), -1,
		   len);
	if (id >= 0)
		shmctl(id, IPC_RMID, NULL);
	if (p == (void *)-1) {
		emit("skip sysv shmget: %s", strerror(errno));
		return;
	}
	emit_map("sysv", p, len);
	touch_some("sysv", p, -1, len);
}

/* ---- what is not to be saved -------------------------------------------------------------- */

static void make_excluded(void)
{
	const size_t len = 8 * PAGE;
	int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
	char *p;

	p = map("dontdump", len, RW, PRIVATE, -1);
	tell("present", "dontdump", p, len);
	madvise(p, len, MADV_DONTDUMP);
	p = map("dump_again", len, RW, PRIVATE, -1);
	tell("present", "dump_again", p, len);
	madvise(p, len, MADV_DONTDUMP);
	madvise(p, len, MADV_DODUMP);
	if (fd < 0 || ftruncate(fd, (off_t)len) < 0) {
		emit("skip secret memfd_secret: %s", strerror(errno));
		return;
	}
	tell("never", "secret", map("secret", len, RW, MAP_SHARED, fd), len);
	close(fd);
}

/* ---- huge pages --------------------------------------------------------------------------- */

#define HUGETLB (MAP_HUGETLB | 21 << 26)

/* Four huge pages, of which two are touched; of a file also one that only the file has. */
static void make_hugetlb(const char *name, int flags, int fd)
{
	char *p = mmap(NULL, 4 * HUGE, RW, flags | MAP_NORESERVE, fd, 0);

	if (p == MAP_FAILED) {
		emit("skip %s mmap: %s", name, strerror(errno));
		return;
	}
	emit_map(name, p, 4 * HUGE);
	tell("present", name, p + HUGE, HUGE);
	tell("hole", name, p + 2 * HUGE, HUGE);
	tell("present", name, p + 3 * HUGE, HUGE);
}

/* The file has a page that this mapping has not. */
static void make_hugetlb_behind(const char *name, int flags)
{
	int fd = memfd_create(name, MFD_CLOEXEC | 4 /* MFD_HUGETLB */ | 21 << 26);
	char text[64], *all, *p;

	if (fd < 0 || ftruncate(fd, 4 * HUGE) < 0)
		die(name);
	all = mmap(NULL, 4 * HUGE, RW, MAP_SHARED | MAP_NORESERVE, fd, 0);
	p = mmap(NULL, 4 * HUGE, RW, flags | MAP_NORESERVE, fd, 0);
	if (all == MAP_FAILED || p == MAP_FAILED) {
		emit("skip %s mmap: %s", name, strerror(errno));
		return;
	}
	emit_map(name, p, 4 * HUGE);
	fill(all + 2 * HUGE, HUGE, next_seed);
	munmap(all, 4 * HUGE);
	close(fd);
	snprintf(text, sizeof(text), "behind/%s", name);
	emit_fill(text, p + 2 * HUGE, HUGE, next_seed++);
	tell("present", name, p + HUGE, HUGE);
	tell("hole", name, p + 3 * HUGE, HUGE);
}

static void make_huge(void)
{
	char *p = map("thp", 16 * HUGE, RW, PRIVATE, -1);
	char *first = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));

	madvise(p, 16 * HUGE, MADV_HUGEPAGE);
	tell("present", "thp", first, 3 * HUGE);
	tell("hole", "thp", first + 4 * HUGE, HUGE);
	/* read, not written: the huge zero page */
	read_all(first + 6 * HUGE, 2 * HUGE);
	tell("hole", "thp", first + 6 * HUGE, 2 * HUGE);

	make_hugetlb("huge_private", PRIVATE | HUGETLB, -1);
	make_hugetlb("huge_shared", MAP_SHARED | MAP_ANONYMOUS | HUGETLB, -1);
	make_hugetlb_behind("huge_file_private", MAP_PRIVATE);
	make_hugetlb_behind("huge_file_shared", MAP_SHARED);
}

/* ---- large -------------------------------------------------------------------------------- */

/* A page every 4 MiB, or all of it with "all", which takes 6 GiB. */
static void make_large(const char *name, char *p, size_t step, size_t len)
{
	for (uint64_t at = 0; at + len <= 6 * GIB; at += step)
		tell("present", name, p + at, len);
	tell("present", name, p + 6 * GIB - len, len);
}

static void make_six_gib(bool all)
{
	const size_t step = 4UL << 20;
	int fd = memfd_create("six_gib", MFD_CLOEXEC);

	make_large("six_gib", map("six_gib", 6 * GIB, RW, PRIVATE | MAP_NORESERVE, -1), step,
		   all ? step : PAGE);
	/* offsets in the file cross 2 and 4 GiB at other addresses */
	if (fd < 0 || ftruncate(fd, 8 * GIB) < 0)
		die("memfd_create");
	make_large("six_gib_file", map_at("six_gib_file", 6 * GIB, RW, MAP_SHARED, fd, GIB), step,
		   PAGE);
}

/* ---- all of them -------------------------------------------------------------------------- */

static void make_six_gib_sparse(void)
{
	make_six_gib(false);
}

static void make_six_gib_whole(void)
{
	make_six_gib(true);
}

static const struct {
	const char *name;
	void (*make)(void);
} cases[] = {
	{"guard", make_guard},
	{"truncated", make_truncated},
	{"protected", make_protected},
	{"pkey", make_pkey},
	{"reserve", make_reserve},
	{"holes", make_holes},
	{"excluded", make_excluded},
	{"huge", make_huge},
	{"six_gib", make_six_gib_sparse},
	{"six_gib_whole", make_six_gib_whole},
};

int main(int argc, char **argv)
{
	victim_begin();
	for (size_t i = 0; argc > 1 && i < N_ELEMENTS(cases); i++)
		if (strcmp(cases[i].name, argv[1]) == 0) {
			cases[i].make();
			victim_serve(NULL);
		}
	errno = EINVAL;
	die("case");
}
