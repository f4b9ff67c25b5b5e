/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is printed, for people and as JSON. */
#include <errno.h>

#ifdef HAVE_JSON_C
#include <json-c/json.h>
#endif

#include "../../cmd/json.h"
#include "../../cmd/report.h"
#include "../../cmd/snapshot.h"
#include "tap.h"

static const struct lc_identity identity = {
	.pid = 1234,
	.ns_pid = 1,
	.comm = "na\033me",
	.exe = (char *)"/bin/\xff\xc3\xa9",
};

static struct lc_result result = {
	.bytes = 512ULL << 20,
	.n_threads = 12,
	.n_mappings = 30,
	.n_segments = 28,
	.n_passes = 2,
	.frozen_ns = 41000000,
	.total_ns = 60000000,
	.copy_ns = 40000000,
};

static struct output output = {.fd = -1, .name = "core.1234"};
static struct lc_err no_error;

static struct outcome make_outcome(void)
{
	return (struct outcome){
		.pid = 1234,
		.identity = &identity,
		.output = &output,
		.result = &result,
		.err = &no_error,
		.disk_bytes = 83ULL << 20,
	};
}

/* What a function prints, to be freed. */
static char *printed;
static size_t printed_len;

static FILE *begin(void)
{
	FILE *out;

	free(printed);
	printed = NULL;
	out = open_memstream(&printed, &printed_len);
	need(out);
	return out;
}

static void test_wrote(void)
{
	struct outcome outcome = make_outcome();
	FILE *out = begin();

	report_put_wrote(out, &outcome);
	fclose(out);
	is_str(printed,
	       "livecore: wrote core.1234 (512 MiB, 83 MiB on disk), 12 threads, frozen 41 ms\n",
	       "the last line");

	outcome.is_stream = true;
	output.fd = 1;
	result.n_threads = 1;
	out = begin();
	report_put_wrote(out, &outcome);
	fclose(out);
	is_str(printed, "livecore: wrote to standard output (512 MiB), 1 thread, frozen 41 ms\n",
	       "of a stream");
	output.fd = -1;
	result.n_threads = 12;
}

/* What is printed of result.snapshot, which is then as it was. */
static const char *wrote(struct lc_snapshot_figures snapshot)
{
	struct lc_snapshot_figures before = result.snapshot;
	struct outcome outcome = make_outcome();
	FILE *out = begin();

	result.snapshot = snapshot;
	report_put_wrote(out, &outcome);
	fclose(out);
	result.snapshot = before;
	return printed;
}

static const char *details(struct lc_snapshot_figures snapshot)
{
	FILE *out = begin();

	snapshot_put_details(out, &snapshot, 1);
	fclose(out);
	return printed;
}

static const char *notes(struct lc_snapshot_figures snapshot)
{
	FILE *out = begin();

	snapshot_put_notes(out, "livecore", &snapshot);
	fclose(out);
	return printed;
}

#define WROTE "livecore: wrote core.1234 (512 MiB, 83 MiB on disk), 12 threads, frozen 41 ms"

static const struct lc_snapshot_figures precopy = {
	.taken = LC_SNAPSHOT_PRECOPY,
	.tracker = "userfaultfd",
	.n_passes = 2,
	.bytes_outside = 514 << 20,
	.bytes_inside = 1258291,
	.dirty_rate = 3250586,
	.freezes_ns = {400000, 500000},
	.n_freezes = 2,
};

static void test_snapshot(void)
{
	struct lc_snapshot_figures s = precopy;

	is_str(wrote(s),
	       WROTE " (precopy: 400 us + 500 us; 2 passes, 514 MiB copied while it ran, "
		     "1.2 MiB while it stood still, 3.1 MiB/s dirtied)\n",
	       "precopy");
	is_str(details(s),
	       " by userfaultfd, 1 pass over the threads; 2 passes, 514 MiB copied while it ran, "
	       "1.2 MiB while it stood still, 3.1 MiB/s dirtied; 2 stops: 400 us + 500 us",
	       "all of it");
	s.n_passes = 1;
	s.spooled = true;
	ok(strstr(wrote(s), "; 1 pass, 514"), "one pass");
	ok(strstr(details(s), "; spooled through a temporary file; 1 pass, "), "spooled");

	s = (struct lc_snapshot_figures){
		.taken = LC_SNAPSHOT_FORK,
		.bytes_outside = 512 << 20,
		.freezes_ns = {41000000},
		.n_freezes = 1,
	};
	is_str(wrote(s), WROTE " (fork: 0 bytes copied while it stood still)\n", "fork, one stop");
	is_str(details(s), ", 1 pass over the threads; 0 bytes copied while it stood still",
	       "all of it");

	s.taken = LC_SNAPSHOT_COPY;
	s.bytes_inside = 512 << 20;
	is_str(wrote(s), WROTE " (copy: 512 MiB copied while it stood still)\n", "copy");

	s = (struct lc_snapshot_figures){.freezes_ns = {41000000}, .n_freezes = 1};
	is_str(wrote(s), WROTE "\n", "off: as ever");
	is_str(details(s), ", 1 pass over the threads", "off: as ever");
	s.freezes_ns[1] = 2000000;
	s.n_freezes = 2;
	is_str(wrote(s), WROTE "\n", "off, after something else: the sum");
	is_str(details(s), ", 1 pass over the threads; 2 stops: 41 ms + 2.0 ms", "and the parts");
}

