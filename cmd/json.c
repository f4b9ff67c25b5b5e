/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The report for programs. json-c builds and quotes the objects. It passes every byte from 0x80 on
 * as it is, and names may hold any: so its text is written as ASCII here, a character beyond it as
 * \uXXXX, a byte that is no UTF-8 as \ufffd. The result is valid in every locale and on a terminal.
 */
#include "json.h"

#ifndef HAVE_JSON_C

bool json_is_available(void)
{
	return false;
}

void json_put_outcome(FILE *out, const struct outcome *outcome)
{
	(void)out;
	(void)outcome;
}

void json_put_preview(FILE *out, const struct outcome *outcome, const struct lc_preview *preview)
{
	(void)out;
	(void)outcome;
	(void)preview;
}

#else

#include <inttypes.h>
#include <json-c/json.h>

#include "report.h"
#include "snapshot.h"
#include "text.h"

#define REPLACEMENT 0xfffd
#define HEX_SIZE    24

bool json_is_available(void)
{
	return true;
}

/* ---- ASCII ------------------------------------------------------------------------------- */

static void put_code(FILE *out, uint32_t code)
{
	if (code >= 0x10000) {
		code -= 0x10000;
		fprintf(out, "\\u%04x\\u%04x", 0xd800 + (code >> 10), 0xdc00 + (code & 0x3ff));
	} else if (code >= 0x7f) {
		fprintf(out, "\\u%04x", code);
	} else {
		putc((int)code, out);
	}
}

/* Outside of strings JSON has ASCII only, so that no look at the structure is needed. */
static void put_ascii(FILE *out, const char *json)
{
	uint32_t code;
	size_t len;

	while (*json) {
		len = text_utf8_decode(json, &code);
		put_code(out, len ? code : REPLACEMENT);
		json += len ? len : 1;
	}
}

static void put_object(FILE *out, struct json_object *object)
{
	const char *text = json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	put_ascii(out, text);
	putc('\n', out);
	json_object_put(object);
}

/* ---- values ------------------------------------------------------------------------------ */

/* A value for which there was no memory becomes null. */

static struct json_object *make_number(uint64_t value)
{
	return json_object_new_int64(value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static void add_number(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, make_number(value));
}

static void add_string(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, value ? json_object_new_string(value) : NULL);
}

/* As text: many readers keep numbers as doubles, which hold 53 bits. */
static void add_address(struct json_object *object, const char *key, uint64_t value)
{
	char hex[HEX_SIZE];

	snprintf(hex, sizeof(hex), "0x%" PRIx64, value);
	add_string(object, key, hex);
}

/* "EPERM", or the number as text where the C library has no name for it. */
static void add_code(struct json_object *object, const char *key, int code)
{
	const char *name = text_errno_name(code);
	char number[TEXT_FIGURE_SIZE];

	snprintf(number, sizeof(number), "%d", code);
	add_string(object, key, code ? (name ? name : number) : NULL);
}

/* ---- parts ------------------------------------------------------------------------------- */

static const char *stage_name(enum lc_stage stage)
{
	static const char *const names[] = {
		[LC_STAGE_NONE] = NULL,
		[LC_STAGE_TARGET] = "target",
		[LC_STAGE_OUTPUT] = "output",
		[LC_STAGE_FREEZE] = "freeze",
		[LC_STAGE_REGISTERS] = "registers",
		[LC_STAGE_MAPPINGS] = "mappings",
		[LC_STAGE_COPY] = "copy",
		[LC_STAGE_THAW] = "thaw",
	};

	return stage < sizeof(names) / sizeof(names[0]) ? names[stage] : NULL;
}

static struct json_object *make_stages(const struct lc_result *result)
{
	struct json_object *stages = json_object_new_object();

	add_number(stages, "stop_ns", result->stop_ns);
	add_number(stages, "registers_ns", result->registers_ns);
	add_number(stages, "mappings_ns", result->mappings_ns);
	add_number(stages, "copy_ns", result->copy_ns);
	add_number(stages, "thaw_ns", result->thaw_ns);
	return stages;
}

static struct json_object *make_loss(const struct lc_loss *loss)
{
	struct json_object *object = json_object_new_object();

	add_string(object, "kind", lc_loss_kind_name(loss->kind));
	if (loss->tid)
		add_number(object, "tid", (uint64_t)loss->tid);
	if (loss->end) {
		add_address(object, "start", loss->start);
		add_address(object, "end", loss->end);
	}
	add_code(object, "code", loss->code);
	add_string(object, "reason", loss->reason);
	return object;
}

static struct json_object *make_losses(const struct lc_losses *losses)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < losses->n; i++)
		json_object_array_add(array, make_loss(&losses->v[i]));
	return array;
}

static struct json_object *make_sharers(const struct lc_sharers *sharers)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < sharers->n; i++) {
		struct json_object *sharer = json_object_new_object();

		add_number(sharer, "pid", (uint64_t)sharers->v[i].pid);
		add_string(sharer, "comm", sharers->v[i].comm);
		json_object_array_add(array, sharer);
	}
	return array;
}

static struct json_object *make_passed_over(const struct lc_snapshot_figures *figures)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < figures->n_passed_over; i++) {
		struct json_object *object = json_object_new_object();

