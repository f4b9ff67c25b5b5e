/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Parsers of /proc text, with hostile names, and readers over a tree of fixtures. */
#include "../../core/procfs.h"
#include "../../core/vma.h"
#include "tap.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void test_stat(void)
{
	struct lc_stat st;

	is(lc_procfs_parse_stat("42 (a) b) (\n) R 1 2 3 4 5 4194304 6 7 8 9 10 11 12 13 20 -5 1 0 "
				"987654321 1 1",
				&st),
	   0, "a name with parentheses and a newline");
	is_str(st.comm, "a) b) (\n", "its name");
	is(st.state, 'R', "its state");
	is(st.ppid, 1, "ppid");
	is(st.pgrp, 2, "pgrp");
	is(st.sid, 3, "sid");
	is(st.flags, 4194304, "flags");
	is(st.utime, 10, "utime");
	is(st.stime, 11, "stime");
	is(st.cutime, 12, "cutime");
	is(st.cstime, 13, "cstime");
	is(st.nice, -5, "nice");
	is(st.starttime, 987654321, "starttime");
	is(lc_procfs_parse_stat("42 (x) R 1 2", &st), -EINVAL, "a stat that is cut");
	is(lc_procfs_parse_stat("42 x R", &st), -EINVAL, "a stat without a name");
	is(lc_procfs_parse_stat("", &st), -EINVAL, "an empty stat");
	is(lc_procfs_parse_stat(")(", &st), -EINVAL, "parentheses the wrong way round");
}

static void test_syscall(void)
{
	struct lc_syscall sc;

	is(lc_procfs_parse_syscall("58 0x1 0x2 0x3 0x4 0x5 0xffffffffffffffff 0x7ffd00 0x55aa\n",
				   &sc),
	   0, "a thread in a system call");
	is(sc.number, 58, "its number");
	ok(sc.args[0] == 1 && sc.args[4] == 5 && sc.args[5] == UINT64_MAX, "its arguments");
	is(sc.sp, 0x7ffd00, "its stack pointer");
	is(sc.pc, 0x55aa, "its program counter");
	is(lc_procfs_parse_syscall("-1 0x7ffd08 0x55ab\n", &sc), 0, "one that sleeps elsewhere");
	ok(sc.number == -1 && sc.args[0] == 0, "without arguments");
	ok(sc.sp == 0x7ffd08 && sc.pc == 0x55ab, "with its stack pointer and program counter");
	is(lc_procfs_parse_syscall("running\n", &sc), -EINVAL, "one that runs");
	is(lc_procfs_parse_syscall("58 0x1 0x2\n", &sc), -EINVAL, "a text that is cut");
	is(lc_procfs_parse_syscall("", &sc), -EINVAL, "no text");
}

static void test_status(void)
{
	static const char text[] =
		"Name:\tx\\nTracerPid:\\t99\nUmask:\t0022\nState:\tt (tracing stop)\n"
		"Tgid:\t10\nNgid:\t0\nPid:\t11\nPPid:\t12\nTracerPid:\t13\n"
		"Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nNSpid:\t11\t22\t33\nNSpgid:"
		"\t44\t55\t66\nNSsid:\t7\t8\t0\n"
		"Threads:\t14\nSigQ:\t15/1600\nSigPnd:\t0000000000000001\n"
		"ShdPnd:\t8000000000000000\nSigBlk:\tfffffffffffffffe\n"
		"SigIgn:\t2\nSigCgt:\t4\nCapPrm:\t000001ffffffffff\nCapEff:\t10\n"
		"Seccomp:\t2\n";
	struct lc_status st;

	lc_procfs_parse_status(text, &st);
	is(st.state, 't', "State");
	is(st.tgid, 10, "Tgid");
	is(st.pid, 11, "Pid");
	is(st.ppid, 12, "PPid");
	is(st.tracer, 13, "TracerPid, not the one in the name");
	ok(st.uid[0] == 1 && st.uid[1] == 2 && st.uid[2] == 3 && st.uid[3] == 4, "Uid");
	ok(st.gid[0] == 5 && st.gid[1] == 6 && st.gid[2] == 7 && st.gid[3] == 8, "Gid");
	is(st.ns_pid, 33, "NSpid: the innermost");
	is(st.n_ns, 3, "NSpid: how many");
	ok(st.ns_pgrp == 66 && st.ns_sid == 0, "NSpgid and NSsid");
	is(st.n_threads, 14, "Threads");
	is(st.sig_queued, 15, "SigQ");
	is(st.sig_limit, 1600, "SigQ's limit");
	is(st.sigpnd, 1, "SigPnd");
	is((int64_t)st.shdpnd, INT64_MIN, "ShdPnd, all 64 bits");
	is((int64_t)st.sigblk, -2, "SigBlk");
	is(st.cap_prm, 0x1ffffffffff, "CapPrm");
	is(st.seccomp, 2, "Seccomp");
	lc_procfs_parse_status("Uid:\nTgid:", &st);
	is(st.tgid, 0, "lines without values");
}

