// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * `watch --by`, counted where it happens: births and failed forks by the name that forks, or by PID
 * namespace (BY_WHERE). What the reader takes is one row a key, however many tasks were born.
 *
 * One hook serves all probe modes for births. task_newtask lies at the end of copy_process(), behind
 * the last point at which a fork can fail, and runs once for each task whose PID attach_pid()
 * attached; fork_idle() alone comes there with a task that has no number. It is there whatever else
 * a kernel refuses. Failed forks are seen only by what a function returns, so the modes with function
 * hooks (FAILURES) have that of copy_process() as well.
 *
 * A program never runs twice at once on one CPU: the kernel skips and counts what would (misses.py).
 * So counters of one CPU are added to without atomic operations, and each program has its own. No
 * key is ever taken out, so what a program found cannot be freed while it adds: a reader misses
 * nothing, and the counts only grow. Keys that do not fit are counted as others.
 */
#include <uapi/linux/ptrace.h>
#include "record.h"
#include "counts.h"
#include "kernel.h"

#ifdef PROBES_FENTRY
#define EXIT(fn) int leave_##fn(u64 *ctx)
#define RETURNED(nr_args) (ctx[nr_args])
#else
#define EXIT(fn) int leave_##fn(struct pt_regs *ctx)
#define RETURNED(nr_args) PT_REGS_RC(ctx)
#endif
#define TRACEPOINT(tp) int tp_##tp(u64 *ctx)

#define ERESTARTNOINTR 513	/* include/linux/errno.h */

#ifdef BY_WHERE
BPF_TABLE("percpu_hash", struct count_ns, struct counted, counts, NR_KEYS);
#define KEY struct count_ns
#else
BPF_TABLE("percpu_hash", struct count_comm, struct counted, counts, NR_KEYS);
#define KEY struct count_comm
#endif
BPF_PERCPU_ARRAY(others, struct counted, 1);

static __always_inline struct counted *counted_as(KEY *key)
{
	struct counted none = {}, *found = counts.lookup(key);
	u32 first = 0;

	if (found)
		return found;
	counts.insert(key, &none);	/* unless another CPU was first */
	found = counts.lookup(key);
	return found ? found : others.lookup(&first);
}

#ifdef BY_WHERE

BPF_RINGBUF_OUTPUT(inits, RING_PAGES);
BPF_F_TABLE("array", u32, u64, lost, 1, BPF_F_MMAPABLE);

/*
 * The key of a namespace. A reaper is its number 1, or, once that thread has exited, another thread
 * of the same process, whose leader keeps number and start, also in an exec.
 */
#define DEFINE_KEY_OF_NS(name, u64_at, u32_at)                                          \
	static __always_inline void name(struct count_ns *key, u64 ns, u32 level)       \
	{                                                                               \
		u64 reaper = u64_at(ns, NS_CHILD_REAPER);                               \
		u64 leader = u64_at(reaper, TASK_GROUP_LEADER);                         \
                                                                                        \
		key->ns = u32_at(ns, NS_INUM);                                          \
		key->init = u32_at(leader, TASK_PID) | level << COUNT_LEVEL_SHIFT;      \
		key->start_ns = u64_at(leader, TASK_START_BOOTTIME);                    \
	}

DEFINE_KEY_OF_NS(key_of_ns, read_u64, read_u32)

#ifdef TYPED
DEFINE_KEY_OF_NS(key_of_deep_ns, peek_u64, peek_u32)
#else
#define key_of_deep_ns key_of_ns
#endif

static __always_inline u32 init_of(const struct count_ns *key)
{
	return key->init & ((1 << COUNT_LEVEL_SHIFT) - 1);
}

#ifdef FAILURES
/* Which key a namespace has that came since the start: a forker knows only its inum. */
BPF_TABLE("hash", u32, struct count_ns, current_keys, NR_KEYS);
#endif

static __always_inline void read_key(struct count_ns *key, u64 pid, u32 level)
{
	u64 ns;

	if (level >= BIRTH_LEVELS) {
		key_of_deep_ns(key, pid_ns(pid, level), level);
		return;
	}
#ifdef TYPED
	_Pragma("unroll")
	for (u32 i = 0; i < BIRTH_LEVELS; i++) {
		if (i == level)
			ns = read_u64(pid, PID_NUMBERS + i * UPID_SIZE + UPID_NS);
	}
#else
	ns = pid_ns(pid, level);
#endif
	key_of_ns(key, ns, level);
}

