/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A process that makes it hard to speak of it.
 *
 *   victim_hostile names    files of every kind of name below the working directory, mapped
 *   victim_hostile renames  its name, arguments, executable and a mapped file change all the time
 *   victim_hostile maps     its mappings change all the time, and so does what is in them
 */
#include <sys/stat.h>

#include "victim.h"

#define PAGE      4096UL
#define DEEP_NAME 200 /* a component */

static uint64_t next_seed = 0xbad00;

/* Maps the file of that name and fills it. */
static uint8_t *map_file(const char *name, const char *path, size_t len)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
	uint8_t *p;

	if (fd < 0 || ftruncate(fd, (off_t)len) < 0)
		die(name);
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		die(name);
	close(fd);
	fill(p, len, next_seed);
	emit("fill %s %#lx %#zx %#" PRIx64, name, (unsigned long)p, len, next_seed++);
	return p;
}

/* ---- names -------------------------------------------------------------------------------- */

static const char *const file_names[] = {
	"a\nb",
	"a\\012b",
	"\033[2J\033]0;x\007",
	"a (deleted)",
	"a (deleted) (deleted)",
	"%e %p %n %s",
	") R 1 1 1",
	" leading",
	"trailing ",
	"two  blanks",
	"7f0000000000-7fffffffffff rw-p 00000000 00:00 0",
	"[heap]",
	"[vdso]",
	"\\",
	"\"'$(id)`id`;|&",
	"\xff\xfe",
	"\xc2\x9b"
	"2J",
	"\xe2\x80\xae"
	"txt",
	"a\tb\rc\bd",
	"...",
};

/* Directories in each other until the path has more than `len` bytes; it stays there. */
static void go_deep(size_t len)
{
	char dir[DEEP_NAME + 1];

	memset(dir, 'd', DEEP_NAME);
	dir[DEEP_NAME] = '\0';
	for (size_t at = 0; at + DEEP_NAME + 1 < len; at += DEEP_NAME + 1)
		if (mkdir(dir, 0755) < 0 || chdir(dir) < 0)
			die("mkdir");
}

static void be_names(void)
{
	char cwd[8192], name[32];

	for (size_t i = 0; i < N_ELEMENTS(file_names); i++) {
		snprintf(name, sizeof(name), "file%zu", i);
		map_file(name, file_names[i], 2 * PAGE);
	}
	map_file("removed", "removed\n\033[31m", 2 * PAGE);
	unlink("removed\n\033[31m");
	if (!getcwd(cwd, sizeof(cwd)))
		die("getcwd");
	go_deep(4000 - strlen(cwd));
	map_file("deep", "deep", 2 * PAGE);
	go_deep(1000); /* no system call takes this path any more */
	map_file("deeper", "deeper\n", 2 * PAGE);
	map_file("deepest", "x (deleted)", 2 * PAGE);
	victim_serve(NULL);
}

/* ---- renames ------------------------------------------------------------------------------ */

static const char *const comms[] = {"../../../x", "a) R 1 1", "\n\n\n", "",           ".",
				    "..",         "\033[2J",  "%n%n",   "x (deleted)"};

static void *rename_thread(void *arg)
{
	for (unsigned int i = 0;; i++) {
		const char *name = comms[i % N_ELEMENTS(comms)];

		prctl(PR_SET_NAME, name);
		if (i % 2 == 0 && write(*(int *)arg, name, strlen(name)) < 0) /* the leader's */
			die("comm");
		usleep(20);
	}
	return NULL;
}

static void *rename_file(void *arg)
{
	const char *const *pair = arg;

	for (;;) {
		rename(pair[0], pair[1]);
		usleep(20);
		rename(pair[1], pair[0]);
		usleep(20);
	}
	return NULL;
}

static void *rewrite_arguments(void *arg)
{
	char *text = arg;
	size_t len = strlen(text);

	for (unsigned int i = 0;; i++)
		memset(text, "x\n\033/."[i % 5], len);
	usleep(20);
	return NULL;
}

static void be_renames(char **argv)
{
	static const char *const files[] = {"mapped", "mapped\n (deleted)"};
	static const char *const programs[] = {"program", "program\033 (deleted)"};
	static int comm;

	comm = open("/proc/self/comm", O_WRONLY | O_CLOEXEC);
	map_file("mapped", files[0], 16 * PAGE);
	if (comm < 0)
		die("comm");
	victim_thread(rename_thread, &comm);
	victim_thread(rename_file, (void *)(uintptr_t)files);
	victim_thread(rename_file, (void *)(uintptr_t)programs);
	victim_thread(rewrite_arguments, argv[1]);
	victim_serve(NULL);
}

/* ---- maps --------------------------------------------------------------------------------- */

/*
 * What is true at every moment, and false of any core that was not taken at one: a range that the
 * table has as valid is mapped and filled with its seed, and of the row of counters, each in a page
 * of its own and written in order, those up to some place are n and the rest n - 1.
 */
#define N_SLOTS    64
#define SLOT_LEN   (4 * PAGE)
#define N_COUNTERS 64

struct slot {
	volatile uint64_t valid, addr, seed;
};

static struct slot *slots;
static uint8_t *counters;

static void publish_slot(struct slot *slot, void *p, uint64_t seed)
{
	fill(p, SLOT_LEN, seed);
	slot->addr = (uintptr_t)p;
	slot->seed = seed;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	slot->valid = 1;
}

static void *change_maps(void *arg)
{
	for (uint64_t i = 0;; i++) {
		struct slot *slot = &slots[i % N_SLOTS];
		void *p;

		if (slot->valid) {
			slot->valid = 0;
			__atomic_thread_fence(__ATOMIC_SEQ_CST);
			munmap((void *)(uintptr_t)slot->addr, SLOT_LEN);
		}
		/* sometimes merged with its neighbours, sometimes not */
		p = mmap(NULL, SLOT_LEN, PROT_READ | PROT_WRITE | (i % 3 ? 0 : PROT_EXEC),
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p != MAP_FAILED)
			publish_slot(slot, p, 0x51070000 + i);
	}
	return arg;
}

static void *count_up(void *arg)
{
	for (uint64_t n = 1;; n++)
		for (size_t i = 0; i < N_COUNTERS; i++)
			*(volatile uint64_t *)(void *)(counters + i * PAGE) = n;
	return arg;
}

static void be_maps(void)
{
	slots = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	counters = mmap(NULL, N_COUNTERS * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (slots == MAP_FAILED || counters == MAP_FAILED)
		die("mmap");
	emit("slots %#lx %d %#lx", (unsigned long)slots, N_SLOTS, SLOT_LEN);
	emit("counters %#lx %d", (unsigned long)counters, N_COUNTERS);
	victim_thread(change_maps, NULL);
	victim_thread(count_up, NULL);
	victim_serve(NULL);
}

int main(int argc, char **argv)
{
	victim_begin();
	if (argc < 2)
		return 99;
	if (!strcmp(argv[1], "names"))
		be_names();
	if (!strcmp(argv[1], "renames"))
		be_renames(argv);
	if (!strcmp(argv[1], "maps"))
		be_maps();
	return 99;
}
