/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * --json: whatever names and reasons hold, one line of plain ASCII comes out, which a strict parser
 * takes, and which says the same. Input: three numbers, the strings, and a snapshot.
 */
#include <json-c/json.h>

#include "../../cmd/json.h"
#include "../../cmd/report.h"
#include "../../cmd/text.h"
#include "fuzz.h"

/* The text as it must come back: bytes that are no UTF-8 are replaced. To be freed. */
static char *as_utf8(const char *text)
{
	char *copy = malloc(3 * strlen(text) + 1), *to = copy;
	uint32_t code;

	must(copy);
	while (*text) {
		size_t len = text_utf8_decode(text, &code);

		memcpy(to, len ? text : "\xef\xbf\xbd", len ? len : 3);
		to += len ? len : 3;
		text += len ? len : 1;
	}
	*to = '\0';
	return copy;
}

static void check_string(struct json_object *object, const char *key, const char *text)
{
	struct json_object *value;
	char *want = as_utf8(text);

	must(json_object_object_get_ex(object, key, &value));
	must(json_object_is_type(value, json_type_string));
	must(strcmp(json_object_get_string(value), want) == 0);
	free(want);
}

static struct json_object *parse(const char *printed, size_t len)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *object;

	must(tokener && len > 0 && printed[len - 1] == '\n' && strlen(printed) == len);
	for (size_t i = 0; i + 1 < len; i++)
		must(printed[i] >= 0x20 && printed[i] < 0x7f);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	object = json_tokener_parse_ex(tokener, printed, (int)len - 1);
	/* a number at the very end would be waited for */
	must(object && json_tokener_get_error(tokener) == json_tokener_success);
	json_tokener_free(tokener);
	return object;
}

static void check_snapshot(struct json_object *object, const struct lc_snapshot_figures *figures)
{
	struct json_object *snapshot, *part;
	size_t n = figures->n_freezes < LC_FREEZES_MAX ? figures->n_freezes : LC_FREEZES_MAX;
	uint64_t longest = n ? figures->freezes_ns[0] : 0;

	if (!json_object_object_get_ex(object, "snapshot", &snapshot)) {
		must(!figures->taken && !figures->n_passed_over);
		return;
	}
	check_string(snapshot, "strategy", lc_snapshot_name(figures->taken));
	must(json_object_object_get_ex(snapshot, "freezes_ns", &part));
	must(json_object_array_length(part) == n);
	must(json_object_object_get_ex(snapshot, "longest_freeze_ns", &part));
	must(json_object_get_int64(part) == (longest > INT64_MAX ? INT64_MAX : (int64_t)longest));
	must(json_object_object_get_ex(snapshot, "passed_over", &part));
	must(json_object_array_length(part) == figures->n_passed_over);
	if (figures->n_passed_over)
		check_string(json_object_array_get_idx(part, 0), "reason",
			     figures->passed_over[0].reason);
}

static void check_printed(char *printed, size_t len, const struct outcome *outcome,
			  const struct lc_preview *preview)
{
	struct json_object *object = parse(printed, len), *part;

	check_string(object, "comm", outcome->identity->comm);
	check_string(object, "exe", outcome->identity->exe);
	if (outcome->err->code) {
		must(json_object_object_get_ex(object, "error", &part));
		check_string(part, "text", outcome->err->text);
	} else if (preview) {
		must(json_object_object_get_ex(object, "mappings", &part));
		check_string(json_object_array_get_idx(part, 0), "name", preview->rows[0].name);
	}
	if (!preview && !outcome->err->code)
		check_snapshot(object, &outcome->result->snapshot);
	if (!preview) {
		must(json_object_object_get_ex(object, "losses", &part));
		check_string(json_object_array_get_idx(part, 0), "reason",
			     outcome->result->losses.v[0].reason);
	}
	json_object_put(object);
	free(printed);
}

static void check_outcome(const struct outcome *outcome, const struct lc_preview *preview)
{
	char *printed;
	size_t len;
	FILE *out = open_memstream(&printed, &len);

	must(out);
	json_put_outcome(out, outcome);
	fclose(out);
	check_printed(printed, len, outcome, NULL);
	out = open_memstream(&printed, &len);
	must(out);
	json_put_preview(out, outcome, preview);
	fclose(out);
	check_printed(printed, len, outcome, preview);
}

/* json-c 0.16 takes U+1D800 to U+1DFFF, U+2D800, ... for halves of surrogates when it reads them.
 */
static bool is_misread_by_json_c(const char *text)
{
	uint32_t code = 0;

	while (*text) {
		size_t len = text_utf8_decode(text, &code);

		if (len == 4 && (code & 0xf800) == 0xd800)
			return true;
		text += len ? len : 1;
	}
	return false;
}

static void copy(char *to, size_t size, const char *text)
{
	snprintf(to, size, "%s", text);
}

/* Behind everything else, so that kept inputs keep their meaning. */
static void take_snapshot(struct fuzz_input *in, struct lc_snapshot_figures *figures)
{
	figures->taken = (enum lc_snapshot)(fuzz_take(in, 1) % LC_SNAPSHOT_N);
	figures->n_freezes = fuzz_take(in, 2);
	figures->freezes_ns[0] = fuzz_take(in, 8);
	figures->n_passed_over = fuzz_take(in, 1) % (LC_SNAPSHOT_N + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct lc_err err = {.code = (int)fuzz_take(&in, 1), .stage = LC_STAGE_COPY};
	struct lc_loss loss = {.kind = LC_LOSS_MEMORY, .end = 1};
	struct lc_identity identity = {.pid = 1};
	struct output output = OUTPUT_INIT;
	struct lc_result result = {.losses = {.v = &loss, .n = 1}};
	struct lc_plan_row row = {.perms = "rw-p", .rule = "always"};
	const struct lc_preview preview = {.rows = &row, .n_rows = 1};
	const struct outcome outcome = {
		.identity = &identity, .output = &output, .result = &result, .err = &err};
	char *strings[6];

	loss.start = result.bytes = row.start = fuzz_take(&in, 8);
	loss.code = (int)fuzz_take(&in, 1);
	for (size_t i = 0; i < 6; i++) {
		if (i == 5)
			take_snapshot(&in, &result.snapshot);
		strings[i] = fuzz_take_string(&in);
		if (is_misread_by_json_c(strings[i]))
			*strings[i] = '\0';
	}
	copy(identity.comm, sizeof(identity.comm), strings[0]);
	copy(err.text, sizeof(err.text), strings[1]);
	copy(loss.reason, sizeof(loss.reason), strings[2]);
	copy(output.name, sizeof(output.name), strings[3]);
	identity.exe = strings[3];
	row.name = strings[4];
	copy(result.snapshot.passed_over[0].reason, LC_TEXT_SIZE, strings[5]);
	check_outcome(&outcome, &preview);
	for (size_t i = 0; i < 6; i++)
		free(strings[i]);
	return 0;
}
