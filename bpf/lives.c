// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The life stream: one record for each task, made at its own exit, that holds its whole life.
 *
 * At sched_process_exit everything still stands that /proc ever showed: thread_pid, the group and
 * the session, credentials, the cgroup, the name, the exit code. So nothing has to be kept from
 * birth to end, and one program runs a life. The tracepoint lies in do_exit() itself, before
 * exit_notify() in every version, and is there whatever else a kernel refuses, so all probe modes
 * share it. A function in its place would be worse: do_exit() is entered before the task may stop
 * for its tracer, and before signal->live tells who is the last; exit_notify() is inlined;
 * release_task() is run by the parent, maybe days later, or never. Of an exec by a thread the modes
 * differ: exchange_tids() has the old numbers of all levels, and runs for no other exec;
 * sched_process_exec has only the first, and runs for every one.
 *
 * The command line is not in it. It lies in the memory of the process, which before 6.16 is gone
 * when the tracepoint is reached (exit_mm()), may have been paged out, which a program that cannot
 * sleep cannot wait for, has no bound, and is the process's own to rewrite until its end.
 *
 * SLOTS: a record is written into its place of an array that the reader has mapped. Its place comes
 * from a cursor, by an atomic addition (5.12). Else it is copied into a ring (5.8).
 */
#include <uapi/linux/ptrace.h>
#include "record.h"
#include "kernel.h"
#include "life.h"

#ifdef PROBES_FENTRY
#define ENTRY(fn) int enter_##fn(u64 *ctx)
#define ARG(i) (ctx[i])
#else
#define ENTRY(fn) int enter_##fn(struct pt_regs *ctx)
#define ARG(i) ((i) == 0 ? PT_REGS_PARM1(ctx) : PT_REGS_PARM2(ctx))
#endif
#define TRACEPOINT(tp) int tp_##tp(u64 *ctx)

#define SIGNAL_GROUP_EXIT 0x4	/* include/linux/sched/signal.h */

/* Where records go: for each class of them an array, its sequences and its cursor; or a ring. */

#ifdef SLOTS
#define SLOTS_OF(name, type, nr) BPF_F_TABLE("array", u32, struct type, name, nr, BPF_F_MMAPABLE)
#define WORDS(name, nr) BPF_F_TABLE("array", u32, u64, name, nr, BPF_F_MMAPABLE)

SLOTS_OF(lives, life, NR_LIVES);
WORDS(lives_sequences, NR_LIVES);
WORDS(lives_cursor, 1);
SLOTS_OF(lives_deep, life_deep, NR_DEEP);
WORDS(lives_deep_sequences, NR_DEEP);
WORDS(lives_deep_cursor, 1);
#ifdef BIRTHS
SLOTS_OF(births, born, NR_LIVES);
WORDS(births_sequences, NR_LIVES);
WORDS(births_cursor, 1);
SLOTS_OF(births_deep, born_deep, NR_DEEP);
WORDS(births_deep_sequences, NR_DEEP);
WORDS(births_deep_cursor, 1);
#endif

/*
 * A writer holds its slot from the exchange to the last store, so that two never write one slot at
 * once: a slot whose writer of a lap before has not finished (its CPU is stopped by a hypervisor),
 * or that a writer of a lap later has already, is left alone, and the record is the one that is
 * missing at its place. The exchange orders all stores to the slot behind both the cursor's move
 * and the mark.
 *
 * Sequences lie side by side, eight to a cache line. In the slots, which are as good as never in a
 * cache, each exchange would wait for memory, as the stores do not.
 */
static __always_inline int claim(u64 *sequence, u64 place)
{
	u64 found = *(volatile u64 *)sequence;

	return found <= place &&
	       __sync_val_compare_and_swap(sequence, found, LIFE_WRITING) == found;
}