static void test_many_stops(void)
{
	struct lc_snapshot_figures s = {.taken = LC_SNAPSHOT_FORK};

	for (size_t i = 0; i < LC_FREEZES_MAX; i++)
		s.freezes_ns[i] = 1000 * (i + 1);
	s.n_freezes = 4;
	ok(strstr(wrote(s), " (fork: 1.0 us + 2.0 us + 3.0 us + 4.0 us; 0 bytes"), "four stops");
	s.n_freezes = 5;
	ok(strstr(wrote(s), " (fork: 5 stops, the longest 5.0 us; 0 bytes"), "five");
	ok(strstr(details(s), "; 5 stops: 1.0 us + 2.0 us + 3.0 us + 4.0 us + 5.0 us"),
	   "one by one where there is room");
	s.n_freezes = LC_FREEZES_MAX;
	ok(strstr(wrote(s), " (fork: 64 stops, the longest 64 us; "), "as many as are listed");
	ok(strstr(details(s), " + 63 us + 64 us") && !strstr(details(s), "..."), "up to the last");
	s.n_freezes = LC_FREEZES_MAX + 1;
	ok(strstr(wrote(s), " (fork: 65 stops, the longest of the first 64: 64 us; "), "one more");
	ok(strstr(details(s), "; 65 stops: 1.0 us + ") && strstr(details(s), " + 64 us + ..."),
	   "which is said");
	s.freezes_ns[7] = 9000000;
	is(snapshot_longest(&s), 9000000, "the longest is not the last");
	s.n_freezes = 0;
	is(snapshot_longest(&s), 0, "nor is there one without stops");
}

static void test_passed_over(void)
{
	struct lc_snapshot_figures s = {
		.taken = LC_SNAPSHOT_COPY,
		.passed_over = {{LC_SNAPSHOT_PRECOPY, "thread 5 (\033c) is under seccomp"},
				{LC_SNAPSHOT_FORK, "it is PID 1"}},
		.n_passed_over = 2,
	};

	is_str(notes(s),
	       "livecore: note: precopy was not to be had: thread 5 (\\033c) is under seccomp\n"
	       "livecore: note: fork was not to be had: it is PID 1\n",
	       "each that was passed over, escaped");
	s.taken = LC_SNAPSHOT_OFF;
	s.n_passed_over = 1;
	is_str(notes(s),
	       "livecore: note: precopy was not to be had: thread 5 (\\033c) is under seccomp\n"
	       "livecore: note: no snapshot was to be had: the process stood still until its "
	       "memory "
	       "was written\n",
	       "and that none was left");
	s.n_passed_over = 0;
	is_str(notes(s), "", "nothing where none was asked for");
}

/* What report_outcome() prints in all, to both streams: glibc's are variables. */
static const char *outcome_printed(const struct options *options)
{
	struct outcome outcome = make_outcome();
	FILE *saved_out = stdout, *saved_err = stderr, *out = begin();

	stdout = stderr = out;
	report_outcome(options, &outcome);
	stdout = saved_out;
	stderr = saved_err;
	fclose(out);
	return printed;
}

