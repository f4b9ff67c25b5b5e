/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Owns the bytes of a core that are neither notes nor memory: ELF header, program headers, the one
 * section header of PN_XNUM. Decides no offset (layout.c did). Runs inside the freeze and allocates
 * nothing.
 */
#include <elf.h>
#include <errno.h>
#include <libelf.h>
#include <string.h>

#include "image.h"

/* What is small goes through this, so that a small head is one write. */
#define GATHER_SIZE 16384

struct gather {
	struct elfw_sink *sink;
	const struct elfw_abi *abi;
	uint64_t off; /* of the first byte in `data` */
	size_t len;
	uint8_t data[GATHER_SIZE];
};

/* A head may go where another was before, and its zeros with it. */
static int write_out(struct gather *gather, const void *data, size_t len)
{
	if (elfw_sink_can_seek(gather->sink))
		return elfw_sink_rewrite(gather->sink, gather->off, data, len);
	return elfw_sink_write(gather->sink, gather->off, data, len, NULL);
}

static int gather_flush(struct gather *gather)
{
	int r;

	if (!gather->len)
		return 0;
	r = write_out(gather, gather->data, gather->len);
	gather->off += gather->len;
	gather->len = 0;
	return r;
}

/* The next bytes of the output; many are written from where they are. */
static int gather_put(struct gather *gather, const void *data, size_t len)
{
	int r;

	if (len > sizeof(gather->data) - gather->len) {
		r = gather_flush(gather);
		if (r < 0)
			return r;
	}
	if (len > sizeof(gather->data)) {
		r = write_out(gather, data, len);
		gather->off += len;
		return r;
	}
	if (len)
		memcpy(gather->data + gather->len, data, len);
	gather->len += len;
	return 0;
}

/* The next bytes are for `off`. */
static int gather_seek(struct gather *gather, uint64_t off)
{
	int r;

	if (off == gather->off + gather->len)
		return 0;
	r = gather_flush(gather);
	gather->off = off;
	return r;
}

/* A structure of libelf's type `type`, encoded as the ABI has it. Both classes' ways are the same
 * but for the function. */
static int gather_put_encoded(struct gather *gather, Elf_Type type, void *native, size_t len)
{
	Elf_Data data = {
		.d_buf = native,
		.d_type = type,
		.d_version = EV_CURRENT,
		.d_size = len,
	};
	Elf_Data *done;

	if (gather->abi->elf_class == ELFCLASS64)
		done = elf64_xlatetof(&data, &data, gather->abi->elf_data);
	else
		done = elf32_xlatetof(&data, &data, gather->abi->elf_data);
	if (!done)
		return -EINVAL; /* a class or an encoding that there is not */
	return gather_put(gather, native, len);
}

static int gather_start(struct gather *gather, struct elfw_sink *sink, const struct elfw_abi *abi,
			uint64_t off)
{
	gather->sink = sink;
	gather->abi = abi;
	gather->off = off;
	gather->len = 0;
	/* libelf refuses to work before it was asked. */
	return elf_version(EV_CURRENT) == EV_NONE ? -EINVAL : 0;
}

static void fill_ident(const struct elfw_abi *abi, unsigned char *ident)
{
	memcpy(ident, ELFMAG, SELFMAG);
	ident[EI_CLASS] = abi->elf_class;
	ident[EI_DATA] = abi->elf_data;
	ident[EI_VERSION] = EV_CURRENT;
	ident[EI_OSABI] = ELFOSABI_NONE;
}

static uint16_t e_phnum(const struct elfw_layout *layout)
{
	return layout->n_phdrs >= PN_XNUM ? PN_XNUM : (uint16_t)layout->n_phdrs;
}