		add_string(object, "strategy", lc_snapshot_name(figures->passed_over[i].snapshot));
		add_string(object, "reason", figures->passed_over[i].reason);
		json_object_array_add(array, object);
	}
	return array;
}

static struct json_object *make_freezes(const struct lc_snapshot_figures *figures)
{
	struct json_object *array = json_object_new_array();
	size_t n = snapshot_n_listed(figures);

	for (size_t i = 0; i < n; i++)
		json_object_array_add(array, make_number(figures->freezes_ns[i]));
	return array;
}

static struct json_object *make_snapshot(const struct lc_snapshot_figures *figures)
{
	struct json_object *object = json_object_new_object();

	add_string(object, "strategy", lc_snapshot_name(figures->taken));
	add_string(object, "tracker", figures->tracker);
	json_object_object_add(object, "spooled", json_object_new_boolean(figures->spooled));
	add_number(object, "passes", figures->n_passes);
	add_number(object, "bytes_outside", figures->bytes_outside);
	add_number(object, "bytes_inside", figures->bytes_inside);
	add_number(object, "dirty_rate", figures->dirty_rate);
	json_object_object_add(object, "freezes_ns", make_freezes(figures));
	add_number(object, "n_freezes", figures->n_freezes);
	add_number(object, "longest_freeze_ns", snapshot_longest(figures));
	json_object_object_add(object, "passed_over", make_passed_over(figures));
	return object;
}

/* Where none was asked for, nothing was taken and nothing passed over. */
static bool has_snapshot(const struct lc_snapshot_figures *figures)
{
	return figures->taken != LC_SNAPSHOT_OFF || figures->n_passed_over;
}

static void add_figures(struct json_object *object, const struct outcome *outcome)
{
	const struct lc_result *result = outcome->result;

	add_number(object, "bytes", result->bytes);
	add_number(object, "bytes_on_disk", outcome->disk_bytes);
	add_number(object, "bytes_read", result->bytes_read);
	add_number(object, "n_threads", result->n_threads);
	add_number(object, "n_mappings", result->n_mappings);
	add_number(object, "n_segments", result->n_segments);
	add_number(object, "passes", result->n_passes);
	add_number(object, "frozen_ns", result->frozen_ns);
	add_number(object, "total_ns", result->total_ns);
	json_object_object_add(object, "stages", make_stages(result));
	add_string(object, "strategy", lc_snapshot_name(result->snapshot.taken));
	if (has_snapshot(&result->snapshot))
		json_object_object_add(object, "snapshot", make_snapshot(&result->snapshot));
	json_object_object_add(object, "sharers", make_sharers(&result->sharers));
}

static struct json_object *make_error(const struct lc_err *err)
{
	struct json_object *object = json_object_new_object();

	add_code(object, "code", err->code);
	add_string(object, "stage", stage_name(err->stage));
	add_string(object, "text", err->text);
	add_string(object, "hint", err->hint[0] ? err->hint : NULL);
	return object;
}

/* What every object begins with. */
static struct json_object *make_head(const struct outcome *outcome)
{
	const struct lc_identity *identity = outcome->identity;
	struct json_object *object = json_object_new_object();

	add_number(object, "pid", (uint64_t)outcome->pid);
	add_string(object, "comm", identity ? identity->comm : NULL);
	add_string(object, "exe", identity ? identity->exe : NULL);
	return object;
}

/* And ends with. */
static void add_tail(struct json_object *object, const struct outcome *outcome)
{
	add_number(object, "status", outcome->status);
	add_string(object, "version", lc_version());
	if (outcome->err->code)
		json_object_object_add(object, "error", make_error(outcome->err));
}

void json_put_outcome(FILE *out, const struct outcome *outcome)
{
	struct json_object *object = make_head(outcome);

	add_string(object, "output", outcome->output->name[0] ? outcome->output->name : NULL);
	if (!outcome->err->code)
		add_figures(object, outcome);
	json_object_object_add(object, "losses", make_losses(&outcome->result->losses));
	add_tail(object, outcome);
	put_object(out, object);
}

/* ---- the dry run ------------------------------------------------------------------------- */

static struct json_object *make_row(const struct lc_plan_row *row)
{
	struct json_object *object = json_object_new_object();

	add_address(object, "start", row->start);
	add_address(object, "end", row->end);
	add_string(object, "perms", row->perms);
	add_number(object, "bytes", row->file_bytes);
	add_number(object, "bytes_on_disk", row->data_bytes);
	add_string(object, "rule", row->rule);
	add_string(object, "name", row->name);
	return object;
}

static void add_preview(struct json_object *object, const struct lc_preview *preview)
{
	struct json_object *rows = json_object_new_array();

	add_number(object, "bytes", preview->core_bytes);
	add_number(object, "bytes_on_disk", preview->disk_bytes);
	add_number(object, "n_threads", preview->n_threads);
	add_number(object, "n_mappings", preview->n_rows);
	for (size_t i = 0; i < preview->n_rows; i++)
		json_object_array_add(rows, make_row(&preview->rows[i]));
	json_object_object_add(object, "mappings", rows);
}

void json_put_preview(FILE *out, const struct outcome *outcome, const struct lc_preview *preview)
{
	struct json_object *object = make_head(outcome);

	json_object_object_add(object, "dry_run", json_object_new_boolean(true));
	if (!outcome->err->code)
		add_preview(object, preview);
	add_tail(object, outcome);
	put_object(out, object);
}

#endif