/* PID namespaces nest 32 deep. */
static void test_nested_status(void)
{
	char text[512] = "NSpid:";
	struct lc_status st;

	for (int i = 0; i < 33; i++)
		sprintf(text + strlen(text), "\t%d", 4194304 - i);
	strcat(text, "\nThreads:\t1\n");
	lc_procfs_parse_status(text, &st);
	is(st.ns_pid, 4194304 - 32, "the innermost of 33 numbers");
	is(st.n_threads, 1, "and the line behind");
}

static void test_locks(void)
{
	const dev_t dev = makedev(0, 0x15);
	static const char text[] = "1: POSIX  ADVISORY  WRITE 11 00:15:378998 0 EOF\n"
				   "2: FLOCK  ADVISORY  WRITE 12 00:16:378998 0 EOF\n"
				   "3: FLOCK  ADVISORY  WRITE 13 00:15:1378998 0 EOF\n"
				   "4: FLOCK  ADVISORY  READ  14 00:15:378998 0 EOF\n"
				   "4: -> FLOCK  ADVISORY  WRITE 15 00:15:378998 0 EOF\n"
				   "5: FLOCK  ADVISORY  WRITE -1 00:15:378998 0 EOF\n"
				   "6: FLOCK  ADVISORY  WRITE 16 00:15:378998 0 EOF\n"
				   "6: -> FLOCK  ADVISORY  WRITE 17 00:15:378998 0 EOF\n";

	is(lc_procfs_find_flock(text, dev, 378998), 16, "the holder among others' locks");
	is(lc_procfs_find_flock(text, dev, 78998), 0, "the end of another number");
	is(lc_procfs_find_flock(text, makedev(8, 1), 378998), 0, "another file system");
	is(lc_procfs_find_flock("", dev, 378998), 0, "no locks");
}

static void test_id_map(void)
{
	ok(lc_procfs_maps_all_ids("         0          0 4294967295\n"), "the initial namespace");
	ok(!lc_procfs_maps_all_ids("0 100000 65536\n"), "a container's");
	ok(!lc_procfs_maps_all_ids("0 1000 1\n1 100000 65536\n"), "a user's own");
	ok(!lc_procfs_maps_all_ids(""), "one without a map yet");
}

static void parse_line(const char *text, struct lc_map_line *ret, int want, const char *what)
{
	static char line[512];

	snprintf(line, sizeof(line), "%s", text);
	is(lc_procfs_parse_map_line(line, ret), want, what);
}

static void test_map_line(void)
{
	struct lc_map_line m;

	parse_line("7f0000001000-7f0000003000 r-xp 0000a000 fd:01 1234567890123          /a b/c "
		   "(deleted)",
		   &m, 0, "a line of maps");
	is(m.start, 0x7f0000001000, "start");
	is(m.end, 0x7f0000003000, "end");
	is(m.offset, 0xa000, "offset");
	is(m.dev_major, 0xfd, "major");
	is(m.dev_minor, 1, "minor");
	is(m.inode, 1234567890123, "inode");
	is_str(m.perms, "r-xp", "permissions");
	is_str(m.name, "/a b/c (deleted)", "a name with spaces");
	parse_line("1000-2000 rw-p 00000000 00:00 0 ", &m, 0, "anonymous memory");
	is_str(m.name, "", "has no name");
	parse_line("1000-2000 rw-p 00000000 00:00 0", &m, 0, "the same without the space");
	parse_line("1000-2000 rw-p 0 08:01 5 /x\\012y", &m, 0, "an escaped newline");
	is_str(m.name, "/x\ny", "is one");
	ok(m.ambiguous_name, "and may be something else");
	parse_line("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]", &m, 0,
		   "the last page");
	is((int64_t)m.end, (int64_t)0xffffffffff601000, "its end");
	parse_line("2000-1000 rw-p 0 00:00 0", &m, -EINVAL, "an end before its start");
	parse_line("1000-1000 rw-p 0 00:00 0", &m, -EINVAL, "no length");
	parse_line("1000-2000 rw-p", &m, -EINVAL, "a line that is cut");
	parse_line("1000-2000 rw-p 0 0800 5", &m, -EINVAL, "no device");
	parse_line("Size:  4 kB", &m, -EINVAL, "a field of smaps");
	parse_line("", &m, -EINVAL, "an empty line");
}

