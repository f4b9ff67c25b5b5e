/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * /proc/PID/smaps, which comes in parts: how it is cut changes nothing, and a line that is longer
 * than the buffer loses no more than its end. Each mapping of the same maps finds its flags.
 */
#include "../../core/procfs.h"
#include "../../core/vma.h"
#include "fuzz.h"

#define SMALL_BUFFER 1024
#define LINE_HEAD    500

/* The numbers of every line, and the words of VmFlags, are where they always are: near its start.
 */
static bool is_like_the_kernel_s(const char *text)
{
	char head[LINE_HEAD];

	for (size_t len; *text; text += len + (text[len] == '\n')) {
		struct lc_map_line map;

		len = strcspn(text, "\n");
		if (len < sizeof(head))
			continue;
		memcpy(head, text, sizeof(head) - 1);
		head[sizeof(head) - 1] = '\0';
		if (lc_procfs_parse_map_line(head, &map) < 0 || !*map.name)
			return false;
	}
	return true;
}

/* The flags that are words of their own in the text. */
static uint32_t flags_of(const char *text)
{
	static const struct {
		const char *word;
		uint32_t flag;
	} words[] = {
		{"sh", LC_VMA_SHARED},   {"dd", LC_VMA_DONTDUMP},   {"io", LC_VMA_IO},
		{"pf", LC_VMA_PFNMAP},   {"ht", LC_VMA_HUGETLB},    {"um", LC_VMA_UFFD},
		{"ui", LC_VMA_UFFD},     {"mm", LC_VMA_MAYBE_DAX},  {"hg", LC_VMA_MAYBE_DAX},
		{"dc", LC_VMA_DONTFORK}, {"wf", LC_VMA_WIPEONFORK},
	};
	size_t len = strcspn(text, "\n");
	char *line = malloc(len + 3);
	uint32_t flags = 0;

	must(line);
	snprintf(line, len + 3, " %.*s ", (int)len, text);
	for (char *c = line; *c; c++)
		*c = *c == '\t' ? ' ' : *c;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		char spaced[8];

		snprintf(spaced, sizeof(spaced), " %s ", words[i].word);
		flags |= strstr(line, spaced) ? words[i].flag : 0;
	}
	free(line);
	return flags;
}

/* Reads the text in parts of `part` bytes through a buffer of `size`. */
static void read_in_parts(const char *text, size_t len, size_t size, size_t part,
			  struct lc_vma_hints *ret_hints)
{
	char *buf = malloc(size);
	size_t have = 0;

	must(buf);
	*ret_hints = (struct lc_vma_hints){0};
	while (len > 0) {
		size_t n = size - have;

		must(n > 0);
		n = n < part ? n : part;
		n = n < len ? n : len;
		memcpy(buf + have, text, n);
		have += n;
		text += n;
		len -= n;
		must(lc_vma_hints_take(ret_hints, buf, size, &have) == 0);
	}
	free(buf);
}

static void check_same(const struct lc_vma_hints *a, const struct lc_vma_hints *b)
{
	must(a->n == b->n);
	for (size_t i = 0; i < a->n; i++) {
		must(a->v[i].start == b->v[i].start && a->v[i].end == b->v[i].end);
		must(a->v[i].inode == b->v[i].inode && a->v[i].flags == b->v[i].flags);
		must(a->v[i].dev_major == b->v[i].dev_major);
		must(a->v[i].dev_minor == b->v[i].dev_minor);
	}
}

/* The lines of smaps that maps has, too. */
static char *maps_of(const char *text, size_t len, size_t *ret_len)
{
	char *maps = malloc(len + 1), *to = maps;
	const char *stop = text + len, *end;

	must(maps);
	for (; (end = memchr(text, '\n', (size_t)(stop - text))); text = end + 1) {
		if (*text >= 'A' && *text <= 'Z')
			continue;
		memcpy(to, text, (size_t)(end + 1 - text));
		to += end + 1 - text;
	}
	*to = '\0';
	*ret_len = (size_t)(to - maps);
	return maps;
}

/* Every mapping but number `without` has the flags of its hint. */
static void check_taken(const struct lc_vmas *vmas, const struct lc_vma_hints *hints,
			size_t without)
{
	for (size_t i = 0; i < vmas->n; i++)
		if (i != without)
			must((vmas->v[i].flags & LC_VMA_OF_SMAPS) == hints->v[i].flags);
}

/* False for a list that changed while it was read: its mappings were cut to follow each other. */
static bool are_of_one_moment(const struct lc_vmas *vmas, const struct lc_vma_hints *hints)
{
	if (vmas->n != hints->n)
		return false;
	for (size_t i = 0; i < vmas->n; i++)
		if (vmas->v[i].start != hints->v[i].start)
			return false;
	return true;
}

/* The hints of the same moment; those of one in which number `without` was not yet there. */
static void check_flags(const char *text, size_t len, const struct lc_vma_hints *hints,
			size_t without)
{
	struct lc_vma_hints fewer = {0};
	struct lc_vmas vmas, again;
	size_t maps_len;
	char *maps = maps_of(text, len, &maps_len);
	char *copy = fuzz_text(maps, maps_len);

	if (lc_vmas_parse(maps, maps_len, &vmas) < 0) {
		free(copy);
		return;
	}
	must(lc_vmas_parse(copy, maps_len, &again) == 0);
	must(vmas.n <= hints->n);
	if (!are_of_one_moment(&vmas, hints)) {
		lc_vmas_free(&again);
		lc_vmas_free(&vmas);
		return;
	}
	must(lc_vmas_take_hints(&vmas, hints));
	check_taken(&vmas, hints, SIZE_MAX);
	fewer.v = calloc(hints->n + 1, sizeof(*fewer.v));
	must(fewer.v);
	for (size_t i = 0; i < hints->n; i++)
		if (i != without)
			fewer.v[fewer.n++] = hints->v[i];
	must(lc_vmas_take_hints(&again, &fewer) ==
	     (without >= hints->n || again.v[without].flags & LC_VMA_SPECIAL));
	check_taken(&again, hints, without);
	lc_vma_hints_free(&fewer);
	lc_vmas_free(&again);
	lc_vmas_free(&vmas);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	size_t part = 1 + (size_t)fuzz_take(&in, 1);
	size_t len = in.size;
	char *text = fuzz_take_rest(&in);
	struct lc_vma_hints whole, parts;

	must(lc_procfs_parse_vm_flags(text) == flags_of(text));
	read_in_parts(text, len, len + 1, len, &whole);
	for (size_t i = 0; i < whole.n; i++)
		must(!(whole.v[i].flags & ~(uint32_t)LC_VMA_OF_SMAPS));
	read_in_parts(text, len, SMALL_BUFFER, part, &parts);
	if (strlen(text) == len && is_like_the_kernel_s(text))
		check_same(&whole, &parts);
	check_flags(text, len, &whole, part % 8);
	lc_vma_hints_free(&whole);
	lc_vma_hints_free(&parts);
	free(text);
	return 0;
}
