/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The dry run: the plan of a process that runs, as rows for people. Attaches to nothing. */
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "frozen.h"

static int fill_rows(const struct lc_frozen *f, struct lc_preview *preview)
{
	preview->rows = calloc(f->vmas.n ? f->vmas.n : 1, sizeof(*preview->rows));
	if (!preview->rows)
		return -ENOMEM;
	for (size_t i = 0; i < f->vmas.n; i++) {
		const struct lc_vma *vma = &f->vmas.v[i];
		const struct lc_verdict *verdict = &f->plan.verdicts[i];
		struct lc_plan_row *row = &preview->rows[i];

		*row = (struct lc_plan_row){
			.start = vma->start,
			.end = vma->end,
			.file_bytes = verdict->file_bytes,
			.data_bytes = verdict->data_bytes,
			.rule = verdict->rule,
			.name = strdup(vma->name),
		};
		memcpy(row->perms, vma->perms, sizeof(row->perms));
		preview->n_rows = i + 1;
		if (!row->name)
			return -ENOMEM;
	}
	return 0;
}

int lc_preview_make(struct lc_target *target, const struct lc_request *request,
		    struct lc_preview *ret_preview, struct lc_err *err)
{
	struct lc_frozen f = {0};
	struct lc_prep p;
	int r;

	*ret_preview = (struct lc_preview){0};
	*err = (struct lc_err){0};
	lc_prep_init(&p, target, request);
	r = lc_prep_open(&p, err);
	if (r == 0)
		r = lc_frozen_estimate(&p, &f, err);
	if (r == 0 && fill_rows(&f, ret_preview) < 0)
		r = lc_err_set(err, ENOMEM, LC_STAGE_MAPPINGS, "out of memory");
	if (r == 0) {
		ret_preview->n_threads = target->id.n_threads;
		ret_preview->core_bytes = f.layout.size;
		ret_preview->disk_bytes = f.layout.data_off + f.plan.data_bytes;
	}
	lc_frozen_free(&f);
	lc_prep_free(&p);
	return r;
}

void lc_preview_free(struct lc_preview *preview)
{
	for (size_t i = 0; i < preview->n_rows; i++)
		free(preview->rows[i].name);
	free(preview->rows);
	*preview = (struct lc_preview){0};
}