static __always_inline void tell_init(u32 kind, u64 task, u64 pid, u32 level)
{
	struct count_init r = {};
	u32 first = 0;
	u64 *count, ns = pid_ns(pid, level);

	r.kind = kind;
	r.level = level;
	r.nr = task_nr(task);
	r.ns = peek_inum(ns);
	r.ns_parent = level ? peek_inum(peek_u64(ns, NS_PARENT)) : 0;
	r.start_ns = read_u64(task, TASK_START_BOOTTIME);
	r.ts_ns = bpf_ktime_get_boot_ns();
	read_comm(r.comm, task);
	if (!inits.ringbuf_output(&r, sizeof(r), 0))
		return;
	count = lost.lookup(&first);
	if (count)
		__sync_fetch_and_add(count, 1);
}

static __always_inline struct counted *counted_birth(u64 task)
{
	struct count_ns key = {};
	u64 pid = read_u64(task, TASK_THREAD_PID);
	u32 level = read_u32(pid, PID_LEVEL);

	if (!level)
		return counted_as(&key);
	read_key(&key, pid, level);
	if (init_of(&key) == task_nr(task)) {
#ifdef FAILURES
		current_keys.update(&key.ns, &key);
#endif
		tell_init(COUNT_INIT_BORN, task, pid, level);
	}
	return counted_as(&key);
}

/* Whether it is a number 1: almost no task is, and this runs at each exec and exit. */
static __always_inline void tell_if_init(u32 kind, u64 task)
{
	u64 pid = read_u64(task, TASK_THREAD_PID);
	u32 level = read_u32(pid, PID_LEVEL);

	if (level ? number_at(pid, level) == 1 : task_nr(task) == 1)
		tell_init(kind, task, pid, level);
}

TRACEPOINT(sched_process_exec)
{
	tell_if_init(COUNT_INIT_EXECUTED, ctx[0]);
	return 0;
}

TRACEPOINT(sched_process_exit)
{
	tell_if_init(COUNT_INIT_EXITED, ctx[0]);
	return 0;
}

#else	/* by comm */

/* All ones below the first byte that is 0, of a word as it lies in memory, its first byte lowest. */
static __always_inline u64 before_end(u64 word)
{
	u64 ends = (word - 0x0101010101010101ULL) & ~word & 0x8080808080808080ULL;

	return ((ends & -ends) >> 7) - 1;
}

/* What lies behind the end of a name is left from a longer one: 5.10 does not clear it. */
static __always_inline void read_name(struct count_comm *key, u64 task)
{
	u64 before;

	read_comm((char *)key->halves, task);
	before = before_end(key->halves[0]);
	key->halves[0] &= before;
	key->halves[1] = before == ~0ULL ? key->halves[1] & before_end(key->halves[1]) : 0;
}

static __always_inline struct counted *counted_birth(u64 task)
{
	struct count_comm key = {};

	read_name(&key, task);	/* a child begins with its forker's */
	return counted_as(&key);
}
#endif

TRACEPOINT(task_newtask)
{
	u64 task = ctx[0];
	struct task_ids ids = task_ids(task);
	struct counted *counted;

	if (!ids.nr)
		return 0;	/* fork_idle(): a CPU comes up */
	counted = counted_birth(task);
	if (!counted)
		return 0;
	if (ids.nr == ids.tgid)
		counted->processes++;
	else
		counted->threads++;
	return 0;
}

#ifdef FAILURES

BPF_F_TABLE("array", u32, u64, errors, ERR_LAST + 1, BPF_F_MMAPABLE);	/* restarted ones too */

static __always_inline struct counted *counted_failure(void)
{
	u64 task = bpf_get_current_task();
#ifdef BY_WHERE
	struct count_ns *known, key = {};

	key.ns = task_children_ns(task);
	known = current_keys.lookup(&key.ns);
	if (known)
		key = *known;
#else
	struct count_comm key = {};
	bpf_get_current_comm(&key, sizeof(key));
#endif
	return counted_as(&key);
}

EXIT(copy_process)
{
	u64 task = RETURNED(NR_ARGS_COPY_PROCESS), *count;
	struct counted *counted;
	u32 error = -task;

	if (task < -ERR_LAST)
		return 0;
	count = errors.lookup(&error);
	if (count)
		__sync_fetch_and_add(count, 1);
	if (error == ERESTARTNOINTR)
		return 0;
	counted = counted_failure();
	if (counted)
		counted->failed_forks++;
	return 0;
}
#endif
