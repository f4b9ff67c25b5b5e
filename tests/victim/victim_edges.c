/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Mappings at the edges of the address space: the last page that the kernel gives, with what lies
 * below it, the lowest page, and page 0 where that is allowed. Lines as in victim_memory.h.
 */
#include "victim_memory.h"

/* The highest page that can be mapped; two are. */
static void make_last(void)
{
	/* 57, 47 and, of 32-bit programs, 32 bits of address */
	static const uint64_t ends[] = {UINT64_C(1) << 56, UINT64_C(1) << 47, UINT64_C(1) << 32};

	for (size_t i = 0; i < N_ELEMENTS(ends); i++) {
		uint64_t page = ends[i] - PAGE;

		if (ends[i] - 1 > UINTPTR_MAX)
			continue;
		/* the last one or two are the kernel's */
		for (int tries = 0; tries < 4; tries++, page -= PAGE) {
			char *want = (char *)(uintptr_t)(page - PAGE);
			char *p = mmap(want, 2 * PAGE, RW, PRIVATE | MAP_FIXED_NOREPLACE, -1, 0);

			if (p != want)
				continue;
			emit_map("last", p, 2 * PAGE);
			emit_zero("last", p, PAGE);
			fill_and_tell("last", p + PAGE, PAGE, 0x1000);
			return;
		}
	}
	emit("skip last %s", strerror(errno));
}

static void make_at(const char *name, uintptr_t addr, uint64_t seed)
{
	char *p = mmap((void *)addr, 2 * PAGE, RW, PRIVATE | MAP_FIXED, -1, 0);

	if (p != (char *)addr) {
		emit("skip %s mmap at %#lx: %s", name, (unsigned long)addr, strerror(errno));
		return;
	}
	emit_map(name, p, 2 * PAGE);
	fill_and_tell(name, p, PAGE, seed);
	emit_zero(name, p + PAGE, PAGE);
}

int main(void)
{
	char *p;

	victim_begin();
	make_last();
	make_at("low", 0x10000, 0x2000);
	make_at("zero", 0, 0x3000);
	p = map("growsdown", 4 * PAGE, RW, PRIVATE | MAP_GROWSDOWN, -1);
	fill_and_tell("growsdown", p, 4 * PAGE, 0x4000);
	victim_serve(NULL);
}