static void test_outcome(void)
{
	struct options options = {0};

	result.snapshot = precopy;
	result.snapshot.passed_over[0].snapshot = LC_SNAPSHOT_FORK;
	strcpy(result.snapshot.passed_over[0].reason, "why");
	result.snapshot.n_passed_over = 1;
	is_str(outcome_printed(&options),
	       "livecore: note: fork was not to be had: why\n" WROTE
	       " (precopy: 400 us + 500 us; 2 passes, 514 MiB copied while it ran, "
	       "1.2 MiB while it stood still, 3.1 MiB/s dirtied)\n",
	       "notes come first");
	options.verbose = true;
	ok(strstr(outcome_printed(&options), "\n  strategy: precopy by userfaultfd, 2 passes over"),
	   "-v: the strategy");
	ok(strstr(printed, "\n  frozen:   41 ms in 2 stops, the last = stop 0 us, registers 0 us, "
			   "mappings 0 us, copy 40 ms, let go 0 us\n"),
	   "-v: the parts are those of the last stop");
	result.snapshot = (struct lc_snapshot_figures){.n_freezes = 1};
	ok(strstr(outcome_printed(&options), "\n  strategy: off, 2 passes over the threads\n"),
	   "-v: no snapshot");
	ok(strstr(printed, "\n  frozen:   41 ms = stop 0 us, "), "-v: one stop");
	options = (struct options){.quiet = true};
	result.snapshot.n_passed_over = 1;
	is_str(outcome_printed(&options), "", "-q: nothing");
	result.snapshot = (struct lc_snapshot_figures){0};
}

static void add_losses(size_t n)
{
	for (size_t i = 0; i < n; i++)
		lc_losses_add(&result.losses, LC_LOSS_THREAD, 100 + (pid_t)i, 0, 0, 0,
			      "did not \033stop");
}

static void test_losses(void)
{
	struct outcome outcome = make_outcome();
	struct options options = {0};
	FILE *out;

	lc_losses_add(&result.losses, LC_LOSS_MEMORY, 0, 0x7f0000001000, 0x7f0000003000, EIO, "no");
	out = begin();
	report_put_losses(out, &options, &result.losses);
	report_put_wrote(out, &outcome);
	fclose(out);
	is_str(printed,
	       "livecore: loss: memory 7f0000001000-7f0000003000 (8.0 KiB): no\n"
	       "livecore: wrote core.1234 (512 MiB, 83 MiB on disk), 12 threads, frozen 41 ms, "
	       "1 loss\n",
	       "memory");

	add_losses(20);
	out = begin();
	report_put_losses(out, &options, &result.losses);
	fclose(out);
	ok(strstr(printed, "livecore: loss: thread 100: did not \\033stop\n"), "escaped");
	ok(strstr(printed, "thread 118") && !strstr(printed, "thread 119"), "the first twenty");
	ok(strstr(printed, "... and 1 more (-v or --json lists them)\n"), "and how many more");

	options.verbose = true;
	out = begin();
	report_put_losses(out, &options, &result.losses);
	fclose(out);
	ok(strstr(printed, "thread 119") && !strstr(printed, "more"), "-v: all of them");
	lc_losses_free(&result.losses);
}

static struct lc_plan_row rows[] = {
	{0x400000, 0x500000, "r-xp", 4096, 4096, "elf-headers", (char *)"/bin/x\ny"},
	{0x7f0000000000, 0x7f0000001000, "rw-p", 4096, 0, "anon-private", (char *)""},
};

static const struct lc_preview preview = {
	.rows = rows,
	.n_rows = 2,
	.n_threads = 1,
	.core_bytes = 12288,
	.disk_bytes = 8192,
};

static void test_table(void)
{
	struct outcome outcome = make_outcome();
	FILE *out = begin();

	report_put_table(out, &outcome, &preview);
	fclose(out);
	is_str(printed,
	       "RANGE                     PERM          BYTES         DUMPED RULE         NAME\n"
	       "000000400000-000000500000 r-xp        1048576           4096 elf-headers  "
	       "/bin/x\\012y\n"
	       "7f0000000000-7f0000001000 rw-p           4096           4096 anon-private\n"
	       "livecore: 1234 (na\\033me) would give a core of 12 KiB, at most 8.0 KiB on disk, "
	       "1 thread, 2 mappings\n",
	       "the table of a dry run");
}

#ifdef HAVE_JSON_C
static const char *text_of(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	need(json_object_object_get_ex(object, key, &value));
	return json_object_get_string(value);
}

static int64_t number_of(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	need(json_object_object_get_ex(object, key, &value));
	return json_object_get_int64(value);
}

static bool is_one_ascii_line(void)
{
	for (size_t i = 0; i + 1 < printed_len; i++) {
		if (printed[i] < 0x20 || printed[i] == 0x7f)
			return false;
	}
	return printed_len && printed[printed_len - 1] == '\n';
}

