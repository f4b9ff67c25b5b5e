/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * elfw: what every file of the ELF writer shares. The writer knows ELF and output files; it knows
 * neither processes nor people.
 */
#ifndef ELFW_H
#define ELFW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELFW_MUST_CHECK __attribute__((warn_unused_result))

/* What a core says about the machine it came from, and what the layouts of its notes hang on. */
struct elfw_abi {
	uint8_t elf_class;  /* ELFCLASS32 or ELFCLASS64 */
	uint8_t elf_data;   /* ELFDATA2LSB or ELFDATA2MSB */
	uint16_t e_machine; /* EM_* */
	bool uid16;         /* PRPSINFO holds 16-bit ids: the ABI's __kernel_uid_t is a short */
};

/* The size of the ABI's unsigned long. */
static inline size_t elfw_long_size(const struct elfw_abi *abi)
{
	return abi->elf_class == 2 /* ELFCLASS64 */ ? 8 : 4;
}

#endif
