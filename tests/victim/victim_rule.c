/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Memory that obeys a rule at every instant, whatever its threads are at: a core that mixes two
 * instants breaks it, page by page. tests/compare/rulecheck reads the rule out of the core itself.
 *
 *   victim_rule [size=MIB] [threads=N] [rate=MIB_PER_S] [ops=NAME,...] [seed=N]
 *
 *   ledger ADDRESS, slots N
 *   answer to "verify": every slot was looked at by its own thread; "counts": how much was done
 *   broken ...                        and it ends: somebody has changed its memory
 *
 * It ends with its input, too.
 *
 * The rule: memory is cut into slots, each of one thread. A slot holds pattern words of its `seed`
 * (0: zero, GONE: is not mapped), but for the slots that its thread is at work on: `busy` of the
 * thread says between which two states they are, and it is written before and after. A processor
 * of this kind makes stores visible in their order, so where a thread is stopped it has made each
 * store up to one, and none after.
 *
 *   chains   a thread writes a number to one page after another: none is ahead of that before it,
 *            the last is one behind the first at most
 *   rings    the same, where each page is written by another thread
 *   spin     a number that a thread counts up in a register, and writes to two pages
 *
 * The first address space that mmap(NULL) finds is far from the places here, so that nothing lands
 * in their holes.
 */
#include <poll.h>
#include <sys/uio.h>

#include "victim_memory.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef PR_SET_PTRACER
#define PR_SET_PTRACER 0x59616d61
#endif

#define MAGIC       "livecore's rule of every instant"
#define BASE        UINT64_C(0x200000000000)
#define GONE        UINT64_MAX
#define PAGE_WORDS  (PAGE / 8)

#define MAX_WORKERS 8
#define MAX_PAGES   16 /* of a slot */
#define N_MOBILE    24 /* slots of a thread whose mappings change, each a VMA at worst */
#define N_CHAINS    16 /* of each thread */
#define N_RINGS     16
#define N_LINKS     7 /* pages of a chain: each in memory of another kind */
#define N_BRK       16
#define BRK_PAGES   4
#define N_FRAMES    256
#define FRAME_WORDS 480

enum kind {
	ANON,
	THP,
	SHARED,
	ALIAS,     /* a memfd that is mapped twice */
	FILE_COW,  /* pages of a private mapping of a file, written to */
	FILE_BACK, /* those between them, which change by the file */
	DONTFORK,
	WIPEONFORK,
	HEAP,
	BRK,
	STACK,
	N_KINDS,
};

/* What may be seen of a slot that is at work. */
enum state {
	IDLE,
	ORDERED,  /* the first words are new, the others old */
	MIXED,    /* each word is old or new */
	EITHER,   /* all of it is old, or all of it is new */
	MOVING,   /* at addr, or at to */
	SWAPPING, /* two slots, in three moves by way of `to` */
	ANYTHING,
	LAZY, /* each page is old or zero */
};

#define FLAG_LAZY 1 /* after MADV_FREE each page is as it was, or zero */

struct slot {
	uint64_t addr, len;
	uint64_t alias;  /* second address of the same memory */
	uint64_t stride; /* pages from one to the next */
	uint64_t seed;
	uint64_t kind, flags;
	uint64_t number; /* of its thread's last work on it */
};

struct busy {
	uint64_t state, slot, addr, to, from_seed, to_seed, flags;
	uint64_t other, other_addr, other_seed; /* of a swap */
	uint64_t step;                          /* of a swap: that one is under way */
};

struct worker {
	struct busy busy;
	uint64_t tid, first, n_slots; /* its slots */
	uint64_t n_begun, n_done;
	/* Nobody else's from here on. */
	uint64_t random, counter, bytes, verify, verified;
	int reply[2], pipe[2], file;
	pid_t child;
	uint64_t n_brk;           /* slots under the break */
} __attribute__((aligned(4096))); /* a page of its own */

static struct ledger {
	char magic[32];
	uint64_t self, n_workers, workers, worker_size, n_slots, slots;
	uint64_t n_chains, n_links, n_rings, chains, rings;
	uint64_t spin_begin, spin_end, spin_tid, spin_a, spin_b;
	uint64_t table[PAGE_WORDS];
} * ledger;

static uint64_t buffers[MAX_WORKERS][MAX_PAGES * PAGE_WORDS];
static struct worker *workers; /* one more: the first thread, with its stack */
static struct slot *slots;
static uint64_t (*chains)[N_LINKS], (*rings)[MAX_WORKERS];
static size_t n_workers = 4, n_slots, n_chains;
static uint64_t rate = 100, seed = 1;
static uint64_t region[N_LINKS];
static uint64_t bss_region[(MAX_WORKERS * N_CHAINS + N_RINGS + 2) * PAGE_WORDS]
	__attribute__((aligned(4096)));

/* ---- words -------------------------------------------------------------------------------- */

