/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Parsers of /proc text. They accept hostile text: names with newlines, parentheses and escapes,
 * lines that are cut, numbers out of range. Reading is separate from parsing, for tests and
 * fuzzing.
 */
#include "procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "err.h"
#include "vma.h"

void lc_text_free(struct lc_text *text)
{
	free(text->data);
	*text = (struct lc_text){0};
}

static int text_reserve(struct lc_text *text, size_t more)
{
	size_t want = text->cap ? text->cap : 4096;
	char *grown;

	while (want < text->len + more + 1)
		want *= 2;
	if (want == text->cap)
		return 0;
	grown = realloc(text->data, want);
	if (!grown)
		return -ENOMEM;
	text->data = grown;
	text->cap = want;
	return 0;
}

static int read_all(int fd, uint64_t deadline_ns, struct lc_text *text)
{
	for (;;) {
		ssize_t n;

		/* seq_file hands out at most a page or one record at a time */
		if (text_reserve(text, 4096) < 0)
			return -ENOMEM;
		n = read(fd, text->data + text->len, text->cap - text->len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		text->len += (size_t)n;
		if (lc_is_past(deadline_ns))
			return -ETIME;
	}
	text->data[text->len] = '\0';
	return 0;
}

int lc_procfs_read_until(int dirfd, const char *path, uint64_t deadline_ns, struct lc_text *text)
{
	int fd, r;

	text->len = 0;
	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = read_all(fd, deadline_ns, text);
	close(fd);
	return r;
}

int lc_procfs_read(int dirfd, const char *path, struct lc_text *text)
{
	return lc_procfs_read_until(dirfd, path, 0, text);
}

int lc_procfs_readlink(int dirfd, const char *path, char **ret_target)
{
	size_t cap = 256;

	for (;;) {
		char *buf = malloc(cap);
		ssize_t n;

		if (!buf)
			return -ENOMEM;
		n = readlinkat(dirfd, path, buf, cap);
		if (n >= 0 && (size_t)n < cap) {
			buf[n] = '\0';
			*ret_target = buf;
			return 0;
		}
		free(buf);
		if (n < 0)
			return -errno;
		if (cap > 1U << 20)
			return -ENAMETOOLONG;
		cap *= 2;
	}
}

/* Field 2 is in parentheses and may hold them, spaces and newlines: the last one ends it. */
int lc_procfs_parse_stat(const char *text, struct lc_stat *ret_stat)
{
	struct lc_stat st = {0};
	const char *open = strchr(text, '(');
	const char *close = strrchr(text, ')');
	size_t len;
	int n;

	if (!open || !close || close < open || close[1] != ' ')
		return -EINVAL;
	len = (size_t)(close - open - 1);
	if (len >= sizeof(st.comm))
		len = sizeof(st.comm) - 1;
	memcpy(st.comm, open + 1, len);
	n = sscanf(close + 2,
		   "%c %d %d %d %*d %*d %" SCNu64 " %*u %*u %*u %*u %" SCNu64 " %" SCNu64
		   " %" SCNu64 " %" SCNu64 " %*d %d %*d %*d %" SCNu64,
		   &st.state, &st.ppid, &st.pgrp, &st.sid, &st.flags, &st.utime, &st.stime,
		   &st.cutime, &st.cstime, &st.nice, &st.starttime);
	if (n != 11)
		return -EINVAL;
	*ret_stat = st;
	return 0;
}

/* Files of one record: a buffer on the stack keeps the reads inside the freeze free of malloc(). */
static int read_small(int dirfd, const char *path, char *buf, size_t cap)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, buf + len, cap - 1 - len);
		if (n > 0)
			len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		n = -errno;
	close(fd);
	buf[len] = '\0';
	return (int)n;
}

int lc_procfs_stat(int dirfd, const char *path, struct lc_stat *ret_stat)
{
	char buf[2048];
	int r = read_small(dirfd, path, buf, sizeof(buf));

	return r < 0 ? r : lc_procfs_parse_stat(buf, ret_stat);
}