static void test_json(void)
{
	struct outcome outcome = make_outcome();
	struct json_object *object, *losses, *loss;
	FILE *out = begin();

	add_losses(1);
	lc_losses_add(&result.losses, LC_LOSS_MEMORY, 0, 0x1000, 0x2000, EIO, "no \x7f");
	outcome.status = STATUS_LOSSES;
	json_put_outcome(out, &outcome);
	fclose(out);
	ok(is_one_ascii_line(), "one line of ASCII");
	object = json_tokener_parse(printed);
	need(object);
	is(number_of(object, "pid"), 1234, "pid");
	is_str(text_of(object, "comm"), "na\033me", "comm");
	is_str(text_of(object, "exe"), "/bin/\xef\xbf\xbd\xc3\xa9", "exe: U+FFFD for bad UTF-8");
	is_str(text_of(object, "output"), "core.1234", "output");
	is(number_of(object, "bytes"), 512 << 20, "bytes");
	is(number_of(object, "bytes_on_disk"), 83 << 20, "bytes_on_disk");
	is(number_of(object, "frozen_ns"), 41000000, "frozen_ns");
	is(number_of(object, "status"), 1, "status");
	is_str(text_of(object, "strategy"), "off", "strategy");
	is_str(text_of(object, "version"), lc_version(), "version");
	ok(!json_object_object_get_ex(object, "error", NULL), "no error");
	need(json_object_object_get_ex(object, "losses", &losses));
	is(json_object_array_length(losses), 2, "two losses");
	loss = json_object_array_get_idx(losses, 0);
	is_str(text_of(loss, "kind"), "thread", "of a thread");
	is(number_of(loss, "tid"), 100, "its TID");
	loss = json_object_array_get_idx(losses, 1);
	is_str(text_of(loss, "kind"), "memory", "of memory");
	is_str(text_of(loss, "start"), "0x1000", "start");
	is_str(text_of(loss, "end"), "0x2000", "end");
	is_str(text_of(loss, "code"), "EIO", "code");
	is_str(text_of(loss, "reason"), "no \x7f", "reason");
	json_object_put(object);
	lc_losses_free(&result.losses);
}

/* The object that is printed of it. */
static struct json_object *as_json(struct lc_snapshot_figures snapshot)
{
	struct outcome outcome = make_outcome();
	struct json_object *object;
	FILE *out = begin();

	result.snapshot = snapshot;
	json_put_outcome(out, &outcome);
	fclose(out);
	result.snapshot = (struct lc_snapshot_figures){0};
	ok(is_one_ascii_line(), "one line of ASCII");
	object = json_tokener_parse(printed);
	need(object);
	return object;
}

static struct json_object *part_of(struct json_object *object, const char *key)
{
	struct json_object *part = NULL;

	need(json_object_object_get_ex(object, key, &part));
	return part;
}

static int64_t number_at(struct json_object *array, size_t i)
{
	return json_object_get_int64(json_object_array_get_idx(array, i));
}

static void test_json_snapshot(void)
{
	struct lc_snapshot_figures figures = precopy;
	struct json_object *object, *snapshot, *array;

	object = as_json((struct lc_snapshot_figures){.freezes_ns = {5}, .n_freezes = 1});
	ok(!json_object_object_get_ex(object, "snapshot", NULL), "none was asked for");
	json_object_put(object);

	figures.spooled = true;
	object = as_json(figures);
	is_str(text_of(object, "strategy"), "precopy", "the strategy stays where it was");
	snapshot = part_of(object, "snapshot");
	is_str(text_of(snapshot, "strategy"), "precopy", "strategy");
	is_str(text_of(snapshot, "tracker"), "userfaultfd", "tracker");
	ok(json_object_is_type(part_of(snapshot, "spooled"), json_type_boolean) &&
		   number_of(snapshot, "spooled"),
	   "spooled");
	is(number_of(snapshot, "passes"), 2, "passes");
	is(number_of(snapshot, "bytes_outside"), 514 << 20, "bytes_outside");
	is(number_of(snapshot, "bytes_inside"), 1258291, "bytes_inside");
	is(number_of(snapshot, "dirty_rate"), 3250586, "dirty_rate");
	is(number_of(snapshot, "n_freezes"), 2, "n_freezes");
	is(number_of(snapshot, "longest_freeze_ns"), 500000, "longest_freeze_ns");
	array = part_of(snapshot, "freezes_ns");
	is(json_object_array_length(array), 2, "freezes_ns");
	is(number_at(array, 0), 400000, "the first");
	is(number_at(array, 1), 500000, "the second");
	is(json_object_array_length(part_of(snapshot, "passed_over")), 0, "nothing passed over");
	json_object_put(object);

	figures.n_freezes = 1000;
	object = as_json(figures);
	snapshot = part_of(object, "snapshot");
	is(number_of(snapshot, "n_freezes"), 1000, "more stops than are listed");
	is(json_object_array_length(part_of(snapshot, "freezes_ns")), LC_FREEZES_MAX, "the first");
	json_object_put(object);
}

