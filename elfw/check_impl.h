/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the parts of the check share, and nobody else sees. */
#ifndef ELFW_CHECK_IMPL_H
#define ELFW_CHECK_IMPL_H

#include <libelf.h>

#include "check.h"

#define CHECK_WINDOW_SIZE 65536

/* Bytes of the file with a meaning of their own, on which no contents may lie. */
struct elfw_region {
	const char *what;
	uint64_t off, len;
};

enum { REGION_EHDR, REGION_PHDRS, REGION_NOTES, REGION_SHDRS, N_REGIONS };

struct elfw_core {
	int fd;
	uint64_t base, size; /* of the core in the file */
	struct elfw_abi abi;
	uint64_t n_phdrs;
	struct elfw_region regions[N_REGIONS];
	char *problem;
	size_t problem_len;
	uint64_t window_off;
	size_t window_len;
	uint8_t window[CHECK_WINDOW_SIZE];
};

typedef unsigned long long ull; /* for printf */

/* Says what is wrong, once. Returns -EBADMSG. */
__attribute__((format(printf, 2, 3))) int elfw_check_bad(struct elfw_core *core, const char *format,
							 ...);

/* `len` bytes at `off`, at most a window, valid until the next call. The caller has compared them
 * with what they belong to; with the file they are compared here. Returns 0, -EBADMSG or -errno. */
ELFW_MUST_CHECK int elfw_check_look(struct elfw_core *core, uint64_t off, size_t len,
				    const uint8_t **ret_data);

/* A structure of libelf's, in the host's form; a 32-bit word; a long of the ABI's. */
ELFW_MUST_CHECK int elfw_check_read_native(struct elfw_core *core, uint64_t off, Elf_Type type,
					   void *ret_native, size_t len);
ELFW_MUST_CHECK int elfw_check_read_word(struct elfw_core *core, uint64_t off, uint32_t *ret_word);
ELFW_MUST_CHECK int elfw_check_read_long(struct elfw_core *core, uint64_t off, uint64_t *ret_long);

/* check_notes.c: everything in REGION_NOTES. */
ELFW_MUST_CHECK int elfw_check_notes(struct elfw_core *core,
				     const struct elfw_check_expect *expect);

#endif