/* How the value of one line of status is written. */
enum status_kind { ST_DEC, ST_HEX, ST_IDS, ST_LAST_DEC, ST_COUNT, ST_CHAR, ST_RATIO };

struct status_field {
	const char *key;
	enum status_kind kind;
	size_t offset;
	size_t size;
};

#define FIELD(key_, kind_, member_)                                                                \
	{                                                                                          \
		key_, kind_, offsetof(struct lc_status, member_),                                  \
			sizeof(((struct lc_status *)NULL)->member_)                                \
	}

static const struct status_field status_fields[] = {
	FIELD("State", ST_CHAR, state),      FIELD("Tgid", ST_DEC, tgid),
	FIELD("Pid", ST_DEC, pid),           FIELD("PPid", ST_DEC, ppid),
	FIELD("TracerPid", ST_DEC, tracer),  FIELD("Uid", ST_IDS, uid),
	FIELD("Gid", ST_IDS, gid),           FIELD("NSpid", ST_LAST_DEC, ns_pid),
	FIELD("NSpid", ST_COUNT, n_ns),      FIELD("NSpgid", ST_LAST_DEC, ns_pgrp),
	FIELD("NSsid", ST_LAST_DEC, ns_sid), FIELD("Threads", ST_DEC, n_threads),
	FIELD("SigQ", ST_RATIO, sig_queued), FIELD("SigPnd", ST_HEX, sigpnd),
	FIELD("ShdPnd", ST_HEX, shdpnd),     FIELD("SigBlk", ST_HEX, sigblk),
	FIELD("SigIgn", ST_HEX, sigign),     FIELD("SigCgt", ST_HEX, sigcgt),
	FIELD("CapPrm", ST_HEX, cap_prm),    FIELD("CapEff", ST_HEX, cap_eff),
	FIELD("Seccomp", ST_DEC, seccomp),   FIELD("CoreDumping", ST_DEC, core_dumping),
	FIELD("VmPTE", ST_DEC, vm_pte),      FIELD("VmPin", ST_DEC, vm_pin),
};

static void store(void *to, size_t size, uint64_t value)
{
	uint32_t narrow = (uint32_t)value;

	if (size == sizeof(value))
		memcpy(to, &value, size);
	else
		memcpy(to, &narrow, sizeof(narrow));
}

static void store_field(const struct status_field *f, const char *value, struct lc_status *st)
{
	char *to = (char *)st + f->offset;
	char *end;

	switch (f->kind) {
	case ST_CHAR:
		*to = *value;
		break;
	case ST_DEC:
		store(to, f->size, strtoull(value, NULL, 10));
		break;
	case ST_HEX:
		store(to, f->size, strtoull(value, NULL, 16));
		break;
	case ST_RATIO:
		st->sig_queued = strtoull(value, &end, 10);
		st->sig_limit = *end == '/' ? strtoull(end + 1, NULL, 10) : 0;
		break;
	case ST_IDS:
		for (size_t i = 0; i < 4; i++, value = end)
			store(to + 4 * i, 4, strtoull(value, &end, 10));
		break;
	case ST_LAST_DEC:
	case ST_COUNT:
		for (unsigned int count = 1;; count++, value = end) {
			unsigned long long n = strtoull(value, &end, 10);

			if (end == value)
				break;
			store(to, f->size, f->kind == ST_COUNT ? count : n);
		}
		break;
	}
}

/* The kernel escapes the newline in Name, so every line that starts with a key is the kernel's. */
void lc_procfs_parse_status(const char *text, struct lc_status *ret_status)
{
	const char *line = text;

	*ret_status = (struct lc_status){0};
	while (line && *line) {
		size_t key = strcspn(line, ":\n");

		for (size_t i = 0; i < sizeof(status_fields) / sizeof(*status_fields); i++) {
			const struct status_field *f = &status_fields[i];
			char value[512]; /* NSpid may have 33 numbers */

			if (strlen(f->key) != key || memcmp(f->key, line, key) || line[key] != ':')
				continue;
			/* never past the end of the line: strtoull() skips newlines */
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(line + key + 1, "\n"),
				 line + key + 1);
			store_field(f, value + strspn(value, " \t"), ret_status);
		}
		line = strchr(line, '\n');
		if (line)
			line++;
	}
}

