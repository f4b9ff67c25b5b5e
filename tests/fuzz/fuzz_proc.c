/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The smaller files of /proc, one kind after the other. The first byte chooses. */
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../../core/mounts.h"
#include "../../core/procfs.h"
#include "fuzz.h"

#define INODE 378998
#define DEV   makedev(0, 0x15)

/* Whoever is said to hold the lock has a line of its own that says so. */
static void check_locks(const char *text)
{
	pid_t pid = lc_procfs_find_flock(text, DEV, INODE);
	char word[64], *with;

	must(pid >= 0);
	if (pid) {
		snprintf(word, sizeof(word), " 00:15:%d 0 EOF\n", INODE);
		must(strstr(text, word) && strstr(text, "FLOCK"));
	}
	must(asprintf(&with,
		      "1: POSIX  ADVISORY  WRITE 5 00:15:%d 0 EOF\n"
		      "1: -> FLOCK  ADVISORY  WRITE 6 00:15:%d 0 EOF\n"
		      "2: FLOCK  ADVISORY  WRITE 7 00:16:%d 0 EOF\n"
		      "3: FLOCK  ADVISORY  WRITE 4711 00:15:%d 0 EOF\n%s",
		      INODE, INODE, INODE, INODE, text) > 0);
	must(lc_procfs_find_flock(with, DEV, INODE) == 4711);
	free(with);
}

/* Nobody but the initial namespace has all of them. */
static void check_uid_map(const char *text)
{
	bool whole = lc_procfs_maps_all_ids(text);

	must(!whole || (strchr(text, '0') && strstr(text, "4294967295")));
}

/* As proc_pid_syscall() prints it. */
static void check_syscall(const char *text)
{
	struct lc_syscall sc, again;
	char line[256], *to = line;

	if (lc_procfs_parse_syscall(text, &sc) < 0)
		return;
	to += sprintf(to, "%" PRId64, sc.number);
	for (size_t i = 0; i < 6; i++)
		to += sprintf(to, " 0x%" PRIx64, sc.args[i]);
	sprintf(to, " 0x%" PRIx64 " 0x%" PRIx64 "\n", sc.sp, sc.pc);
	must(lc_procfs_parse_syscall(line, &again) == 0);
	must(memcmp(&sc, &again, sizeof(sc)) == 0);
}

/* No more file systems than lines, and the same ones when printed; lines are apart. */
static void check_mounts(const char *text)
{
	struct lc_mounts mounts = {0}, again = {0};
	size_t n_lines = 1;

	must(lc_mounts_parse(text, &mounts) == 0);
	for (const char *c = text; *c; c++)
		n_lines += *c == '\n';
	must(mounts.n <= n_lines);
	for (size_t i = 0; i < mounts.n; i++) {
		const struct lc_fs *fs = &mounts.v[i];
		char line[128];

		snprintf(line, sizeof(line), "1 2 %u:%u / /x rw shared:1 - %s /dev/x rw\n",
			 fs->dev_major, fs->dev_minor, fs->is_local ? "ext4" : "ext4.");
		must(lc_mounts_parse(line, &again) == 0 && again.n == i + 1);
		must(again.v[i].dev_major == fs->dev_major);
		must(again.v[i].dev_minor == fs->dev_minor && again.v[i].is_local == fs->is_local);
	}
	lc_mounts_free(&mounts);
	lc_mounts_free(&again);
}

static void check_hex(const struct fuzz_input *in)
{
	char path[32];
	uint64_t value;
	int fd = memfd_create("hex", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, in->data, in->size) == (ssize_t)in->size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (lc_procfs_hex(-1, path, &value) == 0)
		must(in->size > 0);
	close(fd);
}

static void check_whole_read(const struct fuzz_input *in)
{
	struct lc_text text = {0};
	char path[32];
	int fd = memfd_create("text", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, in->data, in->size) == (ssize_t)in->size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(lc_procfs_read(-1, path, &text) == 0);
	must(text.len == in->size && text.data[text.len] == '\0');
	must(!text.len || memcmp(text.data, in->data, text.len) == 0);
	lc_text_free(&text);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	unsigned int kind = (unsigned int)fuzz_take(&in, 1) % 6;
	char *text;

	if (kind == 2)
		check_hex(&in);
	if (kind == 3)
		check_whole_read(&in);
	text = fuzz_take_rest(&in);
	if (kind == 0)
		check_locks(text);
	if (kind == 1)
		check_uid_map(text);
	if (kind == 4)
		check_syscall(text);
	if (kind == 5)
		check_mounts(text);
	free(text);
	return 0;
}