/* Behind all stores to the slot: an atomic operation that returns something orders all others. */
static __always_inline void finish(u64 *sequence, u64 place)
{
#ifdef STORES_IN_ORDER
	asm volatile("" ::: "memory");
	*(volatile u64 *)sequence = place + 1;
#else
	__sync_lock_test_and_set(sequence, place + 1);
#endif
}

#else
BPF_RINGBUF_OUTPUT(lives, RING_PAGES);
BPF_RINGBUF_OUTPUT(lives_deep, RING_PAGES);
BPF_PERCPU_ARRAY(life_room, struct life_deep, 1);
#ifdef BIRTHS
BPF_RINGBUF_OUTPUT(births, RING_PAGES);
BPF_RINGBUF_OUTPUT(births_deep, RING_PAGES);
BPF_PERCPU_ARRAY(birth_room, struct born_deep, 1);
#endif
/* By class, in the order above: what a ring had no room for. */
BPF_F_TABLE("array", u32, u64, lost, 4, BPF_F_MMAPABLE);

static __always_inline void count_lost(u32 of)
{
	u64 *count = lost.lookup(&of);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* The ring puts its header before a record, where a slot has room for one. */
#define BODY(record) ((char *)(record) + sizeof(u64))
#define BODY_SIZE(record) (sizeof(*(record)) - sizeof(u64))
#endif

#ifdef SLOTS
static __always_inline void emit_life(const struct life_facts *f)
{
	u32 first = 0, index;
	u64 place, *sequence, *cursor = lives_cursor.lookup(&first);
	struct life *slot;

	if (!cursor)
		return;
	place = __sync_fetch_and_add(cursor, 1);
	index = place & (NR_LIVES - 1);
	sequence = lives_sequences.lookup(&index);
	slot = lives.lookup(&index);
	if (!slot || !sequence || !claim(sequence, place))
		return;
	fill_shallow_life(slot, f);
	finish(sequence, place);
}

static __always_inline void emit_life_deep(const struct life_facts *f)
{
	u32 first = 0, index;
	u64 place, *sequence, *cursor = lives_deep_cursor.lookup(&first);
	struct life_deep *slot;

	if (!cursor)
		return;
	place = __sync_fetch_and_add(cursor, 1);
	index = place & (NR_DEEP - 1);
	sequence = lives_deep_sequences.lookup(&index);
	slot = lives_deep.lookup(&index);
	if (!slot || !sequence || !claim(sequence, place))
		return;
	fill_life_deep(slot, f);
	finish(sequence, place);
}
#else
static __always_inline void emit_life(const struct life_facts *f)
{
	struct life l = {};

	fill_shallow_life(&l, f);
	if (lives.ringbuf_output(BODY(&l), BODY_SIZE(&l), BPF_RB_NO_WAKEUP))
		count_lost(0);
}

static __always_inline void emit_life_deep(const struct life_facts *f)
{
	u32 first = 0;
	struct life_deep *l = life_room.lookup(&first);

	if (!l)
		return;
	fill_life_deep(l, f);
	if (lives_deep.ringbuf_output(BODY(l), BODY_SIZE(l), BPF_RB_NO_WAKEUP))
		count_lost(1);
}
#endif

static __always_inline void tell(struct life_facts *f)
{
	read_facts(f);
	if (f->level < BIRTH_LEVELS)
		emit_life(f);
	else
		emit_life_deep(f);
}

/* Who tells a process's end */

#ifndef GROUP_DEAD
struct process_key {
	u64 start_ns;
	u64 tgid;
};

/* Those of several threads of which one has told it; the least recent are forgotten. */
BPF_TABLE("lru_hash", struct process_key, u8, ended, 10240);

/*
 * Two threads that exit at once may both find signal->live at 0: the first told, or tells. A
 * process that never had another thread is left out of that, as almost all are: none is attached
 * but the leader, and none was released, whose run time __exit_signal() would have added first.
 */
static __always_inline int is_first_told(u64 task, u64 leader, u64 signal)
{
	struct process_key key = {};
	u8 one = 1;

#ifdef STORES_IN_ORDER
	if (task == leader && read_u32(signal, SIGNAL_NR_THREADS) == 1 &&
	    !read_u64(signal, SIGNAL_SUM_SCHED_RUNTIME))
		return 1;
#endif
	key.start_ns = read_u64(leader, TASK_START_BOOTTIME);
	key.tgid = read_u32(leader, TASK_TGID);
	return !ended.insert(&key, &one);
}
#endif

/* Whether the process ends with this task, and no other told so. */
static __always_inline int ends_process(u64 *ctx, u64 task, u64 leader, u64 signal)
{
#ifdef GROUP_DEAD	/* since 6.16 the tracepoint says it */
	return (u8)ctx[1];
#else
	return !read_u32(signal, SIGNAL_LIVE) && is_first_told(task, leader, signal);
#endif
}

/* wait_task_zombie(): without an exit of the whole group, the leader's own code. */
static __always_inline void read_status(struct life_facts *f, u64 task, u64 signal)
{
	if (read_u32(signal, SIGNAL_FLAGS) & SIGNAL_GROUP_EXIT) {
		f->status = read_u32(signal, SIGNAL_GROUP_EXIT_CODE);
		return;
	}
	f->status = read_u32(f->leader, TASK_EXIT_CODE);
	if (task != f->leader && !read_u32(f->leader, TASK_EXIT_STATE))
		f->flags |= LIFE_STATUS_UNKNOWN;
}

/*
 * A task tells its own life, as its process's end if it is a leader with which its process ends. The
 * last thread of a process whose leader has exited before tells both, one after the other: by a
 * loop, since a second copy of all that follows would lie between what is run each time.
 */
TRACEPOINT(sched_process_exit)
{
	struct life_facts f = {};
	u64 task = ctx[0];
	u64 signal = read_u64(task, TASK_SIGNAL);
	u64 leader = read_u64(task, TASK_GROUP_LEADER);
	u32 ends = ends_process(ctx, task, leader, signal);
	u32 rounds = ends && task != leader ? 2 : 1;

	f.leader = leader;
	f.now_in = task;
	f.task = task;
	f.kind = task != leader ? LIFE_THREAD : ends ? LIFE_PROCESS : LIFE_LEADER;
	f.status = read_u32(task, TASK_EXIT_CODE);
#ifdef NO_THREADS
	if (!ends)
		return 0;
	if (rounds == 2) {
		f.task = leader;
		f.kind = LIFE_PROCESS;
		f.flags = LIFE_BY_THREAD;
		rounds = 1;
	}
#endif
	_Pragma("clang loop unroll(disable)")
	for (u32 round = 0; round < 2; round++) {
		asm volatile("" : "+r"(round));
		if (f.kind == LIFE_PROCESS)
			read_status(&f, task, signal);
		tell(&f);
		if (round + 1 >= rounds)
			break;
		f.task = leader;
		f.kind = LIFE_PROCESS;
		f.flags = LIFE_BY_THREAD;
	}
	return 0;
}

/* An exec by a thread ends its number. Its start is the leader's already (de_thread()). */

#ifndef NO_THREADS
#if defined(PROBES_FENTRY) || defined(PROBES_KPROBE)
ENTRY(exchange_tids)
{
	struct life_facts f = {};

	f.task = ARG(ARG_EXCHANGE_LEFT);
	f.leader = ARG(ARG_EXCHANGE_RIGHT);
	f.now_in = f.task;
	f.kind = LIFE_EXECED;
	tell(&f);
	return 0;
}
#else
TRACEPOINT(sched_process_exec)
{
	struct life_facts f = {};

	if ((u32)ctx[1] == task_nr(ctx[0]))
		return 0;
	f.task = f.leader = f.now_in = ctx[0];
	f.kind = LIFE_EXECED;
	f.flags = LIFE_NUMBERS_UNKNOWN;
	f.old_nr = ctx[1];
	tell(&f);
	return 0;
}
#endif
#endif

/* Births: the parent at birth, which a life does not know, and so who is alive. */

#ifdef BIRTHS
static __always_inline u64 fill_born(struct born_head *b, u64 task)
{
	u64 parent = read_u64(task, TASK_REAL_PARENT);
	u64 pid = read_u64(task, TASK_THREAD_PID);

	b->start_ns = read_u64(task, TASK_START_BOOTTIME);
	b->parent_start_ns = read_u64(read_u64(parent, TASK_GROUP_LEADER), TASK_START_BOOTTIME);
	b->tgid = read_u32(task, TASK_TGID);
	b->ppid = read_u32(parent, TASK_TGID);
	b->by = bpf_get_current_pid_tgid();
	b->level = read_u32(pid, PID_LEVEL);
	b->pad = 0;
	return pid;
}

static __always_inline void fill_shallow_born(struct born *b, u64 task)
{
	u64 pid = fill_born(&b->born, task);

	__builtin_memset(b->nr, 0, sizeof(*b) - sizeof(b->born));
	b->born.ns = read_u32(read_upids(b->nr, pid, b->born.level), NS_INUM);
}

static __always_inline void fill_born_deep(struct born_deep *b, u64 task)
{
	u64 pid = fill_born(&b->born, task);
	u32 level = b->born.level;

	__builtin_memset(b->nr, 0, sizeof(*b) - sizeof(b->born));
	b->born.ns = peek_inum(pid_ns(pid, level));
	READ_NUMBERS(b->nr, NR_LEVELS, pid, level);
}

#ifdef SLOTS
static __always_inline void emit_born(u64 task)
{
	u32 first = 0, index;
	u64 place, *sequence, *cursor = births_cursor.lookup(&first);
	struct born *slot;

	if (!cursor)
		return;
	place = __sync_fetch_and_add(cursor, 1);
	index = place & (NR_LIVES - 1);
	sequence = births_sequences.lookup(&index);
	slot = births.lookup(&index);
	if (!slot || !sequence || !claim(sequence, place))
		return;
	fill_shallow_born(slot, task);
	finish(sequence, place);
}

static __always_inline void emit_born_deep(u64 task)
{
	u32 first = 0, index;
	u64 place, *sequence, *cursor = births_deep_cursor.lookup(&first);
	struct born_deep *slot;

	if (!cursor)
		return;
	place = __sync_fetch_and_add(cursor, 1);
	index = place & (NR_DEEP - 1);
	sequence = births_deep_sequences.lookup(&index);
	slot = births_deep.lookup(&index);
	if (!slot || !sequence || !claim(sequence, place))
		return;
	fill_born_deep(slot, task);
	finish(sequence, place);
}
#else
static __always_inline void emit_born(u64 task)
{
	struct born b = {};

	fill_shallow_born(&b, task);
	if (births.ringbuf_output(BODY(&b), BODY_SIZE(&b), BPF_RB_NO_WAKEUP))
		count_lost(2);
}

static __always_inline void emit_born_deep(u64 task)
{
	u32 first = 0;
	struct born_deep *b = birth_room.lookup(&first);

	if (!b)
		return;
	fill_born_deep(b, task);
	if (births_deep.ringbuf_output(BODY(b), BODY_SIZE(b), BPF_RB_NO_WAKEUP))
		count_lost(3);
}
#endif

TRACEPOINT(task_newtask)
{
	u64 task = ctx[0];

	if (!task_nr(task))
		return 0;	/* fork_idle(): a CPU comes up */
#ifdef NO_THREADS
	if (read_u64(task, TASK_GROUP_LEADER) != task)
		return 0;
#endif
	if (read_u32(read_u64(task, TASK_THREAD_PID), PID_LEVEL) < BIRTH_LEVELS)
		emit_born(task);
	else
		emit_born_deep(task);
	return 0;
}
#endif
