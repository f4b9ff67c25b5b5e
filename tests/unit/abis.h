/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ABIs that the unit tests encode for, and integers as they have them. */
#ifndef ABIS_H
#define ABIS_H

#include <elf.h>

#include "../../elfw/elfw.h"

static const struct elfw_abi abi_x86_64 = {ELFCLASS64, ELFDATA2LSB, EM_X86_64, false};
static const struct elfw_abi abi_i386 = {ELFCLASS32, ELFDATA2LSB, EM_386, true};
static const struct elfw_abi abi_mipsel = {ELFCLASS32, ELFDATA2LSB, EM_MIPS, false};
static const struct elfw_abi abi_s390x = {ELFCLASS64, ELFDATA2MSB, EM_S390, false};
static const struct elfw_abi abi_ppc = {ELFCLASS32, ELFDATA2MSB, EM_PPC, false};

static const struct elfw_abi *const all_abis[] = {&abi_x86_64, &abi_i386, &abi_mipsel, &abi_s390x,
						  &abi_ppc};

#define N_ABIS (sizeof(all_abis) / sizeof(all_abis[0]))

/* An integer in the file. */
static inline uint64_t get_int(const struct elfw_abi *abi, const void *at, size_t size)
{
	const uint8_t *bytes = at;
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | bytes[abi->elf_data == ELFDATA2MSB ? i : size - 1 - i];
	return value;
}

static inline void put_int(const struct elfw_abi *abi, void *at, uint64_t value, size_t size)
{
	uint8_t *bytes = at;

	for (size_t i = 0; i < size; i++)
		bytes[abi->elf_data == ELFDATA2MSB ? size - 1 - i : i] =
			(uint8_t)(value >> (8 * i));
}

#endif
