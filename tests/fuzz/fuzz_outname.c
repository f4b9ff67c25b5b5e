/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names of outputs: whatever a process calls itself, the name stays in the directory that the
 * template gives, and holds no control character that the template does not hold.
 * Input: the command's name, the executable, the host, and the template, each ended by a NUL.
 */
#include <errno.h>
#include <limits.h>

#include "../../cmd/outname.h"
#include "fuzz.h"

static size_t count_controls(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (unsigned char)*s < 0x20 || *s == 0x7f ||
		     ((unsigned char)s[0] == 0xc2 && ((unsigned char)s[1] & 0xe0) == 0x80);
	return n;
}

static size_t count_char(const char *s, char c)
{
	size_t n = 0;

	for (; *s; s++)
		n += *s == c;
	return n;
}

/* Components that only the template's own text can make "." or "..". */
static void check_components(const char *template, const char *name)
{
	while (*template || *name) {
		size_t t = strcspn(template, "/"), n = strcspn(name, "/");

		if (memchr(template, '%', t))
			must(n > 0 && strspn(name, ".") < n);
		else
			must(n == t && memcmp(template, name, n) == 0);
		template += t + (template[t] == '/');
		name += n + (name[n] == '/');
	}
}

static void check_name(const char *template, const struct outname_facts *facts)
{
	char name[PATH_MAX], small[24];
	int r = outname_expand(template, false, facts, name, sizeof(name));
	char bad[3];

	must((r == -EINVAL) == (outname_check(template, bad) == -EINVAL) || r == -ENAMETOOLONG);
	if (r < 0)
		return;
	must(strlen(name) < sizeof(name));
	must(count_char(name, '/') == count_char(template, '/'));
	must(count_controls(name) <= count_controls(template));
	check_components(template, name);
	/* what fits is the same in a smaller buffer, what does not is refused */
	r = outname_expand(template, false, facts, small, sizeof(small));
	must(strlen(name) < sizeof(small) ? r == 0 && strcmp(small, name) == 0
					  : r == -ENAMETOOLONG);
}

static void check_descriptor(const char *text)
{
	int fd = -1;

	if (outname_is_descriptor(text, &fd))
		must(fd >= 0 && (*text == '-' || *text == '/'));
	else
		must(fd == -1 && strcmp(text, "-") != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	char *comm = fuzz_take_string(&in);
	char *exe = fuzz_take_string(&in);
	char *hostname = fuzz_take_string(&in);
	char *template = fuzz_take_rest(&in);
	const struct outname_facts facts = {
		.pid = 4711,
		.ns_pid = 7,
		.uid = UINT_MAX,
		.gid = 100,
		.time = 1700000000,
		.comm = comm,
		.exe = *exe ? exe : NULL,
		.hostname = hostname,
	};

	check_name(template, &facts);
	check_descriptor(template);
	outname_has_pid(template);
	free(comm);
	free(exe);
	free(hostname);
	free(template);
	return 0;
}
