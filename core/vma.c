/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * /proc/PID/maps as a sorted array, with the flags that only smaps has. maps is read inside the
 * freeze, smaps before it and matched; only if a mapping is not as it was then is smaps read
 * inside.
 */
#include "vma.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "procfs.h"

/* ---- smaps -------------------------------------------------------------------------------- */

static int hints_add(struct lc_vma_hints *hints, const struct lc_map_line *map)
{
	int r = lc_grow((void **)&hints->v, &hints->cap, hints->n, sizeof(*hints->v));

	if (r < 0)
		return r;
	hints->v[hints->n++] = (struct lc_vma_hint){
		.start = map->start,
		.end = map->end,
		.inode = map->inode,
		.dev_major = map->dev_major,
		.dev_minor = map->dev_minor,
	};
	hints->has_aio_ring |= strcmp(map->name, "/[aio] (deleted)") == 0;
	return 0;
}

static void hints_add_flags(struct lc_vma_hints *hints, uint32_t flags)
{
	struct lc_vma_hint *last = &hints->v[hints->n - 1];
	bool has_content = !(flags & (LC_VMA_IO | LC_VMA_PFNMAP));

	last->flags = flags;
	/* the kernel's own, [vvar], are both */
	hints->may_mislead |= has_content && (flags & (LC_VMA_DONTDUMP | LC_VMA_UFFD));
}

static int hints_line(struct lc_vma_hints *hints, char *line)
{
	struct lc_map_line map;

	/* a mapping's line starts with a lower-case hexadecimal digit, a field's with a capital */
	if (*line < 'A' || *line > 'Z') {
		if (lc_procfs_parse_map_line(line, &map) < 0)
			return 0;
		return hints_add(hints, &map);
	}
	if (hints->n && strncmp(line, "VmFlags:", 8) == 0)
		hints_add_flags(hints, lc_procfs_parse_vm_flags(line + 8));
	return 0;
}

/* Of a line that fills the buffer: its numbers and the start of the name. Paths have no longest one
 * for who goes down into directories one by one. */
#define LINE_HEAD 512

int lc_vma_hints_take(struct lc_vma_hints *hints, char *buf, size_t size, size_t *len)
{
	char *line = buf, *end;

	while ((end = memchr(line, '\n', *len - (size_t)(line - buf)))) {
		int r;

		*end = '\0';
		r = hints_line(hints, line);
		if (r < 0)
			return r;
		line = end + 1;
	}
	*len -= (size_t)(line - buf);
	memmove(buf, line, *len);
	if (*len == size)
		*len = size < LINE_HEAD ? size / 2 : LINE_HEAD;
	return 0;
}

/* Less than what smaps tells of one mapping. */
#define ONE_BY_ONE 512

/*
 * 70,000 mappings make 60 MB of smaps: it is read through one small buffer.
 *
 * The kernel goes on with the next mapping while what was asked for has room, holding the mmap
 * lock, and if its own buffer has none then, it drops that one and walks it again in the next call
 * (seq_read_iter(), fs/seq_file.c): a large mapping may be walked twice, with all that is before it
 * under one lock. Asked for less than one mapping, it stops behind each: two calls for every one.
 */
