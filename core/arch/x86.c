/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What x86-64 and i386 have in common. */
#include "x86.h"

#include <errno.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* One record of NT_X86_XSAVE_LAYOUT: struct x86_xfeat_component, arch/x86/include/uapi/asm/elf.h,
 * since Linux 6.12. */
struct xfeat_component {
	uint32_t type;   /* the feature's bit in XCR0 */
	uint32_t size;   /* bytes in the XSTATE note */
	uint32_t offset; /* in the XSTATE note: the uncompacted format */
	uint32_t flags;  /* reserved */
};

#define CPUID_1_ECX_OSXSAVE    (1U << 27)
#define CPUID_XSTATE           0xd
#define FIRST_EXTENDED_FEATURE 2 /* x87 and SSE are in the legacy area */
#define N_FEATURES             63

static uint64_t read_xcr0(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

uint32_t lc_x86_xstate_size(void)
{
	uint32_t a, b, c, d;

	/* EBX: the size of the uncompacted area of what XCR0 enables */
	return __get_cpuid_count(CPUID_XSTATE, 0, &a, &b, &c, &d) ? b : 0;
}

int lc_x86_add_xsave_layout(struct elfw_notes *notes)
{
	struct xfeat_component records[N_FEATURES];
	uint32_t a, b, c, d;
	size_t n = 0;
	uint64_t xcr0;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & CPUID_1_ECX_OSXSAVE))
		return 0;
	xcr0 = read_xcr0();
	for (uint32_t i = FIRST_EXTENDED_FEATURE; i < N_FEATURES; i++) {
		if (!(xcr0 >> i & 1) || !__get_cpuid_count(CPUID_XSTATE, i, &a, &b, &c, &d))
			continue;
		records[n++] = (struct xfeat_component){.type = i, .size = a, .offset = b};
	}
	if (n == 0)
		return 0;
	return elfw_notes_add(notes, "LINUX", X86_NT_XSAVE_LAYOUT, records, n * sizeof(*records));
}
/* The features beyond SSE that XCR0 enables, and where the last of `wanted` ends. */
static uint64_t measure_features(uint64_t wanted, size_t *ret_end)
{
	uint32_t a, b, c, d;
	uint64_t features = 0;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & CPUID_1_ECX_OSXSAVE))
		return 0;
	features = read_xcr0() & wanted;
	for (uint32_t i = FIRST_EXTENDED_FEATURE; i < N_FEATURES; i++)
		if ((features >> i & 1) && __get_cpuid_count(CPUID_XSTATE, i, &a, &b, &c, &d) &&
		    b + a > *ret_end)
			*ret_end = b + a;
	return features;
}
#else
static uint64_t measure_features(uint64_t wanted, size_t *ret_end)
{
	(void)wanted;
	(void)ret_end;
	return 0;
}

uint32_t lc_x86_xstate_size(void)
{
	return 0;
}

int lc_x86_add_xsave_layout(struct elfw_notes *notes)
{
	(void)notes;
	return 0;
}
#endif

#define XSTATE_LEGACY 576 /* x87, SSE and the header */
#define XFEATURE_TILE (UINT64_C(1) << 18)

size_t lc_x86_signal_xstate(uint64_t xstate_bv, size_t len, uint64_t *ret_features)
{
	size_t end = XSTATE_LEGACY;

	*ret_features = measure_features(~XFEATURE_TILE | (xstate_bv & XFEATURE_TILE), &end);
	return end < len ? end : len;
}

/* include/linux/errno.h: never seen by programs, but by tracers */
#define X86_ERESTARTNOHAND 514

static int64_t get_word(const uint8_t *regs, size_t word, size_t off)
{
	int64_t wide;
	int32_t narrow;

	if (word == 8) {
		memcpy(&wide, regs + off, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, regs + off, sizeof(narrow));
	return narrow;
}

static void put_word(uint8_t *regs, size_t word, size_t off, int64_t value)
{
	int32_t narrow = (int32_t)value;

	if (word == 8)
		memcpy(regs + off, &value, sizeof(value));
	else
		memcpy(regs + off, &narrow, sizeof(narrow));
}

bool lc_x86_fix_eintr(uint8_t *regs, size_t word, size_t result_off, size_t number_off,
		      const int *calls)
{
	int64_t number = get_word(regs, word, number_off);

	/* a negative number: the thread was not in a system call */
	if (number < 0 || get_word(regs, word, result_off) != -EINTR)
		return false;
	while (*calls >= 0 && *calls != number)
		calls++;
	if (*calls < 0)
		return false;
	put_word(regs, word, result_off, -X86_ERESTARTNOHAND);
	return true;
}