static int put_ehdr64(struct gather *gather, uint32_t e_flags, const struct elfw_layout *layout)
{
	Elf64_Ehdr ehdr = {
		.e_type = ET_CORE,
		.e_machine = gather->abi->e_machine,
		.e_version = EV_CURRENT,
		.e_phoff = layout->phoff,
		.e_shoff = layout->shoff,
		.e_flags = e_flags,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = e_phnum(layout),
		.e_shentsize = layout->shoff ? sizeof(Elf64_Shdr) : 0,
		.e_shnum = layout->shoff ? 1 : 0,
	};

	fill_ident(gather->abi, ehdr.e_ident);
	return gather_put_encoded(gather, ELF_T_EHDR, &ehdr, sizeof(ehdr));
}

static int put_ehdr32(struct gather *gather, uint32_t e_flags, const struct elfw_layout *layout)
{
	Elf32_Ehdr ehdr = {
		.e_type = ET_CORE,
		.e_machine = gather->abi->e_machine,
		.e_version = EV_CURRENT,
		.e_phoff = (Elf32_Off)layout->phoff,
		.e_shoff = (Elf32_Off)layout->shoff,
		.e_flags = e_flags,
		.e_ehsize = sizeof(Elf32_Ehdr),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = e_phnum(layout),
		.e_shentsize = layout->shoff ? sizeof(Elf32_Shdr) : 0,
		.e_shnum = layout->shoff ? 1 : 0,
	};

	fill_ident(gather->abi, ehdr.e_ident);
	return gather_put_encoded(gather, ELF_T_EHDR, &ehdr, sizeof(ehdr));
}

static int put_ehdr(struct gather *gather, uint32_t e_flags, const struct elfw_layout *layout)
{
	if (gather->abi->elf_class == ELFCLASS64)
		return put_ehdr64(gather, e_flags, layout);
	return put_ehdr32(gather, e_flags, layout);
}

/* One program header, given as the wider class has it. */
static int put_phdr(struct gather *gather, const Elf64_Phdr *wide)
{
	Elf64_Phdr phdr64 = *wide;
	Elf32_Phdr phdr32 = {
		.p_type = wide->p_type,
		.p_offset = (Elf32_Off)wide->p_offset,
		.p_vaddr = (Elf32_Addr)wide->p_vaddr,
		.p_filesz = (Elf32_Word)wide->p_filesz,
		.p_memsz = (Elf32_Word)wide->p_memsz,
		.p_flags = wide->p_flags,
		.p_align = (Elf32_Word)wide->p_align,
	};

	if (gather->abi->elf_class == ELFCLASS64)
		return gather_put_encoded(gather, ELF_T_PHDR, &phdr64, sizeof(phdr64));
	return gather_put_encoded(gather, ELF_T_PHDR, &phdr32, sizeof(phdr32));
}

/* p_memsz of the notes is 0 and so are their flags: they are not mapped (fill_elf_note_phdr(),
 * fs/binfmt_elf.c). p_paddr is 0 everywhere. */
static int put_phdrs(struct gather *gather, const struct elfw_layout *layout,
		     const struct elfw_segment *segments, size_t n_segments)
{
	const Elf64_Phdr note = {
		.p_type = PT_NOTE,
		.p_offset = layout->note_off,
		.p_filesz = layout->note_len,
		.p_align = 4,
	};
	int r = put_phdr(gather, &note);

	for (size_t i = 0; i < n_segments && r == 0; i++) {
		const Elf64_Phdr load = {
			.p_type = PT_LOAD,
			.p_flags = segments[i].flags,
			.p_offset = segments[i].off,
			.p_vaddr = segments[i].vaddr,
			.p_filesz = segments[i].filesz,
			.p_memsz = segments[i].memsz,
			.p_align = layout->page_size,
		};

		r = put_phdr(gather, &load);
	}
	return r;
}

static uint64_t notes_len(const struct elfw_notes *parts, size_t n_parts)
{
	uint64_t len = 0;

	for (size_t i = 0; i < n_parts; i++)
		len += parts[i].len;
	return len;
}

static int put_notes(struct gather *gather, const struct elfw_notes *parts, size_t n_parts)
{
	int r = 0;

	for (size_t i = 0; i < n_parts && r == 0; i++)
		r = gather_put(gather, parts[i].data, parts[i].len);
	return r;
}

