/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * /proc/PID/maps: mappings are sorted and not empty, names lie within the text and printed again
 * give the same mappings; what is never to be read is never chosen.
 */
#include <elf.h>
#include <inttypes.h>

#include "../../core/filter.h"
#include "../../core/procfs.h"
#include "../../core/vma.h"
#include "fuzz.h"

#define KNOWN_FLAGS                                                                                \
	(LC_VMA_OF_SMAPS | LC_VMA_NAMELESS | LC_VMA_DELETED | LC_VMA_SPECIAL | LC_VMA_SECRET |     \
	 LC_VMA_DEVICE | LC_VMA_ESCAPED)

static void check_vma(const struct lc_vmas *vmas, size_t i)
{
	const struct lc_vma *vma = &vmas->v[i];
	const char *stop = vmas->text + vmas->text_len;

	must(vma->start < vma->end);
	must(i == 0 || vmas->v[i - 1].end <= vma->start);
	must(!(vma->flags & ~(uint32_t)KNOWN_FLAGS));
	must(vma->name >= vmas->text && vma->name < stop);
	must(memchr(vma->name, '\0', (size_t)(stop - vma->name)));
	must(vma->name[0] != ' ');
	must(strlen(vma->perms) == 4);
	must(!!(vma->prot & PF_R) == (vma->perms[0] == 'r'));
	must(!!(vma->prot & PF_W) == (vma->perms[1] == 'w'));
	must(!!(vma->prot & PF_X) == (vma->perms[2] == 'x'));
	must(!!(vma->flags & LC_VMA_ESCAPED) == !!strchr(vma->name, '\n'));
}

/* The line as show_map_vma() makes it. Returns its end. */
static char *put_line(char *to, const struct lc_vma *vma)
{
	to += sprintf(to, "%08" PRIx64 "-%08" PRIx64 " %s %08" PRIx64 " %02x:%02x %" PRIu64 " ",
		      vma->start, vma->end, vma->perms, vma->offset, vma->dev_major, vma->dev_minor,
		      vma->inode);
	for (const char *c = vma->name; *c; c++)
		to += sprintf(to, *c == '\n' ? "\\012" : "%c", *c);
	*to++ = '\n';
	return to;
}

static char *print(const struct lc_vmas *vmas)
{
	size_t size = 1;
	char *text, *to;

	for (size_t i = 0; i < vmas->n; i++)
		size += 128 + 4 * strlen(vmas->v[i].name);
	text = to = malloc(size);
	must(text);
	for (size_t i = 0; i < vmas->n; i++)
		to = put_line(to, &vmas->v[i]);
	*to = '\0';
	return text;
}

static void check_again(const struct lc_vmas *vmas)
{
	struct lc_vmas again;
	char *text = print(vmas);

	must(lc_vmas_parse(text, strlen(text), &again) == 0);
	must(again.n == vmas->n);
	for (size_t i = 0; i < vmas->n; i++) {
		const struct lc_vma *a = &vmas->v[i], *b = &again.v[i];

		must(a->start == b->start && a->end == b->end && a->offset == b->offset);
		must(a->inode == b->inode && a->flags == b->flags && a->prot == b->prot);
		must(a->dev_major == b->dev_major && a->dev_minor == b->dev_minor);
		must(strcmp(a->perms, b->perms) == 0 && strcmp(a->name, b->name) == 0);
	}
	lc_vmas_free(&again);
}

/* Every combination of what decides about a mapping, with the flags that `more` adds. */
static void check_choice(struct lc_vma vma, uint32_t more)
{
	const uint32_t never = LC_VMA_IO | LC_VMA_PFNMAP | LC_VMA_SECRET | LC_VMA_DEVICE;

	vma.flags |= more;
	for (unsigned int bits = 0; bits < 8; bits++) {
		uint32_t mask = more >> 16;
		bool all = bits & 1, minimal = bits & 2, has_anon = bits & 4;
		struct lc_choice choice = lc_filter_choose(&vma, has_anon, mask, all, minimal);

		must(fuzz_is_plain(choice.rule));
		must(choice.take <= LC_TAKE_WHOLE);
		must(!(vma.flags & never) || choice.take == LC_TAKE_NOTHING);
		must(!minimal || choice.take <= LC_TAKE_COVER);
		/* a reader would see the file's bytes in the place of the process's own */
		must(choice.take != LC_TAKE_COVER || (lc_vma_has_file(&vma) && !has_anon));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint32_t more = (uint32_t)fuzz_take(&in, 4);
	struct lc_vmas vmas;
	size_t len = in.size;

	if (lc_vmas_parse(fuzz_take_rest(&in), len, &vmas) < 0)
		return 0;
	for (size_t i = 0; i < vmas.n; i++) {
		check_vma(&vmas, i);
		check_choice(vmas.v[i], more);
	}
	check_again(&vmas);
	lc_vmas_free(&vmas);
	return 0;
}