int lc_procfs_status(int dirfd, const char *path, struct lc_status *ret_status)
{
	/* Not read_small(): the line Groups can hold 65,536 of them, and the signal masks are
	 * behind it. */
	struct lc_text text = {0};
	int r = lc_procfs_read(dirfd, path, &text);

	if (r == 0)
		lc_procfs_parse_status(text.data, ret_status);
	lc_text_free(&text);
	return r;
}

/* proc_pid_syscall(), fs/proc/base.c: "running", "-1 SP PC" or "NUMBER ARG... SP PC". */
int lc_procfs_parse_syscall(const char *text, struct lc_syscall *ret_syscall)
{
	struct lc_syscall sc = {0};
	uint64_t words[8];
	int n = sscanf(text,
		       "%" SCNd64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64
		       " %" SCNx64 " %" SCNx64 " %" SCNx64,
		       &sc.number, &words[0], &words[1], &words[2], &words[3], &words[4], &words[5],
		       &words[6], &words[7]);

	if (n != 9 && !(n == 3 && sc.number == -1))
		return -EINVAL;
	if (n == 9)
		memcpy(sc.args, words, sizeof(sc.args));
	sc.sp = words[n - 3];
	sc.pc = words[n - 2];
	*ret_syscall = sc;
	return 0;
}

int lc_procfs_syscall(int dirfd, const char *path, struct lc_syscall *ret_syscall)
{
	char buf[512];
	int r = read_small(dirfd, path, buf, sizeof(buf));

	return r < 0 ? r : lc_procfs_parse_syscall(buf, ret_syscall);
}

static bool parse_hex(char **cursor, char stop, uint64_t *ret)
{
	char *end;

	if (!isxdigit((unsigned char)**cursor))
		return false;
	*ret = strtoull(*cursor, &end, 16);
	if (*end != stop)
		return false;
	*cursor = end + 1;
	return true;
}