static void test_vm_flags(void)
{
	is(lc_procfs_parse_vm_flags(" rd wr mr mw me ac sd"), 0, "ordinary memory");
	is(lc_procfs_parse_vm_flags(" rd sh mr dd ht"),
	   LC_VMA_SHARED | LC_VMA_DONTDUMP | LC_VMA_HUGETLB, "flags that matter");
	is(lc_procfs_parse_vm_flags("pf io um\n"), LC_VMA_PFNMAP | LC_VMA_IO | LC_VMA_UFFD,
	   "devices and userfaultfd");
	is(lc_procfs_parse_vm_flags("ddd ?? s h"), 0, "words that are no flags");
}

static void test_vmas(void)
{
	char *text = strdup("1000-3000 r--p 00000000 08:01 5 /bin/x\n"
			    "3000-5000 rw-s 00000000 00:01 6 /dev/zero (deleted)\n"
			    "5000-6000 rw-p 00000000 00:00 0 [heap]\n"
			    "6000-7000 r-xp 00000000 00:00 0 [vdso]\n"
			    "7000-8000 rw-s 00000000 00:05 7 /dev/mem\n"
			    "8000-9000 rw-p 00000000 00:00 0 [anon:a ]b]\n"
			    "9000-a000 rw-s 00000000 00:09 8 /secretmem (deleted)\n"
			    "b000-c000 rw-p 000000");
	struct lc_vmas vmas = {0};

	need(text);
	is(lc_vmas_parse(text, strlen(text), &vmas), 0, "maps");
	is(vmas.n, 7, "a line that is cut tells nothing");
	is(vmas.v[0].prot, PF_R, "prot");
	is(vmas.v[0].flags, 0, "a file");
	is(vmas.v[1].flags, LC_VMA_SHARED | LC_VMA_DELETED | LC_VMA_NAMELESS, "shared memory");
	is(vmas.v[2].flags, 0, "the heap is ordinary");
	is(vmas.v[3].flags, LC_VMA_SPECIAL, "the vdso is the kernel's");
	is(vmas.v[4].flags, LC_VMA_SHARED | LC_VMA_DEVICE, "a device");
	is(vmas.v[5].flags, 0, "named anonymous memory");
	ok(vmas.v[6].flags & LC_VMA_SECRET, "memfd_secret");
	lc_vmas_free(&vmas);
	/* read while the process ran */
	text = strdup("1000-3000 r--p 0 08:01 5 /bin/x\n2000-4000 r--p 7000 08:01 5 /bin/x\n"
		      "1000-2000 rw-p 0 00:00 0\n3000-5000 rw-p 0 00:00 0\n");
	need(text);
	is(lc_vmas_parse(text, strlen(text), &vmas), 0, "mappings that overlap");
	is(vmas.n, 3, "one that lies before the last is left out");
	ok(vmas.v[1].start == 0x3000 && vmas.v[1].end == 0x4000, "one is cut to follow the last");
	is(vmas.v[1].offset, 0x8000, "and its offset");
	ok(vmas.v[2].start == 0x4000 && vmas.v[2].offset == 0, "anonymous memory has none");
	lc_vmas_free(&vmas);
}

