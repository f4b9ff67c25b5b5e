/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * All pages of a frozen target that exist, learned once and asked many times; and, of memory that a
 * userfaultfd tracks, learned ten times as fast as page by page.
 */
#ifndef LC_PAGELIST_H
#define LC_PAGELIST_H

#include "pagemap.h"
#include "vma.h"

/* Sorted. Starts zeroed. */
struct lc_pagelist {
	struct lc_page_region *v;
	size_t n, cap;
};

/*
 * Fills the list for all mappings. `pm` says who tracks, and was restarted.
 * `no_zero_page`: the zero page is not told from others, which takes half of the time. Returns 0,
 * -ENOMEM, -ETIME after the page map's deadline, or -errno.
 */
LC_MUST_CHECK int lc_pagelist_fill(struct lc_pagelist *list, struct lc_pagemap *pm,
				   const struct lc_vmas *vmas, bool no_zero_page);

/* Room for so many regions, reserved and touched before the freeze. Returns 0 or -ENOMEM. */
LC_MUST_CHECK int lc_pagelist_reserve(struct lc_pagelist *list, size_t n);

/* The first region that ends after `addr`; NULL: there is none. *cursor makes walks fast. */
const struct lc_page_region *lc_pagelist_find(const struct lc_pagelist *list, uint64_t addr,
					      size_t *cursor);

void lc_pagelist_free(struct lc_pagelist *list);

#endif