static void test_json_passed_over(void)
{
	struct lc_snapshot_figures figures = {
		.passed_over = {{LC_SNAPSHOT_PRECOPY, "thread 5 (\033\xff) is under seccomp"},
				{LC_SNAPSHOT_FORK, "it is PID 1"}},
		.n_passed_over = 2,
	};
	struct json_object *object = as_json(figures), *snapshot, *array, *one;

	snapshot = part_of(object, "snapshot");
	is_str(text_of(snapshot, "strategy"), "off", "none was left");
	ok(!part_of(snapshot, "tracker"), "no tracker: null");
	ok(!number_of(snapshot, "spooled"), "not spooled");
	is(number_of(snapshot, "longest_freeze_ns"), 0, "no stop");
	is(json_object_array_length(part_of(snapshot, "freezes_ns")), 0, "no stops");
	array = part_of(snapshot, "passed_over");
	is(json_object_array_length(array), 2, "passed over");
	one = json_object_array_get_idx(array, 0);
	is_str(text_of(one, "strategy"), "precopy", "which");
	is_str(text_of(one, "reason"), "thread 5 (\033\xef\xbf\xbd) is under seccomp", "why");
	is_str(text_of(json_object_array_get_idx(array, 1), "strategy"), "fork", "in their order");
	json_object_put(object);
}

static void test_json_error(void)
{
	struct lc_err err = {
		.code = ESRCH,
		.stage = LC_STAGE_TARGET,
		.text = "there is no \xf0\x9f\x98\x80",
	};
	struct output unnamed = OUTPUT_INIT;
	struct lc_result nothing = {0};
	struct outcome outcome = {
		.pid = 5,
		.output = &unnamed,
		.result = &nothing,
		.err = &err,
		.status = STATUS_NOTHING,
	};
	struct json_object *object, *error;
	FILE *out = begin();

	json_put_outcome(out, &outcome);
	fclose(out);
	ok(is_one_ascii_line(), "one line of ASCII");
	object = json_tokener_parse(printed);
	need(object);
	ok(!text_of(object, "comm") && !text_of(object, "output"), "null where nothing is known");
	ok(!json_object_object_get_ex(object, "bytes", NULL), "no figures");
	need(json_object_object_get_ex(object, "error", &error));
	is_str(text_of(error, "code"), "ESRCH", "code");
	is_str(text_of(error, "stage"), "target", "stage");
	is_str(text_of(error, "text"), "there is no \xf0\x9f\x98\x80", "text, beyond 16 bits");
	ok(!text_of(error, "hint"), "no hint");
	json_object_put(object);
}

static void test_json_preview(void)
{
	struct outcome outcome = make_outcome();
	struct json_object *object, *mappings, *row;
	FILE *out = begin();

	json_put_preview(out, &outcome, &preview);
	fclose(out);
	object = json_tokener_parse(printed);
	need(object);
	ok(number_of(object, "dry_run"), "dry_run");
	is(number_of(object, "bytes"), 12288, "bytes");
	need(json_object_object_get_ex(object, "mappings", &mappings));
	is(json_object_array_length(mappings), 2, "mappings");
	row = json_object_array_get_idx(mappings, 0);
	is_str(text_of(row, "start"), "0x400000", "start");
	is_str(text_of(row, "perms"), "r-xp", "perms");
	is_str(text_of(row, "rule"), "elf-headers", "rule");
	is_str(text_of(row, "name"), "/bin/x\ny", "name");
	is(number_of(row, "bytes"), 4096, "bytes of it");
	json_object_put(object);
}
#endif

int main(void)
{
	test_wrote();
	test_snapshot();
	test_many_stops();
	test_passed_over();
	test_outcome();
	test_losses();
	test_table();
#ifdef HAVE_JSON_C
	test_json();
	test_json_snapshot();
	test_json_passed_over();
	test_json_error();
	test_json_preview();
#else
	tap_skip("built without json-c");
#endif
	free(printed);
	return tap_done();
}
