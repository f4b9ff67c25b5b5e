/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Output-name templates. Pure: opens and asks nothing; every fact is handed in. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outname.h"
#include "text.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

struct name {
	char *buf;
	size_t size;
	size_t len;
	bool overflow;
};

static void put_bytes(struct name *name, const char *s, size_t len)
{
	if (len >= name->size - name->len) {
		name->overflow = true;
		return;
	}
	memcpy(name->buf + name->len, s, len);
	name->len += len;
	name->buf[name->len] = '\0';
}

static void put_number(struct name *name, intmax_t value)
{
	char digits[32];

	put_bytes(name, digits, (size_t)snprintf(digits, sizeof(digits), "%" PRIdMAX, value));
}

/*
 * Text that is not ours must not lead out of the directory: as cn_esc_printf() of the kernel's
 * fs/coredump.c, a slash becomes '!', an empty text "!", and one that is "." or ".." starts with
 * '!'. Any number of dots counts, because a template such as ".%e" would add the missing one.
 * What acts on a terminal becomes '!' too: the name will be shown by programs that do not escape.
 * So does a byte that is no UTF-8, which could be a part of such a character with its neighbour.
 */
static void put_foreign(struct name *name, const char *s)
{
	if (strspn(s, ".") == strlen(s)) {
		put_bytes(name, "!", 1);
		s += *s ? 1 : 0;
	}
	while (*s) {
		uint32_t code;
		size_t len = text_utf8_decode(s, &code);
		bool passes = len && code != '/' && text_is_safe(code);

		put_bytes(name, passes ? s : "!", passes ? len : 1);
		s += len ? len : 1;
	}
}

/* ---- the specifiers ---------------------------------------------------------------------- */

static void put_percent(struct name *name, const struct outname_facts *facts)
{
	(void)facts;
	put_bytes(name, "%", 1);
}

static void put_pid(struct name *name, const struct outname_facts *facts)
{
	put_number(name, facts->pid);
}

static void put_ns_pid(struct name *name, const struct outname_facts *facts)
{
	put_number(name, facts->ns_pid);
}

static void put_uid(struct name *name, const struct outname_facts *facts)
{
	put_number(name, facts->uid);
}

static void put_gid(struct name *name, const struct outname_facts *facts)
{
	put_number(name, facts->gid);
}

static void put_time(struct name *name, const struct outname_facts *facts)
{
	put_number(name, facts->time);
}

static void put_comm(struct name *name, const struct outname_facts *facts)
{
	put_foreign(name, facts->comm);
}

static void put_hostname(struct name *name, const struct outname_facts *facts)
{
	put_foreign(name, facts->hostname);
}

/* Where there is no path the kernel writes the command's name with this addition. */
static void put_exe(struct name *name, const struct outname_facts *facts)
{
	if (facts->exe) {
		put_foreign(name, facts->exe);
		return;
	}
	put_foreign(name, facts->comm);
	put_foreign(name, " (path unknown)");
}

static const struct specifier {
	char letter;
	bool is_pid;
	void (*put)(struct name *name, const struct outname_facts *facts);
} specifiers[] = {
	{'%', false, put_percent}, {'p', true, put_ns_pid}, {'P', true, put_pid},
	{'i', false, put_ns_pid},  {'I', false, put_pid},   {'u', false, put_uid},
	{'g', false, put_gid},     {'t', false, put_time},  {'h', false, put_hostname},
	{'e', false, put_comm},    {'E', false, put_exe},
};

static const struct specifier *specifier_find(char letter)
{
	for (size_t i = 0; i < N_ELEMENTS(specifiers); i++) {
		if (specifiers[i].letter == letter)
			return &specifiers[i];
	}
	return NULL;
}

int outname_check(const char *template, char ret_bad[static 3])
{
	for (const char *s = strchr(template, '%'); s; s = strchr(s + 2, '%')) {
		if (!specifier_find(s[1])) {
			ret_bad[0] = '%';
			ret_bad[1] = s[1];
			ret_bad[2] = '\0';
			return -EINVAL;
		}
	}
	return 0;
}

bool outname_has_pid(const char *template)
{
	const struct specifier *specifier;

	for (const char *s = strchr(template, '%'); s && s[1]; s = strchr(s + 2, '%')) {
		specifier = specifier_find(s[1]);
		if (specifier && specifier->is_pid)
			return true;
	}
	return false;
}

int outname_expand(const char *template, bool append_pid, const struct outname_facts *facts,
		   char *buf, size_t size)
{
	struct name name = {.buf = buf, .size = size};
	const struct specifier *specifier;

	if (!size)
		return -ENAMETOOLONG;
	buf[0] = '\0';
	while (*template) {
		size_t literal = strcspn(template, "%");

		put_bytes(&name, template, literal);
		template += literal;
		if (!*template)
			break;
		specifier = specifier_find(template[1]);
		if (!specifier)
			return -EINVAL;
		specifier->put(&name, facts);
		template += 2;
	}
	if (append_pid) {
		put_bytes(&name, ".", 1);
		put_number(&name, facts->pid);
	}
	return name.overflow ? -ENAMETOOLONG : 0;
}

/* ---- descriptors ------------------------------------------------------------------------- */

static bool parse_fd(const char *digits, int *ret_fd)
{
	long fd;

	if (!*digits || strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 9)
		return false;
	fd = strtol(digits, NULL, 10);
	*ret_fd = (int)fd;
	return true;
}

bool outname_is_descriptor(const char *name, int *ret_fd)
{
	static const struct {
		const char *name;
		int fd;
	} names[] = {
		{"-", STDOUT_FILENO},
		{"/dev/stdin", STDIN_FILENO},
		{"/dev/stdout", STDOUT_FILENO},
		{"/dev/stderr", STDERR_FILENO},
	};
	static const char *const prefixes[] = {"/dev/fd/", "/proc/self/fd/"};

	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		if (!strcmp(name, names[i].name)) {
			*ret_fd = names[i].fd;
			return true;
		}
	}
	for (size_t i = 0; i < N_ELEMENTS(prefixes); i++) {
		size_t len = strlen(prefixes[i]);

		if (!strncmp(name, prefixes[i], len) && parse_fd(name + len, ret_fd))
			return true;
	}
	return false;
}
