/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The engine's public interface: an ELF core of a running process, which is left as it was.
 *
 * The engine neither prints nor exits. Fallible functions return 0 or -errno and fill `err`, once,
 * where the system call failed. Text in errors, losses and plans may hold bytes that the target
 * chose: whoever prints it escapes it.
 */
#ifndef LIVECORE_H
#define LIVECORE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LC_MUST_CHECK __attribute__((warn_unused_result))

struct elfw_sink;

/* ---- errors and losses ------------------------------------------------------------------- */

enum lc_stage {
	LC_STAGE_NONE,
	LC_STAGE_TARGET, /* who is it, may it be dumped */
	LC_STAGE_OUTPUT, /* space and sinks */
	LC_STAGE_FREEZE,
	LC_STAGE_REGISTERS,
	LC_STAGE_MAPPINGS,
	LC_STAGE_COPY,
	LC_STAGE_THAW,
};

#define LC_TEXT_SIZE 512

struct lc_err {
	int code; /* an errno value, positive; 0: no error */
	enum lc_stage stage;
	pid_t tid;               /* 0: none in particular */
	uint64_t addr;           /* 0: none in particular */
	char text[LC_TEXT_SIZE]; /* what failed and why, one sentence without a full stop */
	char hint[LC_TEXT_SIZE]; /* what to do about it; may be empty */
};

enum lc_loss_kind {
	LC_LOSS_THREAD,    /* a thread that did not stop: its registers are zero */
	LC_LOSS_REGISTERS, /* a register set of a thread that could not be read */
	LC_LOSS_MEMORY,    /* a range that a core should hold and this one does not */
	LC_LOSS_INFO,      /* something in the notes of the process or of a thread */
	LC_LOSS_VERIFY,    /* the core was written; it, or its file, does not pass a check */
};

struct lc_loss {
	enum lc_loss_kind kind;
	pid_t tid;           /* threads and registers */
	uint64_t start, end; /* memory */
	int code;            /* an errno value or 0 */
	char reason[160];
};

/* Starts zeroed; lc_losses_free() empties it. */
struct lc_losses {
	struct lc_loss *v;
	size_t n, cap;
	bool overflow; /* memory for the list ran out: there were more */
};

const char *lc_loss_kind_name(enum lc_loss_kind kind); /* "thread", "registers", ... */

__attribute__((format(printf, 7, 8))) void lc_losses_add(struct lc_losses *losses,
							 enum lc_loss_kind kind, pid_t tid,
							 uint64_t start, uint64_t end, int code,
							 const char *reason, ...);
void lc_losses_free(struct lc_losses *losses);

/* ---- the target -------------------------------------------------------------------------- */

struct lc_target; /* a process that was looked up and is held by a pidfd */

struct lc_identity {
	pid_t pid;    /* as this process sees it */
	pid_t ns_pid; /* as the target itself sees it */
	uid_t uid;    /* real ids */
	gid_t gid;
	uint64_t starttime; /* clock ticks after boot, stat's field 22 */
	unsigned int n_threads;
	char comm[64]; /* at most 15 bytes for processes, more for kernel threads */
	char *exe;     /* as the target sees it, " (deleted)" included; NULL: not to be had */
};

/*
 * Looks PID up: refuses what is no process (no such PID, a zombie, a kernel thread, a TID that is
 * not the leader's). Touches nothing. *ret_target is the caller's, lc_target_close() frees it.
 */
LC_MUST_CHECK int lc_target_open(pid_t pid, struct lc_target **ret_target, struct lc_err *err);
const struct lc_identity *lc_target_identity(const struct lc_target *target);
void lc_target_close(struct lc_target *target); /* accepts NULL */

/* ---- what to dump ------------------------------------------------------------------------ */

/* The bits of /proc/PID/coredump_filter, core(5). */
enum lc_filter_bit {
	LC_FILTER_ANON_PRIVATE,
	LC_FILTER_ANON_SHARED,
	LC_FILTER_FILE_PRIVATE,
	LC_FILTER_FILE_SHARED,
	LC_FILTER_ELF_HEADERS,
	LC_FILTER_HUGETLB_PRIVATE,
	LC_FILTER_HUGETLB_SHARED,
	LC_FILTER_DAX_PRIVATE,
	LC_FILTER_DAX_SHARED,
	LC_FILTER_N_BITS,
};

/* A change of the process's own filter: (own & keep) | set. */
struct lc_filter {
	uint32_t keep;
	uint32_t set;
};

#define LC_FILTER_OWN ((struct lc_filter){.keep = UINT32_MAX})

/*
 * Parses "0xBITS" or a comma-separated list of names, each plain, +name or -name. A list whose
 * first name is plain starts from nothing, one whose first name has a sign from the process's own
 * value. Returns 0 or -EINVAL, the error naming the word and the words that are known.
 */
LC_MUST_CHECK int lc_filter_parse(const char *text, struct lc_filter *ret_filter,
				  struct lc_err *err);
const char *lc_filter_bit_name(enum lc_filter_bit bit);

/*
 * How the target is held up less than its memory takes to write. The core is the process at one
 * instant either way, the last stop.
 */
enum lc_snapshot {
	LC_SNAPSHOT_OFF,     /* read and write while it is stopped */
	LC_SNAPSHOT_AUTO,    /* the first of the following that is to be had, else off */
	LC_SNAPSHOT_PRECOPY, /* copy while it runs; stop for what it wrote to since */
	LC_SNAPSHOT_FORK,    /* stop for a copy-on-write child of it, and read that */
	LC_SNAPSHOT_COPY,    /* stop for a copy to our own memory, and write that */
	LC_SNAPSHOT_N,
};