/* Between the stores of the rule; the processor keeps their order, the compiler must as well. */
static void order(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static uint64_t mask_of(uint64_t of_seed, uint64_t page)
{
	return of_seed * UINT64_C(0x9e3779b97f4a7c15) + page * UINT64_C(0xd6e8feb86659fd93);
}

/* Word i of a slot; the checker has the same formula. */
static uint64_t word(uint64_t of_seed, uint64_t i)
{
	return of_seed ? ledger->table[i % PAGE_WORDS] ^ mask_of(of_seed, i / PAGE_WORDS) : 0;
}

static volatile uint64_t *page_of(uint64_t addr, uint64_t stride, uint64_t page)
{
	return (volatile uint64_t *)(uintptr_t)(addr + page * stride * PAGE);
}

/* One after the other. */
static void put(uint64_t addr, uint64_t len, uint64_t stride, uint64_t of_seed)
{
	for (uint64_t page = 0; page * PAGE < len; page++) {
		volatile uint64_t *p = page_of(addr, stride, page);
		uint64_t n = (len - page * PAGE) / 8, mask = mask_of(of_seed, page);

		if (n > PAGE_WORDS)
			n = PAGE_WORDS;
		for (uint64_t i = 0; i < n; i++)
			p[i] = ledger->table[i] ^ mask;
	}
}

static void broken(const char *what, uint64_t a, uint64_t b, uint64_t c) __attribute__((noreturn));
static void broken(const char *what, uint64_t a, uint64_t b, uint64_t c)
{
	emit("broken %s %#" PRIx64 " %#" PRIx64 " %#" PRIx64, what, a, b, c);
	_exit(98);
}

static bool page_is(uint64_t addr, uint64_t stride, uint64_t page, uint64_t n, uint64_t of_seed)
{
	volatile uint64_t *p = page_of(addr, stride, page);

	for (uint64_t i = 0; i < n; i++)
		if (p[i] != word(of_seed, page * PAGE_WORDS + i))
			return false;
	return true;
}

static void verify_at(uint64_t addr, const struct slot *s)
{
	for (uint64_t page = 0; page * PAGE < s->len; page++) {
		uint64_t n = (s->len - page * PAGE) / 8;

		if (n > PAGE_WORDS)
			n = PAGE_WORDS;
		if (page_is(addr, s->stride, page, n, s->seed))
			continue;
		if (s->flags & FLAG_LAZY && page_is(addr, s->stride, page, n, 0))
			continue;
		broken("slot", (uint64_t)(s - slots), addr + page * s->stride * PAGE, s->seed);
	}
}

/* By its own thread. */
static void verify(const struct slot *s)
{
	if (s->seed == GONE || !s->len)
		return;
	verify_at(s->addr, s);
	if (s->alias)
		verify_at(s->alias, s);
}

static uint64_t next_random(struct worker *w)
{
	w->random = w->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return w->random >> 33;
}

static uint64_t new_seed(struct worker *w)
{
	return ((uint64_t)(w - workers) + 1) << 48 | ++w->counter;
}

/* ---- work --------------------------------------------------------------------------------- */

/* Says what is coming. */
static void begin(struct worker *w, uint64_t state, struct slot *s, uint64_t to_seed)
{
	w->n_begun++;
	order();
	w->busy.slot = (uint64_t)(s - slots);
	w->busy.addr = s->addr;
	w->busy.from_seed = s->seed;
	w->busy.to_seed = to_seed;
	w->busy.flags = s->flags;
	order();
	w->busy.state = state;
	order();
}

static void end(struct worker *w, struct slot *s, uint64_t flags)
{
	order();
	s->seed = w->busy.to_seed;
	s->flags = flags;
	s->number = w->n_begun;
	order();
	w->busy.state = IDLE;
	order();
	w->n_done = w->n_begun;
	w->bytes += s->len;
}

static void *pointer(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

static void advise(const struct slot *s, int advice, const char *what)
{
	uint64_t step = s->stride == 1 ? s->len : PAGE;

	for (uint64_t done = 0; done < s->len; done += step)
		if (madvise(pointer(s->addr + done * s->stride), step, advice) < 0)
			die(what);
}

static void write_slot(struct worker *w, struct slot *s)
{
	uint64_t to = new_seed(w), addr = s->addr;

	if (s->alias && next_random(w) % 2)
		addr = s->alias;
	begin(w, ORDERED, s, to);
	put(addr, s->len, s->stride, to);
	end(w, s, 0);
}

/* By a system call: read(2) of a pipe or of a file. */
static void read_slot(struct worker *w, struct slot *s)
{
	uint64_t *bytes = buffers[w - workers];
	uint64_t to = new_seed(w);
	ssize_t n;

	put((uintptr_t)bytes, s->len, 1, to);
	if (next_random(w) % 2) {
		if (write(w->pipe[1], bytes, s->len) != (ssize_t)s->len)
			die("write to a pipe");
		begin(w, ORDERED, s, to);
		for (uint64_t done = 0; done < s->len; done += (uint64_t)n) {
			n = read(w->pipe[0], pointer(s->addr + done), s->len - done);
			if (n <= 0)
				die("read of a pipe");
		}
	} else {
		if (pwrite(w->file, bytes, s->len, 0) != (ssize_t)s->len)
			die("pwrite");
		begin(w, ORDERED, s, to);
		n = pread(w->file, pointer(s->addr), s->len, 0);
		if (n != (ssize_t)s->len)
			die("pread");
	}
	end(w, s, 0);
}

static void drop_slot(struct worker *w, struct slot *s, int advice, uint64_t to)
{
	begin(w, EITHER, s, to);
	advise(s, advice, "madvise");
	end(w, s, 0);
	if (next_random(w) % 2) /* the zero page comes, or nothing */
		verify(s);
}

static void free_slot(struct worker *w, struct slot *s)
{
	begin(w, LAZY, s, s->seed);
	advise(s, MADV_FREE, "MADV_FREE");
	end(w, s, FLAG_LAZY);
}

static void map_slot(struct worker *w, struct slot *s)
{
	begin(w, EITHER, s, 0);
	if (mmap(pointer(s->addr), s->len, RW, PRIVATE | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("mmap");
	end(w, s, 0);
}

static void unmap_slot(struct worker *w, struct slot *s)
{
	begin(w, EITHER, s, GONE);
	if (munmap(pointer(s->addr), s->len) < 0)
		die("munmap");
	end(w, s, 0);
}

static void move(uint64_t from, uint64_t to, uint64_t len)
{
	if (mremap(pointer(from), len, len, MREMAP_MAYMOVE | MREMAP_FIXED, pointer(to)) ==
	    MAP_FAILED)
		die("mremap");
}

/* Places of a thread's slots when they are away, and the one by which two are swapped. */
static uint64_t away(const struct worker *w, uint64_t i)
{
	return BASE + (UINT64_C(1) << 40) + (uint64_t)(w - workers) * (UINT64_C(1) << 32) +
	       i * (MAX_PAGES + 1) * PAGE;
}

static uint64_t home(const struct worker *w, uint64_t i);

static void move_slot(struct worker *w, struct slot *s)
{
	uint64_t i = (uint64_t)(s - slots) - w->first, to = away(w, i);

	if (s->addr == to)
		to = home(w, i);
	w->busy.to = to;
	begin(w, MOVING, s, s->seed);
	/* at once, or so that what is left is zero for a moment */
	if (next_random(w) % 2 ||
	    mremap(pointer(s->addr), s->len, s->len,
		   MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, pointer(to)) == MAP_FAILED)
		move(s->addr, to, s->len);
	else if (munmap(pointer(s->addr), s->len) < 0)
		die("munmap");
	s->addr = to;
	end(w, s, s->flags);
}

/* What was at one address is at the other, and nobody has written to it. */
static void swap_slots(struct worker *w, struct slot *a, struct slot *b)
{
	uint64_t by = away(w, N_MOBILE), of_a = a->seed, of_b = b->seed, flags = a->flags;

	if (a == b || a->len != b->len || of_a == GONE || of_b == GONE)
		return;
	w->busy.to = by;
	w->busy.other = (uint64_t)(b - slots);
	w->busy.other_addr = b->addr;
	w->busy.other_seed = of_b;
	w->busy.step = 0;
	/* both may be lazy afterwards where one was */
	a->flags |= b->flags;
	b->flags |= flags;
	begin(w, SWAPPING, a, of_b);
	w->busy.step = 1;
	order();
	move(a->addr, by, a->len);
	order();
	w->busy.step = 2;
	order();
	move(b->addr, a->addr, a->len);
	order();
	w->busy.step = 3;
	order();
	move(by, b->addr, a->len);
	order();
	b->seed = of_a;
	b->number = w->n_begun;
	end(w, a, a->flags);
}

/* Its contents stay, read by nobody for a while. */
static void protect_slot(struct worker *w, struct slot *s)
{
	static const int protections[] = {PROT_READ, PROT_NONE, PROT_WRITE, PROT_READ | PROT_EXEC};

	begin(w, EITHER, s, s->seed);
	if (mprotect(pointer(s->addr), s->len, protections[next_random(w) % 4]) < 0)
		die("mprotect");
	msleep(1);
	if (mprotect(pointer(s->addr), s->len, RW) < 0)
		die("mprotect");
	end(w, s, s->flags);
}

/* ---- a process that helps ----------------------------------------------------------------- */

static struct request {
	uint64_t addr, len, seed, remote;
} * requests;
static int request_pipe[2];

/* Is not stopped when its parent is. */
static void help(pid_t parent)
{
	static uint64_t bytes[MAX_PAGES * PAGE_WORDS];
	unsigned char i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "rule-helper");
	while (getppid() == parent && read(request_pipe[0], &i, 1) == 1) {
		struct request *r = &requests[i];
		struct iovec local = {bytes, r->len}, remote = {pointer(r->addr), r->len};

		if (!r->remote) {
			put(r->addr, r->len, 1, r->seed);
		} else {
			put((uintptr_t)bytes, r->len, 1, r->seed);
			if (process_vm_writev(parent, &local, 1, &remote, 1, 0) != (ssize_t)r->len)
				r->remote = 0;
		}
		if (write(workers[i].reply[1], "x", 1) != 1)
			_exit(1);
	}
	_exit(0);
}

static void start_helper(void)
{
	pid_t parent = getpid(), helper;

	requests = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (requests == MAP_FAILED || pipe2(request_pipe, O_CLOEXEC))
		die("helper");
	for (size_t i = 0; i < n_workers; i++)
		if (pipe2(workers[i].reply, O_CLOEXEC))
			die("pipe2");
	helper = fork();
	if (helper < 0)
		die("fork");
	if (helper == 0)
		help(parent);
	prctl(PR_SET_PTRACER, helper, 0, 0, 0);
	emit("helper %d", helper);
}

static void helped_slot(struct worker *w, struct slot *s, bool remote)
{
	unsigned char i = (unsigned char)(w - workers);
	uint64_t to = new_seed(w);
	char byte;

	requests[i] = (struct request){s->addr, s->len, to, remote};
	begin(w, MIXED, s, to);
	if (write(request_pipe[1], &i, 1) != 1 || read(w->reply[0], &byte, 1) != 1)
		die("the helper does not help");
	if (remote && !requests[i].remote) {
		errno = EFAULT;
		die("process_vm_writev");
	}
	end(w, s, 0);
}

/* A child that writes to its copy, and dies after a moment. */
static void fork_once(struct worker *w)
{
	if (w->child) {
		if (waitpid(w->child, NULL, WNOHANG | __WALL) == 0)
			return;
		w->child = 0;
		return;
	}
	w->child = fork();
	if (w->child < 0)
		die("fork");
	if (w->child > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint64_t i = w->first; i < w->first + w->n_slots; i += 7)
		if (slots[i].kind == ANON && slots[i].seed != GONE)
			put(slots[i].addr, slots[i].len, 1, 0xdead);
	msleep(10);
	_exit(0);
}

/* ---- kinds -------------------------------------------------------------------------------- */

static struct {
	const char *name;
	bool on;
} ops[] = {
	{"write", true}, {"dontneed", true}, {"free", true},     {"unmap", true},
	{"remap", true}, {"move", true},     {"swap", true},     {"protect", true},
	{"fork", true},  {"vmwrite", true},  {"read", true},     {"shared", true},
	{"alias", true}, {"file", true},     {"stack", true},    {"brk", true},
	{"heap", true},  {"thp", true},      {"dontfork", true}, {"wipe", true},
};

enum {
	OP_WRITE,
	OP_DONTNEED,
	OP_FREE,
	OP_UNMAP,
	OP_REMAP,
	OP_MOVE,
	OP_SWAP,
	OP_PROTECT,
	OP_FORK,
	OP_VMWRITE,
	OP_READ,
	OP_SHARED,
	OP_ALIAS,
	OP_FILE,
	OP_STACK,
	OP_BRK,
	OP_HEAP,
	OP_THP,
	OP_DONTFORK,
	OP_WIPE,
	N_OPS,
};

static int rule_file;

static void work_anon(struct worker *w, struct slot *s, bool mobile)
{
	uint64_t op = next_random(w) % (mobile ? 11 : 32);

	if (s->seed == GONE) {
		map_slot(w, s);
		return;
	}
	if (op >= N_OPS || !ops[op].on || (!mobile && op >= OP_UNMAP && op <= OP_PROTECT))
		op = OP_WRITE;
	switch (op) {
	case OP_DONTNEED:
		drop_slot(w, s, MADV_DONTNEED, 0);
		break;
	case OP_FREE:
		free_slot(w, s);
		break;
	case OP_UNMAP:
		unmap_slot(w, s);
		break;
	case OP_REMAP:
		map_slot(w, s);
		break;
	case OP_MOVE:
		move_slot(w, s);
		break;
	case OP_SWAP:
		swap_slots(w, s, &slots[w->first + next_random(w) % N_MOBILE]);
		break;
	case OP_PROTECT:
		protect_slot(w, s);
		break;
	case OP_FORK:
		if (next_random(w) % 64 == 0)
			fork_once(w);
		break;
	case OP_VMWRITE:
		helped_slot(w, s, true);
		break;
	case OP_READ:
		read_slot(w, s);
		break;
	default:
		write_slot(w, s);
	}
}

static void work_shared(struct worker *w, struct slot *s)
{
	switch (next_random(w) % 8) {
	case 0:
		drop_slot(w, s, MADV_DONTNEED, s->seed);
		break;
	case 1:
		drop_slot(w, s, MADV_REMOVE, 0);
		break;
	case 2:
	case 3:
		helped_slot(w, s, false);
		break;
	case 4:
		read_slot(w, s);
		break;
	default:
		write_slot(w, s);
	}
}

/* By a file: that of the alias's two mappings, or that under a private one. */
static void write_through(struct worker *w, struct slot *s, int fd, uint64_t start)
{
	uint64_t *bytes = buffers[w - workers];
	uint64_t to = new_seed(w);

	put((uintptr_t)bytes, s->len, 1, to);
	begin(w, ORDERED, s, to);
	for (uint64_t page = 0; page * PAGE < s->len; page++)
		if (pwrite(fd, &bytes[page * PAGE_WORDS], PAGE,
			   (off_t)(s->addr - start + page * s->stride * PAGE)) != (ssize_t)PAGE)
			die("pwrite");
	end(w, s, 0);
}

static uint64_t file_start, alias_start, alias_distance;
static int alias_file;
#define FILE_SEED 0xf11e /* of what is in the file under the pages that are written to */

static void work_heap(struct worker *w, struct slot *s)
{
	uint64_t len = (1 + next_random(w) % (next_random(w) % 16 ? 8 : 64)) * 512;
	void *p;

	begin(w, ANYTHING, s, new_seed(w));
	p = realloc(pointer(s->addr), len);
	if (!p)
		die("realloc");
	if (s->len && !page_is((uintptr_t)p, 1, 0, 64, s->seed))
		broken("heap", (uint64_t)(s - slots), (uintptr_t)p, s->seed);
	s->addr = (uintptr_t)p;
	s->len = len;
	put(s->addr, s->len, 1, w->busy.to_seed);
	end(w, s, 0);
}

/* The first thread of the workers alone has these; the break goes up and down by one of them. */
static void work_brk(struct worker *w)
{
	uint64_t first = w->first + w->n_slots - N_BRK, what = next_random(w) % 4;
	struct slot *s;

	if (what == 0 && w->n_brk > 1) {
		s = &slots[first + --w->n_brk];
		begin(w, EITHER, s, GONE);
		if (brk(pointer(s->addr)) < 0)
			die("brk");
		end(w, s, 0);
	} else if (what == 1 && w->n_brk < N_BRK) {
		s = &slots[first + w->n_brk++];
		begin(w, EITHER, s, 0);
		if (brk(pointer(s->addr + s->len)) < 0)
			die("brk");
		end(w, s, 0);
	} else if (w->n_brk) {
		write_slot(w, &slots[first + next_random(w) % w->n_brk]);
	}
}

static void work_on(struct worker *w, struct slot *s)
{
	bool mobile = (uint64_t)(s - slots) - w->first < N_MOBILE;

	if (next_random(w) % 8 == 0)
		verify(s);
	switch (s->kind) {
	case ANON:
		work_anon(w, s, mobile);
		break;
	case THP:
		/* The pages become another one, and nobody writes to them. */
		if (next_random(w) % 32 == 0)
			madvise(pointer(s->addr & ~(HUGE - 1)), HUGE, MADV_COLLAPSE);
		__attribute__((fallthrough));
	case DONTFORK:
	case WIPEONFORK:
		if (next_random(w) % 16 == 0)
			drop_slot(w, s, MADV_DONTNEED, 0);
		else
			write_slot(w, s);
		break;
	case SHARED:
		work_shared(w, s);
		break;
	case ALIAS:
		if (next_random(w) % 3 == 0)
			write_through(w, s, alias_file, alias_start);
		else
			write_slot(w, s);
		break;
	case FILE_COW:
		if (next_random(w) % 8 == 0)
			drop_slot(w, s, MADV_DONTNEED, FILE_SEED);
		else
			write_slot(w, s);
		break;
	case FILE_BACK:
		write_through(w, s, rule_file, file_start);
		break;
	case HEAP:
		work_heap(w, s);
		break;
	default:
		work_brk(w);
	}
}

static volatile uint64_t *at(uint64_t addr)
{
	return pointer(addr);
}

static void work_on_chains(struct worker *w)
{
	uint64_t index = (uint64_t)(w - workers);
	uint64_t *links = chains[index * N_CHAINS + next_random(w) % N_CHAINS];
	uint64_t *ring = rings[next_random(w) % N_RINGS], before;
	uint64_t value = *at(links[0]) + 1;

	for (size_t i = 0; i < N_LINKS; i++) {
		*at(links[i]) = value;
		order();
	}
	before = *at(ring[index ? index - 1 : n_workers - 1]);
	order();
	if (index == 0) {
		if (before == *at(ring[0]))
			*at(ring[0]) = before + 1;
	} else if (before != *at(ring[index])) {
		*at(ring[index]) = before;
	}
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* No more than its part of the rate. What was missed while it was stopped is not made up for. */
static void throttle(struct worker *w, uint64_t *since)
{
	uint64_t due, now;

	if (!rate || w->bytes < 256 * 1024)
		return;
	due = *since + w->bytes * n_workers * 1000000000 / (rate << 20);
	now = now_ns();
	w->bytes = 0;
	if (due > now)
		msleep((long)((due - now) / 1000000));
	*since = due > now ? due : now;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t since = now_ns(), i;

	w->tid = (uint64_t)victim_tid();
	for (;;) {
		i = next_random(w);
		i = i % 4 ? (i >> 2) % w->n_slots : (i >> 2) % N_MOBILE;
		work_on(w, &slots[w->first + i]);
		if (i % 4 == 0)
			work_on_chains(w);
		if (__atomic_load_n(&w->verify, __ATOMIC_ACQUIRE) != w->verified) {
			for (i = w->first; i < w->first + w->n_slots; i++)
				verify(&slots[i]);
			__atomic_store_n(&w->verified, w->verify, __ATOMIC_RELEASE);
		}
		throttle(w, &since);
	}
	return NULL;
}

/* ---- the stack of the first thread -------------------------------------------------------- */

static __attribute__((noinline)) uint64_t descend(struct worker *w, uint64_t depth, uint64_t bottom)
{
	struct slot *s = &slots[w->first + depth];
	volatile uint64_t words[FRAME_WORDS];
	uint64_t below = 0;

	begin(w, ANYTHING, s, new_seed(w));
	s->addr = (uintptr_t)words;
	s->len = sizeof(words);
	put(s->addr, s->len, 1, w->busy.to_seed);
	end(w, s, 0);
	if (depth < bottom)
		below = descend(w, depth + 1, bottom);
	else
		msleep(5);
	verify(s);
	begin(w, ANYTHING, s, 0);
	s->len = 0;
	end(w, s, 0);
	return below + words[FRAME_WORDS - 1];
}

/* ---- a number in a register --------------------------------------------------------------- */

/* rule_spin(a, b, n): counts up in r12, and writes to a, to xmm8, to b. */
__asm__(".text\n.type rule_spin,@function\nrule_spin:\n.cfi_startproc\n"
	"push %r12\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset r12,0\n"
	"mov (%rdi),%r12\nmovq %r12,%xmm8\n"
	"rule_spin_begin:\n"
	"inc %r12\nmov %r12,(%rdi)\nmovq %r12,%xmm8\nmov %r12,(%rsi)\ndec %rdx\njnz "
	"rule_spin_begin\n"
	"rule_spin_end:\n"
	"pop %r12\n.cfi_adjust_cfa_offset -8\n.cfi_restore r12\nret\n"
	".cfi_endproc\n.size rule_spin,.-rule_spin\n");
extern void rule_spin(volatile uint64_t *a, volatile uint64_t *b, uint64_t n);
extern const char rule_spin_begin[], rule_spin_end[];

static void *spin(void *arg)
{
	(void)arg;
	ledger->spin_tid = (uint64_t)victim_tid();
	for (;;) {
		rule_spin(at(ledger->spin_a), at(ledger->spin_b), 100000);
		msleep(1);
	}
	return NULL;
}

/* ---- a thread that watches ---------------------------------------------------------------- */

/* Read from the last on, none is ahead of that before it. */
static void watch_links(const char *what, const uint64_t *links, size_t n)
{
	uint64_t first = *at(links[0]), value, last;

	order();
	last = value = *at(links[n - 1]);
	if (last + 1 < first)
		broken(what, links[n - 1], last, first);
	for (size_t i = n - 1; i-- > 0;) {
		uint64_t before;

		order();
		before = *at(links[i]);
		if (before < value)
			broken(what, links[i], before, value);
		value = before;
	}
}

static void watch_rules(void)
{
	for (size_t i = 0; i < n_chains; i++)
		watch_links("chain", chains[i], N_LINKS);
	for (size_t i = 0; i < N_RINGS; i++)
		watch_links("ring", rings[i], n_workers);
}

static void answer(const char *question)
{
	uint64_t sum = 0;

	if (strcmp(question, "verify") == 0) {
		for (size_t i = 0; i < n_workers; i++)
			__atomic_fetch_add(&workers[i].verify, 1, __ATOMIC_RELEASE);
		for (size_t i = 0; i < n_workers; i++)
			while (__atomic_load_n(&workers[i].verified, __ATOMIC_ACQUIRE) !=
			       workers[i].verify)
				msleep(1);
		emit("verified");
	} else {
		for (size_t i = 0; i <= n_workers; i++)
			emit("count %zu %" PRIu64, i, workers[i].n_done);
		for (size_t i = 0; i < n_chains; i++)
			sum += *at(chains[i][0]);
		emit("chains %" PRIu64, sum);
		emit("spun %" PRIu64, *at(ledger->spin_b));
	}
}

static void *watch(void *arg)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[256];
	size_t len = 0;

	(void)arg;
	for (;;) {
		watch_rules();
		if (poll(&input, 1, 50) <= 0)
			continue;
		if (read(STDIN_FILENO, line + len, 1) != 1)
			_exit(0);
		if (line[len] != '\n') {
			len += len < sizeof(line) - 2;
			continue;
		}
		line[len] = 0;
		len = 0;
		answer(line);
		emit("answered");
	}
	return NULL;
}

/* ---- how it begins ------------------------------------------------------------------------ */

static uint64_t next_place = BASE;

static uint64_t place(uint64_t len, int flags, int fd)
{
	uint64_t addr = next_place;

	len = (len + PAGE - 1) & ~(PAGE - 1);
	next_place = (next_place + len + 64 * PAGE + HUGE - 1) & ~(HUGE - 1);
	if (len &&
	    mmap(pointer(addr), len, RW, flags | MAP_FIXED_NOREPLACE, fd, 0) != pointer(addr))
		die("mmap at a place");
	return addr;
}

static uint64_t advised(uint64_t len, int advice)
{
	uint64_t addr = place(len, PRIVATE, -1);

	if (len && madvise(pointer(addr), len, advice) < 0)
		die("madvise");
	return addr;
}

static int make_memfd(uint64_t len)
{
	int fd = memfd_create("rule", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)len) < 0)
		die("memfd_create");
	return fd;
}

/* Slots of each kind of a thread; all have one length. */
static uint64_t counts[N_KINDS], starts[N_KINDS], slot_pages = 8;

static uint64_t home(const struct worker *w, uint64_t i)
{
	return starts[ANON] + ((uint64_t)(w - workers) * counts[ANON] + i) * slot_pages * PAGE;
}

static void make_places(void)
{
	uint64_t len[N_KINDS], pages = (MAX_WORKERS * N_CHAINS + N_RINGS + 2) * PAGE;
	int fd;

	for (size_t i = 0; i < N_KINDS; i++)
		len[i] = counts[i] * n_workers * slot_pages * PAGE;
	starts[ANON] = place(len[ANON], PRIVATE | MAP_NORESERVE, -1);
	starts[THP] = advised(len[THP], MADV_HUGEPAGE);
	starts[SHARED] = place(len[SHARED], MAP_SHARED | MAP_ANONYMOUS, -1);
	starts[DONTFORK] = advised(len[DONTFORK], MADV_DONTFORK);
	starts[WIPEONFORK] = advised(len[WIPEONFORK], MADV_WIPEONFORK);
	alias_file = make_memfd(len[ALIAS]);
	alias_start = starts[ALIAS] = place(len[ALIAS], MAP_SHARED, alias_file);
	alias_distance = place(len[ALIAS], MAP_SHARED, alias_file) - alias_start;

	rule_file = open("rule.file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (rule_file < 0 || ftruncate(rule_file, (off_t)(2 * len[FILE_COW])) < 0)
		die("rule.file");
	/* with a name or without */
	if (seed % 2)
		unlink("rule.file");
	file_start = starts[FILE_COW] = place(2 * len[FILE_COW], MAP_PRIVATE, rule_file);
	starts[FILE_BACK] = file_start + PAGE;

	region[0] = place(pages, PRIVATE, -1);
	region[1] = place(pages, MAP_SHARED | MAP_ANONYMOUS, -1);
	region[2] = advised(pages, MADV_DONTFORK);
	region[3] = advised(pages, MADV_HUGEPAGE);
	region[4] = (uintptr_t)bss_region;
	fd = make_memfd(pages);
	region[5] = place(pages, MAP_SHARED, fd);
	close(fd);
	region[6] = advised(pages, MADV_WIPEONFORK);
}

static void make_chains(void)
{
	uint64_t page = 0;

	n_chains = n_workers * N_CHAINS;
	for (size_t i = 0; i < n_chains; i++, page++)
		for (size_t link = 0; link < N_LINKS; link++)
			chains[i][link] = region[link] + page * PAGE + i % PAGE_WORDS * 8;
	for (size_t i = 0; i < N_RINGS; i++, page++)
		for (size_t k = 0; k < n_workers; k++)
			rings[i][k] = region[k % N_LINKS] + page * PAGE + k * 8;
	ledger->spin_a = region[0] + page * PAGE;
	ledger->spin_b = region[2] + page * PAGE;
}

static struct slot *add_slot(size_t worker, uint64_t kind, uint64_t i)
{
	struct slot *s = &slots[n_slots++];
	uint64_t index = worker * counts[kind] + i;

	*s = (struct slot){.kind = kind, .len = slot_pages * PAGE, .stride = 1};
	if (kind == FILE_COW || kind == FILE_BACK)
		s->stride = 2;
	s->addr = starts[kind] + index * s->len * s->stride;
	if (kind == ALIAS)
		s->alias = s->addr + alias_distance;
	if (kind == HEAP)
		s->addr = s->len = 0;
	return s;
}

static void add_brk(struct worker *w)
{
	uint64_t start = ((uintptr_t)sbrk(0) + PAGE - 1) & ~(PAGE - 1);

	for (uint64_t i = 0; i < N_BRK; i++)
		slots[n_slots++] = (struct slot){.kind = BRK,
						 .addr = start + i * BRK_PAGES * PAGE,
						 .len = BRK_PAGES * PAGE,
						 .stride = 1,
						 .seed = GONE};
	w->n_brk = 0;
}

static void add_frames(struct worker *w)
{
	w->first = n_slots;
	w->n_slots = N_FRAMES;
	for (size_t i = 0; i < N_FRAMES; i++)
		slots[n_slots++] = (struct slot){.kind = STACK, .stride = 1};
}

/* What is in the file under the pages that are written to; where it is that nobody writes. */
static void fill_file(const struct slot *s)
{
	static uint64_t bytes[MAX_PAGES * PAGE_WORDS];

	put((uintptr_t)bytes, s->len, 1, FILE_SEED);
	for (uint64_t page = 0; page * PAGE < s->len; page++)
		if (pwrite(rule_file, &bytes[page * PAGE_WORDS], PAGE,
			   (off_t)(s->addr - file_start + page * s->stride * PAGE)) !=
		    (ssize_t)PAGE)
			die("pwrite");
}

static void make_slots(void)
{
	for (size_t i = 0; i < n_workers; i++) {
		struct worker *w = &workers[i];

		w->first = n_slots;
		w->random = seed * 1000 + i;
		w->file = make_memfd(0);
		if (pipe2(w->pipe, O_CLOEXEC))
			die("pipe2");
		for (uint64_t kind = 0; kind < N_KINDS; kind++)
			for (uint64_t k = 0; k < counts[kind]; k++) {
				struct slot *s = add_slot(i, kind, k);

				if (kind == FILE_COW)
					fill_file(s);
			}
		if (i == 0 && ops[OP_BRK].on)
			add_brk(w);
		w->n_slots = n_slots - w->first;
	}
	workers[n_workers].random = seed;
	add_frames(&workers[n_workers]);
}

/* Each has contents, but for some of the anonymous ones, which are zero and not there. */
static void fill_slots(void)
{
	for (size_t i = 0; i < n_workers; i++)
		for (uint64_t k = 0; k < workers[i].n_slots; k++) {
			struct slot *s = &slots[workers[i].first + k];

			if (s->kind == FILE_BACK) {
				write_through(&workers[i], s, rule_file, file_start);
				/* What is in no page table may be left to the file by its name. */
				verify(s);
			} else if (s->kind != BRK && s->kind != HEAP && (s->kind != ANON || k % 8))
				write_slot(&workers[i], s);
		}
}

static void count_slots(uint64_t size)
{
	uint64_t all = (size << 20) / (slot_pages * PAGE) / n_workers;

	counts[THP] = ops[OP_THP].on ? all / 8 : 0;
	counts[SHARED] = ops[OP_SHARED].on ? all / 8 : 0;
	counts[ALIAS] = ops[OP_ALIAS].on ? all / 16 : 0;
	counts[FILE_COW] = counts[FILE_BACK] = ops[OP_FILE].on ? all / 32 : 0;
	counts[DONTFORK] = ops[OP_DONTFORK].on ? all / 32 : 0;
	counts[WIPEONFORK] = ops[OP_WIPE].on ? all / 32 : 0;
	counts[HEAP] = ops[OP_HEAP].on ? 32 : 0;
	counts[ANON] = all;
	for (size_t i = THP; i < HEAP; i++)
		counts[ANON] -= counts[i] < counts[ANON] ? counts[i] : 0;
	if (counts[ANON] < N_MOBILE)
		counts[ANON] = N_MOBILE;
}

static void make_ledger(void)
{
	uint64_t all = 0, len;

	for (size_t i = 0; i < N_KINDS; i++)
		all += counts[i] * n_workers;
	all += N_BRK + N_FRAMES;
	ledger = pointer(place(sizeof(*ledger), PRIVATE, -1));
	workers = pointer(place((n_workers + 1) * sizeof(*workers), PRIVATE, -1));
	slots = pointer(place(all * sizeof(*slots), PRIVATE, -1));
	len = n_workers * N_CHAINS * sizeof(*chains) + N_RINGS * sizeof(*rings);
	chains = pointer(place(len, PRIVATE, -1));
	rings = pointer((uintptr_t)&chains[n_workers * N_CHAINS]);
	for (size_t i = 0; i < PAGE_WORDS; i++)
		ledger->table[i] = pattern(0x7ab1e, i);
}

static void tell_ledger(void)
{
	ledger->self = (uintptr_t)ledger;
	ledger->n_workers = n_workers + 1;
	ledger->workers = (uintptr_t)workers;
	ledger->worker_size = sizeof(*workers);
	ledger->n_slots = n_slots;
	ledger->slots = (uintptr_t)slots;
	ledger->n_chains = n_chains;
	ledger->n_links = N_LINKS;
	ledger->n_rings = N_RINGS;
	ledger->chains = (uintptr_t)chains;
	ledger->rings = (uintptr_t)rings;
	ledger->spin_begin = (uintptr_t)rule_spin_begin;
	ledger->spin_end = (uintptr_t)rule_spin_end;
	memcpy(ledger->magic, MAGIC, sizeof(ledger->magic));
	emit("ledger %#" PRIx64, ledger->self);
	emit("slots %zu", n_slots);
}

/* Those of the list, or with "-" before it all but those. */
static void choose_ops(const char *list)
{
	bool value = *list != '-';
	char name[32];
	size_t n, i;

	if (strcmp(list, "all") == 0)
		return;
	for (i = 0; i < N_OPS; i++)
		ops[i].on = !value;
	for (list += !value; *list; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		snprintf(name, sizeof(name), "%.*s", (int)n, list);
		for (i = 0; i < N_OPS && strcmp(ops[i].name, name) != 0; i++)
			;
		if (i == N_OPS) {
			errno = EINVAL;
			die(name);
		}
		ops[i].on = value;
	}
}

int main(int argc, char **argv)
{
	uint64_t size = 64;

	_Static_assert(sizeof(MAGIC) == sizeof(ledger->magic) + 1, "its end is not to rulecheck");
	_Static_assert(N_ELEMENTS(ops) == N_OPS, "a name for each");
	for (int i = 1; i < argc; i++) {
		const char *value = strchr(argv[i], '=');

		if (value && strncmp(argv[i], "size=", 5) == 0)
			size = strtoull(value + 1, NULL, 0);
		else if (value && strncmp(argv[i], "threads=", 8) == 0)
			n_workers = strtoul(value + 1, NULL, 0);
		else if (value && strncmp(argv[i], "rate=", 5) == 0)
			rate = strtoull(value + 1, NULL, 0);
		else if (value && strncmp(argv[i], "seed=", 5) == 0)
			seed = strtoull(value + 1, NULL, 0);
		else if (value && strncmp(argv[i], "ops=", 4) == 0)
			choose_ops(value + 1);
		else
			n_workers = 0;
	}
	if (n_workers < 1 || n_workers > MAX_WORKERS || size < 1) {
		errno = EINVAL;
		die("size=MIB threads=1..8 rate=MIB_PER_S ops=NAME,... seed=N");
	}
	victim_begin();
	/* its place under the break, before that is where the slots begin */
	if (!malloc(1))
		die("malloc");
	count_slots(size);
	make_ledger();
	make_places();
	make_chains();
	start_helper();
	make_slots();
	fill_slots();
	tell_ledger();
	for (size_t i = 0; i < n_workers; i++)
		victim_thread(work, &workers[i]);
	victim_thread(spin, NULL);
	victim_thread(watch, NULL);
	emit("ready");
	while (ops[OP_STACK].on)
		descend(&workers[n_workers], 0, next_random(&workers[n_workers]) % N_FRAMES);
	for (;;)
		pause();
}