/* maps escapes the newline alone, as \012 (show_map_vma(), fs/proc/task_mmu.c). */
static bool unescape_newlines(char *name)
{
	char *to = name;
	bool any = false;

	for (const char *from = name; *from;) {
		if (strncmp(from, "\\012", 4) == 0) {
			*to++ = '\n';
			from += 4;
			any = true;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	return any;
}

int lc_procfs_parse_map_line(char *line, struct lc_map_line *ret_map)
{
	struct lc_map_line map = {0};
	uint64_t major, minor;
	char *p = line, *end;

	if (!parse_hex(&p, '-', &map.start) || !parse_hex(&p, ' ', &map.end))
		return -EINVAL;
	if (map.start >= map.end || strlen(p) < 5 || p[4] != ' ')
		return -EINVAL;
	memcpy(map.perms, p, 4);
	p += 5;
	if (!parse_hex(&p, ' ', &map.offset) || !parse_hex(&p, ':', &major) ||
	    !parse_hex(&p, ' ', &minor))
		return -EINVAL;
	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	map.inode = strtoull(p, &end, 10);
	map.dev_major = (uint32_t)major;
	map.dev_minor = (uint32_t)minor;
	map.name = end + strspn(end, " ");
	map.ambiguous_name = unescape_newlines(map.name);
	*ret_map = map;
	return 0;
}

uint32_t lc_procfs_parse_vm_flags(const char *text)
{
	static const struct {
		char name[3];
		uint32_t flag;
	} known[] = {
		{"sh", LC_VMA_SHARED},   {"dd", LC_VMA_DONTDUMP},   {"io", LC_VMA_IO},
		{"pf", LC_VMA_PFNMAP},   {"ht", LC_VMA_HUGETLB},    {"um", LC_VMA_UFFD},
		{"ui", LC_VMA_UFFD},     {"mm", LC_VMA_MAYBE_DAX},  {"hg", LC_VMA_MAYBE_DAX},
		{"dc", LC_VMA_DONTFORK}, {"wf", LC_VMA_WIPEONFORK},
	};
	uint32_t flags = 0;

	while (*(text += strspn(text, " \t"))) {
		size_t len = strcspn(text, " \t\n");

		if (len == 0)
			break;
		for (size_t i = 0; len == 2 && i < sizeof(known) / sizeof(*known); i++)
			if (memcmp(known[i].name, text, 2) == 0)
				flags |= known[i].flag;
		text += len;
	}
	return flags;
}

int lc_procfs_hex(int dirfd, const char *path, uint64_t *ret_value)
{
	char buf[64], *end;
	int r = read_small(dirfd, path, buf, sizeof(buf));

	if (r < 0)
		return r;
	*ret_value = strtoull(buf, &end, 16);
	return end == buf ? -EINVAL : 0;
}

/* Not sscanf(), which would measure all the text that follows. */
static bool skip_word(const char **cursor, const char *word)
{
	const char *from = *cursor + strspn(*cursor, " ");
	size_t len = strlen(word);

	if (strncmp(from, word, len) != 0 || from[len] != ' ')
		return false;
	*cursor = from + len;
	return true;
}

/* "1: FLOCK  ADVISORY  WRITE 4711 ...". Returns the PID; 0: another kind of line. */
static pid_t parse_flock_line(const char *line)
{
	const char *p = line + strspn(line, "0123456789");
	long pid;

	if (*p++ != ':' || !skip_word(&p, "FLOCK") || !skip_word(&p, "ADVISORY") ||
	    !skip_word(&p, "WRITE"))
		return 0;
	pid = strtol(p, NULL, 10);
	return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

/* lock_get_status(), fs/locks.c. Only a line with the file at its end is worth a look: there can be
 * thousands. */
pid_t lc_procfs_find_flock(const char *text, dev_t dev, uint64_t inode)
{
	char tail[64];

	snprintf(tail, sizeof(tail), " %02x:%02x:%" PRIu64 " 0 EOF\n", major(dev), minor(dev),
		 inode);
	for (const char *at = strstr(text, tail); at; at = strstr(at + 1, tail)) {
		const char *line = at;
		pid_t pid;

		while (line > text && line[-1] != '\n')
			line--;
		pid = parse_flock_line(line);
		if (pid)
			return pid;
	}
	return 0;
}

bool lc_procfs_maps_all_ids(const char *text)
{
	unsigned long inside, outside, count;

	return sscanf(text, "%lu %lu %lu", &inside, &outside, &count) == 3 && inside == 0 &&
	       outside == 0 && count == UINT32_MAX;
}

/* getdents64() directly: readdir() would allocate and read ahead in its own way. */
static int each_pid_fd(int fd, int (*visit)(void *arg, pid_t pid), void *arg)
{
	_Alignas(struct dirent64) char buf[32768];

	for (;;) {
		long n = syscall(SYS_getdents64, fd, buf, sizeof(buf));

		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		for (long pos = 0; pos < n;) {
			const struct dirent64 *d = (const void *)(buf + pos);
			char *end;
			long pid = strtol(d->d_name, &end, 10);
			int r;

			pos += d->d_reclen;
			if (*end || pid <= 0 || pid > INT_MAX)
				continue;
			r = visit(arg, (pid_t)pid);
			if (r)
				return r;
		}
	}
}

int lc_procfs_each_pid(int dirfd, const char *path, int (*visit)(void *arg, pid_t pid), void *arg)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = each_pid_fd(fd, visit, arg);
	close(fd);
	return r;
}
