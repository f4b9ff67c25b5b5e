/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Privileges that the file gave and not the caller: execve(2), capabilities(7). The C library has
 * only the caller's word for everything else that is inherited (environment, limits, descriptors),
 * and nothing here asks it.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "privilege.h"

struct ids {
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;
};

struct caps {
	uint64_t effective, permitted, inheritable;
};

/* ---- system calls ------------------------------------------------------------------------ */

static int get_ids(struct ids *ids)
{
	if (getresuid(&ids->ruid, &ids->euid, &ids->suid) < 0 ||
	    getresgid(&ids->rgid, &ids->egid, &ids->sgid) < 0)
		return -errno;
	return 0;
}

static uint64_t whole(uint32_t low, uint32_t high)
{
	return (uint64_t)high << 32 | low;
}

static int get_caps(struct caps *caps)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	caps->effective = whole(data[0].effective, data[1].effective);
	caps->permitted = whole(data[0].permitted, data[1].permitted);
	caps->inheritable = whole(data[0].inheritable, data[1].inheritable);
	return 0;
}

static int set_caps(const struct caps *caps)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	for (unsigned int i = 0; i < 2; i++)
		data[i] = (struct __user_cap_data_struct){
			.effective = (uint32_t)(caps->effective >> 32 * i),
			.permitted = (uint32_t)(caps->permitted >> 32 * i),
			.inheritable = (uint32_t)(caps->inheritable >> 32 * i),
		};
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* ---- what was given ---------------------------------------------------------------------- */

static bool ids_were_given(const struct ids *ids)
{
	return ids->euid != ids->ruid || ids->suid != ids->ruid || ids->egid != ids->rgid ||
	       ids->sgid != ids->rgid;
}

/* Root has its capabilities by being root, as far as its securebits let it; where a filter forbids
 * to ask for them, it does. */
static bool is_root(const struct ids *ids)
{
	int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);

	return ids->ruid == 0 && (bits < 0 || !(bits & SECBIT_NOROOT));
}

/* Other users have through execve() what is ambient; all the rest is the file's. */
static bool caps_were_given(uint64_t permitted)
{
	for (unsigned int cap = 0; cap < 64; cap++) {
		if (!(permitted >> cap & 1))
			continue;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) != 1)
			return true;
	}
	return false;
}

/* ---- giving it up ------------------------------------------------------------------------ */

/* The group first: without root's uid it could not be done any more. */
static int take_real_ids(const struct ids *ids)
{
	struct ids now;

	if (setresgid(ids->rgid, ids->rgid, ids->rgid) < 0 ||
	    setresuid(ids->ruid, ids->ruid, ids->ruid) < 0)
		return -errno;
	if (get_ids(&now) < 0 || ids_were_given(&now) || now.ruid != ids->ruid ||
	    now.rgid != ids->rgid)
		return -EPERM;
	return 0;
}

/* Leaves of the permitted capabilities those in `keep`, and none in effect. */
static int reduce_caps(struct caps *caps, uint64_t keep)
{
	caps->permitted &= keep;
	caps->effective = 0;
	return set_caps(caps);
}

int privilege_drop(bool *ret_for_caller)
{
	const uint64_t keep = UINT64_C(1) << CAP_SYS_PTRACE;
	struct ids ids;
	struct caps caps = {0};
	int r = get_ids(&ids);

	*ret_for_caller = false;
	if (r < 0)
		return r;
	if (ids_were_given(&ids)) {
		r = take_real_ids(&ids);
		if (r < 0 || is_root(&ids))
			return r;
		/* the kernel took them already, unless the securebits say otherwise */
		r = get_caps(&caps);
		return r < 0 ? r : reduce_caps(&caps, 0);
	}
	if (is_root(&ids))
		return 0;
	r = get_caps(&caps);
	/* a filter forbids to ask: whoever may not be trusted with it is told by the kernel */
	if (r < 0 && !getauxval(AT_SECURE))
		return 0;
	if (r < 0 || !caps_were_given(caps.permitted))
		return r;
	r = reduce_caps(&caps, keep);
	*ret_for_caller = r == 0 && caps.permitted;
	return r;
}
