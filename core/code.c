/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Finds the few bytes of code that a call in the target needs. Runs before the freeze, and reads
 * files: text that the target never used stays unused. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "inject.h"

/* What is read of all files together: a static program has what a C library has, somewhere. */
#define MAX_READ   (UINT64_C(256) << 20)
#define CHUNK_SIZE (UINT64_C(1) << 20)

struct search {
	struct lc_code *code;
	struct lc_mapfile *file;
	uint64_t budget;
	uint8_t *buf; /* CHUNK_SIZE */
};

static void find_in_chunk(struct search *s, uint64_t addr, size_t len)
{
	const struct lc_call_abi *abi = s->code->abi;
	const uint8_t *at;

	if (!s->code->call) {
		at = memmem(s->buf, len, abi->call_code, abi->call_len);
		s->code->call = at ? addr + (uint64_t)(at - s->buf) : 0;
	}
	if (!s->code->back) {
		at = memmem(s->buf, len, abi->return_code, abi->return_len);
		s->code->back = at ? addr + (uint64_t)(at - s->buf) : 0;
	}
}

static bool is_complete(const struct lc_code *code)
{
	return code->call && code->back;
}

static void find_in_mapping(struct search *s, const struct lc_vma *vma)
{
	uint64_t overlap = s->code->abi->return_len, len = vma->end - vma->start;

	if (lc_mapfile_get(s->file, vma) < 0)
		return;
	for (uint64_t at = 0; at < len && s->budget && !is_complete(s->code);) {
		uint64_t want = len - at < CHUNK_SIZE ? len - at : CHUNK_SIZE;
		ssize_t got = pread(s->file->fd, s->buf, want, (off_t)(vma->offset + at));

		if (got <= 0)
			return;
		find_in_chunk(s, vma->start + at, (size_t)got);
		s->budget -= (uint64_t)got < s->budget ? (uint64_t)got : s->budget;
		if ((uint64_t)got <= overlap)
			return;
		at += (uint64_t)got - overlap;
	}
}

/* Code that nobody writes to, from a file that answers. */
static bool is_text(const struct lc_vma *vma)
{
	return (vma->prot & PF_X) && (vma->prot & PF_R) && !(vma->prot & PF_W) &&
	       !(vma->flags & (LC_VMA_SHARED | LC_VMA_REMOTE | LC_VMA_SPECIAL | LC_VMA_DEVICE)) &&
	       lc_vma_has_file(vma);
}

static bool is_libc(const struct lc_vma *vma)
{
	const char *base = strrchr(vma->name, '/');

	return base && (strncmp(base, "/libc.", 6) == 0 || strncmp(base, "/libc-", 6) == 0 ||
			strncmp(base, "/ld-", 4) == 0);
}

int lc_code_find(const struct lc_arch *arch, const struct lc_vmas *vmas, struct lc_mapfile *file,
		 struct lc_code *ret_code, struct lc_err *err)
{
	struct search s = {.code = ret_code, .file = file, .budget = MAX_READ};

	*ret_code = (struct lc_code){.abi = arch->call};
	if (!arch->call)
		return lc_err_set(err, ENOTSUP, LC_STAGE_TARGET,
				  "no way is known to make a system call in a process of the "
				  "architecture %s",
				  arch->name);
	s.buf = malloc(CHUNK_SIZE);
	if (!s.buf)
		return lc_err_set(err, ENOMEM, LC_STAGE_TARGET, "out of memory");
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < vmas->n && !is_complete(ret_code); i++)
			if (is_text(&vmas->v[i]) && is_libc(&vmas->v[i]) == (round == 0))
				find_in_mapping(&s, &vmas->v[i]);
	free(s.buf);
	return is_complete(ret_code)
		       ? 0
		       : lc_err_set(err, ENOTSUP, LC_STAGE_TARGET,
				    "the process has no code, of a C library or its like, through "
				    "which a system call could return");
}
