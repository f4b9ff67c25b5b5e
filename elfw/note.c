/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Owns the buffer of the notes and the encoding of a note's frame; knows nothing of what is in one.
 * Runs inside the freeze: with elfw_notes_reserve() called before, it allocates nothing there.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "note.h"

#define NOTE_ALIGN 4

static size_t note_round(size_t len)
{
	return (len + NOTE_ALIGN - 1) & ~(size_t)(NOTE_ALIGN - 1);
}

static void put_word(const struct elfw_abi *abi, uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[abi->elf_data == ELFDATA2MSB ? 3 - i : i] = (uint8_t)(value >> (8 * i));
}

int elfw_notes_reserve(struct elfw_notes *notes, size_t more)
{
	size_t cap = notes->cap < SIZE_MAX / 2 ? notes->cap * 2 : notes->cap;
	uint8_t *data;

	if (more <= notes->cap - notes->len)
		return 0;
	if (more > SIZE_MAX - notes->len)
		return -ENOMEM;
	if (cap < notes->len + more)
		cap = notes->len + more;
	data = realloc(notes->data, cap);
	if (!data)
		return -ENOMEM;
	notes->data = data;
	notes->cap = cap;
	return 0;
}

/*
 *   n_namesz  4  with the name's NUL
 *   n_descsz  4
 *   n_type    4
 *   name         padded to 4
 *   desc         padded to 4, in both classes: what the kernel writes, whatever the gABI says
 */
int elfw_notes_add_blank(struct elfw_notes *notes, const char *owner, uint32_t type, size_t len,
			 void **ret_desc)
{
	size_t name_len = strlen(owner) + 1;
	size_t head_len = sizeof(Elf64_Nhdr) + note_round(name_len);
	uint8_t *at;
	int r;

	if (name_len > UINT16_MAX || len > UINT32_MAX)
		return -EOVERFLOW;
	r = elfw_notes_reserve(notes, head_len + note_round(len));
	if (r < 0)
		return r;
	at = notes->data + notes->len;
	memset(at, 0, head_len + note_round(len));
	put_word(notes->abi, at, (uint32_t)name_len);
	put_word(notes->abi, at + 4, (uint32_t)len);
	put_word(notes->abi, at + 8, type);
	memcpy(at + sizeof(Elf64_Nhdr), owner, name_len);
	notes->len += head_len + note_round(len);
	*ret_desc = at + head_len;
	return 0;
}

int elfw_notes_add(struct elfw_notes *notes, const char *owner, uint32_t type, const void *desc,
		   size_t len)
{
	void *at;
	int r = elfw_notes_add_blank(notes, owner, type, len, &at);

	if (r < 0)
		return r;
	if (len)
		memcpy(at, desc, len);
	return 0;
}

void elfw_notes_free(struct elfw_notes *notes)
{
	free(notes->data);
	notes->data = NULL;
	notes->len = 0;
	notes->cap = 0;
}