/* A mapping that came since smaps was read has no flags of it; those around it have theirs. */
static void test_new_mapping(void)
{
	char *text = strdup("1000-2000 rw-p 0 00:00 0\n"
			    "2000-3000 rw-p 0 00:00 0\n"
			    "3000-4000 rw-s 0 00:05 7 /dev/x\n"
			    "4000-5000 rw-s 0 00:05 7 /dev/x\n");
	struct lc_vma_hint v[] = {
		{.start = 0x1000, .end = 0x2000, .flags = LC_VMA_DONTDUMP},
		{.start = 0x3000,
		 .end = 0x4000,
		 .inode = 7,
		 .dev_minor = 5,
		 .flags = LC_VMA_SHARED | LC_VMA_IO},
		{.start = 0x4000, .end = 0x5000, .inode = 8, .dev_minor = 5, .flags = LC_VMA_IO},
	};
	const struct lc_vma_hints hints = {.v = v, .n = 3};
	struct lc_vmas vmas;

	need(text && lc_vmas_parse(text, strlen(text), &vmas) == 0);
	ok(!lc_vmas_take_hints(&vmas, &hints), "two mappings without a hint");
	is(vmas.v[0].flags, LC_VMA_DONTDUMP, "the one before has its flags");
	is(vmas.v[1].flags, 0, "a new one has none");
	is(vmas.v[2].flags, LC_VMA_SHARED | LC_VMA_IO | LC_VMA_DEVICE,
	   "the one behind has its flags");
	is(vmas.v[3].flags, LC_VMA_SHARED | LC_VMA_DEVICE, "another file's are not taken");
	v[0].flags = 0;
	v[1].flags = LC_VMA_PFNMAP;
	lc_vmas_take_hints(&vmas, &hints);
	is(vmas.v[0].flags, 0, "newer flags replace older ones");
	is(vmas.v[2].flags, LC_VMA_PFNMAP | LC_VMA_DEVICE, "all of them");
	lc_vmas_free(&vmas);
}

/* ---- a tree of fixtures ------------------------------------------------------------------- */

static char root[] = "/tmp/livecore-procfs-XXXXXX";

static void put(int dirfd, const char *path, const char *text, size_t len)
{
	int fd = openat(dirfd, path, O_CREAT | O_WRONLY, 0600);

	need(fd >= 0 && write(fd, text, len) == (ssize_t)len);
	close(fd);
}

static void put_text(int dirfd, const char *path, const char *text)
{
	put(dirfd, path, text, strlen(text));
}

static const char maps_text[] = "1000-3000 r--p 00000000 08:01 5 /bin/x\n"
				"3000-5000 rw-p 00000000 00:00 0 \n";
static const char smaps_text[] =
	"1000-3000 r--p 00000000 08:01 5 /bin/x\nSize: 8 kB\nRss: 4 kB\n"
	"VmFlags: rd mr mw me dd \n"
	"3000-5000 rw-p 00000000 00:00 0 \nSize: 8 kB\nVmFlags: rd wr ht \n";

static void test_hints(int fd)
{
	struct lc_vma_hints hints = {0}, stale = {0};
	struct lc_vmas vmas = {0};

	is(lc_vma_hints_read(fd, false, 0, &hints), 0, "smaps");
	is(hints.n, 2, "its mappings");
	is(hints.v[0].flags, LC_VMA_DONTDUMP, "flags of the first");
	lc_vma_hints_free(&hints);
	is(lc_vma_hints_read(fd, true, 0, &hints), 0, "smaps in small pieces");
	is(hints.n, 2, "the same mappings");
	is(hints.v[1].flags, LC_VMA_HUGETLB, "with the same flags");
	is(lc_vmas_read(fd, &hints, LC_FLAGS_READ, 0, &vmas), 0, "maps with its flags");
	is(vmas.v[1].flags, LC_VMA_HUGETLB, "flags of the second");
	lc_vmas_free(&vmas);
	is(lc_vmas_read(fd, &stale, LC_FLAGS_ANY, 0, &vmas), 0, "maps whose flags nobody needs");
	is(vmas.v[0].flags, 0, "smaps is not read again");
	lc_vmas_free(&vmas);
	is(lc_vmas_read(fd, &hints, LC_FLAGS_READ, 1, &vmas), -ETIME, "maps after the deadline");
	is(vmas.n, 0, "none is known");
	is(lc_vma_hints_read(fd, false, 1, &stale), -ETIME, "smaps after the deadline");
	is(lc_vmas_read(fd, &stale, LC_FLAGS_READ, 0, &vmas), 0,
	   "maps that no hint fits: smaps is read again");
	is(vmas.v[0].flags, LC_VMA_DONTDUMP, "and the flags are there");
	lc_vmas_free(&vmas);
	lc_vma_hints_free(&hints);
}

/* Deep directories make names that fill every buffer: the numbers before them count all the same.
 */