/* Program headers and notes, where the layout has them. */
static int put_head(struct gather *gather, const struct elfw_layout *layout,
		    const struct elfw_segment *segments, size_t n_segments,
		    const struct elfw_notes *parts, size_t n_parts)
{
	int r = gather_seek(gather, layout->phoff);

	if (r < 0)
		return r;
	r = put_phdrs(gather, layout, segments, n_segments);
	if (r < 0)
		return r;
	r = gather_seek(gather, layout->note_off);
	if (r < 0)
		return r;
	return put_notes(gather, parts, n_parts);
}

int elfw_image_write_head(struct elfw_sink *sink, const struct elfw_abi *abi, uint32_t e_flags,
			  const struct elfw_layout *layout, const struct elfw_segment *segments,
			  size_t n_segments, const struct elfw_notes *parts, size_t n_parts)
{
	struct gather gather;
	int r;

	if (layout->n_phdrs != (uint64_t)n_segments + 1 ||
	    layout->note_len != notes_len(parts, n_parts))
		return -EINVAL;
	/* Notes come after program headers, wherever those are. */
	if (layout->note_off > layout->data_off && !elfw_sink_can_seek(sink))
		return -ESPIPE;
	r = gather_start(&gather, sink, abi, 0);
	if (r < 0)
		return r;
	r = put_ehdr(&gather, e_flags, layout);
	if (r < 0)
		return r;
	r = put_head(&gather, layout, segments, n_segments, parts, n_parts);
	if (r < 0)
		return r;
	return gather_flush(&gather);
}

static int put_shdr(struct gather *gather, const struct elfw_layout *layout)
{
	Elf64_Shdr shdr64 = {
		.sh_type = SHT_NULL,
		.sh_size = 1, /* e_shnum */
		.sh_info = (Elf64_Word)layout->n_phdrs,
	};
	Elf32_Shdr shdr32 = {
		.sh_type = SHT_NULL,
		.sh_size = 1,
		.sh_info = (Elf32_Word)layout->n_phdrs,
	};

	if (gather->abi->elf_class == ELFCLASS64)
		return gather_put_encoded(gather, ELF_T_SHDR, &shdr64, sizeof(shdr64));
	return gather_put_encoded(gather, ELF_T_SHDR, &shdr32, sizeof(shdr32));
}

int elfw_image_write_tail(struct elfw_sink *sink, const struct elfw_abi *abi,
			  const struct elfw_layout *layout)
{
	struct gather gather;
	int r;

	if (!layout->shoff)
		return elfw_sink_finish(sink, layout->size);
	r = gather_start(&gather, sink, abi, layout->shoff);
	if (r < 0)
		return r;
	r = put_shdr(&gather, layout);
	if (r < 0)
		return r;
	r = gather_flush(&gather);
	if (r < 0)
		return r;
	return elfw_sink_finish(sink, layout->size);
}

/*
 * The table first, then the header that points to it: whatever happens in between, the file has not
 * got its name yet.
 */
int elfw_image_rewrite_head(struct elfw_sink *sink, const struct elfw_abi *abi, uint32_t e_flags,
			    struct elfw_layout *layout, const struct elfw_segment *segments,
			    size_t n_segments, const struct elfw_notes *parts, size_t n_parts)
{
	struct elfw_layout moved = *layout;
	struct gather gather;
	int r;

	if (!elfw_sink_can_seek(sink))
		return -ESPIPE;
	r = elfw_layout_move_head(abi, notes_len(parts, n_parts), n_segments, &moved);
	if (r < 0)
		return r;
	r = gather_start(&gather, sink, abi, 0);
	if (r < 0)
		return r;
	r = put_head(&gather, &moved, segments, n_segments, parts, n_parts);
	if (r < 0)
		return r;
	r = gather_seek(&gather, 0);
	if (r < 0)
		return r;
	r = put_ehdr(&gather, e_flags, &moved);
	if (r < 0)
		return r;
	r = gather_flush(&gather);
	if (r < 0)
		return r;
	*layout = moved;
	return 0;
}
