// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Every task of the machine as /proc shows it, threads too, by number (kernel/bpf/task_iter.c). Each
 * is read without a lock, as by fs/proc/array.c.
 */
#include <uapi/linux/ptrace.h>
#include "record.h"
#include "listing.h"
#include "kernel.h"

BPF_PERCPU_ARRAY(row, struct listed, 1);

/*
 * Without branches from here to the end of fill_levels(): the verifier follows each, and a command
 * that reads once waits longer for it than for the tasks. What is read behind a struct pid's own
 * levels belongs to its neighbour, and is masked.
 */
static __always_inline u64 all_ones_unless_below(u64 level, u64 i)
{
	u64 below = (s64)(level - i) >> 63;

	asm volatile("" : "+r"(below));	/* or clang makes a branch of it, here and in the next one */
	return ~below;
}

static __always_inline u64 all_ones_if_equal(u64 one, u64 other)
{
	u64 differing = one ^ other;

	differing = (differing | -differing) >> 63;
	asm volatile("" : "+r"(differing));
	return differing - 1;
}

struct numbers {
	char upids[LISTED_LEVELS * UPID_SIZE];
	u64  level;
};

static __always_inline void read_numbers(struct numbers *to, u64 pid)
{
	bpf_probe_read_kernel(to->upids, sizeof(to->upids), (void *)pid_upid(pid, 0));
	to->level = peek_u32(pid, PID_LEVEL);
}

/* The namespace at level i, which a namespace deeper than the struct pid does not equal. */
static __always_inline u64 ns_at(const struct numbers *it, u64 i)
{
	return *(u64 *)(it->upids + i * UPID_SIZE + UPID_NS) & all_ones_unless_below(it->level, i);
}

/* A number as a namespace at level i counts, as pid_nr_ns() (kernel/pid.c). */
static __always_inline u32 nr_in(const struct numbers *it, u64 i, u64 ns)
{
	u32 nr = *(u32 *)(it->upids + i * UPID_SIZE + UPID_NR);

	return nr & all_ones_if_equal(ns_at(it, i), ns) & all_ones_unless_below(it->level, i);
}

static __always_inline void fill_levels(struct listed *to, u64 pid, u64 task)
{
	struct numbers own, tgid, pgid, sid;
	u64 pids[PIDTYPE_SID + 1] = {};

	bpf_probe_read_kernel(pids, sizeof(pids), (void *)(peek_u64(task, TASK_SIGNAL) + SIGNAL_PIDS));
	read_numbers(&own, pid);
	read_numbers(&tgid, pids[PIDTYPE_TGID]);
	read_numbers(&pgid, pids[PIDTYPE_PGID]);
	read_numbers(&sid, pids[PIDTYPE_SID]);
	_Pragma("unroll")
	for (u64 i = 0; i < LISTED_LEVELS; i++) {
		u64 ns = ns_at(&own, i);

		to->levels[i].ns = peek_u32(ns, NS_INUM);
		to->levels[i].pid = nr_in(&own, i, ns);
		to->levels[i].tgid = nr_in(&tgid, i, ns);
		to->levels[i].pgid = nr_in(&pgid, i, ns);
		to->levels[i].sid = nr_in(&sid, i, ns);
	}
}

static __always_inline void fill_task(struct listed_task *to, u64 pid, u64 task)
{
	to->tid = task_nr(task);
	to->level = peek_u32(pid, PID_LEVEL);
	to->state = peek_u32(task, TASK_STATE);
	to->exit_state = peek_u32(task, TASK_EXIT_STATE);
	to->flags = peek_u32(task, TASK_FLAGS);
	to->ppid = peek_u32(peek_u64(task, TASK_REAL_PARENT), TASK_TGID);
	to->tracer = peek_u32(task, TASK_PTRACE) ? task_nr(peek_u64(task, TASK_PARENT)) : 0;
	to->threads = peek_u32(peek_u64(task, TASK_SIGNAL), SIGNAL_NR_THREADS);
	to->start_ns = peek_u64(task, TASK_START_BOOTTIME);
	to->cgroup_id = task_cgroup_id(task);
	read_comm(to->comm, task);
}

int bpf_iter__task(u64 *ctx)
{
	void **meta = (void **)ctx[0];	/* struct bpf_iter_meta begins with the seq_file */
	u64 task = ctx[1], pid;
	u32 zero = 0;
	struct listed *it = row.lookup(&zero);

	pid = task ? peek_u64(task, TASK_THREAD_PID) : 0;
	if (!pid || !it)
		return 0;	/* the end; or it is being released */
	fill_task(&it->task, pid, task);
	fill_levels(it, pid, task);
	bpf_seq_write(*meta, it, sizeof(*it));
	return 0;
}
