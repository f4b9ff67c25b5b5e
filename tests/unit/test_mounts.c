/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which devices are of file systems that answer by themselves. */
#include "../../core/mounts.h"
#include "tap.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static struct lc_mounts mounts;

static void add(const char *text)
{
	need(lc_mounts_parse(text, &mounts) == 0);
}

/* What the last line of a text said. */
static bool last_is(uint32_t dev_major, uint32_t dev_minor, bool is_local)
{
	const struct lc_fs *last = &mounts.v[mounts.n - 1];

	return last->dev_major == dev_major && last->dev_minor == dev_minor &&
	       last->is_local == is_local;
}

static void test_parse(void)
{
	add("25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n");
	ok(last_is(0, 23, false), "sysfs");
	add("30 1 254:0 / / rw,relatime - ext4 /dev/vda rw");
	ok(last_is(254, 0, true), "ext4, and no newline at the end");
	add("31 30 0:99 / /mnt/s\\040-\\040ext4 rw shared:1 master:2 - fuse.sshfs u@h:/ rw\n");
	ok(last_is(0, 99, false), "sshfs under a name with blanks");
	add("32 30 8:1 / /usb rw - fuseblk /dev/sda1 rw\n");
	ok(last_is(8, 1, false), "FUSE on a block device");
	add("33 30 0:40 / /home rw - nfs4 host:/ rw\n");
	ok(last_is(0, 40, false), "NFS");
	add("34 30 0:41 / /c rw - overlay overlay rw,lowerdir=/l\n");
	ok(last_is(0, 41, true), "overlay");
	add("34 30 0:50 / /tmp rw - tmpfs tmpfs rw\n");
	ok(last_is(0, 50, true) && mounts.v[mounts.n - 1].is_memory, "tmpfs is memory");
	lc_mounts_free(&mounts);
	add("34 30 0:41 / /c rw - overlay overlay rw,lowerdir=/l\n");
	ok(!mounts.v[0].is_memory, "overlay is not");
	add("35 30 0:42 / /x rw - ext rw\n36 30 0:43 / /x rw - ext44 x rw\n");
	is(mounts.n, 3, "two lines");
	ok(last_is(0, 43, false) && !mounts.v[1].is_local, "the name counts as a whole");
	add("\n\n37 30 0:44\nrubbish - ext4 x\n38 30 0:45 / /x rw -ext4 x\n38 30 x:45 / /x rw - "
	    "ext4 x\n");
	is(mounts.n, 3, "lines that are cut or broken say nothing");
	lc_mounts_free(&mounts);
	is(mounts.n, 0, "freed");
}

static void test_ourselves(void)
{
	struct lc_target *target;
	struct lc_err err;
	struct stat st;
	int fd = memfd_create("test", MFD_CLOEXEC);
	uint32_t last = 0;
	bool sorted = true;

	need(lc_target_open(getpid(), &target, &err) == 0);
	need(lc_mounts_read(target, &mounts) == 0);
	for (size_t i = 0; i < mounts.n; i++) {
		sorted &= mounts.v[i].dev_major >= last;
		last = mounts.v[i].dev_major;
	}
	ok(sorted, "sorted by device");
	ok(!mounts.answers_opens, "no fanotify here");
	need(fd >= 0 && fstat(fd, &st) == 0);
	ok(lc_mounts_is_local(&mounts, major(st.st_dev), minor(st.st_dev)), "a memfd is local");
	ok(lc_mounts_is_memory(&mounts, major(st.st_dev), minor(st.st_dev)), "and memory");
	ok(!lc_mounts_is_memory(&mounts, 4090, 1), "a block device is not");
	ok(!lc_mounts_is_local(&mounts, 0, 0xffffe), "an unknown device is not");
	ok(lc_mounts_is_local(&mounts, 4090, 1), "a block device that no list has is");
	mounts.answers_opens = true;
	ok(!lc_mounts_is_local(&mounts, 4090, 1), "but for a process that answers opens");
	close(fd);
	lc_mounts_free(&mounts);
	lc_target_close(target);
}

int main(void)
{
	test_parse();
	test_ourselves();
	return tap_done();
}