static void test_long_names(int fd)
{
	const size_t name_len = 40000;
	struct lc_vma_hints hints = {0};
	struct lc_vmas vmas = {0};
	char *name = malloc(name_len + 1), *text;

	need(name);
	memset(name, 'd', name_len);
	name[0] = '/';
	name[name_len] = '\0';
	need(asprintf(&text,
		      "1000-3000 r--p 0 08:01 5 %s\nVmFlags: rd dd \n"
		      "3000-5000 rw-s 0 00:05 7 /dev/x\nSize: 8 kB\nVmFlags: rd sh io \n",
		      name) > 0);
	put_text(fd, "smaps", text);
	free(text);
	need(asprintf(&text, "1000-3000 r--p 0 08:01 5 %s\n3000-5000 rw-s 0 00:05 7 /dev/x\n",
		      name) > 0);
	put_text(fd, "maps", text);
	free(text);
	is(lc_vma_hints_read(fd, false, 0, &hints), 0, "smaps with a name of 40,000 bytes");
	is(hints.n, 2, "its mappings");
	is(lc_vmas_read(fd, &hints, LC_FLAGS_READ, 0, &vmas), 0, "the same maps");
	is_str(vmas.v[0].name, name, "the whole name");
	is(vmas.v[0].flags, LC_VMA_DONTDUMP, "flags of the mapping");
	is(vmas.v[1].flags, LC_VMA_SHARED | LC_VMA_IO | LC_VMA_DEVICE, "flags of the next one");
	lc_vmas_free(&vmas);
	lc_vma_hints_free(&hints);
	free(name);
}

static int collect(void *arg, pid_t pid)
{
	pid_t *sum = arg;

	*sum += pid;
	return pid == 99 ? 7 : 0;
}

static void test_tree(void)
{
	struct lc_text text = {0};
	struct lc_stat st;
	uint64_t value;
	pid_t sum = 0;
	char *link;
	int fd;

	need(mkdtemp(root));
	fd = open(root, O_RDONLY | O_DIRECTORY);
	need(fd >= 0);
	put(fd, "auxv", "\0\1\0\2", 4);
	put_text(fd, "maps", maps_text);
	put_text(fd, "smaps", smaps_text);
	put_text(fd, "coredump_filter", "00000033\n");
	put_text(fd, "bad", "zz\n");
	need(symlinkat("/usr/bin/x (deleted)", fd, "exe") == 0);
	need(mkdirat(fd, "task", 0700) == 0);
	need(mkdirat(fd, "task/11", 0700) == 0 && mkdirat(fd, "task/12x", 0700) == 0 &&
	     mkdirat(fd, "task/30", 0700) == 0);
	is(lc_procfs_read(fd, "auxv", &text), 0, "a file with NULs");
	is(text.len, 4, "its length");
	is(lc_procfs_read(fd, "nothing", &text), -ENOENT, "a file that is not there");
	is(lc_procfs_hex(fd, "coredump_filter", &value), 0, "a hexadecimal number");
	is(value, 0x33, "its value");
	is(lc_procfs_hex(fd, "bad", &value), -EINVAL, "no number");
	is(lc_procfs_stat(fd, "bad", &st), -EINVAL, "no stat");
	is(lc_procfs_readlink(fd, "exe", &link), 0, "a link");
	is_str(link, "/usr/bin/x (deleted)", "its target");
	free(link);
	is(lc_procfs_readlink(fd, "maps", &link), -EINVAL, "no link");
	is(lc_procfs_each_pid(fd, "task", collect, &sum), 0, "a directory of threads");
	is(sum, 41, "only names that are numbers");
	test_hints(fd);
	need(unlinkat(fd, "maps", 0) == 0 && unlinkat(fd, "smaps", 0) == 0);
	test_long_names(fd);
	lc_text_free(&text);
	unlinkat(fd, "task/11", AT_REMOVEDIR);
	unlinkat(fd, "task/12x", AT_REMOVEDIR);
	unlinkat(fd, "task/30", AT_REMOVEDIR);
	unlinkat(fd, "task", AT_REMOVEDIR);
	for (size_t i = 0; i < 6; i++)
		unlinkat(fd,
			 ((const char *[]){"auxv", "maps", "smaps", "coredump_filter", "bad",
					   "exe"})[i],
			 0);
	close(fd);
	is(rmdir(root), 0, "nothing is left");
}

int main(void)
{
	test_stat();
	test_syscall();
	test_status();
	test_nested_status();
	test_locks();
	test_id_map();
	test_map_line();
	test_vm_flags();
	test_vmas();
	test_new_mapping();
	test_tree();
	return tap_done();
}