static int hints_read_fd(int fd, bool one_by_one, uint64_t deadline_ns, struct lc_vma_hints *hints)
{
	/* a name of PATH_MAX bytes, each escaped as four */
	char buf[32768];
	size_t len = 0;

	for (;;) {
		ssize_t n;
		int r;

		if (lc_is_past(deadline_ns))
			return -ETIME;
		n = read(fd, buf + len,
			 one_by_one && sizeof(buf) - len > ONE_BY_ONE ? ONE_BY_ONE
								      : sizeof(buf) - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		len += (size_t)n;
		r = lc_vma_hints_take(hints, buf, sizeof(buf), &len);
		if (r < 0)
			return r;
	}
}

int lc_vma_hints_read(int taskfd, bool one_by_one, uint64_t deadline_ns,
		      struct lc_vma_hints *ret_hints)
{
	struct lc_vma_hints hints = {.read_ns = lc_now_ns()};
	int fd = openat(taskfd, "smaps", O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = hints_read_fd(fd, one_by_one, deadline_ns, &hints);
	close(fd);
	if (r < 0) {
		lc_vma_hints_free(&hints);
		return r;
	}
	hints.read_ns = lc_now_ns() - hints.read_ns;
	*ret_hints = hints;
	return 0;
}

void lc_vma_hints_free(struct lc_vma_hints *hints)
{
	free(hints->v);
	*hints = (struct lc_vma_hints){0};
}

/* ---- maps --------------------------------------------------------------------------------- */

static uint8_t prot_of(const char *perms)
{
	return (uint8_t)((perms[0] == 'r' ? PF_R : 0) | (perms[1] == 'w' ? PF_W : 0) |
			 (perms[2] == 'x' ? PF_X : 0));
}

static bool ends_with(const char *text, const char *tail)
{
	size_t a = strlen(text), b = strlen(tail);

	return a >= b && strcmp(text + a - b, tail) == 0;
}

/* What the name and the numbers of a line tell by themselves. */
static uint32_t flags_of_line(const struct lc_vma *vma)
{
	uint32_t flags = 0;

	if (!lc_vma_has_file(vma)) {
		/* special mappings (arch_vma_name(), vm_ops->name); heap, stack and named anonymous
		 * memory are ordinary */
		if (vma->name[0] == '[' && strcmp(vma->name, "[heap]") != 0 &&
		    strncmp(vma->name, "[stack", 6) != 0 && strncmp(vma->name, "[anon:", 6) != 0)
			flags |= LC_VMA_SPECIAL;
		return flags;
	}
	if (vma->perms[3] == 's')
		flags |= LC_VMA_SHARED; /* until VmFlags says better */
	/* "anon_inode:[...]", "socket:[...]" */
	if (vma->name[0] != '/')
		flags |= LC_VMA_NAMELESS;
	/* until the file itself says better */
	if (ends_with(vma->name, " (deleted)") || strncmp(vma->name, "[anon_shmem:", 12) == 0)
		flags |= LC_VMA_DELETED | LC_VMA_NAMELESS;
	if (strncmp(vma->name, "/secretmem", 10) == 0)
		flags |= LC_VMA_SECRET;
	if (strncmp(vma->name, "/dev/", 5) == 0 && strncmp(vma->name, "/dev/shm/", 9) != 0 &&
	    strncmp(vma->name, "/dev/zero", 9) != 0 && strncmp(vma->name, "/dev/hugepages/", 15))
		flags |= LC_VMA_DEVICE;
	return flags;
}

static int add_vma(struct lc_vmas *vmas, const struct lc_map_line *map)
{
	struct lc_vma *vma;
	int r = lc_grow((void **)&vmas->v, &vmas->cap, vmas->n, sizeof(*vmas->v));

	if (r < 0)
		return r;
	vma = &vmas->v[vmas->n++];
	*vma = (struct lc_vma){
		.start = map->start,
		.end = map->end,
		.offset = map->offset,
		.inode = map->inode,
		.dev_major = map->dev_major,
		.dev_minor = map->dev_minor,
		.prot = prot_of(map->perms),
		.name = map->name,
	};
	memcpy(vma->perms, map->perms, sizeof(vma->perms));
	vma->flags = flags_of_line(vma) | (map->ambiguous_name ? LC_VMA_ESCAPED : 0);
	return 0;
}

/*
 * maps is read in pieces. While the process runs, or another one that shares its memory, a mapping
 * may grow over the one that was read last: of that line what lies behind it counts, if anything.
 */
static bool cut_to_follow(const struct lc_vmas *vmas, struct lc_map_line *map)
{
	uint64_t last = vmas->n ? vmas->v[vmas->n - 1].end : 0;

	if (map->end <= last)
		return false;
	if (map->start < last) {
		if (map->inode || map->dev_major || map->dev_minor)
			map->offset += last - map->start;
		map->start = last;
	}
	return true;
}

int lc_vmas_parse(char *text, size_t len, struct lc_vmas *ret_vmas)
{
	struct lc_vmas vmas = {.text = text, .text_len = len, .text_cap = len};
	char *line = text, *stop = text + len;

	while (line < stop) {
		char *end = memchr(line, '\n', (size_t)(stop - line));
		struct lc_map_line map;
		int r;

		if (!end)
			break; /* a line that is cut tells nothing */
		*end = '\0';
		r = lc_procfs_parse_map_line(line, &map);
		if (r == 0 && cut_to_follow(&vmas, &map))
			r = add_vma(&vmas, &map);
		if (r < 0) {
			lc_vmas_free(&vmas);
			return r;
		}
		line = end + 1;
	}
	*ret_vmas = vmas;
	return 0;
}

/* Of the same place and the same file: what came there since may be something else. */
static bool is_hint_of(const struct lc_vma_hint *hint, const struct lc_vma *vma)
{
	return hint->start == vma->start && hint->end == vma->end && hint->inode == vma->inode &&
	       hint->dev_major == vma->dev_major && hint->dev_minor == vma->dev_minor;
}

bool lc_vmas_take_hints(struct lc_vmas *vmas, const struct lc_vma_hints *hints)
{
	bool all = true;
	size_t h = 0;

	for (size_t i = 0; i < vmas->n; i++) {
		struct lc_vma *vma = &vmas->v[i];

		while (h < hints->n && hints->v[h].start < vma->start)
			h++;
		if (h < hints->n && is_hint_of(&hints->v[h], vma)) {
			vma->flags &= ~(uint32_t)LC_VMA_OF_SMAPS;
			vma->flags |= hints->v[h].flags;
		} else if (!(vma->flags & LC_VMA_SPECIAL)) {
			/* smaps leaves the vsyscall page out on some kernels */
			all = false;
		}
	}
	return all;
}

/* CONFIG_PROC_PAGE_MONITOR may be off: then the flags of the lines must do. */
static int read_newer_hints(int taskfd, uint64_t deadline_ns, struct lc_vmas *vmas)
{
	struct lc_vma_hints newer = {0};
	int r = lc_vma_hints_read(taskfd, false, deadline_ns, &newer);

	if (r == 0)
		lc_vmas_take_hints(vmas, &newer);
	lc_vma_hints_free(&newer);
	return r == -ENOENT ? 0 : r;
}

/* smaps walks the page tables, so a large process is not held up for it: there the flags may be
 * older than the freeze, by as long as smaps took. */
#define MAX_REREAD_NS UINT64_C(50000000)

static bool has_time_to_reread(const struct lc_vma_hints *hints, uint64_t deadline_ns)
{
	return hints->read_ns < MAX_REREAD_NS &&
	       !(deadline_ns && lc_is_past(deadline_ns - 4 * hints->read_ns));
}

/* Gives the mappings their flags, newer ones where it takes them. */
static int read_flags(int taskfd, const struct lc_vma_hints *hints, uint64_t deadline_ns,
		      struct lc_vmas *vmas)
{
	int r;

	if (!lc_vmas_take_hints(vmas, hints))
		return read_newer_hints(taskfd, deadline_ns, vmas);
	if (!hints->may_mislead || !has_time_to_reread(hints, deadline_ns))
		return 0;
	r = read_newer_hints(taskfd, deadline_ns, vmas);
	return r == -ETIME ? 0 : r;
}

int lc_vmas_read(int taskfd, const struct lc_vma_hints *hints, enum lc_flags_need need,
		 uint64_t deadline_ns, struct lc_vmas *ret_vmas)
{
	struct lc_text text = {0};
	int r = lc_procfs_read_until(taskfd, "maps", deadline_ns, &text);

	if (r == 0)
		r = lc_vmas_parse(text.data, text.len, ret_vmas);
	else
		lc_text_free(&text);
	if (r == 0 && need == LC_FLAGS_READ)
		r = read_flags(taskfd, hints, deadline_ns, ret_vmas);
	else if (r == 0 && !lc_vmas_take_hints(ret_vmas, hints) && need == LC_FLAGS_KNOWN)
		r = -EAGAIN;
	if (r < 0)
		lc_vmas_free(ret_vmas);
	return r;
}

void lc_vmas_free(struct lc_vmas *vmas)
{
	free(vmas->v);
	free(vmas->text);
	*vmas = (struct lc_vmas){0};
}