const char *lc_snapshot_name(enum lc_snapshot snapshot); /* "off", "auto", "precopy", ... */

#define LC_PASSES_DEFAULT     8
#define LC_PRECOPY_NS_DEFAULT UINT64_C(120000000000)

struct lc_request {
	struct lc_filter filter;
	bool all;            /* every readable mapping, whatever the filter and MADV_DONTDUMP say */
	bool minimal;        /* registers only: every note, no memory */
	bool ignore_space;   /* go on when the estimate exceeds what the output has */
	uint64_t timeout_ns; /* how long a thread may take to stop */
	/* The target is let go after that time, 0: never; what was not read by then is lost. */
	uint64_t max_freeze_ns;
	/* Let go when a signal newly pends on the frozen target, unless it would be ignored. */
	bool yield;
	/*
	 * This program has CAP_SYS_PTRACE, permitted and not in effect, which its caller has not
	 * (file capabilities): it is raised where it is needed, and a target that is not the
	 * caller's own is refused.
	 */
	bool for_caller;
	/* How long to wait for another livecore that dumps the same process; 0: not at all. */
	uint64_t wait_ns;
	/* A mode other than AUTO and OFF that is not to be had is an error, -ENOTSUP. */
	enum lc_snapshot snapshot;
	unsigned int max_passes; /* of precopy while the target runs; 0: LC_PASSES_DEFAULT */
	uint64_t precopy_ns;     /* the same as a bound on time; 0: LC_PRECOPY_NS_DEFAULT */
	/* The most memory, in bytes, that a snapshot may take for contents; 0: half of what the
	 * machine has available. */
	uint64_t buffer_bytes;
	const volatile sig_atomic_t *abort; /* non-zero: let go, return -EINTR. May be NULL */
	/* Called every 100 ms from the thread that called lc_dump(), never from the one that holds
	 * the target, so it may block. May be NULL. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *progress_arg;
};

/* ---- dumping ----------------------------------------------------------------------------- */

/* A process that has the same memory and is not of the same thread group: it was not stopped, its
 * registers are not in the core, and it may have written to the memory meanwhile. */
struct lc_sharer {
	pid_t pid;
	char comm[64];
};

struct lc_sharers {
	struct lc_sharer *v;
	size_t n, cap;
};

/* A strategy that was not to be had, or gave way to the next. */
struct lc_passed_over {
	enum lc_snapshot snapshot;
	char reason[LC_TEXT_SIZE];
};

#define LC_FREEZES_MAX 64

/* What a snapshot took. */
struct lc_snapshot_figures {
	enum lc_snapshot taken; /* never AUTO */
	struct lc_passed_over passed_over[LC_SNAPSHOT_N];
	size_t n_passed_over;
	const char *tracker;    /* precopy: "userfaultfd" or "soft-dirty"; NULL for the others */
	bool spooled;           /* through a temporary file, as the output takes no order but one */
	unsigned int n_passes;  /* of precopy, while the target ran */
	uint64_t bytes_outside; /* copied while the target ran, every pass counted */
	uint64_t bytes_inside;  /* copied while it was stopped for the last time */
	uint64_t dirty_rate;    /* bytes per second that the target wrote to between passes */
	/* Each stop, in order, of the strategy that was taken and of those that gave way; the first
	 * LC_FREEZES_MAX of them. */
	uint64_t freezes_ns[LC_FREEZES_MAX];
	size_t n_freezes; /* of all stops */
};

struct lc_result {
	uint64_t bytes; /* length of the core */
	size_t n_threads;
	size_t n_mappings;
	size_t n_segments;     /* PT_LOADs */
	uint64_t bytes_read;   /* read out of the target */
	unsigned int n_passes; /* over /proc/PID/task, until one found no new thread */
	/* The sum of all stops, each from the first interrupt to the last thread let go. */
	uint64_t frozen_ns;
	struct lc_snapshot_figures snapshot;
	uint64_t total_ns;
	/* Parts of the last stop, in order. */
	uint64_t stop_ns, registers_ns, mappings_ns, copy_ns, thaw_ns;
	struct lc_sharers sharers;
	struct lc_losses losses;
};

void lc_result_free(struct lc_result *result);

/*
 * Freezes the target, writes its core to `sink` and lets the target go, on every path. The sink is
 * finished and not committed: that is the caller's, as is closing it. Signals that the caller wants
 * to abort with must not be blocked: they are delivered to the thread that does the work.
 * On failure nothing may be committed; `ret_result` is valid (to be freed) either way.
 */
LC_MUST_CHECK int lc_dump(struct lc_target *target, const struct lc_request *request,
			  struct elfw_sink *sink, struct lc_result *ret_result, struct lc_err *err);

/* One mapping of a dry run. */
struct lc_plan_row {
	uint64_t start, end;
	char perms[5];       /* "rw-p" */
	uint64_t file_bytes; /* that the core would hold of it */
	uint64_t data_bytes; /* of these, pages that exist: the rest are holes */
	const char *rule;    /* static: why, in the words of the options */
	char *name;          /* never NULL; empty for anonymous memory */
};

struct lc_preview {
	struct lc_plan_row *rows;
	size_t n_rows;
	size_t n_threads;
	uint64_t core_bytes; /* length of the core, headers and notes included */
	uint64_t disk_bytes; /* at most: without the holes */
};

/* What lc_dump() would do now, without attaching or writing anything. */
LC_MUST_CHECK int lc_preview_make(struct lc_target *target, const struct lc_request *request,
				  struct lc_preview *ret_preview, struct lc_err *err);
void lc_preview_free(struct lc_preview *preview);

const char *lc_version(void);

#endif
