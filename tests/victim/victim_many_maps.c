/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * N mappings of a page each, with alternating protections so that the kernel merges none, each
 * filled with a seed of its own: mapping i is at START + i * 4096 and has pattern(FIRST_SEED + i).
 *
 *   many START N FIRST_SEED
 */
#include "victim.h"

#define PAGE 4096UL

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? (size_t)atol(argv[1]) : 1000;
	const uint64_t first_seed = 0x1000;
	char *start;

	victim_begin();
	start = mmap(NULL, (n + 2) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	if (start == MAP_FAILED)
		die("mmap");
	/* Pages before and after that belong to no mapping: nothing merges with the first and last.
	 */
	munmap(start, PAGE);
	start += PAGE;
	munmap(start + n * PAGE, PAGE);
	for (size_t i = 0; i < n; i++) {
		fill(start + i * PAGE, PAGE, first_seed + i);
		if (i % 2 && mprotect(start + i * PAGE, PAGE, PROT_READ))
			die("mprotect");
	}
	emit("many %#lx %zu %#" PRIx64, (unsigned long)start, n, first_seed);
	victim_serve(NULL);
}
