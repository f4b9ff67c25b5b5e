/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Capabilities of the calling thread alone, capget(2): the others never have them in effect. */
#include "caller.h"

#include <linux/capability.h>
#include <sys/syscall.h>

#include "why_denied.h"

static void set_effective(bool on)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	const uint32_t bit = CAP_TO_MASK(CAP_SYS_PTRACE);
	struct __user_cap_data_struct *d = &data[CAP_TO_INDEX(CAP_SYS_PTRACE)];

	if (syscall(SYS_capget, &head, data) < 0)
		return;
	d->effective = on ? d->effective | (d->permitted & bit) : d->effective & ~bit;
	syscall(SYS_capset, &head, data);
}

void lc_caller_raise(bool for_caller)
{
	if (for_caller)
		set_effective(true);
}

void lc_caller_lower(bool for_caller)
{
	if (for_caller)
		set_effective(false);
}

int lc_caller_check(const struct lc_target *target, bool for_caller, struct lc_err *err)
{
	return for_caller ? lc_target_check_owned(target, err) : 0;
}
