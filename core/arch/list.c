/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The architectures that livecore has tables of, and which of them the host runs. */
#include "arch.h"
#include "x86.h"

const struct lc_arch *const lc_arch_list[] = {
	&lc_arch_x86_64,
	&lc_arch_i386,
	NULL,
};

const struct lc_arch *lc_arch_find(uint16_t e_machine, uint8_t elf_class)
{
	for (size_t i = 0; lc_arch_list[i]; i++)
		if (lc_arch_list[i]->abi.e_machine == e_machine &&
		    lc_arch_list[i]->abi.elf_class == elf_class)
			return lc_arch_list[i];
	return NULL;
}

/* The host's own architecture and that of its compat tasks. */
static const struct lc_arch *const host[] = {
#if defined(__x86_64__)
	&lc_arch_x86_64,
	&lc_arch_i386,
#elif defined(__i386__)
	&lc_arch_i386,
#endif
	NULL,
};

const struct lc_arch *lc_arch_by_length(size_t prstatus_len)
{
	for (size_t i = 0; host[i]; i++)
		if (host[i]->rows[0].size == prstatus_len)
			return host[i];
	return NULL;
}

bool lc_arch_is_host(const struct lc_arch *arch)
{
	return host[0] && arch == host[0];
}
