/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Templates of output names, and the names of descriptors. */
#include <errno.h>

#include "../../cmd/outname.h"
#include "tap.h"

static const struct outname_facts facts = {
	.pid = 4711,
	.ns_pid = 7,
	.uid = 4294967294U,
	.gid = 100,
	.time = 1700000000,
	.comm = "sleep",
	.exe = "/usr/bin/sleep",
	.hostname = "host",
};

static const char *expand(const char *template, const struct outname_facts *with)
{
	static char buf[256];

	return outname_expand(template, false, with, buf, sizeof(buf)) < 0 ? NULL : buf;
}

static void test_specifiers(void)
{
	static const struct {
		const char *template, *want;
	} cases[] = {
		{"core", "core"},
		{"%p", "7"},
		{"%P", "4711"},
		{"%i", "7"},
		{"%I", "4711"},
		{"%u.%g", "4294967294.100"},
		{"%t", "1700000000"},
		{"%h", "host"},
		{"%e", "sleep"},
		{"%E", "!usr!bin!sleep"},
		{"%%", "%"},
		{"%%p", "%p"},
		{"/var/%e/core.%P-%t", "/var/sleep/core.4711-1700000000"},
		{"", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(expand(cases[i].template, &facts), cases[i].want, cases[i].template);
}

static void test_unknown(void)
{
	char bad[3], buf[16];

	is(outname_check("%p.%P%%", bad), 0, "known ones pass");
	is(outname_check("core.%s", bad), -EINVAL, "the kernel's %s is unknown here");
	is_str(bad, "%s", "and named");
	is(outname_check("core.%", bad), -EINVAL, "a percent sign at the end");
	is_str(bad, "%", "and shown");
	is(outname_check("%%%", bad), -EINVAL, "a percent sign behind an escaped one");
	is(outname_check("%p%\n", bad), -EINVAL, "a control character");
	is(outname_expand("%x", false, &facts, buf, sizeof(buf)), -EINVAL,
	   "expanding refuses it as well");
}

/* A name that the process chose, in a template, and what must come out. */
static void test_foreign(void)
{
	static const struct {
		const char *comm, *template, *want;
	} cases[] = {
		{"/", "d/%e", "d/!"},
		{"../../etc", "%e", "..!..!etc"},
		{".", "%e", "!"},
		{"..", "%e", "!."},
		{"..", "d/%e/x", "d/!./x"},
		{".", ".%e", ".!"},
		{".", "%e.", "!."},
		{".", "%e%e", "!!"},
		{"", "d/%e/x", "d/!/x"},
		{".hidden", "%e", ".hidden"},
		{"a\nb\033\177", "%e", "a!b!!"},
		{"%p", "%e", "%p"},
		{"\xc3\xa9", "%e", "\xc3\xa9"},
		{"\xc3\xa9\xc3", "%e", "\xc3\xa9!"},
		{"\xc2\x9b"
		 "1m",
		 "%e", "!1m"},
		{"\x9b\xc2", "%e%e", "!!!!"},
		{"a\xe2\x80\xae"
		 "b",
		 "%e", "a!b"},
	};
	struct outname_facts with = facts;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		with.comm = cases[i].comm;
		is_str(expand(cases[i].template, &with), cases[i].want, cases[i].want);
	}
	with.exe = "/tmp/../x (deleted)";
	is_str(expand("%E", &with), "!tmp!..!x (deleted)", "a path is one component");
	with.comm = "a/b";
	with.exe = NULL;
	is_str(expand("%E", &with), "a!b (path unknown)", "no path");
	with.hostname = "..";
	is_str(expand("%h/core", &with), "!./core", "a host name does not lead out either");
}

static void test_length(void)
{
	char buf[8];

	is(outname_expand("1234567", false, &facts, buf, sizeof(buf)), 0, "fits exactly");
	is_str(buf, "1234567", "and is whole");
	is(outname_expand("12345678", false, &facts, buf, sizeof(buf)), -ENAMETOOLONG,
	   "no room for the end");
	is(outname_expand("123%E", false, &facts, buf, sizeof(buf)), -ENAMETOOLONG,
	   "no room for an expansion");
	is(outname_expand("12%P", true, &facts, buf, sizeof(buf)), -ENAMETOOLONG,
	   "no room for the PID");
	is(outname_expand("", false, &facts, buf, 0), -ENAMETOOLONG, "no room at all");
}

static void test_pid(void)
{
	char buf[32];

	is(outname_expand("core", true, &facts, buf, sizeof(buf)), 0, "append the PID");
	is_str(buf, "core.4711", "as seen from here");
	ok(outname_has_pid("a%p"), "%%p tells processes apart");
	ok(outname_has_pid("a%%%P"), "%%P tells processes apart");
	ok(!outname_has_pid("a%%p"), "an escaped one does not");
	ok(!outname_has_pid("%e%t"), "name and time do not");
	ok(!outname_has_pid("core%"), "an unfinished template");
}

static void test_descriptors(void)
{
	static const struct {
		const char *name;
		int fd;
	} cases[] = {
		{"-", 1},
		{"/dev/stdin", 0},
		{"/dev/stdout", 1},
		{"/dev/stderr", 2},
		{"/dev/fd/0", 0},
		{"/dev/fd/63", 63},
		{"/proc/self/fd/5", 5},
		{"./-", -1},
		{"--", -1},
		{"", -1},
		{"/dev/fd/", -1},
		{"/dev/fd/-1", -1},
		{"/dev/fd/5x", -1},
		{"/dev/fd/ 5", -1},
		{"/dev/fd/99999999999999999999", -1},
		{"/dev/fd/%p", -1},
		{"/dev/null", -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = -1;
		bool found = outname_is_descriptor(cases[i].name, &fd);

		is(found ? fd : -1, cases[i].fd, cases[i].name);
	}
}

int main(void)
{
	test_specifiers();
	test_unknown();
	test_foreign();
	test_length();
	test_pid();
	test_descriptors();
	return tap_done();
}
